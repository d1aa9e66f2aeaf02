"""Where berthd listens: IPv4, IPv6, both on one socket, several at once."""

import socket

import pytest

from conftest import run


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")


def test_ipv4(berthd):
    server = berthd("--listen", "127.0.0.1:0")
    assert server.addresses[0][0] == "127.0.0.1"
    server.connect().ask(b"hello")


@needs_ipv6
def test_ipv6(berthd):
    server = berthd("--listen", "[::1]:0")
    assert server.addresses[0][0] == "[::1]"
    server.connect().ask(b"hello")


@needs_ipv6
def test_both_families_on_one_socket(berthd):
    server = berthd("--listen", "*:0")
    server.connect(host="127.0.0.1").ask(b"hello")
    server.connect(host="::1").ask(b"hello")


def test_several_at_once(berthd):
    server = berthd("--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0", workers=2)
    assert [host for host, _ in server.addresses] == ["127.0.0.1", "127.0.0.2"]
    clients = [server.connect(which) for which in (0, 1, 0, 1)]
    ids = [number for client in clients for number in client.ask(b"hello")]
    assert ids == sorted(set(ids))


def test_a_port_in_use_is_a_clear_error(server, backend):
    address = "127.0.0.1:%d" % server.address()[1]
    status, _, err = run("berthd", "--backend", backend, "--listen", address)
    assert status != 0
    assert address in err
    assert "use" in err.lower()


def test_a_port_is_free_again_at_once(berthd):
    """After an end with connections open, which leaves them in TIME_WAIT or not."""
    first = berthd()
    client = first.connect()
    client.ask(b"hello")
    address = "127.0.0.1:%d" % first.address()[1]
    first.stop()
    berthd("--listen", address).connect().ask(b"hello")
