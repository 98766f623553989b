"""trainhub/web/handshake.py: what is left of a connection after its handshake."""

import asyncio
import gc
import weakref

import pytest
from tornado.httputil import HTTPServerRequest
from tornado.websocket import WebSocketHandler
from waiting import PATIENCE, until

from trainhub.web.websocket import TrainSocket


@pytest.mark.gen_test
async def test_an_idle_socket_has_no_task_and_no_request(raw, http_server):
    """What the handshake needed is gone: its request, its attributes, and tornado's coroutines."""
    before = len(asyncio.all_tasks())
    sockets = [(await raw())[0] for _ in range(20)]
    for socket in sockets:
        await socket.frames(1)
    await until(lambda: len(TrainSocket.sockets) == 20)
    await until(lambda: len(asyncio.all_tasks()) <= before)
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is HTTPServerRequest]
    assert all(isinstance(each, WebSocketHandler) for each in TrainSocket.sockets)
    assert not any(vars(each) for each in TrainSocket.sockets)
    assert not http_server._connections


@pytest.mark.gen_test
async def test_a_client_may_send_before_it_is_answered(http_server, http_port):
    """Messages that come together with the request are answered too."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
    lines = ["GET /ws HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", "", ""]
    ping = b'{"type": "PING"}'
    writer.write("\r\n".join(lines).encode() + bytes((0x81, 0x80 | len(ping))) + bytes(4) + ping)
    async with asyncio.timeout(PATIENCE):
        assert b"WELCOME" in await reader.readuntil(b"PONG")
    writer.close()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Sec-WebSocket-Version: 13", 400),
        ("Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 8", 426),
        ("Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13", 101),
    ],
)
async def test_a_handshake_has_a_key_and_version_13(http_server, http_port, head, status):
    """The others get an answer of HTTP that says what is wrong."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
    lines = ["GET /ws HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"]
    writer.write("\r\n".join([*lines, head, "", ""]).encode())
    async with asyncio.timeout(PATIENCE):
        answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.split()[1] == str(status).encode()
    writer.close()


@pytest.mark.gen_test
async def test_a_closed_socket_needs_no_garbage_collector(raw, site):
    """Thousands may leave at once: a collection of all their cycles would hold the loop."""
    await site.register()
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            client, _ = await raw()
            client.say("SUBSCRIBE_TRAIN", trainNo="12345")
            await client.frames(3)
            (gone,) = map(weakref.ref, TrainSocket.sockets)
            client.writer.transport.abort()
            await until(lambda gone=gone: gone() is None)
    finally:
        gc.enable()
