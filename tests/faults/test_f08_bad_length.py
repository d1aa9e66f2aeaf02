"""F08: lengths that are no length, in headers that come in one piece and in two, cut at every byte, first
on their connection and behind a good message. Each is refused with its last byte, before anything is
reserved for what it declares; the good message is answered."""

import pytest

from conftest import SHADOW, peer
from hostile import run_vex
from loglines import of_mode, read_log, wait_until

MAX = 1000
TICK_NS = 1e6
GROWN_MAX = SHADOW * 4 << 20  # the log has rings, too
GOOD = b"hello"

LE = [MAX + 1, 2**31 - 1, 2**31, 2**32 - 1, 5 << 24, MAX << 16, int.from_bytes(b"GET ", "little")]

# Framing, as --frame and as the peer have it, and what the length field must not hold.
LENGTHS = {
    "length:4:le": (peer.Length(), LE),
    "length:2:be:itself": (peer.Length(2, "big", itself=True), [0, 1, MAX + 3, 2**15, 2**16 - 1]),
    "length:4:le:nonempty": (peer.Length(), [0, *LE]),
    "length:4:be": (peer.Length(4, "big"), LE),
    "length:8:le": (peer.Length(8), [*LE, 2**32 + 5, 2**63 - 1, 2**63, 2**64 - 1]),
    "length:4:le:offset=4:itself:adjust=-4": (
        peer.Length(4, offset=4, itself=True, adjust=-4), [0, 1, 7, MAX + 9, 2**31, 2**32 - 1]),
    "length:4:be:adjust=-3": (peer.Length(4, "big", adjust=-3), [0, 1, 2, MAX + 4, 2**31, 2**32 - 1]),
    "varint": (peer.Varint(), [
        bytes.fromhex(text) for text in (
            "e907", "8100", "808000", "ffffffff07", "8080808008", "ffffffff0f", "ffffffff7f",
            "8080808080", "ffffffffff")]),
}


def header(framing, field):
    if isinstance(field, bytes):
        return field
    return bytes(framing.offset) + field.to_bytes(framing.width, framing.order)


def scripts(framing, fields):
    """One connection for each way; the bytes of replies that must come, and those of the headers
    that come in two pieces."""
    good = framing.encode(GOOD)
    answer = len(framing.encode(bytes(4) + GOOD))
    steps, came, cut_up = [], 0, 0
    for field in fields:
        bad = header(framing, field)
        for cut in range(len(bad)):
            first, rest = bad[:cut].hex(), bad[cut:].hex()
            alone = f"send {first}; pause 1ms; " if cut else ""
            steps.append(f"connect; {alone}send {rest}; expect-eof; close")
            steps.append(f"connect; send {good.hex()} {first}; read {answer}; send {rest}; "
                         "expect-eof; close")
            came += answer
            cut_up += 2 * len(bad) if cut else 0
    return steps, came, cut_up


def took_ns(entries):
    """Of each connection, from its last byte to its end of our side."""
    last, took = {}, {}
    for entry in entries:
        conn = entry.get("conn")
        if entry["event"] == "received":
            last[conn] = entry["t"]
        if entry["event"] == "shut":
            took[conn] = entry["t"] - last[conn]
    return sorted(took.values())


@pytest.mark.parametrize("frame", LENGTHS)
def test_f08_bad_length(berthd, result, tmp_path, frame):
    framing, fields = LENGTHS[frame]
    log = tmp_path / "log"
    server = berthd("--frame", frame, "--max-message", MAX, "--watch", "flow", "--log", log,
                    "--log-format", "json", framing=framing)
    server.connect().ask(GOOD)
    steps, came, cut_up = scripts(framing, fields)
    before, resident = server.stats(), server.resident_bytes()
    done = run_vex(server.address(), "\n".join(steps), "--replies", "bytes")
    assert (done["ended_eof"], done["bytes_in"]) == (len(steps), came)
    after = server.stats()
    refused = "connections closed for bytes that are no frame"
    assert after[refused] - before[refused] == len(steps)
    copied = "received bytes copied because their frame came in parts"
    held = after[copied] - before[copied]
    assert held <= cut_up, "of headers that come in two pieces, and nothing else"
    assert server.resident_bytes() - resident < GROWN_MAX
    wait_until(lambda: log.read_text().count('"event":"shut"') >= len(steps), "the log of it")
    took = took_ns(of_mode(read_log(log)[0], "flow"))
    assert took[len(took) * 9 // 10] <= TICK_NS  # the rest is when another program had our processor
    result("F08", f"{frame}: {len(steps):,} of {len(steps):,} refused, half of them within "
                  f"{took[len(took) // 2] / 1000:.0f} us of their last byte; {held:,} bytes of "
                  f"headers held, 0 for what they declare")
