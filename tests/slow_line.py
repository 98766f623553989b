"""A line between a hub and its mongod that carries few bytes a second towards mongod."""

import asyncio
import contextlib

from late_network import LateNetwork

# Bytes that are passed on at once, when their time has come.
PIECE = 2048


class SlowLine(LateNetwork):
    """A network whose connections share a `rate`, in bytes a second. `carried` counts its bytes."""

    def __init__(self, mongod, rate: float):
        super().__init__(mongod)
        self.rate = rate
        self.carried = 0
        self._free_at = 0.0

    async def _pass_on(self, reader, writer, is_to_be_held=None):
        towards_mongod = is_to_be_held is not None
        with contextlib.suppress(OSError):
            while data := await reader.read(PIECE):
                if towards_mongod:
                    await self._carry(len(data))
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _carry(self, size):
        self.carried += size
        self._free_at = max(self._free_at, self._loop.time()) + size / self.rate
        await asyncio.sleep(self._free_at - self._loop.time())
