"""What the server says of its settings before it serves, and that it keeps to them."""

import re
import socket

from peer import assert_quiet


def shown(server):
    text = server.said()
    block = text[text.index("settings:") : text.index("memory plan")]
    pairs = block.replace("settings:", "").replace("\n", " ").split(",")
    return dict(pair.strip().split(" ", 1) for pair in pairs)


def test_settings_plan_and_endpoint_are_shown_in_this_order(berthd, backend):
    server = berthd("--max-connections", 7, "--buffer-size", 25, "--backlog", 9)
    settings = shown(server)
    assert settings["max-connections"] == "7"
    assert settings["buffer-size"] == "25"
    assert settings["backlog"] == "9"
    assert settings["reply"] == "each"
    assert settings["listen"] == "127.0.0.1:0"
    assert settings["max-message"] == "auto = 1048576"
    text = server.said()
    order = [text.index(what) for what in (f"on {socket.gethostname()}", "settings:",
                                           "memory plan: 1 workers", "listening on 127.0.0.1:")]
    assert order == sorted(order), text
    assert re.search(rf"memory plan: 1 workers on {backend}", text)


def test_what_is_kept_is_in_the_plan(berthd):
    server = berthd("--keep-data", 1000, "--keep-data-bytes", 10 << 20)
    (kept,) = re.findall(r"memory plan: messages for the end listing (\d+) KiB", server.said())
    assert 10 << 10 < int(kept) < 11 << 10


def test_a_file_sets_what_an_option_does(berthd, tmp_path):
    path = tmp_path / "berthd.ini"
    path.write_text("[berthd]\nmax-connections = 1\nfirst-transmission-id = 77\n")
    server = berthd("--config", path)
    first, second = server.crowd(2)
    served, waiting = first, second
    assert served.ask(b"a") == [77]
    waiting.send_messages(b"b")
    assert_quiet([waiting], 0.1)
    served.close()
    waiting.read_replies(b"b")
