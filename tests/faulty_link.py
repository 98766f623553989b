"""A TCP link between a client and a hub that can be cut inside a message, or fall silent."""

import asyncio
import contextlib
import threading

from waiting import PATIENCE


class FaultyLink:
    """A link that passes bytes on to `port` of this machine inside `with`; `url` is its address.

    `silent_up` and `silent_down` swallow what comes from the client, or from the hub. `cut_in` is
    a text: the first connection that carries it down is cut sixty bytes after it.
    """

    def __init__(self, port, cut_in=None):
        self.silent_up = self.silent_down = False
        self._port = port
        self._cut_in = cut_in
        self.has_cut = False
        self._writers = []
        self._tasks = set()
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="link")

    def __enter__(self):
        self._thread.start()
        assert self._up.wait(PATIENCE)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE)

    def cut(self):
        """End every connection at once; what is on its way is lost."""
        self._loop.call_soon_threadsafe(self._abort_all)

    def _abort_all(self):
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.transport.abort()

    async def _serve(self):
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
        self._up.set()
        await self._over.wait()
        server.close()
        self._abort_all()
        await asyncio.gather(*self._tasks)

    async def _connected(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        try:
            its_reader, its_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers += (writer, its_writer)
        await asyncio.gather(
            self._pass_on(reader, its_writer, lambda: self.silent_up),
            self._pass_on(its_reader, writer, lambda: self.silent_down, self._where_to_cut),
        )

    def _where_to_cut(self, seen):
        if self._cut_in is None or (place := seen.find(self._cut_in.encode())) < 0:
            return None
        self._cut_in, self.has_cut = None, True
        return place + 60

    @staticmethod
    def rewritten(data):
        """Return the bytes to pass on."""
        return data

    async def _pass_on(self, reader, writer, is_silent, where_to_cut=lambda _: None):
        seen = b""
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                seen = (seen + data)[-200_000:]
                cut = where_to_cut(seen)
                if cut is not None:
                    data = data[: max(0, cut - (len(seen) - len(data)))]
                if not is_silent():
                    writer.write(self.rewritten(data))
                    await writer.drain()
                if cut is not None:
                    break
        if not is_silent():  # a silent link does not pass on the end either
            writer.close()


class BelowPath(FaultyLink):
    """A proxy that serves the hub below a path; `url` is without that path."""

    def __init__(self, port, path):
        super().__init__(port)
        self._path = path.encode()

    def rewritten(self, data):
        head, methods = data[:200], (b"GET ", b"POST ", b"PUT ")
        if not head.startswith(methods):
            return data
        return data.replace(b" " + self._path + b"/", b" /", 1)
