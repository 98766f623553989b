"""An answer that is the same for every caller: made once, compressed once, sent to many."""

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from trainhub.core.cost import aside

# An answer below this size fits into few packets as it is.
WORTH_GZIP_BYTES = 4 * 1024
GZIP_LEVEL = 1


@dataclass
class Body:
    """An answer's bytes, plain and compressed."""

    plain: bytes
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _gzipped: bytes | None = None

    async def gzipped(self) -> bytes | None:
        """Return the compressed bytes, or None if compressing is not worth it."""
        async with self._lock:
            if self._gzipped is None and len(self.plain) >= WORTH_GZIP_BYTES:
                self._gzipped = await aside(gzip.compress, self.plain, GZIP_LEVEL)
        return self._gzipped


class SharedBody:
    """A body that is made again on request when `version` has changed.

    If something has changed, the making of a caller's body begins after the caller asked. So the
    body shows all that the caller was told in earlier answers.
    """

    def __init__(self, make: Callable[[], Awaitable[bytes]], version: Callable[[], object]) -> None:
        self._make, self._version = make, version
        self._lock = asyncio.Lock()
        self._body: Body | None = None
        self._made_for: object = None
        self._began = 0.0

    async def get(self) -> Body:
        asked = time.monotonic()
        async with self._lock:
            version = self._version()
            if self._body is None or (version != self._made_for and self._began < asked):
                self._began = time.monotonic()
                self._body = Body(await self._make())
                self._made_for = version
            return self._body


def takes_gzip(headers: Mapping[str, str]) -> bool:
    """Return whether a caller names gzip with a weight above zero."""
    for each in headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, weight = each.replace(" ", "").partition(";")
        if coding == "gzip":
            return weight.rstrip("0").rstrip(".") != "q="
    return False
