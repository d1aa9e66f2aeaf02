"""The page of tools/flow, in a real browser: headless Chromium opens it, and the test looks at what
it shows, as a document after its scripts ran and as pixels, in light and in dark.

    flow_page.py SOURCE BIN SCRATCH   exits with 77, and says why, if there is no Chromium

The pages are those of the samples, and that of a real run of berthd and berthload.
"""

import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

SOURCE, BIN, SCRATCH = (Path(word).resolve() for word in sys.argv[1:4])
SAMPLES = SOURCE / "tests/tools/flow"
NAMES = ("chromium", "chromium-browser", "google-chrome")
SKIPPED = 77
MESSAGES = 5  # of each of the two connections of the real run
WIDE, HIGH = 1280, 900
ARROWS = {  # requests, replies
    "light": ((11, 98, 184), (163, 71, 0)),
    "dark": ((111, 178, 255), (255, 173, 102)),
}
PAPER = {"light": (255, 255, 255), "dark": (22, 25, 28)}


def check(condition, what):
    if not condition:
        sys.exit(f"flow_page: {what}")


def browse(browser, page, *options):
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         f"--user-data-dir={SCRATCH / 'profile'}", f"--window-size={WIDE},{HIGH}",
         "--force-device-scale-factor=1", "--virtual-time-budget=5000", *options, page.as_uri()],
        capture_output=True, text=True, timeout=60)
    check(done.returncode == 0, f"{browser} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def page_of(connection, folder=SAMPLES):
    page = SCRATCH / f"page-{connection}.html"
    subprocess.run([sys.executable, SOURCE / "tools/flow", folder / "berthd.jsonl",
                    folder / "berthload.jsonl", "--connection", str(connection), "--html", page],
                   check=True, timeout=20)
    return page


def really_run():
    """Both programs, each with its log, as berthd.jsonl and berthload.jsonl."""
    watch = ["--watch", "flow,connections,data", "--log-format", "json", "--log"]
    command = [BIN / "berthd", "--listen", "127.0.0.1:0", *watch, SCRATCH / "berthd.jsonl"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as server:
        try:
            address = next(found[1] for line in server.stdout
                           if (found := re.search(r"listening on (\S+)", line)))
            subprocess.run([BIN / "berthload", "--connect", address, "--connections", "2",
                            "--messages", str(MESSAGES), *watch, SCRATCH / "berthload.jsonl"],
                           check=True, timeout=30, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL)
            server.terminate()
            check(server.wait(30) == 0, "berthd did not end in order")
        finally:
            server.kill()


def arrows_of(dom):
    """(from, to, bytes, ids, the label as it is shown) of each arrow, in the document's order."""
    found = re.findall(
        r'<g class="arrow (?:request|reply)" data-from="(\w+)" data-to="(\w+)" '
        r'data-bytes="(\d*)" data-ids="([\d ]*)">.*?<text [^>]*>([^<]*)</text></g>', dom)
    return [tuple(item) for item in found]


def rows_of(dom):
    """(end, event, ns) of each row from the top down, by where it really stands."""
    found = re.findall(r'<g class="row" data-side="(\w+)" data-event="(\w+)" data-ns="(\d+)">'
                       r'.*?<text class="time" x="[\d.]+" y="([\d.]+)">([\d.]+)</text>', dom)
    check(found, "the document has no rows")
    heights = [float(y) for *_, y, _ in found]
    check(heights == sorted(set(heights)), f"rows overlap or are out of order: {heights}")
    for _, _, ns, _, seconds in found:
        check(float(seconds) == int(ns) / 1e9, f"{ns} ns is shown as {seconds}")
    return [(side, event) for side, event, *_ in found]


def look_at_document(browser):
    dom = browse(browser, page_of(1), "--dump-dom")
    check("connection 1 of berthload = session 1000000002 of berthd, 127.0.0.1:50001" in
          re.search(r"<h1[^>]*>(.*?)</h1>", dom)[1], "the title is another")
    check(arrows_of(dom) == [
        ("berthload", "berthd", "9", "10001", "9 bytes · 10001 M1-C1"),
        ("berthd", "berthload", "13", "10001", "13 bytes · 10001 M1-C1"),
        ("berthload", "berthd", "9", "10003", "9 bytes · 10003 M2-C1"),
        ("berthd", "berthload", "13", "10003", "13 bytes · 10003 M2-C1"),
    ], f"the arrows are {arrows_of(dom)}")
    rows = rows_of(dom)
    check(len(rows) == 26, f"{len(rows)} rows")
    check(rows[:3] == [("berthload", "connect_started"), ("berthload", "connected"),
                       ("berthd", "accepted")], f"it begins with {rows[:3]}")
    check(rows[-1] == ("berthd", "closed"), f"it ends with {rows[-1]}")
    check(re.findall(r'<text class="head"[^>]*>(\w+)</text>', dom) == ["berthload", "berthd"],
          "the lifelines have other names")
    check("ms later" in dom, "a pause of more than a millisecond is not marked")

    dom = browse(browser, page_of(2), "--dump-dom")
    ids = [item[3] for item in arrows_of(dom)]
    check(ids == ["", "", "10002", "", "10002", "10004", "10004"], f"ids of pieces: {ids}")
    check(arrows_of(dom)[-1][4] == r"13 bytes · 10004 M&lt;/\x01", "a text came out as markup: "
          f"{arrows_of(dom)[-1]}")


def look_at_real_run(browser):
    """Each message of a connection goes there and comes back, with the id that it was given."""
    really_run()
    dom = browse(browser, page_of(2, SCRATCH), "--dump-dom")
    arrows = [(item[0], label) for item in arrows_of(dom) for label in [item[4]] if item[3]]
    texts = [re.search(r"(\d+) (M\d+-C\d+)$", label) for _, label in arrows]
    check(all(texts), f"arrows without id and text: {arrows}")
    wanted = [(side, f"M{number}-C2") for number in range(1, MESSAGES + 1)
              for side in ("berthload", "berthd")]
    check([(side, text[2]) for (side, _), text in zip(arrows, texts)] == wanted,
          f"the arrows are {arrows}")
    ids = [int(text[1]) for text in texts]
    check(ids[0::2] == ids[1::2] == sorted(set(ids)), f"ids of requests and replies: {ids}")
    check(rows_of(dom)[-1][1] == "closed", f"it ends with {rows_of(dom)[-1]}")


def unfilter(kind, line, above, step):
    """One line of a PNG, from what its filter left of it."""
    if kind == 2:
        return bytearray((a + b) & 255 for a, b in zip(line, above))
    for at in range(len(line)):
        left = line[at - step] if at >= step else 0
        if kind == 1:
            guess = left
        elif kind == 3:
            guess = (left + above[at]) // 2
        elif kind == 4:
            corner = above[at - step] if at >= step else 0
            base = left + above[at] - corner
            guess = min((left, above[at], corner), key=lambda value: abs(base - value))
        else:
            return line
        line[at] = (line[at] + guess) & 255
    return line


def pixels_of(path):
    """A PNG of 8-bit RGB or RGBA as (width, lines of bytes, bytes a pixel)."""
    data = path.read_bytes()
    check(data[:8] == b"\x89PNG\r\n\x1a\n", f"{path} is no PNG")
    at, packed, shape = 8, b"", None
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            shape = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed += body
        at += size + 12
    width, height, depth, colours, _, _, interlaced = shape
    check(depth == 8 and colours in (2, 6) and not interlaced, f"a PNG of another kind: {shape}")
    step = 3 if colours == 2 else 4
    raw = zlib.decompress(packed)
    lines, above, size = [], bytearray(width * step), width * step
    for number in range(height):
        begin = number * (size + 1)
        above = unfilter(raw[begin], bytearray(raw[begin + 1 : begin + 1 + size]), above, step)
        lines.append(above)
    return width, lines, step


def look_at_pixels(browser, theme):
    picture = SCRATCH / f"page-{theme}.png"
    picture.unlink(missing_ok=True)
    options = ["--force-dark-mode"] if theme == "dark" else []
    browse(browser, page_of(1), f"--screenshot={picture}", *options)
    check(picture.exists(), "no screenshot was written")
    width, lines, step = pixels_of(picture)
    check((width, len(lines)) == (WIDE, HIGH), f"the picture is {width} x {len(lines)}")
    seen = Counter()
    for line in lines:
        seen.update(zip(line[0::step], line[1::step], line[2::step]))
    (most, count), total = seen.most_common(1)[0], WIDE * HIGH
    check(most == PAPER[theme], f"{theme}: the paper is {most}")
    check(0.5 * total < count < 0.99 * total, f"{theme}: {count} of {total} pixels are paper")
    for name, colour in zip(("request", "reply"), ARROWS[theme]):
        # Two arrows of about 370 pixels each, antialiased, their heads and labels.
        check(seen[colour] > 300, f"{theme}: {seen[colour]} pixels of the {name} arrows' colour")
    return len(seen)


def main():
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if not browser:
        print(f"flow_page: skipped: no {' or '.join(NAMES)} here")
        return SKIPPED
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    look_at_document(browser)
    look_at_real_run(browser)
    colours = {theme: look_at_pixels(browser, theme) for theme in PAPER}
    print(f"flow_page: {browser} shows the samples and a real run; colours: {colours}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
