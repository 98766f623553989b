"""A client's conversation with a hub, without a socket."""

import json

from fakes import Ear, line

from trainhub.access.identity import Tokens
from trainhub.core.wire import encode
from trainhub.hub.session import Session

TOKENS = Tokens({"k1": "a secret of tests, long enough for HMAC with SHA-256"})


class Talk:
    """A session and its client's recorder."""

    def __init__(self, hub, anonymous=True, tokens=TOKENS):
        self.hub = hub
        self.ear = Ear()
        where = {"anonymous": anonymous, "address": "10.1.2.3"}
        self.session = Session(hub, tokens, self.ear, self._send, **where)

    def _send(self, message):
        self.ear.send(line(encode(message)))

    async def raw(self, text):
        """Send a text. Returns what the client got meanwhile."""
        before = len(self.ear.heard)
        await self.session.receive(text)
        return self.ear.heard[before:]

    async def say(self, kind, **fields):
        return await self.raw(json.dumps({"type": kind, **fields}))

    async def error(self, kind, **fields):
        """Send a message that fails. Returns the ERROR's code."""
        (answer,) = await self.say(kind, **fields)
        assert answer["type"] == "ERROR"
        assert answer["message"]
        return answer["code"]
