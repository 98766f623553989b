"""A listener of the demo: a WebSocket client that follows one train and drops what it receives."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from tornado.httpclient import HTTPError
from tornado.websocket import WebSocketError, websocket_connect

RETRY_SECONDS = 1.0


async def listen(url: str, issue_token: Callable[[], str], train_no: str) -> NoReturn:
    """Follow a train until the task is cancelled. A closed connection is opened again."""
    while True:
        with suppress(OSError, HTTPError, WebSocketError):
            await _listen_once(url, issue_token(), train_no)
        await asyncio.sleep(RETRY_SECONDS)


async def _listen_once(url: str, token: str, train_no: str) -> None:
    closed = asyncio.Event()

    def drop(message: str | bytes | None) -> None:
        if message is None:  # Tornado says so that the connection is closed
            closed.set()

    connection = await websocket_connect(url, on_message_callback=drop)
    try:
        for message in (
            {"type": "IDENTIFY", "token": token},
            {"type": "SUBSCRIBE_TRAIN", "trainNo": train_no},
        ):
            await connection.write_message(json.dumps(message))
        await closed.wait()
    finally:
        connection.close()
        await closed.wait()  # a cancelled listener leaves no socket open
