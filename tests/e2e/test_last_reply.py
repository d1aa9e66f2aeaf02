"""The linger deadline (M9.3) ends the wait for the client, not the replies on their way to it."""

MESSAGES = [bytes([number]) * 8192 for number in range(16)]


def test_a_slow_reader_gets_its_last_replies(server):
    client = server.connect(receive_buffer=4096)
    client.send(b"".join(map(client.framing.encode, MESSAGES)) + b"\xff\xff\xff\x7f")
    server.wait_for("ff ff ff 7f")  # said when the connection has ended on the server's side
    client.read_replies(*MESSAGES)
    client.read_end()
