"""F46: bits that flip on their way, anywhere in the stream, one on each connection. Each must be
found, nothing else may be found, and no message that was damaged may reach the handler."""

import random
import struct

from conftest import scale

from ledgers import check, load
from peer import SEED, Fixed
from relay import TO_CLIENT, TO_SERVER, Passage, Relay

SEED_NUMBER = 46
FLIPS = scale(120, 2000)  # with each of two framings
MESSAGES = 12
SIZE = 64
LENGTH_BYTES, ID_BYTES = 4, 4
CONNECTION_AT = 20  # in a mark


class Flip(Passage):
    """Flips one bit, at a place of the one or the other stream that the dice choose."""

    def __init__(self, number, dice, header, id_bytes):
        super().__init__(number)
        self.header = header
        self.to = dice.choice([TO_SERVER, TO_CLIENT])
        self.frame = header + SIZE + (id_bytes if self.to == TO_CLIENT else 0)
        self.at = dice.randrange(MESSAGES * self.frame)
        self.bit = dice.randrange(8)
        self.seen = [0, 0]
        self.connection = None
        self.begin = b""

    def passing(self, direction, data):
        if direction == TO_SERVER and self.connection is None:
            self.begin += data
            at = self.header + CONNECTION_AT
            if len(self.begin) >= at + 4:
                self.connection = struct.unpack_from("<I", self.begin, at)[0]
        place = self.at - self.seen[direction]
        self.seen[direction] += len(data)
        if direction == self.to and 0 <= place < len(data):
            self.meddled = True
            data = bytearray(data)
            data[place] ^= 1 << self.bit
        return data

    def in_message(self):
        """Whether it was in a message on its way in, and not in the frame around it."""
        return self.to == TO_SERVER and self.at % self.frame >= self.header

    def __str__(self):
        return f"{'to server' if self.to == TO_SERVER else 'to client'}, byte {self.at} " \
               f"({self.at % self.frame} of {self.frame}), bit {self.bit}"


def flip_bits(berthd, backend, folder, frame, header, id_bytes):
    """FLIPS connections, one flip each. How many flips were made, and those not found."""
    dice = random.Random(SEED_NUMBER)
    files = folder / f"client-{header}", folder / f"server-{header}"
    framing = Fixed(SIZE) if header == 0 else SEED
    server = berthd("--ledger", files[1], "--frame", frame, workers=2, framing=framing)
    relay = Relay(server.address(), lambda number: Flip(number, dice, header, id_bytes))
    _, told, err = load(relay.address, backend, files[0], "--frame", frame, "--size", SIZE,
                        "--connections", FLIPS, "--at-once", 24, "--messages", MESSAGES,
                        "--pipeline", 4)
    relay.close()
    server.oracle()
    assert told["results"]["connections_made"] == FLIPS, err
    status, account = check(*files, options=["--clean"])
    found = {problem["connection"] for problem in account["problems"]}
    rejected = {problem["connection"] for problem in account["problems"]
                if "rejected" in problem["what"]}
    flipped = {passage.connection: passage for passage in relay.passages if passage.meddled}
    missed = [f"connection {number}: {flip}" for number, flip in flipped.items()
              if number not in found]
    invented = found - set(flipped) - {0}
    delivered = [f"connection {number}: {flip}" for number, flip in flipped.items()
                 if flip.in_message() and number not in rejected]
    assert status == 1
    assert not invented, invented
    assert not delivered, delivered
    assert not missed, missed
    return len(flipped)


def test_f46_flips(berthd, backend, tmp_path, result):
    flips = flip_bits(berthd, backend, tmp_path, "length:4:le", LENGTH_BYTES, ID_BYTES)
    flips += flip_bits(berthd, backend, tmp_path, f"fixed:{SIZE}", 0, 0)
    assert flips >= FLIPS
    result("F46", f"undetected 0 of {flips:,} flipped bits, in frames, ids and messages; 0 damaged "
                  "messages handed over")
