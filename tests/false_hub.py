"""A server in place of a hub, for messages and closes that a real hub does not make on request."""

import json
import threading
import time
from contextlib import suppress

from waiting import PATIENCE
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

RUN = {"trainNo": "12345", "startDate": "2026-11-23"}
SNAPSHOT = {"type": "SNAPSHOT", **RUN, "epoch": "e1", "seq": 0, "run": {}}


def event(seq, kind="ANNOUNCEMENT", **fields):
    head = {"type": kind, **RUN, "seq": seq, "timestamp": "2026-11-23T10:00:00+05:30"}
    return {**head, "data": {}, **fields}


def next_run(day):
    return {"type": "NEXT_RUN", **RUN, "data": {**RUN, "startDate": day}}


def goodbye(millis):
    return {"type": "GOODBYE", "reason": "it stops", "retryAfterMs": millis}


class FalseHub:
    """A server that answers like a hub; `after` is what it sends once a client has subscribed.

    An item of `after` is the messages for one connection. A text or bytes in them is sent as it is;
    a number is a close code, and ends the connection. `heard` has all that clients said, `opened`
    and `closed` the times of connections.
    """

    def __init__(self, *after, refused=(), later=0, role="TTE"):
        self.heard, self.opened, self.closed = [], [], []
        self._after = list(after)
        self._refused = refused
        self._later = later
        self._role = role
        self._server = serve(self._serve, "127.0.0.1", 0, compression=None)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join(PATIENCE)

    def said(self, kind):
        return [each for each in self.heard if each["type"] == kind]

    def _serve(self, socket):
        self.opened.append(time.monotonic())
        script = self._after.pop(0) if self._after else ()
        with suppress(ConnectionClosed):
            self._say(socket, {"type": "WELCOME", "heartbeatSeconds": 25})
            for text in socket:
                self.heard.append(message := json.loads(text))
                for answer in self._answers(message, script):
                    if isinstance(answer, int):
                        self.closed.append(time.monotonic())
                        socket.close(answer)
                    else:
                        self._say(socket, answer)

    def _say(self, socket, message):
        socket.send(json.dumps(message) if isinstance(message, dict) else message)

    def _answers(self, message, script):
        head = {"id": message.get("id")}
        if message["type"] == "IDENTIFY":
            if message["token"] in self._refused:
                return [{"type": "ERROR", "code": "BAD_TOKEN", "message": "no", **head}]
            return [
                {"type": "IDENTIFIED", "user": "T1", "role": self._role, "trains": ["*"], **head}
            ]
        if message["type"] == "SUBSCRIBE_TRAIN":
            first = "since" not in message
            answer = {"type": "SUBSCRIBED", **RUN, "epoch": "e1", "seq": 0, "recovered": not first}
            return [{**answer, **head}, *([SNAPSHOT] if first else ()), *script]
        if message["type"] == "ACK":
            return [{"type": "ERROR", "code": "UNKNOWN_TYPE", "message": "what?"}]
        if message["type"] == "PING":
            return [{"type": "PONG", **head}]
        if self._later:
            self._later -= 1
            return [{"type": "ERROR", "code": "RATE_LIMITED", "message": "later", **head}]
        return [{"type": "DONE", "result": {"seq": 1}, **head}]
