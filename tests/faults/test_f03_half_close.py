"""F03: a client ends its sending side: everything that it sent whole is answered, then comes the
server's end, and no reset."""

import random
import threading

import pytest

from conftest import scale

ENDS = scale(80, 1000)


def talk(server, rng, largest):
    """Some messages, perhaps a piece of one more, and the end of our side. How many it were."""
    client = server.connect()
    messages = [rng.randbytes(rng.randrange(largest)) for _ in range(rng.randrange(1, 60))]
    stream = b"".join(map(client.framing.encode, messages))
    piece = client.framing.encode(bytes(largest))[: rng.choice([0, 0, 1, 4, 5, largest])]

    def send():
        client.send(stream + piece)
        client.half_close()

    sender = threading.Thread(target=send)
    sender.start()
    client.read_replies(*messages)
    client.read_end()
    sender.join()
    client.close()
    server.clients.remove(client)
    return len(messages)


@pytest.mark.parametrize("buffer_size, largest", [(3, 100), (73728, 3000)])
def test_f03_half_close(berthd, result, buffer_size, largest):
    server = berthd("--buffer-size", buffer_size, workers=2)
    rng = random.Random(buffer_size)
    replies = sum(talk(server, rng, largest) for _ in range(ENDS))
    result("F03", f"{ENDS:,} half-closes behind {replies:,} messages: {replies:,} replies, "
                  "then the end")
