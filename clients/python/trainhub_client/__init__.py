"""A client of trainhub's live protocol, for asyncio: it needs `websockets` and nothing of the hub.

    async with connect("ws://127.0.0.1:8888/ws", token=fetch_token) as client:
        train = client.subscribe("12345")
        await train.command("MARK_BOARDED", pnr="4512345601", index=1)
        async for event in train:
            print(event["type"], event["data"])

Each event of a train comes once and in order, and each command happens once, however often the
socket breaks. The client keeps unanswered commands, and sends them again under their idempotency
keys. With a `storage` they survive a restart of the program. The hub's `docs/reference/clients.md`
says more.
"""

from trainhub_client.callbacks import HubError
from trainhub_client.connection import Client, connect
from trainhub_client.following import Subscription
from trainhub_client.waiting import Waiting

__version__ = "0.1.0"

__all__ = ["Client", "HubError", "Subscription", "Waiting", "__version__", "connect"]
