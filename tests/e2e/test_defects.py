"""The seed's defects that were its server's: each by its number, as a fact that holds now. Those of
its client are in test_defects_load.py."""

import os
import re
import resource
import signal

import pytest

from conftest import SANITIZED, SHADOW, Berthd
from loglines import wait_until
from peer import FIRST_ID, PATIENCE, assert_quiet, readable, read_first_replies
from seed_client import SeedClient

HELLO = b"hello"
GROWTH_MAX = (64 if SANITIZED else 4) << 20  # bytes, of a server that was fed with lies


def virtual_bytes(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmSize:\s*(\d+) kB", status.read())[1]) * 1024


def test_defect_01_pipelined_requests(server):
    """More bytes in one receive than a message needs: 500 requests in one write, and a part of
    one more, whose rest comes later. (The seed's server: out of bounds, and dead.)"""
    client, other = server.connect(), server.connect()
    messages = [b"request %d" % number for number in range(500)]
    last = client.framing.encode(b"the last one")
    client.send(b"".join(map(client.framing.encode, messages)) + last[:7])
    client.read_replies(*messages)
    client.send(last[7:])
    client.read_replies(b"the last one")
    other.ask(HELLO)


@pytest.mark.parametrize("length", [-1, -2, -(2**31)])
def test_defect_02_negative_lengths(server, length):
    """A negative length and a byte end that connection, and no other. (The seed's: dead.)"""
    other = server.connect()
    client = server.connect()
    field = length.to_bytes(4, "little", signed=True)
    client.send(field + b"x")
    client.read_end()
    client.close()
    server.wait_for(rf"length field {field.hex(' ')} .*{length} as signed")
    other.ask(HELLO)


@pytest.mark.parametrize("length", [2**31 - 1, 1_073_741_820])
def test_defect_03_declared_lengths_take_no_memory(berthd, length):
    """20 peers declare much and send one byte: 2 GiB is refused, the largest message that can be
    allowed is waited for, and neither costs memory, not even address space. (The seed's: 42 GB.)"""
    server = berthd("--max-message", 1_073_741_820)
    honest = server.connect()
    honest.ask(HELLO)
    resident, virtual = server.resident_bytes(), virtual_bytes(server)
    liars = server.crowd(20)
    for liar in liars:
        liar.send(length.to_bytes(4, "little") + b"x")
    if length > 1_073_741_820:
        for liar in liars:
            liar.read_end()
    else:
        assert readable(liars, 0) == []
    honest.ask(HELLO)
    assert server.resident_bytes() - resident < GROWTH_MAX
    assert virtual_bytes(server) - virtual < GROWTH_MAX


def test_defect_04_empty_messages(server):
    """A message of no bytes has a reply, its id alone, also with others behind it. (The seed's:
    no reply, and dead when bytes follow.)"""
    client = server.connect()
    client.ask(b"")
    client.ask(b"", b"x", b"", b"", b"yz")
    client.send(bytes(4))
    assert client.read_reply() == (FIRST_ID + 6, b"")


def test_defect_05_the_last_permitted_connection_is_served(berthd):
    """With a maximum of 3, three are served at once, and the fourth waits for one to leave. (The
    seed's: the third was left waiting.)"""
    server = berthd("--max-connections", 3)
    three = server.crowd(3)
    for client in three:
        client.ask(HELLO)
    fourth = server.connect()
    fourth.send_messages(HELLO)
    assert_quiet([fourth])
    for client in three:
        client.ask(HELLO)
    three[0].close()
    fourth.read_replies(HELLO)
    assert server.stop().most == 3


@pytest.mark.parametrize("watched", ["", "connections", "flow,connections,data,threads"])
def test_defect_06_early_resets(berthd, tmp_path, watched):
    """50 peers connect and reset, 100 send and reset, whatever is watched. (The seed's server died
    of asking for the address of a socket that was gone.)"""
    options = ["--watch", watched, "--log", tmp_path / "log"] if watched else []
    server = berthd(*options, workers=2)
    other = server.connect()
    for number in range(150):
        client = server.connect()
        if number >= 50:
            client.send_messages(HELLO)
        client.reset()
        if number % 10 == 0:
            other.ask(HELLO)
    server.connect().ask(HELLO)
    assert server.stop().connections == 152


def say_nothing(client):
    pass


def stop_inside_a_message(client):
    client.send(client.framing.encode(HELLO)[:6])


def fall_silent(client):
    client.ask(HELLO)


SILENT = {  # the deadline that ends it, and the words for that
    say_nothing: ("--first-message-timeout", "no whole message came in time"),
    stop_inside_a_message: ("--message-timeout", "a message took too long"),
    fall_silent: ("--receive-idle-timeout", "nothing was received for too long"),
}


@pytest.mark.parametrize("silent", SILENT, ids=lambda silent: silent.__name__)
def test_defect_08_a_silent_client(berthd, silent):
    """It is waited for as long as was said, and its end has a reason. (The seed's: for ever.)"""
    option, reason = SILENT[silent]
    server = berthd(option, 200)
    client = server.connect()
    silent(client)
    client.read_end()
    client.close()
    server.wait_for(reason)
    server.connect().ask(HELLO)


def test_defect_08_a_client_that_does_not_read(berthd):
    server = berthd("--send-progress-timeout", 300, "--max-message", 65536)
    client = server.connect(receive_buffer=4096)
    with pytest.raises(ConnectionError):
        while True:
            client.send_messages(bytes(65536))
    server.wait_for("the peer took nothing of what waits")
    server.connect().ask(HELLO)


def test_defect_09_the_listing_is_complete(berthd):
    """Two workers list 20,000 messages of 200 connections: each once, with the address, the id and
    the text that its client knows. (The seed's: 43 of 500,000 lost.)"""
    server = berthd("--keep-data", 20_000, workers=2)
    client = SeedClient(server.address(), 200, 100, delay_s=0, patience=PATIENCE).run()
    server.stop()
    listed = re.findall(r"^127\.0\.0\.1: (\d+), (\d+), (\S+)$", server.said(), re.MULTILINE)
    assert sorted(listed) == sorted((str(client.ports[reply.connection]), str(reply.id),
                                     reply.text.decode()) for reply in client.replies)
    assert len(listed) == 20_000


def test_defect_09_the_most_at_once_is_exact(berthd):
    """Under churn: 40 at once, again and again, while two workers count. (The seed's: read, then
    incremented.)"""
    server = berthd("--max-connections", 1000, workers=2)
    for _ in range(10):
        clients = server.crowd(40)
        for client in clients:
            client.send_messages(HELLO)
        read_first_replies(clients, 40, HELLO)
        for client in clients:
            client.half_close()
        for client in clients:
            client.read_end()
            client.close()
        server.clients.clear()
    summary = server.stop()
    assert (summary.connections, summary.messages) == (400, 400)
    # The server's own side of the last 40 may still be closing when the next 40 come.
    assert 40 <= summary.most <= 80


def test_defect_10_failed_accepts_give_their_place_back(berthd):
    """Accepts fail for lack of descriptors, many times, while a place was set aside for each; then
    there are descriptors again, and all 30 places are there. (The seed's: one lost each time.)"""
    server = berthd("--max-connections", 30)
    pid = server.process.pid
    first = server.crowd(5)
    for client in first:
        client.ask(HELLO)
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    in_use = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use + 1, hard))
    waiting = server.crowd(25)
    for client in waiting:
        client.send_messages(HELLO)
    server.wait_for("accepting pauses", 8)  # it tries again every 50 ms
    assert len(readable(waiting, 0)) < 20, "there were descriptors"  # some found a hole
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    read_first_replies(waiting, 25, HELLO)
    for client in first + waiting:
        client.ask(HELLO)
    one_more = server.connect()
    one_more.send_messages(HELLO)
    assert_quiet([one_more])
    assert server.stop().most == 30


def test_defect_11_accepts_that_complete_at_once(berthd):
    """2,000 clients are waiting when the server comes to look, and it has a stack of 256 KiB: it
    takes several at a time, in a loop. (The seed's: one at a time, each on top of the last.)"""
    server = berthd(workers=2, limits={} if SANITIZED else {"RLIMIT_STACK": 256 << 10})
    server.connect().ask(HELLO)
    server.send(signal.SIGSTOP)
    clients = server.crowd(2000)
    for client in clients:
        client.send_messages(HELLO)
    server.send(signal.SIGCONT)
    read_first_replies(clients, 2000, HELLO)
    summary = server.stop()
    assert (summary.connections, summary.messages) == (2001, 2001)


def test_defect_12_a_maximum_message_size(berthd):
    server = berthd("--max-message", 100)
    client = server.connect()
    client.ask(bytes(100))
    client.send_messages(bytes(101))
    client.read_end()
    client.close()
    server.wait_for("above the maximum of 100")


def test_defect_12_limits_for_each_client(berthd):
    """One that never reads is soon not read any more, at a bounded cost, and the others are
    served."""
    server = berthd("--max-message", 65536)
    client, other = server.connect(receive_buffer=4096), server.connect()
    other.ask(HELLO)
    before = server.resident_bytes()
    client.sock.settimeout(0.25)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 1 << 28:
            client.send_messages(bytes(65536))
            sent += 65536
    client.sock.settimeout(PATIENCE)
    other.ask(HELLO)
    assert server.resident_bytes() - before < (32 * (1 + SHADOW) if SANITIZED else 32) << 20


def test_defect_12_a_list_of_sessions(berthd):
    """Each with its address; and one of them is ended, by its id."""
    server = berthd(console=True, workers=2)
    clients = server.crowd(3)
    for client in clients:
        client.ask(HELLO)
    server.enter("list")
    server.wait_for("^3 connections$")
    ids = dict(re.findall(r"^(\d{10}) +127\.0\.0\.1:(\d+) ", server.said(), re.MULTILINE))
    ports = {port: number for number, port in ids.items()}
    assert set(ports) == {str(client.sock.getsockname()[1]) for client in clients}
    server.enter("kick " + ports[str(clients[1].sock.getsockname()[1])])
    clients[1].read_end()
    clients[0].ask(HELLO)
    clients[2].ask(HELLO)


def refused(server):
    try:
        server.connect().close()
        return False  # it came before the workers had heard of it
    except ConnectionRefusedError:
        return True


def test_defect_12_listening_stops_and_starts(berthd):
    server = berthd(console=True)
    client = server.connect()
    client.ask(HELLO)
    server.enter("stop")
    server.wait_for("^stopped listening")
    wait_until(lambda: refused(server), "a client that is refused")
    client.ask(HELLO)
    server.enter("start")
    server.wait_for("^listening again")
    server.connect().ask(HELLO)


def test_defect_12_ipv6(berthd):
    server = berthd("--listen", "[::1]:0")
    server.connect(host="::1").ask(HELLO)


def test_defect_12_an_orderly_end(server):
    """What was received is answered before the server goes."""
    client = server.connect()
    messages = [b"message %d" % number for number in range(1000)]
    client.send_messages(*messages)
    client.read_replies(messages[0])
    server.send(signal.SIGTERM)
    client.read_replies(*messages[1:])
    client.read_end()
    client.close()
    assert server.wait() == 0


def test_defect_15_a_log_keeps_its_tail(backend, tmp_path):
    """What has been written stays written when the server is killed. (The seed's: what was in the
    writer's buffer was lost, all of it in test 8.)"""
    path = tmp_path / "log"
    server = Berthd(["--backend", backend, "--watch", "data", "--log", path], {})
    try:
        client = server.connect()
        client.ask(*[b"message %d" % number for number in range(1000)])
        wait_until(lambda: 'text="message 999"' in path.read_text(), "the last message")
        client.close()
    finally:
        server.process.kill()
        server.process.wait()
    texts = re.findall(r' message .* text="(.*)"$', path.read_text(), re.MULTILINE)
    assert texts == [f"message {number}" for number in range(1000)]


def test_defect_15_receive_errors_are_seen_with_flow_off(berthd, tmp_path):
    """(The seed's: only with its program flow on.)"""
    path = tmp_path / "log"
    server = berthd("--log", path)
    client = server.connect()
    client.send(b"\xff\xff\xff\xff")
    client.read_end()
    client.close()
    server.stop()
    assert re.search(r" error .*ff ff ff ff", path.read_text()), path.read_text()


ALLOCATIONS = {  # sanitizers of the build, how allocations are counted, what then counts them
    "": ("LD_PRELOAD", "libmemusage.so", r"(?:malloc|realloc|calloc)\|\S*\s+(\d+)"),
    "undefined": ("LD_PRELOAD", "libmemusage.so", r"(?:malloc|realloc|calloc)\|\S*\s+(\d+)"),
    "address": ("ASAN_OPTIONS", "atexit=1", r"malloced \(.*\) by (\d+) calls"),
}


def allocations(berthd, monkeypatch, messages):
    """How often memory was asked for in a run that answered so many messages."""
    sanitizers = os.environ.get("BERTH_SANITIZE", "").split(",")
    if sanitizers[0] not in ALLOCATIONS:
        pytest.skip(f"no way to count allocations under the {sanitizers[0]} sanitizer")
    name, value, pattern = ALLOCATIONS[sanitizers[0]]
    monkeypatch.setenv(name, value)
    server = berthd()
    monkeypatch.delenv(name)
    clients = server.crowd(5)
    for _ in range(messages // 500):
        for client in clients:
            client.send_messages(*100 * [HELLO])
        for client in clients:
            client.read_replies(*100 * [HELLO])
    assert server.stop().messages == messages
    said = re.sub(r"\x1b\[[0-9;]*m", "", server.said())
    found = re.findall(pattern, said)
    assert found, f"nothing was counted in:\n{said}"
    return sum(map(int, found))


def test_defect_16_no_allocation_for_a_message(berthd, monkeypatch):
    """20,000 messages ask for memory as often as 500 do. (The seed's: four times a message.)"""
    few, many = (allocations(berthd, monkeypatch, count) for count in (500, 20_000))
    assert many - few < 10, f"{few} allocations for 500 messages, {many} for 20,000"
