"""trainhub/web/listener.py: the demo's listeners follow their train, whatever the hub does."""

import asyncio
from contextlib import suppress
from itertools import count

from false_hub import FalseHub, event

from trainhub.web.listener import listen


def follow(url, until):
    """Listen to a train until that condition holds; each token is issued for one connection."""
    numbers = count(1)

    async def main():
        task = asyncio.create_task(listen(url, lambda: f"t{next(numbers)}", "12345"))
        async with asyncio.timeout(60):
            while not until():
                assert not task.done(), task.exception()
                await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_closed_connection_is_opened_again():
    """With a token that is issued now: the last one may have ended."""
    with FalseHub((event(1), 4403), (event(2), 1001), (event(3),)) as hub:
        follow(hub.url, lambda: len(hub.said("SUBSCRIBE_TRAIN")) == 3)
        assert [each["token"] for each in hub.said("IDENTIFY")] == ["t1", "t2", "t3"]
        assert {each["trainNo"] for each in hub.said("SUBSCRIBE_TRAIN")} == {"12345"}


def test_a_hub_that_cannot_be_reached_is_tried_again(unused_port):
    """A refused connection and an answer that is no WebSocket end nothing."""
    asked = []

    async def refuse(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def main():
        task = asyncio.create_task(listen(f"ws://127.0.0.1:{unused_port}/", lambda: "t", "12345"))
        await asyncio.sleep(0.1)
        async with await asyncio.start_server(refuse, "127.0.0.1", unused_port):
            async with asyncio.timeout(60):
                while len(asked) < 2:
                    await asyncio.sleep(0.01)
            assert not task.done()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(main())
