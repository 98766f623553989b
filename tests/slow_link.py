"""A slow link between clients and a hub: a fixed rate, and little room on the way."""

import asyncio
import contextlib
import socket

# Of each socket's buffer on the way, as far as the kernel lets it be that small.
ROOM = 4_096


class SlowLink:
    """Passes all on, between `async with` and its end, to a client no faster than `rate` bytes a
    second. `port` is where the hub seems to be.
    """

    def __init__(self, port, rate):
        self._port, self._rate = port, rate

    async def __aenter__(self):
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
        self._server = await asyncio.start_server(self._connected, sock=listening, limit=ROOM)
        self.port = listening.getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _connected(self, reader, writer):
        hub = socket.socket()
        hub.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        hub.setblocking(False)
        await asyncio.get_running_loop().sock_connect(hub, ("127.0.0.1", self._port))
        its_reader, its_writer = await asyncio.open_connection(sock=hub, limit=ROOM)
        writer.transport.set_write_buffer_limits(0)
        ways = (self._pass_on(reader, its_writer), self._pass_on(its_reader, writer, self._rate))
        tasks = [asyncio.create_task(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        writer.close()
        its_writer.close()

    @staticmethod
    async def _pass_on(reader, writer, rate=None):
        piece = ROOM if rate is None else rate // 10
        with contextlib.suppress(OSError):
            while data := await reader.read(piece):
                writer.write(data)
                await writer.drain()
                if rate is not None:
                    await asyncio.sleep(len(data) / rate)
