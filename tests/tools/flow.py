"""tools/flow on logs made by hand after the format (docs/man/berthd.8): what it merges, what it
draws between the ends, and what it refuses, by file and line.

    flow.py SOURCE SCRATCH
"""

import json
import re
import subprocess
import sys
from pathlib import Path

SOURCE, SCRATCH = (Path(word).resolve() for word in sys.argv[1:3])
SAMPLES = SOURCE / "tests/tools/flow"
SERVER, LOAD = SAMPLES / "berthd.jsonl", SAMPLES / "berthload.jsonl"
HEADER = ('{"program":"%s","version":"0.1.0","start_monotonic_ns":5000000000,'
          '"start":"2026-11-23T01:02:03.000Z"}')
CASES = []


def case(function):
    CASES.append(function)
    return function


def flow(*words):
    done = subprocess.run([sys.executable, SOURCE / "tools/flow", *map(str, words)],
                          capture_output=True, text=True, timeout=20)
    return done.returncode, done.stdout, done.stderr


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def text_of(*words):
    status, out, err = flow(*words)
    check(status == 0, f"status {status}: {err}")
    check(err == "", f"it said: {err}")
    return out


def page_data(path):
    """What the page draws."""
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>',
                      path.read_text(encoding="utf-8"), re.DOTALL)
    check(found, "the page holds no data")
    return json.loads(found[1])


def arrows_of(out):
    return re.findall(r"^\[(\d+)\] (\w+) to (\w+): (\d+) bytes in [\d.]+ us(?:  (.*))?$", out,
                      re.MULTILINE)


@case
def the_ends_are_found_by_their_address():
    out = text_of(SERVER, LOAD, "--list")
    check(re.findall(r"^ +(\d+) +(\d+) +\d+  (\S+)$", out, re.MULTILINE)
          == [("1", "1000000002", "127.0.0.1:50001"), ("2", "1000000003", "127.0.0.1:50002")], out)


@case
def without_addresses_the_ids_tell_which_connection_it_is():
    text = re.sub(r',"(?:local|peer)":"[^"]*"', "", LOAD.read_text())
    (SCRATCH / "nowhere-from.jsonl").write_text(text)
    out = text_of(SERVER, SCRATCH / "nowhere-from.jsonl", "--list")
    check(out == text_of(SERVER, LOAD, "--list").replace("[::ffff:", ""), out)


@case
def the_order_of_the_files_and_how_a_connection_is_named_change_nothing():
    out = text_of(SERVER, LOAD)
    check(out == text_of(LOAD, SERVER), "the order of the logs matters")
    check(out == text_of(LOAD, SERVER, "--connection", 1), "the first is not connection 1")
    check(out == text_of(LOAD, SERVER, "--session", 1000000002), "the session is another")
    check("1000000004" not in out and "reset" not in out, "a port that was used again is mixed in")


@case
def one_message_is_one_arrow_there_and_one_back():
    found = arrows_of(text_of(SERVER, LOAD))
    check(found == [("1", "berthload", "berthd", "9", "10001 M1-C1"),
                    ("2", "berthd", "berthload", "13", "10001 M1-C1"),
                    ("3", "berthload", "berthd", "9", "10003 M2-C1"),
                    ("4", "berthd", "berthload", "13", "10003 M2-C1")], found)


@case
def pieces_are_followed_byte_by_byte():
    """Three sends of 3 become receives of 3 and 6; one send of 13 becomes 3 and 10. The message
    stands at the piece that made it whole."""
    found = arrows_of(text_of(SERVER, LOAD, "--connection", 2))
    check([(item[1], item[3], item[4]) for item in found] == [
        ("berthload", "3", ""), ("berthload", "3", ""), ("berthload", "3", "10002 M1-C2"),
        ("berthd", "3", ""), ("berthd", "10", "10002 M1-C2"),
        ("berthload", "9", r"10004 M</\x01"), ("berthd", "13", r"10004 M</\x01")], found)


@case
def nothing_arrives_before_it_left():
    """In the sample the server's clock was read 5 us before the client's for message 2."""
    lines = text_of(SERVER, LOAD).split("\n")
    left = next(n for n, line in enumerate(lines) if "-[3]->  " in line)
    came = next(n for n, line in enumerate(lines) if "-[3]->|" in line)
    check(left < came, "\n".join(lines))
    check(lines[left].startswith("  0.001405000") and lines[came].startswith("  0.001400000"),
          "the times were changed")


@case
def the_text_has_both_ends_in_their_columns():
    out = text_of(SERVER, LOAD)
    rows = re.findall(r"^ +(\d+\.\d{9})  (.*?) *\|(.{24})\| ?(.*)$", out, re.MULTILINE)
    check(len(rows) == 26, f"{len(rows)} rows in:\n{out}")
    for _, client, _, server in rows:
        check(bool(client) != bool(server), f"a row of both ends or of none: {client!r} {server!r}")
    check(rows[0] == ("0.000000000", "connect_started peer=127.0.0.1:4444", " " * 24, ""), rows[0])


@case
def the_page_holds_the_same():
    page = SCRATCH / "flow-page.html"
    check(text_of(SERVER, LOAD, "--connection", 2, "--html", page) == "", "it printed as well")
    data = page_data(page)
    check([(arrow["bytes"], arrow["ids"]) for arrow in data["arrows"]]
          == [(3, []), (3, []), (3, [10002]), (3, []), (10, [10002]), (9, [10004]), (13, [10004])],
          data["arrows"])
    check([row["event"] for row in data["rows"]][:3] == ["connected", "accepted", "send_started"],
          data["rows"])
    text = page.read_text(encoding="utf-8")
    check(not re.search(r"(?:src|href)=(?![\"']?data:)", text), "it asks for something elsewhere")
    check(len(re.findall("https?://(?!www.w3.org/2000/svg)", text)) == 0, "it names an address")


@case
def rows_can_be_bounded_and_it_says_so():
    status, out, err = flow(SERVER, LOAD, "--rows", 5)
    check(status == 0 and len(re.findall(r"^ +\d+\.\d{9} ", out, re.MULTILINE)) == 5, out)
    check("21 more records are left out" in err, err)


@case
def without_bytes_the_ids_make_the_arrows():
    """--watch data alone."""
    for path in (SERVER, LOAD):
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if '"mode":"flow"' not in line]
        (SCRATCH / f"data-{path.name}").write_text("".join(kept))
    out = text_of(SCRATCH / "data-berthd.jsonl", SCRATCH / "data-berthload.jsonl")
    found = re.findall(r"^\[\d\] berthd to berthload: in [\d.]+ us  (.*)$", out, re.MULTILINE)
    check(found == ["10001 M1-C1", "10003 M2-C1"], out)


@case
def where_an_end_noted_no_bytes_messages_are_followed_by_their_order():
    """Both of a batch of two: queued together, they came apart."""
    lines = [line for line in LOAD.read_text().splitlines(keepends=True)
             if '"conn":2' not in line and '"sent"' not in line and '"received"' not in line]
    began = next(n for n, line in enumerate(lines) if '"send_started"' in line)
    lines[began] = lines[began].replace("send_started", "queued").replace(
        '"bytes":9', '"index":1,"count":2,"bytes":10')
    (SCRATCH / "queued.jsonl").write_text("".join(lines))
    out = text_of(SERVER, SCRATCH / "queued.jsonl")
    found = re.findall(r"^\[\d\] (\w+) to \w+: in [\d.]+ us  (.*)$", out, re.MULTILINE)
    # The sample's server has no record of what it queued, so nothing but ids tells of replies.
    check(found == [("berthload", "10001 M1-C1"), ("berthd", "10001 M1-C1"),
                    ("berthload", "10003 M2-C1"), ("berthd", "10003 M2-C1")], out)


@case
def missing_records_are_said():
    lines = LOAD.read_text().splitlines(keepends=True)
    kept = [line for number, line in enumerate(lines, 1) if number != 10]
    (SCRATCH / "lossy.jsonl").write_text("".join(kept))
    status, _, err = flow(SERVER, SCRATCH / "lossy.jsonl")
    check(status == 0 and "berthload sent 9 bytes and berthd received 18" in err, err)


@case
def a_line_cut_short_at_the_end_is_left_out_and_said():
    text = SERVER.read_text()
    (SCRATCH / "cut.jsonl").write_text(text[:-20])
    status, out, err = flow(SCRATCH / "cut.jsonl", LOAD)
    check(status == 0 and "cut short" in err, err)
    check(len(arrows_of(out)) == 4, out)


@case
def other_clocks_are_told_from_the_same_one():
    """Two machines: their monotonic clocks have nothing in common, their times of day do."""
    text = LOAD.read_text().replace("6000000000", "777000000000", 1)
    (SCRATCH / "elsewhere.jsonl").write_text(text)
    status, out, err = flow(SERVER, SCRATCH / "elsewhere.jsonl")
    check(status == 0 and "monotonic clock" in err, err)
    check(arrows_of(out) == arrows_of(text_of(SERVER, LOAD)), out)


RECORD = '{"t":1,"event":"opened"}'
REFUSED = [  # what stands in the place of berthd's log, and what must be named
    ("", ":1: nothing is in it"),
    ("0.000000001 w0 accepted\n", ":1: not JSON"),
    ("[1]\n", ":1: not an object but list"),
    ('{"version":"0.1.0"}\n', ':1: "program" is missing'),
    (HEADER % "httpd" + "\n", ':1: "program" is httpd'),
    (HEADER.replace("5000000000", '"x"') % "berthd" + "\n", ':1: "start_monotonic_ns" is "x"'),
    (HEADER.replace("2026-11", "2026-13") % "berthd" + "\n", ':1: "start" is 2026-13'),
    (HEADER % "berthload" + "\n", "both logs are of berthload"),
    (HEADER % "berthd" + f"\n{RECORD}\nrubbish\n", ":3: not JSON"),
    (HEADER % "berthd" + '\n{"event":"opened"}\n', ':2: "t" is missing'),
    (HEADER % "berthd" + '\n{"t":"soon","event":"opened"}\n', ':2: "t" is "soon"'),
    (HEADER % "berthd" + '\n{"t":true,"event":"opened"}\n', ':2: "t" is true'),
    (HEADER % "berthd" + f'\n{RECORD}\n{{"t":2}}\n', ':3: "event" is missing'),
    (HEADER % "berthd" + '\n{"t":2,"event":"x","conn":"a"}\n', ':2: "conn" is "a"'),
    (HEADER % "berthd" + '\n{"t":2,"event":"x","bytes":-1}\n', ':2: "bytes" is -1'),
    (HEADER % "berthd" + '\n{"t":2,"event":"x","peer":4}\n', ':2: "peer" is 4'),
    (HEADER % "berthd" + f"\n{RECORD}\n", "no connection of it is in"),
]


@case
def what_is_no_log_is_refused_by_file_and_line():
    path = SCRATCH / "refused.jsonl"
    for text, reason in REFUSED:
        path.write_text(text)
        status, out, err = flow(path, LOAD)
        check(status == 1 and out == "", f"{text!r}: status {status}, {out}")
        check(reason in err, f"{text!r}: {err!r} does not say {reason!r}")
        check("refused.jsonl" in err or "berthload.jsonl" in err, f"no file in {err!r}")
        check("Traceback" not in err, err)
    status, _, err = flow(SCRATCH / "nowhere.jsonl", LOAD)
    check(status == 1 and "nowhere.jsonl:1: No such file" in err, err)


@case
def what_is_not_there_is_refused():
    for words, reason in ((("--connection", 3), "no connection 3; they know 2, 1 to 2"),
                          (("--session", 7), "no session 7")):
        status, out, err = flow(SERVER, LOAD, *words)
        check(status == 1 and reason in err and out == "", err)
    for words in (("--rows", 0), ("--connection", 1, "--session", 2), ("--connection", "x")):
        status, _, err = flow(SERVER, LOAD, *words)
        check(status == 2 and words[0] in err, err)
    status, _, err = flow(SERVER, LOAD, "--html", SCRATCH / "no" / "folder.html")
    check(status == 1 and "No such file" in err, err)


def main():
    SCRATCH.mkdir(parents=True, exist_ok=True)
    failed = 0
    for function in CASES:
        try:
            function()
        except AssertionError as why:
            failed += 1
            print(f"{function.__name__}: {why}")
    print(f"flow: {len(CASES)} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
