"""Peers that vanish: their system no longer knows the connection, and the server hears nothing."""

import socket

import pytest

TCP_REPAIR = 19  # linux/tcp.h; needs the right to administer the network


def vanish(client):
    """Neither an end nor a reset leaves this machine. What the server sends later is answered by a
    reset, as by a machine that was started anew."""
    try:
        client.sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except PermissionError:
        pytest.skip("this user may not let connections vanish (TCP_REPAIR)")
    client.sock.close()
