"""The configuration file: written with its defaults, read back, overruled, and refused by line."""

import re

import pytest

from conftest import Berthd, run


def write(tmp_path, text):
    path = tmp_path / "berthd.ini"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def written(*options):
    status, out, err = run("berthd", *options, "--write-config", "-")
    assert (status, err) == (0, "")
    return out


def value(text, key):
    return re.findall(rf"^{key} = (.*)$", text, re.MULTILINE)


def settings():
    return re.findall(r"^([a-z-]+) = ", written(), re.MULTILINE)


def test_the_written_defaults_have_every_option_with_a_comment():
    text = written()
    _, help_text, _ = run("berthd", "--help")
    options = set(re.findall(r"^  --([a-z-]+)", help_text, re.MULTILINE))
    assert set(settings()) == options - {"config", "write-config", "help"}
    assert re.fullmatch(r"(;.*\n)+\n\[berthd\]\n(\n(; .*\n)+([a-z-]+ = .*\n)+)+", text), text


def test_a_written_file_reads_back_the_same(tmp_path):
    options = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--workers", 3, "--frame",
               "delimiter:\\r\\n", "--max-message", 200, "--pool", 8 << 20, "--send-high", 5000]
    path = tmp_path / "new.ini"
    assert run("berthd", *options, "--write-config", path) == (0, "", "")
    assert path.read_text() == written("--config", path) == written(*options)
    assert path.read_text() != written()


def test_an_existing_file_is_not_written_over(tmp_path):
    path = write(tmp_path, "mine\n")
    status, _, err = run("berthd", "--write-config", path)
    assert status == 2 and str(path) in err and "--write-config" in err
    assert path.read_text() == "mine\n"


def test_a_value_that_a_file_cannot_hold_is_refused(tmp_path):
    path = tmp_path / "new.ini"
    status, _, err = run("berthd", "--frame", "delimiter: ;", "--write-config", path)
    assert status == 2 and "--frame" in err
    assert not path.exists()


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_an_option_wins_over_the_file_wherever_it_stands(tmp_path, before):
    path = write(tmp_path, "[berthd]\nworkers = 3\nbacklog = 7\nlisten = 127.0.0.1:1\n"
                           "listen = 127.0.0.1:2\n")
    options = ["--workers", 5, "--listen", "127.0.0.1:3"]
    config = ["--config", path]
    text = written(*(options + config if before else config + options))
    assert value(text, "workers") == ["5"]
    assert value(text, "backlog") == ["7"]
    assert value(text, "listen") == ["127.0.0.1:3"]


def test_a_server_runs_from_its_file(tmp_path):
    path = write(tmp_path, "[berthd]\nlisten = 127.0.0.1:0\nworkers = 1\nmax-message = 10\n")
    server = Berthd(["--config", path], {})
    try:
        client = server.connect()
        client.ask(bytes(10))
        client.send_messages(bytes(11))
        client.read_end()
    finally:
        server.end()


REFUSED = [
    ("[berthd]\nworkers = 3\n\nbacklog = 0\n", 4, "backlog: '0' is not a number from 1 to 1048576"),
    ("[berthd]\nworkers = 3\n  workers = 4\n", 3, "workers: '4' is a second value; line 2 gave one"),
    ("; all\n[server]\nworkers = 3\n", 2, "a section that is not [berthd]"),
    ("[berthd\nworkers = 3\n", 1, "a section that is not [berthd]"),
    ("workers = 3\n", 1, "workers: stands in no section"),
    ("[berthd]\nwrokers = 3\n", 2, "wrokers: is no setting"),
    ("[berthd]\nconfig = other.ini\n", 2, "config: is no setting"),
    ("[berthd]\nworkers\n", 2, "is neither 'key = value' nor '[section]'"),
    ("[berthd]\nworkers =\n", 2, "workers: '' is not auto or a number from 1 to 1023"),
    ("[berthd]\nlisten = here\n", 2, "listen: 'here' is not ADDR:PORT"),
    ("[berthd]\nreceive-buffers = 63\n", 2, "receive-buffers: '63' is not auto or a power of two"),
    ("[berthd]\nframe =;x\n", 2, "frame: the value begins with ';'"),
    ("[berthd]\nframe = length:3\n", 2, "frame: 'length:3'"),
    ("[berthd]\n\nframe = length:1\nmax-message = 255\n", 4, "max-message: the framing"),
    ("[berthd]\nsend-high = 10\nsend-low = 11\n", 3, "send-low: 11 is above send-high, which is 10"),
    ("[berthd]\nsend-max = 10\n", 2, "send-max: 10 is less than"),
    ("[berthd]\npool = 1048576\n", 2, "pool: "),
    (b"[berthd]\nworkers = 3\0\n", 2, "a zero byte"),
    ("[berthd]\nframe = delimiter:" + "x" * 200 + "\n", 2, "the line is longer than 196 bytes"),
    ("[berthd]\n" + ";" * 70000, 1, "the file is larger than 64 KiB"),
]


@pytest.mark.parametrize("text, line, what", REFUSED, ids=lambda v: str(v)[:40])
def test_nonsense_is_refused_with_its_line(tmp_path, text, line, what):
    path = write(tmp_path, text)
    listen = [] if "listen" in str(text) else ["--listen", "127.0.0.1:0"]
    status, out, err = run("berthd", *listen, "--config", path)
    assert status == 2
    assert f"berthd: {path}:{line}: {what}" in err
    assert "listening" not in out


@pytest.mark.parametrize("options", [["--config", "none.ini"], ["--config", "/"], ["--config", ""],
                                     ["--config", "a", "--config", "b"]], ids=str)
def test_a_file_that_cannot_be_read_is_named(options):
    status, _, err = run("berthd", *options)
    assert status == 2
    assert "--config" in err and (options[1] == "" or len(options) > 2 or options[1] in err)
