"""berthload's questions, on a terminal: good answers, bad ones, and the end of the input at every
place; and what is kept of them."""

import os
import re
import socket
import stat

import pytest

from conftest import run
from terminal import Terminal

QUESTIONS = [
    r"Server by machine name \(N\) or IP address \(I\) \[.*\]: ",
    r"Host \[.*\]: ",
    r"Port \[.*\]: ",
    r"Folder for the log, - for none \[.*\]: ",
    r"Buffer size in bytes \[.*\]: ",
    r"Connections \[.*\]: ",
    r"Messages per connection \[.*\]: ",
    r"Connections at once, at most \[.*\]: ",
    r"Press Enter to begin: ",
]
METHOD, HOST, PORT, LOG, BUFFER, CONNECTIONS, MESSAGES, AT_ONCE, BEGIN = range(len(QUESTIONS))

BAD = [  # (question, a bad answer, what would be right)
    (METHOD, "X", "N, for a machine's name, or I"),
    (METHOD, "NI", "N, for a machine's name, or I"),
    (HOST, "no host", "a machine's name"),
    (HOST, "-x", "a machine's name"),
    (HOST, "1.2.3", "a machine's name"),
    (HOST, "a..b", "a machine's name"),
    (HOST, "x" * 300, "a machine's name"),
    (HOST, "x" * 600, "longer than any answer"),
    (PORT, "0", "a port from 1 to 65535"),
    (PORT, "65536", "a port from 1 to 65535"),
    (PORT, "http", "a port from 1 to 65535"),
    (PORT, "-1", "a port from 1 to 65535"),
    (LOG, "a;b", "a path without ';'"),
    (LOG, "/dev/null/x", "/dev/null/x: Not a directory"),
    (LOG, "y" * 200, "a path of less than"),
    (BUFFER, "0", "a number of bytes from 1 to 1048576"),
    (BUFFER, "1048577", "a number of bytes from 1 to 1048576"),
    (CONNECTIONS, "0", "a whole number from 1 to 4000000"),
    (CONNECTIONS, "many", "a whole number from 1 to 4000000"),
    (MESSAGES, "1.5", "a whole number from 1 to 2\\^48"),
    (MESSAGES, "99999999999999999999999", "a whole number from 1 to 2\\^48"),
    (AT_ONCE, "0", "a whole number from 1 to 4000000"),
    (BEGIN, "yes", "is not Enter alone"),
]


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def nobody():
    """A port that refuses: bound, and nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def ask(home, backend):
    """Starts berthload without --connect on a terminal; its answers are kept in `home`."""
    started = []

    def start(*options):
        environment = {"XDG_CONFIG_HOME": str(home), "HOME": str(home)}
        started.append(Terminal("berthload", "--backend", backend, *options,
                                environment=environment))
        return started[-1]

    yield start
    for terminal in started:
        terminal.close()
        print(terminal.text)


def ini(home):
    return home / "berth" / "load.ini"


def good(server, log="-"):
    """Answers that work: all of them but the last Enter."""
    host, port = server.address()
    return ["I", host, str(port), str(log), "25", "2", "3", "1"]


def answer_all(terminal, answers):
    for question, text in zip(QUESTIONS, answers):
        terminal.answer(question, text)


def test_a_run_from_its_questions_to_z(ask, home, server, tmp_path):
    log = tmp_path / "made" / "for this"
    terminal = ask()
    answer_all(terminal, good(server, log))
    terminal.expect(r"server +127\.0\.0\.1:\d+")
    terminal.expect(r"2 connections, 3 messages on each, 6 in all")
    terminal.expect(r"1 at once, buffers of 25 bytes")
    terminal.expect(re.escape(str(log)) + r" \(flow,connections,data")
    terminal.answer(QUESTIONS[BEGIN], "")
    told = terminal.expect(r"log +(\S[^\n]*\.log)\n")[1]
    terminal.expect(r"sent 6 messages, 6 answered rightly")
    terminal.expect(r"the run is over")
    terminal.type("c")
    terminal.expect(r"6 sent, 6 answered rightly")  # the summary again
    terminal.type("s")
    terminal.expect(r"over already")
    terminal.type("nonsense")
    terminal.expect(r'"nonsense" is no command')
    assert terminal.process.poll() is None
    terminal.type("z")
    assert terminal.wait() == 0
    [file] = log.iterdir()
    assert re.fullmatch(r"berthload-\d{12}\.log", file.name)
    assert told == str(file)
    text = file.read_text()
    assert len(re.findall(r" data +message .*text=\"M\d-C\d\"", text)) == 6, text
    assert "sent 6 messages, 6 answered rightly" in text


@pytest.mark.parametrize("command,status", [("z", 0), ("s", 1)])
def test_who_ends_the_run_need_not_end_the_program_too(ask, server, command, status):
    terminal = ask()
    answers = good(server) + [""]
    answers[MESSAGES] = str(2**40)  # far more than there is time for
    answer_all(terminal, answers)
    terminal.expect(r"planned +connections 2")
    sent = "0"
    while sent == "0":  # the first may not be sent yet
        terminal.type("c")
        sent = terminal.expect(r"([\d,]+) messages sent \(\d+\.\d\d % of 2,199,023,255,552\)")[1]
    terminal.type(command)
    assert terminal.wait() == status


def test_the_answers_are_kept_and_offered(ask, home, server):
    first = ask()
    answer_all(first, good(server) + [""])
    first.answer(r"the run is over", "Z")
    assert first.wait() == 0
    file = ini(home)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["load.ini"]
    host, port = server.address()
    for line in ("host-method = I", f"host = {host}", f"port = {port}", "log = -",
                 "buffer-size = 25", "connections = 2", "messages = 3", "at-once = 1"):
        assert line in file.read_text().splitlines(), file.read_text()
    second = ask()
    for question, offered in zip(QUESTIONS, good(server)):
        asked = second.expect(question)[0]
        assert f"[{offered}]" in asked
        second.type("")
    second.answer(QUESTIONS[BEGIN], "")
    second.expect(r"sent 6 messages, 6 answered rightly")
    second.type("close")
    assert second.wait() == 0


def test_bad_answers_are_named_and_asked_again(ask, server):
    """The seed looped for ever on some: it never read a new answer."""
    answers = good(server) + [""]
    answers[METHOD], answers[HOST] = "N", "localhost"
    terminal = ask()
    for at, (question, answer) in enumerate(zip(QUESTIONS, answers)):
        for _, text, right in (bad for bad in BAD if bad[0] == at):
            terminal.answer(question, text)
            terminal.expect(right)
        terminal.answer(question, answer)
    terminal.expect(r"sent 6 messages, 6 answered rightly")
    terminal.type("z")
    assert terminal.wait() == 0


def test_a_name_is_no_address(ask, server):
    terminal = ask()
    terminal.answer(QUESTIONS[METHOD], "i")
    terminal.answer(QUESTIONS[HOST], "localhost")
    terminal.expect(r'"localhost" is not an IP address')
    terminal.expect(QUESTIONS[HOST])


def test_a_name_that_is_nobodys_is_asked_for_again(ask, server):
    terminal = ask()
    terminal.answer(QUESTIONS[METHOD], "n")
    terminal.answer(QUESTIONS[HOST], "nobody.invalid")
    terminal.expect(r"nobody\.invalid: ")
    terminal.answer(QUESTIONS[HOST], "127.0.0.1")  # an address is taken here too
    terminal.expect(QUESTIONS[PORT])


@pytest.mark.parametrize("at", range(len(QUESTIONS)))
def test_the_end_of_the_input_ends_it(ask, home, server, at):
    terminal = ask()
    answer_all(terminal, good(server)[:at])
    terminal.expect(QUESTIONS[at])
    terminal.end_input()
    assert terminal.wait() == 2
    assert "the input ended" in terminal.text
    assert not home.exists() or not any(home.iterdir())


def test_a_line_that_is_not_ended_is_no_answer(ask, home):
    terminal = ask()
    terminal.expect(QUESTIONS[METHOD])
    os.write(terminal.master, b"I\x04\x04")  # no Enter: the first Ctrl-D sends it, the second ends
    assert terminal.wait() == 2


def test_a_refused_test_connection_brings_advice(ask, server, nobody):
    terminal = ask()
    answer_all(terminal, ["I", "127.0.0.1", str(nobody)])
    terminal.expect(r"refused")
    terminal.expect(r"Is the server running\?")
    terminal.answer(r"H for another host or port: ", "what")
    terminal.expect(r"neither Enter nor H")
    terminal.answer(r"H for another host or port: ", "h")
    answer_all(terminal, good(server) + [""])
    terminal.expect(r"sent 6 messages, 6 answered rightly")


def test_a_refused_test_connection_may_be_ignored(ask, nobody):
    terminal = ask("--retry", "no")
    answer_all(terminal, ["I", "127.0.0.1", str(nobody)])
    terminal.answer(r"H for another host or port: ", "")
    for question, answer in zip(QUESTIONS[LOG:], ["-", "25", "1", "1", "1", ""]):
        terminal.answer(question, answer)
    terminal.expect(r"1 of 1 connections not made")
    terminal.answer(r"the run is over", "z")
    assert terminal.wait() == 1


DAMAGED = [
    ("[load]\nport = 4444\nport = 5\n", r"load\.ini:3: port: stands there a second time"),
    ("[load]\nport = 0\n", r'load\.ini:2: port: "0" is not a port'),
    ("[load]\ncolour = red\n", r"load\.ini:2: colour: no such key"),
    ("[other]\nport = 1\n", r"load\.ini:2: port: stands in the section \[other\]"),
    ("port\n", r"load\.ini:1: is neither"),
    ("[load]\nhost =\n", r"load\.ini:2: host: "),
    ("[load]\n\0\n", r"load\.ini:2: holds a zero byte"),
    ("[load]\nhost = " + "x" * 300 + "\n", r"load\.ini:2: is longer"),
    ("[load]\nhost = example\nhost-method = I\n", r"load\.ini:3: host-method: does not fit"),
]


@pytest.mark.parametrize("text,complaint", DAMAGED)
def test_a_damaged_load_ini_is_told_by_line_and_key(ask, home, server, text, complaint):
    ini(home).parent.mkdir(parents=True)
    ini(home).write_text(text)
    terminal = ask()
    terminal.expect(complaint)
    offered = ["N", "localhost", "4444", "-", "25", "1", "1", "1000"]
    for question, default, answer in zip(QUESTIONS, offered, good(server)):
        assert f"[{default}]" in terminal.expect(question)[0] or question == QUESTIONS[HOST]
        terminal.type(answer)
    terminal.answer(QUESTIONS[BEGIN], "")
    terminal.answer(r"the run is over", "z")
    assert terminal.wait() == 0
    assert "connections = 2" in ini(home).read_text()  # whole again


def test_answers_that_cannot_be_kept_do_not_stop_the_run(ask, home, server):
    home.write_text("a file where the folder should be")
    terminal = ask()
    answer_all(terminal, good(server) + [""])
    terminal.expect(r"the answers are not kept: .*load\.ini: Not a directory")
    terminal.expect(r"sent 6 messages, 6 answered rightly")
    terminal.answer(r"the run is over", "z")
    assert terminal.wait() == 0


@pytest.mark.parametrize("option", ["--connections=2", "--messages=2", "--duration=1",
                                    "--at-once=3", "--buffer-size=9", "--log=x"])
def test_what_is_asked_for_is_no_option(ask, option):
    terminal = ask(option)
    assert terminal.wait() == 2
    assert option.split("=")[0] + ":" in terminal.text


def test_options_that_make_no_sense_are_refused_before_the_first_question(ask):
    terminal = ask("--frame", "delimiter:M")
    assert terminal.wait() == 2
    assert "--frame:" in terminal.text
    assert "Host" not in terminal.text


def test_without_a_terminal_nothing_is_asked():
    status, out, err = run("berthload")
    assert status == 2
    assert "--connect: is missing" in err
    assert out == ""
