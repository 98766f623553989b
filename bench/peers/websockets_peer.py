"""Rooms on PyPI's websockets: its `broadcast`, and a POST in the least code that asyncio allows."""

import asyncio
import json
import sys
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, broadcast, serve

rooms: dict[str, set[ServerConnection]] = defaultdict(set)


async def listen(connection: ServerConnection) -> None:
    """Let a client into the room of its address, until it goes."""
    assert connection.request is not None
    room = rooms[parse_qs(urlsplit(connection.request.path).query)["room"][0]]
    room.add(connection)
    try:
        await connection.send('{"type":"JOINED"}')
        await connection.wait_closed()
    finally:
        room.discard(connection)


class Publish(asyncio.Protocol):
    """A connection of a publisher: requests with Content-Length, one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < size:
            return
        self._data = body[size:]
        json.loads(body[:size])
        room = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
        broadcast(rooms[room], body[:size].decode())
        answer = b'{"result":{"done":true}}'
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(answer), answer)
        )


async def main() -> None:
    listening = await serve(
        listen, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=4096, max_queue=1
    )
    door = await asyncio.get_running_loop().create_server(Publish, "127.0.0.1", 0)
    ports = [each.sockets[0].getsockname()[1] for each in (listening, door)]
    print(*ports, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
