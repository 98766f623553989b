"""A network between a hub and its mongod that can deliver a write after the hub gave it up."""

import asyncio
import contextlib
import threading
import time

from pymongo import MongoClient
from waiting import PATIENCE


class LateNetwork:
    """A network that passes bytes on inside `with`; `uri` is the mongod's address for the hub.

    After `hold_next_write(collection)` the next bulk on that collection stays on the way, and
    nothing more follows on its connection, until `deliver`. All other connections go on.
    """

    def __init__(self, mongod):
        self._mongod = mongod
        self._mark: bytes | None = None
        self._held: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="network")

    def __enter__(self):
        self._thread.start()
        assert self._up.wait(PATIENCE)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE)

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def hold_next_write(self, collection: str) -> None:
        name = collection.encode() + b"\0"
        self._mark = b"\x02update\0" + len(name).to_bytes(4, "little") + name

    def deliver(self) -> None:
        """Deliver the held write, and wait until mongod has carried it out."""
        with MongoClient(self._mongod.uri) as client:
            before = _updates(client)
            for writer, data in self._held:
                self._loop.call_soon_threadsafe(writer.write, data)
            deadline = time.monotonic() + PATIENCE
            while _updates(client) == before or _at_work(client):
                assert time.monotonic() < deadline, "mongod does not take up what came late"

    async def _serve(self):
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        self._up.set()
        await self._over.wait()
        server.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connected(self, reader, writer):
        path = str(self._mongod.folder / "m.sock")
        its_reader, its_writer = await asyncio.open_unix_connection(path)
        self._writers += (writer, its_writer)
        there = self._pass_on(reader, its_writer, self._is_to_be_held)
        await asyncio.gather(there, self._pass_on(its_reader, writer))

    async def _pass_on(self, reader, writer, is_to_be_held=lambda _: False):
        held = False
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 20):
                held = held or is_to_be_held(data)
                if held:
                    self._held.append((writer, data))
                else:
                    writer.write(data)
                    await writer.drain()
        if not held:
            writer.close()

    def _is_to_be_held(self, data: bytes) -> bool:
        if self._mark is None or self._mark not in data:
            return False
        self._mark = None
        return True


def _updates(client) -> int:
    """Return how many documents mongod was asked to update so far."""
    return client.admin.command("serverStatus")["opcounters"]["update"]


def _at_work(client) -> bool:
    return bool(client.admin.command("currentOp", op="update")["inprog"])
