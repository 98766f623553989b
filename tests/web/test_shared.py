"""trainhub/web/shared.py: a body that is the same for every caller is made once."""

import asyncio
import gzip

import pytest

from trainhub.web.shared import WORTH_GZIP_BYTES, Body, SharedBody


class Made:
    """A body that takes as long to make as the test wants."""

    def __init__(self):
        self.version, self.times = 1, 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.shared = SharedBody(self.make, lambda: self.version)

    async def make(self):
        self.times += 1
        made_of = self.version
        await self.go_on.wait()
        return str(made_of).encode()


@pytest.mark.gen_test
async def test_a_body_is_made_once_until_its_version_changes():
    """Any number of callers share one body."""
    made = Made()
    bodies = await asyncio.gather(*(made.shared.get() for _ in range(50)))
    assert {body.plain for body in bodies} == {b"1"}
    assert made.times == 1
    made.version = 2
    assert (await made.shared.get()).plain == b"2"
    assert made.times == 2


@pytest.mark.gen_test
async def test_a_caller_after_a_change_sees_it_though_an_older_body_is_being_made():
    """A client that has registered a train finds it in the list; the crowd costs one body more."""
    made = Made()
    made.go_on.clear()
    early = asyncio.create_task(made.shared.get())
    await asyncio.sleep(0.01)
    made.version = 2
    late = [asyncio.create_task(made.shared.get()) for _ in range(50)]
    await asyncio.sleep(0.01)
    made.go_on.set()
    assert (await early).plain == b"1"
    assert {body.plain for body in await asyncio.gather(*late)} == {b"2"}
    assert made.times == 2


@pytest.mark.gen_test
async def test_a_body_is_compressed_once_if_that_is_worth_it():
    """A small body is sent uncompressed."""
    body = Body(b"x" * WORTH_GZIP_BYTES)
    first, second = await asyncio.gather(body.gzipped(), body.gzipped())
    assert gzip.decompress(first) == body.plain
    assert first is second
    assert await Body(b"small").gzipped() is None
