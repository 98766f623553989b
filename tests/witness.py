"""Where the suite's messages and answers are held against the contract, whatever test sends them.

Messages from the hub are taken where a client hears them: in the tests' own ears, and in the
connections of the websockets library that `connect` and `connect_async` open. Messages to the hub
are taken where it has carried them out: `taken` is what the tests give to build.build.
"""

import json
from functools import partial

import websockets.asyncio.client
import websockets.sync.client
from recorder import Recorder

from trainhub.core.wire import read_id

WITNESS = Recorder()


def taken(data, message):
    """Hold against the contract what a client sent, once the hub has carried it out as `message`.

    The hub reads a chart without the passengers that have faults, and an odd id as none.
    """
    data = dict(data)
    if "id" in data and read_id(data) is None:
        del data["id"]
    WITNESS.heard({**data, "passengers": []} if getattr(message, "rejected", ()) else data)


class _Connection(websockets.sync.client.ClientConnection):
    def recv(self, *args, **named):
        text = super().recv(*args, **named)
        WITNESS.sent(json.loads(text))
        return text


class _AsyncConnection(websockets.asyncio.client.ClientConnection):
    async def recv(self, *args, **named):
        text = await super().recv(*args, **named)
        WITNESS.sent(json.loads(text))
        return text


connect = partial(websockets.sync.client.connect, create_connection=_Connection)
connect_async = partial(websockets.asyncio.client.connect, create_connection=_AsyncConnection)
