"""tools/ledger on planted files: an honest pair closes, and each kind of dishonesty is found.

    tests/tools/ledger.py TOP FOLDER
"""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import struct
import sys

TOP, FOLDER = sys.argv[1:]
RUN, CLIENT, SIZE = 77, 9, 64

HEADER, TEXT, CONNECTION, END = 1, 2, 3, 4
SCHEDULED, SENT, NOT_SENT, ANSWERED, REFUSED, UNKNOWN, IDS = range(10, 17)
RECEIVED, DISPATCHED, REJECTED, MADE, UNREPLIED, OUT, DROPPED, REFUSALS, REFUSALS_OUT, PLAIN, \
    LIBRARY = range(20, 31)
DUPLICATED, REORDERED, CORRUPTED, UNASKED, LATE, GAP, FOREIGN = range(40, 47)
COUNTED, TOTAL = 50, 128
RESET, WRONG, SKIPPED = 3, 16, 64


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def load_checker():
    """tools/ledger, once, as a process for each case would take most of the time."""
    sys.path.insert(0, os.path.join(TOP, "tools"))
    loader = importlib.machinery.SourceFileLoader("ledger", os.path.join(TOP, "tools/ledger"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("ledger", loader))
    loader.exec_module(module)
    return module


CHECKER = load_checker()


class File:
    """A ledger in the making: records are lists of fields, sealed when it is written."""

    def __init__(self, text):
        texts = [text[i:i + 40].encode() for i in range(0, len(text), 40)]
        self.records = [[HEADER, 0, 0, 0, 0, 0, 1, 0, len(texts), 0, 0]]
        self.texts = texts
        self.blocks = []
        self.totals = {}
        self.ended = True

    def line(self, kind, key, reason=0, first=0, last=0, count=0, size=0, wire=0):
        self.records.append([kind, reason, 0, *key, first, last, count, size, wire])
        about = [r for r in self.records if r[0] == CONNECTION and r[3:6] == list(key)]
        if about and kind != CONNECTION and not DUPLICATED <= kind <= FOREIGN:
            about[0][10] += 1
        if kind != CONNECTION and not DUPLICATED <= kind <= FOREIGN:
            self.add(kind, reason, count, size, wire)

    def add(self, kind, reason, count, size=0, wire=0):
        total = self.totals.setdefault((kind, reason), [0, 0, 0])
        for i, value in enumerate((count, size, wire)):
            total[i] += value

    def bytes(self):
        records = [*self.records[:1], *self.texts, *self.records[1:]]
        for (kind, reason), (count, size, wire) in self.totals.items():
            records.append([kind | TOTAL, reason, 0, 0, 0, 0, 0, 0, count, size, wire])
        if self.ended:
            records.append([END, 0, 0, 0, 0, 0, 0, 0, len(records), 0, 0])
        out = b""
        for place, record in enumerate(records):
            if isinstance(record, bytes):
                body = struct.pack("<B15x40s", TEXT, record)
            else:
                body = struct.pack("<BBHIII5Q", *record)
            body += struct.pack("<I", place)
            out += body + struct.pack("<I", crc32c(body))
        return out


class Pair:
    """A client's ledger and its server's: two connections of ten messages."""

    def __init__(self):
        self.client = File(f"program berthload\nrun {RUN}\nclient {CLIENT}\npipeline 4\n"
                           f"reason {RESET} the peer reset the connection\n"
                           f"reason {SKIPPED} skipped\nrefusal 1 damaged\n")
        self.server = File(f"program berthd\nreason {RESET} the peer reset the connection\n"
                           "reason 68 untraced\n")
        self.of_client, self.of_server = [], []
        for number in (1, 2):
            self.connection(number)
        self.library = {1: 20, 2: 20, 3: 20 * 68, 4: 20 * 72, 5: 2, 6: 2}
        self.server.totals[CONNECTION, 0] = [2, 0, 0]

    def connection(self, number, run=RUN):
        key, life = (CLIENT, number, 1), (CLIENT, number, 1000 + number)
        self.client.line(CONNECTION, key, 5, first=run, size=number)
        self.client.line(SENT, key, first=1, last=10, count=10, size=640)
        self.client.line(ANSWERED, key, first=1, last=10, count=10, size=680, wire=720)
        self.client.line(IDS, key, first=1, last=10, count=10, size=55)
        self.client.line(SCHEDULED, key, count=10)
        self.server.line(CONNECTION, life, 1, first=run, size=life[2])
        self.server.line(RECEIVED, life, first=1, last=10, count=10, size=640, wire=680)
        self.server.line(DISPATCHED, life, count=10, size=640, wire=680)
        self.server.line(MADE, life, count=10, wire=720)
        self.server.line(OUT, life, count=10, wire=720)
        self.server.line(IDS, life, first=1, last=10, count=10, size=55)

    @staticmethod
    def find(file, kind, number=1):
        return next(r for r in file.records if r[0] == kind and r[4] == number)

    def change(self, file, kind, count=0, size=0, wire=0, total=True, number=1, reason=None):
        """Changes a line of one connection, and the total with it."""
        record = self.find(file, kind, number)
        if reason is not None:
            record[1] = reason
        for at, value in ((8, count), (9, size), (10, wire)):
            record[at] += value
        if total:
            file.add(kind, 0, count, size, wire)

    def more(self, file, kind, reason=0, number=1, **fields):
        life = 1 if file is self.client else 1000 + number
        file.line(kind, (CLIENT, number, life), reason, **fields)

    def seal(self):
        for which, count in self.library.items():
            self.server.totals[LIBRARY, which] = [count, 0, 0]
        return self.client.bytes(), self.server.bytes()


def run(files, *options):
    paths = []
    for place, data in enumerate(files):
        paths.append(os.path.join(FOLDER, f"{place}.ledger"))
        with open(paths[-1], "wb") as file:
            file.write(data)
    said = io.StringIO()
    sys.argv = ["ledger", *options, *paths]
    with contextlib.redirect_stdout(said):
        status = CHECKER.main()
    return status, said.getvalue()


WRONG_THINGS = []


def wrong(says, *options):
    """Something dishonest is done to a pair that was honest; what `says` must be said."""

    def keep(change):
        WRONG_THINGS.append((change, says, options))
        return change

    return keep


@wrong("sent 10 is not answered + refused + unknown, 9 + 0 + 0")
def a_message_is_lost_at_the_client(pair):
    pair.change(pair.client, ANSWERED, -1)


@wrong("more than there can be: sent 10, received 9")
def an_answer_to_what_was_never_received(pair):
    for kind in (RECEIVED, DISPATCHED):
        pair.change(pair.server, kind, -1, -64, -68)
    pair.library[1] -= 1


@wrong("more than there can be: sent 10, received 11")
def more_is_received_than_was_sent(pair):
    for kind in (RECEIVED, DISPATCHED):
        pair.change(pair.server, kind, 1, 64, 68)
    pair.library[1] += 1
    pair.find(pair.server, RECEIVED)[7] += 1
    pair.more(pair.server, UNREPLIED, RESET, count=1)


@wrong("received 10 is not dispatched + rejected, 9 + 0")
def a_message_is_lost_before_the_handler(pair):
    pair.change(pair.server, DISPATCHED, -1, -64, -68)


@wrong("dispatched 10 is not made + unreplied, 9 + 0")
def a_reply_is_not_made(pair):
    for kind in (MADE, OUT):
        pair.change(pair.server, kind, -1, 0, -72)
    pair.change(pair.client, ANSWERED, -1, -68, -72)
    pair.more(pair.client, UNKNOWN, RESET, first=10, last=10, count=1)


@wrong("made 10 is not out + dropped, 9 + 0")
def a_reply_is_lost_on_its_way_out(pair):
    pair.change(pair.server, OUT, -1, 0, -72)


@wrong("scheduled 11 is not sent + not sent, 10 + 0")
def a_message_is_forgotten_before_it_is_sent(pair):
    pair.change(pair.client, SCHEDULED, 1)


@wrong("received 680 is not dispatched + rejected, 679 + 0 (wire)")
def bytes_are_lost(pair):
    pair.change(pair.server, DISPATCHED, 0, 0, -1)


@wrong("bytes sent are not those received: +1")
def bytes_are_lost_between_them(pair):
    for kind in (RECEIVED, DISPATCHED):
        pair.change(pair.server, kind, 0, -1, 0)


@wrong("bytes out are not those answered: +4")
def bytes_are_lost_on_the_way_back(pair):
    pair.change(pair.client, ANSWERED, 0, 0, -4)


@wrong("1 counted: duplicated")
def a_duplicate_is_no_small_matter(pair):
    pair.client.line(DUPLICATED, (CLIENT, 1, 1), first=3, count=1)
    pair.more(pair.client, COUNTED, DUPLICATED, count=1, size=1)


@wrong("1 counted: reordered", "--allow", "duplicated")
def what_is_allowed_is_allowed_alone(pair):
    pair.client.line(REORDERED, (CLIENT, 1, 1), first=3, count=1)
    pair.more(pair.client, COUNTED, REORDERED, count=1, size=1)


@wrong("1 records of corrupted, and not 0")
def an_exception_is_not_counted(pair):
    pair.client.line(CORRUPTED, (CLIENT, 1, 1), first=3, count=1)


@wrong("0 records of gap, and not 1", "--allow", "gap")
def an_exception_is_counted_and_does_not_stand(pair):
    pair.more(pair.server, COUNTED, GAP, count=1, size=1)


@wrong("has no end")
def the_end_of_a_client_is_missing(pair):
    pair.client.ended = False


@wrong("has no end")
def the_end_of_a_server_is_missing(pair):
    pair.server.ended = False


@wrong("has no end", "--killed")
def clients_are_never_killed(pair):
    pair.client.ended = False


@wrong("the connections have +1 answered  (count) beside the total")
def a_total_is_not_the_sum(pair):
    pair.client.totals[ANSWERED, 0][0] -= 1


@wrong("the connections have -10 sent  (count) beside the total")
def a_whole_connection_is_left_out(pair):
    pair.client.records = [r for r in pair.client.records if r[4] != 2]


@wrong("5 unknown at its end are more than were on their way")
def more_is_unknown_than_was_on_its_way(pair):
    pair.change(pair.client, ANSWERED, -5, -5 * 68, -5 * 72)
    pair.find(pair.client, ANSWERED)[7] = 5
    pair.more(pair.client, UNKNOWN, RESET, first=6, last=10, count=5)


@wrong("message 10 is answered and unknown")
def a_message_has_two_fates(pair):
    pair.change(pair.client, SENT, 1, 64)
    pair.find(pair.client, SENT)[7] = 11
    pair.change(pair.client, SCHEDULED, 1)
    pair.more(pair.client, UNKNOWN, RESET, first=10, last=10, count=1)


@wrong("3 messages unknown, 9 to 10 of 10")
def a_range_is_too_short_for_its_messages(pair):
    pair.change(pair.client, ANSWERED, -3)
    pair.more(pair.client, UNKNOWN, RESET, first=9, last=10, count=3)


@wrong("1 unknown: the peer reset the connection", "--unknown", "timeout")
def a_fate_is_unknown_for_another_reason(pair):
    pair.change(pair.client, ANSWERED, -1, -68, -72)
    pair.find(pair.client, ANSWERED)[7] = 9
    pair.more(pair.client, UNKNOWN, RESET, first=10, last=10, count=1)


@wrong("not equal: sent 10, received 10, dispatched 10, made 10, out 10, answered 9", "--clean")
def clean_is_clean(pair):
    a_fate_is_unknown_for_another_reason(pair)


@wrong("1 not sent: the peer reset the connection", "--clean")
def what_was_not_sent_is_not_clean(pair):
    pair.change(pair.client, SCHEDULED, 1)
    pair.more(pair.client, NOT_SENT, RESET, first=11, last=11, count=1)


@wrong("more refusals came than left")
def a_refusal_from_nobody(pair):
    pair.change(pair.client, ANSWERED, -1, -68, -72)
    pair.find(pair.client, ANSWERED)[7] = 9
    pair.more(pair.client, REFUSED, 1, first=10, last=10, count=1)


@wrong("more refusals left than were made")
def refusals_from_nowhere(pair):
    pair.more(pair.server, REFUSALS_OUT, count=1)
    pair.library[2] += 1


@wrong("other transmission ids came than were given")
def an_id_was_changed_on_its_way(pair):
    pair.change(pair.client, IDS, 0, 16)


@wrong("10 messages are numbered 2 to 11")
def numbers_begin_elsewhere(pair):
    record = pair.find(pair.server, RECEIVED)
    record[6:8] = [2, 11]


@wrong("what left is not known: untraced")
def what_left_is_a_guess(pair):
    pair.find(pair.server, OUT)[1] = 68
    pair.server.add(OUT, 0, -10, 0, -720)
    pair.server.add(OUT, 68, 10, 0, 720)


@wrong("messages received: not what the library has counted")
def the_library_received_more(pair):
    pair.library[1] += 1


@wrong("replies that left: not what the library has counted")
def more_left_than_was_queued(pair):
    pair.library[2] -= 1


@wrong("replies made: not what the library has counted")
def more_was_queued_than_was_made(pair):
    pair.library[2] += 1


@wrong("bytes received: not what the library has counted")
def fewer_bytes_were_received(pair):
    pair.library[3] -= 1


@wrong("bytes handed to the system: not what the library has counted")
def more_bytes_were_sent(pair):
    pair.library[4] += 1


@wrong("connections: not what the library has counted")
def a_connection_more_was_accepted(pair):
    pair.library[5] += 1


@wrong("connections: not what the library has counted")
def a_connection_is_still_open(pair):
    pair.library[6] -= 1


@wrong("no client here made this connection")
def a_connection_that_nobody_made(pair):
    client = list(pair.client.records), {k: list(v) for k, v in pair.client.totals.items()}
    pair.connection(3)
    pair.client.records, pair.client.totals = client
    a_third_is_counted(pair)


@wrong("no client here made this connection", "--clean")
def anothers_connection_is_not_clean(pair):
    anothers_run(pair)


@wrong("more than there can be: sent 10, received 0")
def a_server_that_never_saw_it(pair):
    pair.server.records = [r for r in pair.server.records if r[4] != 2]
    for key in [key for key in pair.server.totals if key[0] != LIBRARY]:
        pair.server.totals[key] = [value // 2 for value in pair.server.totals[key]]
    pair.library = {which: count // 2 for which, count in pair.library.items()}


@wrong("has connection 1001 twice")
def a_connection_stands_twice(pair):
    pair.server.records.append(pair.find(pair.server, CONNECTION))


@wrong("3 lines, and not 4")
def a_line_is_left_out(pair):
    pair.client.records.remove(pair.find(pair.client, IDS))


@wrong("has lines of no connection")
def lines_of_nobody(pair):
    pair.server.records.remove(pair.find(pair.server, CONNECTION))


def a_third_is_counted(pair):
    for which, count in {1: 10, 2: 10, 3: 680, 4: 720, 5: 1, 6: 1}.items():
        pair.library[which] += count
    pair.server.totals[CONNECTION, 0][0] += 1


def anothers_run(pair):
    client = list(pair.client.records), {k: list(v) for k, v in pair.client.totals.items()}
    pair.connection(3, run=RUN + 1)
    pair.client.records, pair.client.totals = client
    a_third_is_counted(pair)


def spoil(at, change):
    """The client's file, changed behind its making."""

    def spoiled():
        client, server = Pair().seal()
        place = at if at >= 0 else len(client) + at
        return [change(client, place), server]

    return spoiled


SPOILED = [
    (spoil(-100, lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]),
     "is damaged, or not in its place"),
    (spoil(64 * 6, lambda data, at: data[:at] + data[at + 64:]), "record 6 is damaged, or not in"),
    (spoil(-10, lambda data, at: data[:at]), "ends in the middle of record"),
    (spoil(0, lambda data, at: b""), "is no ledger of format 1"),
    (spoil(0, lambda data, at: b"x" * 640), "is no ledger of format 1"),
    (lambda: [Pair().seal()[1]], "there is no ledger of a client"),
    (lambda: [Pair().seal()[0]] + list(Pair().seal()), "is there twice"),
]


def edit(change):
    """The client's file with its records changed and sealed anew."""
    pair = Pair()
    records = pair.client
    original = records.bytes

    def edited():
        data = original()
        parts = [data[i:i + 64] for i in range(0, len(data), 64)]
        change(parts)
        out = b""
        for part in parts:
            body = part[:60]
            out += body + struct.pack("<I", crc32c(body))
        return out

    records.bytes = edited
    return list(pair.seal())


def end_counts_wrong(parts):
    parts[-1] = parts[-1][:32] + struct.pack("<Q", 3) + parts[-1][40:]


def behind_the_end(parts):
    parts.append(parts[-1][:56] + struct.pack("<I", len(parts)) + parts[-1][60:])


def other_format(parts):
    parts[0] = parts[0][:16] + struct.pack("<Q", 2) + parts[0][24:]


def lines_missing(parts):
    parts[0] = parts[0][:32] + struct.pack("<Q", 50) + parts[0][40:]


EDITED = [
    (end_counts_wrong, "its end counts 3 records of"),
    (behind_the_end, "stands behind the end"),
    (other_format, "is no ledger of format 1"),
    (lines_missing, "has not all lines of its header"),
]


def fail(name, status, said):
    print(f"{name}: status {status}, said:\n{said}")
    sys.exit(1)


def check_honest():
    status, said = run(Pair().seal(), "--clean")
    if status != 0 or "the ledger closes: 20 messages sent, all six terms equal" not in said:
        fail("an honest pair", status, said)
    status, said = run(Pair().seal()[:1], "--clean")
    if status != 0 or "the ledger closes" not in said:
        fail("an honest client alone", status, said)
    pair = Pair()
    a_fate_is_unknown_for_another_reason(pair)
    for options in ((), ("--unknown", "reset")):
        status, said = run(pair.seal(), *options)
        if status != 0 or "1  the peer reset the connection" not in said:
            fail("a reset", status, said)
    pair = Pair()
    anothers_run(pair)
    status, said = run(pair.seal())
    if status != 0:
        fail("another run on the same server", status, said)
    pair = Pair()
    pair.server.totals[PLAIN, 0] = [5, 50, 45]
    for which, count in {1: 5, 2: 5, 3: 45, 4: 50}.items():
        pair.library[which] += count
    status, said = run(pair.seal())
    if status != 1 or "replies made" not in said:
        fail("a plain connection whose replies nobody made", status, said)


def check_killed():
    """A killed server's ledger has no end; one of its connections was open, the other had ended."""
    pair = Pair()
    pair.server.records = [r for r in pair.server.records if r[4] != 2]
    pair.server.totals, pair.server.ended = {}, False
    pair.library = {}
    client, server = pair.seal()
    status, said = run([client, server + b"torn"[:3]], "--killed")
    if status != 1 or "ends in the middle" not in said:
        fail("a torn record", status, said)
    cut = Pair()
    cut.server.ended, cut.server.totals, cut.library = False, {}, {}
    cut.server.records = cut.server.records[:-2]
    client, server = cut.seal()
    for options in ((), ("--killed",)):
        status, said = run([client, server], *options)
        if status != (0 if options else 1) or not options and "ends in a connection" not in said:
            fail("a connection that was cut", status, said)
    client, server = pair.seal()
    status, said = run([client, server], "--killed", "--json")
    told = json.loads(said)
    if status != 0 or told["untold"] != 10 or not told["closes"] or told["sums"]["sent"] != 20:
        fail("a killed server", status, said)


def main():
    os.makedirs(FOLDER, exist_ok=True)
    check_honest()
    check_killed()
    cases = []
    for change, says, options in WRONG_THINGS:
        pair = Pair()
        change(pair)
        cases.append((change.__name__, list(pair.seal()), says, options))
    cases += [(says, make(), says, ()) for make, says in SPOILED]
    cases += [(says, edit(change), says, ()) for change, says in EDITED]
    for name, files, says, options in cases:
        status, said = run(files, *options)
        if status != 1 or says not in said:
            fail(name, status, said)
    print(f"ledger: {len(cases)} planted ledgers, each found out")


main()
