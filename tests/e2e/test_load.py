"""berthload against servers of our own: yes to a right one, and no to every wrong one."""

import json
import re
import threading

import pytest

from conftest import run
from loading import address_of, frame, nobody, right, serve
from loglines import wait_for_lines
from peer import FIRST_ID, PATIENCE, SEED


def load(server, backend, *options):
    status, out, err = run("berthload", "--connect", server.address, "--backend", backend,
                           *options)
    print(out, err)
    return status, out, err


def last_line(out):
    return out.rstrip().rsplit("\n", 1)[-1]


@pytest.mark.parametrize("pipeline", [1, 7])
def test_right_answers(serve, backend, pipeline):
    server = serve(right)
    status, out, _ = load(server, backend, "--connections", 10, "--messages", 120,
                          "--pipeline", pipeline)
    assert status == 0
    assert last_line(out) == "sent 1,200 messages, 1,200 answered rightly"
    assert server.served == 1200


def test_the_messages_are_numbered_texts(serve, backend):
    """As the seed's client: M<message>-C<connection>."""
    seen = []
    server = serve(lambda _, number, message: seen.append(message) or frame(number, message))
    status, _, _ = load(server, backend, "--connections", 2, "--messages", 3)
    assert status == 0
    assert sorted(seen) == [b"M%d-C%d" % (m, c) for m in (1, 2, 3) for c in (1, 2)]


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_sizes(serve, backend, size):
    seen = set()
    server = serve(lambda _, number, message: seen.add(len(message)) or frame(number, message))
    status, _, _ = load(server, backend, "--connections", 3, "--messages", 20, "--size", size)
    assert status == 0
    assert seen == {size}


def swapping():
    """Answers each pair of requests the wrong way round."""
    held = {}

    def answer(index, number, message):
        held[index] = message
        if index % 2 == 0:
            return b""
        return frame(number - 1, held[index]) + frame(number, held[index - 1])

    return answer


def wrong_byte(index, number, message):
    return frame(number, message if index != 7 else message[:-1] + b"!")


def id_stays(index, number, message):
    return frame(number if index != 7 else number - 1, message)


def id_falls(_, number, message):
    return frame(2 * FIRST_ID - number, message)


def no_id(_, number, message):
    return SEED.encode(message)


def one_byte_more(index, number, message):
    return frame(number, message + (b"x" if index == 7 else b""))


def twice(index, number, message):
    return frame(number, message) + (frame(number + 1, message) if index == 7 else b"")


def short_close(index, number, message):
    return frame(number, message) if index < 7 else None


def negative_length(index, number, message):
    return frame(number, message) if index < 7 else b"\xff\xff\xff\xff"


WRONG = [wrong_byte, id_stays, id_falls, no_id, one_byte_more, twice, short_close, negative_length]


@pytest.mark.parametrize("answer", WRONG, ids=lambda answer: answer.__name__)
def test_wrong_answers(serve, backend, answer):
    server = serve(answer)
    status, out, err = load(server, backend, "--messages", 20)
    assert status == 1
    sent, answered = re.search(
        r"sent ([\d,]+) messages?, ([\d,]+) answered rightly", last_line(out)
    ).groups()
    assert int(answered.replace(",", "")) < 20
    assert len((out + err).strip().split("\n")) > 1, "not a word about what is wrong"


def test_swapped_answers(serve, backend):
    status, out, _ = load(serve(swapping()), backend, "--messages", 20, "--pipeline", 2)
    assert status == 1


def test_a_silent_server_is_given_up(serve, backend):
    status, _, _ = load(serve(lambda *_: b""), backend, "--messages", 5, "--answer-timeout",
                        "300ms")
    assert status == 1


def test_a_refused_connection_is_retried_until_the_server_is_there(serve, backend, nobody,
                                                                   tmp_path):
    result, log = {}, tmp_path / "attempts"

    def client():
        result["status"], result["out"], _ = run(
            "berthload", "--connect", address_of(nobody), "--backend", backend, "--messages", 3,
            "--connections", 2, "--retry", 100, "--json", "-", "--watch", "connections", "--log",
            log,
        )

    thread = threading.Thread(target=client)
    thread.start()
    wait_for_lines(log, "connect_failed", 3)
    assert thread.is_alive(), result
    serve(right, listener=nobody)
    thread.join(PATIENCE)
    assert result["status"] == 0
    assert json.loads(result["out"])["results"]["connect_retries"] > 0


def test_without_retries_a_refused_connection_is_a_failure(backend, nobody):
    status, out, err = run("berthload", "--connect", address_of(nobody), "--backend", backend,
                           "--retry", "no")
    assert status == 1
    assert "refused" in (out + err).lower()


def test_json(serve, backend, tmp_path):
    path = tmp_path / "result.json"
    status, _, _ = load(serve(right), backend, "--connections", 4, "--messages", 25, "--json", path)
    assert status == 0
    told = json.loads(path.read_text())
    assert told["options"]["connections"] == 4
    assert told["results"]["messages_sent"] == 100
    assert told["results"]["messages_answered"] == 100
    assert told["results"]["connections_made"] == 4
    assert told["latency_ns"]["count"] == 100
    assert told["latency_ns"]["p50"] <= told["latency_ns"]["p99"] <= told["latency_ns"]["max"]
    assert told["right"] is True


def test_a_duration(serve, backend):
    status, out, _ = load(serve(right), backend, "--connections", 2, "--duration", "300ms")
    assert status == 0
    assert re.fullmatch(r"sent ([1-9][\d,]*) messages, \1 answered rightly", last_line(out))


REFUSED = [
    ([], "--connect"),
    (["--connect", "nowhere"], "--connect"),
    (["--connect", "127.0.0.1:1", "--connections", "0"], "--connections"),
    (["--connect", "127.0.0.1:1", "--messages", "0"], "--messages"),
    (["--connect", "127.0.0.1:1", "--messages", "1", "--duration", "1"], "--duration"),
    (["--connect", "127.0.0.1:1", "--frame", "length:3"], "--frame"),
    (["--connect", "127.0.0.1:1", "--pipeline", "0"], "--pipeline"),
    (["--connect", "127.0.0.1:1", "--no-such-option"], "--no-such-option"),
]


@pytest.mark.parametrize("options, at_fault", REFUSED, ids=lambda value: str(value))
def test_a_refused_setting_is_named(options, at_fault):
    status, _, err = run("berthload", *options)
    assert status == 2
    assert at_fault in err
