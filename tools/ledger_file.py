"""Reads the ledger files of berthload and berthd. Written from docs/LEDGER.md alone."""

import struct
from collections import Counter, defaultdict, namedtuple

FORMAT = 1
RECORD_BYTES = 64
RECORD = struct.Struct("<BBHIII5QII")
Record = namedtuple("Record", "kind reason worker client connection life first last count bytes "
                              "wire place crc")
TOTAL = 128
NAMES = {
    1: "header", 2: "text", 3: "connection", 4: "end", 10: "scheduled", 11: "sent", 12: "not sent",
    13: "answered", 14: "refused", 15: "unknown", 16: "ids", 20: "received", 21: "dispatched",
    22: "rejected", 23: "made", 24: "unreplied", 25: "out", 26: "dropped", 27: "refusals",
    28: "refusals out", 29: "plain", 30: "library", 40: "duplicated", 41: "reordered",
    42: "corrupted", 43: "unasked", 44: "late", 45: "gap", 46: "foreign", 50: "counted",
}
KIND = {name: number for number, name in NAMES.items()}
EXCEPTIONS = [name for number, name in NAMES.items() if 40 <= number < 50]

CRC_BYTES = 60  # of a record, that its CRC-32C covers
CRC_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    CRC_TABLE.append(_byte)


def first_damaged(data):
    """The first record whose CRC is not its own; None: there is none. The CRCs of all records are
    computed together, byte by byte, each of their four bytes a string of its own: a million records
    one by one would take a minute."""
    count = len(data) // RECORD_BYTES
    tables = [bytes(value >> 8 * k & 255 for value in CRC_TABLE) for k in range(4)]

    def xor(one, other):
        return (int.from_bytes(one, "little") ^ int.from_bytes(other, "little")).to_bytes(
            count, "little")

    crc = [b"\xff" * count] * 4
    for at in range(CRC_BYTES):
        index = xor(crc[0], data[at::RECORD_BYTES])
        looked_up = [index.translate(table) for table in tables]
        crc = [xor(crc[k + 1], looked_up[k]) for k in range(3)] + [looked_up[3]]
    wrong = [xor(xor(crc[k], b"\xff" * count), data[CRC_BYTES + k::RECORD_BYTES]) for k in range(4)]
    places = [len(plane) - len(plane.lstrip(b"\0")) for plane in wrong]
    return min(places) if min(places) < count else None


def name_of(record):
    return NAMES.get(record.kind & ~TOTAL, f"kind {record.kind}")


class Lines(list):
    """Records about one connection, or about all of them."""

    about = None  # the connection's first record: run, when it was opened and ended, and its id

    def sum(self, name, field="count", reason=None):
        return sum(getattr(r, field) for r in self
                   if r.kind & ~TOTAL == KIND[name] and reason in (None, r.reason))


class Ledger:
    """One file, read into lines by connection; `flaws` is what is wrong with the file itself."""

    def __init__(self, path):
        self.path, self.flaws, self.ended = path, [], False
        self.text, self.reasons, self.refusals = {}, {}, {}
        self.connections = defaultdict(Lines)  # by number at a client, by session at a server
        self.singles = defaultdict(Counter)  # exceptions that stand by themselves
        self.totals = Lines()
        with open(path, "rb") as file:
            data = file.read()
        self.records = self._whole(data)
        if not self.records or self.records[0].kind != KIND["header"] or \
                self.records[0].first != FORMAT:
            self.flaws.append(f"is no ledger of format {FORMAT}")
        texts = [data[RECORD_BYTES * r.place + 16:RECORD_BYTES * r.place + 56]
                 for r in self.records if r.kind == KIND["text"]]
        if self.records and len(texts) != self.records[0].count:
            self.flaws.append("has not all lines of its header")
        self._read_text(b"".join(texts).rstrip(b"\0").decode(errors="replace"))
        self.is_client = self.text.get("program") == "berthload"
        for record in self.records[1 + len(texts):]:
            self._take(record)
        self.cut = self._last_is_cut()

    def _whole(self, data):
        """The records up to the first that is not."""
        whole = len(data) // RECORD_BYTES * RECORD_BYTES
        if whole < len(data):
            self.flaws.append(f"ends in the middle of record {whole // RECORD_BYTES}")
        damaged = first_damaged(data[:whole])
        records = []
        for place, fields in enumerate(RECORD.iter_unpack(data[:whole])):
            record = Record(*fields)
            if record.place != place & 0xFFFFFFFF or place == damaged:
                self.flaws.append(f"record {place} is damaged, or not in its place")
                break
            records.append(record)
        return records

    def _read_text(self, text):
        for line in text.splitlines():
            word, _, value = line.partition(" ")
            number, _, words = value.partition(" ")
            if word in ("reason", "refusal"):
                (self.reasons if word == "reason" else self.refusals)[int(number)] = words
            else:
                self.text[word] = value

    def _take(self, record):
        if self.ended:
            self.flaws.append(f"record {record.place} stands behind the end")
        key = record.connection if self.is_client else record.life
        if record.kind == KIND["end"]:
            self.ended = True
            if record.count != record.place:
                self.flaws.append(f"its end counts {record.count} records of {record.place}")
        elif record.kind & TOTAL:
            self.totals.append(record)
        elif name_of(record) in EXCEPTIONS:
            self.singles[key][record.kind] += 1
        elif record.kind == KIND["connection"]:
            if self.connections[key].about is not None:
                self.flaws.append(f"has connection {key} twice")
            self.connections[key].about = record
        else:
            self.connections[key].append(record)

    def _last_is_cut(self):
        """Whether the writer was killed while it wrote a connection, which is forgotten then."""
        key, lines = next(reversed(self.connections.items()), (None, Lines()))
        cut = not self.ended and lines.about is not None and lines.about.wire > len(lines)
        if cut:
            del self.connections[key]
        return cut

    def words(self, record):
        """A record's reason."""
        if record.kind & ~TOTAL == KIND["counted"]:
            return NAMES.get(record.reason, "")
        reasons = self.refusals if record.kind & ~TOTAL == KIND["refused"] else self.reasons
        return reasons.get(record.reason, f"reason {record.reason}" if record.reason else "")

    def listed(self):
        """The whole file as lines of text."""
        for word, value in self.text.items():
            yield f"{word} {value}"
        for record in self.records:
            if record.kind not in (KIND["header"], KIND["text"]):
                numbers = " ".join(f"{field} {getattr(record, field)}" for field in
                                   Record._fields[2:11] if getattr(record, field))
                total = "total " if record.kind & TOTAL else ""
                words = f" ({self.words(record)})" if record.reason else ""
                yield f"{record.place}: {total}{name_of(record)}{words} {numbers}"
