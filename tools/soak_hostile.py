#!/usr/bin/env python3
"""The hostile half of ./dev soak: peers that misbehave, so many at once, until told to end.

    tools/soak_hostile.py ADDRESS PORT --at-once N --seed N --tide SECONDS

For the first so many seconds three times as many are there, and the others are of the hungriest
kinds: what a server ever needs it has needed then, and what its memory does afterwards is not for
want of having met the worst.

Each peer is of a kind that the seed draws, does its worst for a few seconds, and makes room for the
next. Where the server owes a peer something all the same (its end, for a lie about a length; every
reply, to one that only ended its side), the peer waits for it, and a broken promise is counted. On
SIGTERM no new ones begin, those that are there finish, and one JSON object goes to the standard
output: how many of each kind there were, and which promises were broken.
"""

import argparse
import asyncio
import json
import random
import signal
import socket
import struct
import sys
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))
from peer import SEED  # noqa: E402

# What berthd is started with (tools/soak) ends each of these well within so many seconds.
PATIENCE = 15.0

# Who was not quicker than this, on a machine with much to do, may have met the server's deadline for
# a first message or for a whole one, and is owed nothing. The shortest is two seconds.
QUICK = 1.5

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


class Broken(Exception):
    """The server owed it and did not do it."""


class Peer:
    """One connection; everything on one thread."""

    def __init__(self, dice, address):
        self.dice, self.address = dice, address
        self.loop = asyncio.get_running_loop()
        self.sock = None
        self.got = bytearray()

    async def connect(self, receive_buffer=None):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.wait_for(self.loop.sock_connect(self.sock, self.address), PATIENCE)

    async def send(self, data):
        """Whether it went out; a server that has ended the connection takes nothing."""
        try:
            await asyncio.wait_for(self.loop.sock_sendall(self.sock, data), PATIENCE)
        except (OSError, asyncio.TimeoutError):
            return False
        return True

    async def read_replies(self, messages):
        """Each of these, behind an id, in order."""
        for message in messages:
            want = len(SEED.encode(message)) + 4
            while len(self.got) < want:
                piece = await asyncio.wait_for(self.loop.sock_recv(self.sock, 65536), PATIENCE)
                if not piece:
                    raise Broken("the stream ended before every reply had come")
                self.got += piece
            if self.got[8:want] != message:
                raise Broken("a reply is not what was sent")
            del self.got[:want]

    async def await_end(self):
        """The server ends the connection, whatever comes before."""
        try:
            while await asyncio.wait_for(self.loop.sock_recv(self.sock, 65536), PATIENCE):
                pass
        except ConnectionError:
            pass
        except asyncio.TimeoutError:
            raise Broken("the server did not end it") from None

    def message(self, most=2000):
        return self.dice.randbytes(self.dice.randrange(most))

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def close(self):
        if self.sock is not None:
            self.sock.close()


# ------------------------------------------------------------------------------------- their kinds


async def slow_sender(peer):
    """A byte now and then; the message's deadline may come first."""
    await peer.connect()
    for byte in SEED.encode(peer.dice.randbytes(60)):
        if not await peer.send(bytes([byte])):
            return
        await asyncio.sleep(peer.dice.uniform(0.005, 0.05))
    peer.reset()


async def never_reads(peer):
    """Asks for far more than any buffer takes, until the server has enough of it."""
    await peer.connect(receive_buffer=4096)
    frame = SEED.encode(peer.dice.randbytes(4000))
    for _ in range(peer.dice.randrange(200, 1500)):
        if not await peer.send(frame):
            return
    await asyncio.sleep(peer.dice.uniform(0, 2))
    peer.reset()


async def lies_about_length(peer):
    await peer.connect()
    if await peer.send(struct.pack("<I", peer.dice.randrange(1 << 27, 1 << 32)) + b"xyz"):
        await peer.await_end()


async def garbage(peer):
    """Random bytes, which are a bad length sooner or later."""
    await peer.connect()
    if await peer.send(b"\xff" * 8 + peer.dice.randbytes(5000)):
        await peer.await_end()


async def silent(peer):
    await peer.connect()
    await peer.await_end()


async def stops_in_message(peer):
    await peer.connect()
    frame = SEED.encode(peer.dice.randbytes(3000))
    if await peer.send(frame[: peer.dice.randrange(1, len(frame))]):
        await peer.await_end()


async def falls_silent(peer):
    """An answer, and then nothing more, as from somebody whose cable was pulled."""
    await peer.connect()
    message = peer.message()
    await peer.send(SEED.encode(message))
    await peer.read_replies([message])
    await peer.await_end()


async def resets_in_message(peer):
    await peer.connect()
    frame = SEED.encode(peer.dice.randbytes(peer.dice.choice((10, 3000, 200_000))))
    await peer.send(frame[: peer.dice.randrange(len(frame))])
    peer.reset()


async def half_closes(peer):
    """Says all it has and ends its side: every reply is owed."""
    await peer.connect()
    messages = [peer.message() for _ in range(peer.dice.randrange(1, 40))]
    await peer.send(b"".join(map(SEED.encode, messages)))
    peer.sock.shutdown(socket.SHUT_WR)
    await peer.read_replies(messages)
    await peer.await_end()


async def in_pieces(peer):
    """Honest, in pieces of any size."""
    await peer.connect()
    messages = [peer.message(300) for _ in range(10)]
    data = b"".join(map(SEED.encode, messages))
    while data:
        count = peer.dice.randrange(1, 200)
        await peer.send(data[:count])
        data = data[count:]
        await asyncio.sleep(0.002)
    await peer.read_replies(messages)


async def floods(peer):
    """As much at once as goes, and all of it answered."""
    await peer.connect()
    messages = [peer.dice.randbytes(20)] * 2000
    sending = asyncio.ensure_future(peer.send(b"".join(map(SEED.encode, messages))))
    try:
        await peer.read_replies(messages)
    finally:
        await sending


async def big_message(peer):
    await peer.connect()
    message = peer.dice.randbytes(peer.dice.randrange(100_000, 900_000))
    sending = asyncio.ensure_future(peer.send(SEED.encode(message)))
    try:
        await peer.read_replies([message])
    finally:
        await sending


async def holds_message(peer):
    """All of the largest message but its last byte, and the server keeps it for a while."""
    await peer.connect()
    await peer.send(SEED.encode(bytes(1_000_000))[:-1])
    await asyncio.sleep(1)
    peer.reset()


async def comes_and_goes(peer):
    for _ in range(10):
        await peer.connect()
        if peer.dice.randrange(2):
            peer.reset()
        peer.close()


KINDS = (slow_sender, never_reads, lies_about_length, garbage, silent, stops_in_message,
         falls_silent, resets_in_message, half_closes, in_pieces, floods, big_message,
         comes_and_goes)
HONEST = (half_closes, in_pieces, floods, big_message)
HUNGRY = (holds_message, holds_message, never_reads)


# ------------------------------------------------------------------------------------------ the mix


class Mix:
    def __init__(self, address, seed):
        self.address, self.dice = address, random.Random(seed)
        self.ending = asyncio.Event()
        self.kinds, self.broken = Counter(), []

    async def one(self, kinds):
        kind = self.dice.choice(kinds)
        peer = Peer(random.Random(self.dice.getrandbits(64)), self.address)
        began = peer.loop.time()
        try:
            await kind(peer)
            self.kinds[kind.__name__] += 1
        except (Broken, asyncio.TimeoutError, OSError) as why:
            if kind in HONEST and peer.loop.time() - began > QUICK:
                self.kinds["too slow"] += 1
            else:
                self.broken.append(f"{kind.__name__}: {why or type(why).__name__}")
        finally:
            peer.close()

    async def line(self):
        while not self.ending.is_set():
            await self.one(KINDS)

    async def tide(self, until):
        loop = asyncio.get_running_loop()
        while not self.ending.is_set() and loop.time() < until:
            await self.one(HUNGRY)

    async def run(self, at_once, tide_seconds):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.ending.set)
        loop.add_signal_handler(signal.SIGINT, self.ending.set)
        until = loop.time() + tide_seconds
        await asyncio.gather(*(self.line() for _ in range(at_once)),
                             *(self.tide(until) for _ in range(2 * at_once)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--at-once", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tide", type=float, default=0)
    options = parser.parse_args()

    async def run():
        mix = Mix((options.address, options.port), options.seed)
        await mix.run(options.at_once, options.tide)
        print(json.dumps({"kinds": mix.kinds, "broken": mix.broken}))

    asyncio.run(run())


if __name__ == "__main__":
    main()
