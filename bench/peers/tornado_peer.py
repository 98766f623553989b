"""Rooms on bare Tornado: `GET /ws?room=N` joins, `POST /rooms/N` sends the body to the room."""

import asyncio
import json
import sys
from collections import defaultdict
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

rooms: dict[str, set["Socket"]] = defaultdict(set)


class Socket(WebSocketHandler):
    """A client in one room."""

    def open(self, *args: str, **kwargs: str) -> None:
        self.set_nodelay(True)
        self.room = self.get_query_argument("room")
        rooms[self.room].add(self)
        self.write_message('{"type":"JOINED"}')

    def on_message(self, message: str | bytes) -> None:
        """Do nothing: clients only listen."""

    def on_close(self) -> None:
        rooms[self.room].discard(self)


class Publish(RequestHandler):
    """Sends its body to a room."""

    def post(self, room: str) -> None:
        json.loads(self.request.body)
        for each in rooms[room]:
            try:
                each.write_message(self.request.body)  # as bytes, which need not be encoded again
            except WebSocketClosedError:
                continue
        self.finish({"result": {"done": True}})


async def main() -> None:
    app = Application(
        [(r"/ws", Socket), (r"/rooms/(\w+)", Publish)], log_function=lambda handler: None
    )
    server: Any = HTTPServer(app)
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    server.add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
