"""Where the suite's messages and answers are held against the contract, whatever test sends them.

Messages from the hub are taken where a client hears them, in the tests' own ears and in the
websockets library; messages to the hub where it has taken them. A handler's own words are never
changed.
"""

import json
from contextvars import ContextVar

import websockets.asyncio.client
import websockets.sync.client
from recorder import Recorder

from trainhub.core.wire import read_id
from trainhub.domain.commands import COMMANDS
from trainhub.hub import session
from trainhub.web import rest

WITNESS = Recorder()
# What the message or request in hand says; None once it was refused.
_in_hand: ContextVar[dict | None] = ContextVar("in_hand", default=None)


def take(text):
    """A text frame that a client got."""
    WITNESS.sent(json.loads(text))


def _taken():
    """What is in hand was carried out: it must be what the contract allows."""
    data = _in_hand.get()
    _in_hand.set(None)
    if data is None:
        return
    data = dict(data)
    if "id" in data and read_id(data) is None:
        del data["id"]  # another kind of id is taken as none
    WITNESS.heard(data)


def _as_given(data, command):
    """A chart whose passengers have faults is taken without these."""
    return {**data, "passengers": []} if getattr(command, "rejected", ()) else data


def _witness_sessions():
    read, receive, made = session.read_message, session.Session.receive, session.Session.__init__

    def read_message(data):
        message = read(data)
        _in_hand.set(_as_given(data, message))
        return message

    def init(self, hub, tokens, listener, send, **options):
        def answer(message):
            if message["type"] == "ERROR":
                _in_hand.set(None)
            send(message)

        made(self, hub, tokens, listener, answer, **options)

    async def receive_it(self, text):
        _in_hand.set(None)
        await receive(self, text)
        _taken()

    session.read_message = read_message
    session.Session.__init__ = init
    session.Session.receive = receive_it


def _witness_requests():
    read, answer = rest.read_command, rest.CommandHandler.answer
    kinds = {command: kind for kind, command in COMMANDS.items()}

    def read_command(cls, fields):
        command = read(cls, fields)
        _in_hand.set(_as_given({"type": kinds[cls], **fields}, command))
        return command

    def answer_it(self, result):
        _taken()
        answer(self, result)

    rest.read_command = read_command
    rest.CommandHandler.answer = answer_it


def _witness_websockets():
    for module in (websockets.asyncio.client, websockets.sync.client):
        connection = module.ClientConnection
        connection.recv = _recv(connection.recv, wait=module is websockets.asyncio.client)


def _recv(recv, wait):
    async def later(self, *args, **named):
        text = await recv(self, *args, **named)
        take(text)
        return text

    def now(self, *args, **named):
        text = recv(self, *args, **named)
        take(text)
        return text

    return later if wait else now


def witness_all():
    """Put the witness in its places, once for the whole run."""
    _witness_sessions()
    _witness_requests()
    _witness_websockets()
