"""trainhub/web/listener.py: the demo's listeners follow their train and reconnect."""

import asyncio
from contextlib import suppress
from itertools import count

import pytest
from false_hub import FalseHub, event

from trainhub.web.listener import RETRY_SECONDS, listen


@pytest.fixture
def follow(io_loop):
    """Return a function that listens to train 12345 until a condition holds.

    Each connection gets a new token.
    """

    async def listen_until(url, condition):
        numbers = count(1)
        task = asyncio.create_task(listen(url, lambda: f"t{next(numbers)}", "12345"))
        async with asyncio.timeout(60):
            while not condition():
                assert not task.done(), task.exception()
                await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    return listen_until


@pytest.mark.gen_test
async def test_a_closed_connection_is_opened_again(follow):
    """The new connection gets a new token, since the last one may have expired."""
    with FalseHub((event(1), 4403), (event(2), 1001), (event(3),)) as hub:
        await follow(hub.url, lambda: len(hub.said("SUBSCRIBE_TRAIN")) == 3)
        assert [each["token"] for each in hub.said("IDENTIFY")] == ["t1", "t2", "t3"]
        assert {each["trainNo"] for each in hub.said("SUBSCRIBE_TRAIN")} == {"12345"}


@pytest.mark.gen_test
async def test_an_answer_that_is_no_websocket_ends_nothing(follow):
    """A hub that is stopping answers 503, and the listener tries again."""
    asked = []

    async def refuse(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        await follow(f"ws://{host}:{port}/", lambda: len(asked) == 2)


@pytest.mark.gen_test
async def test_a_refused_connection_ends_nothing(follow, unused_port):
    """The listener waits and tries again while nothing listens."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 1.5 * RETRY_SECONDS
    await follow(f"ws://127.0.0.1:{unused_port}/", lambda: loop.time() > end)
