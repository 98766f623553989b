"""Rooms on python-socketio over Tornado, without its long polling."""

import asyncio
import json
import sys
from typing import Any

import socketio
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

server = socketio.AsyncServer(
    async_mode="tornado", transports=["websocket"], ping_interval=3600, http_compression=False
)


@server.event
async def connect(session: str, environment: dict[str, Any]) -> None:
    """Let a client into the room of its address."""
    room = environment["tornado.handler"].get_query_argument("room")
    await server.enter_room(session, room)


class Publish(RequestHandler):
    """Sends its body to a room."""

    async def post(self, room: str) -> None:
        await server.emit("event", json.loads(self.request.body), room=room)
        self.finish({"result": {"done": True}})


async def main() -> None:
    app = Application(
        [(r"/socket.io/", socketio.get_tornado_handler(server)), (r"/rooms/(\w+)", Publish)],
        log_function=lambda handler: None,
    )
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    HTTPServer(app).add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
