"""Sockets cut at random and a hub killed under load: each client hears exactly what it may, once.

CHURN_SECONDS is how long it lasts. The test works out from the log what each client may hear.
"""

import asyncio
import json
import os
import time
from collections import Counter

import pytest
from load import Fleet, admin_token, asker, logs_of, seeded, settled
from waiting import PATIENCE
from websockets.exceptions import WebSocketException
from witness import connect_async as connect

from trainhub.domain.model import Role

RUNS, CLIENTS, KILLS = 10, 500, 2
SECONDS = float(os.environ.get("CHURN_SECONDS", "6"))
PUBLIC = {"TRAIN_REGISTERED", "JOURNEY_STARTED", "DELAY_UPDATE", "ANNOUNCEMENT"}
STAFF_ONLY = {"BERTH_VACATED"}
STAFF = ("TTE", "ADMIN")
# Of ten clients: a TTE, a control room, a feed, two without a token, five passengers.
ROLES = ("TTE", "ADMIN", "SERVICE", None, None, *("PASSENGER",) * 5)


class Client:
    """An app that reconnects by itself, with the last seq that it saw."""

    def __init__(self, number, crew, tokens):
        self.crew, self.role = crew, ROLES[number // RUNS % len(ROLES)]
        self.user = self.role and f"IR_{1 + number // RUNS}"
        self.token = self.role and tokens.issue(self.user, Role(self.role), [crew.train_no])
        self.heard, self.foreign, self.cuts, self.snapshots = [], [], 0, 0
        self.socket = None

    async def live(self, url, epoch, chance):
        while True:
            try:
                async with connect(
                    url, compression=None, max_size=None, ping_interval=None, open_timeout=PATIENCE
                ) as socket:
                    await self._enter(socket, epoch)
                    self.socket = socket
                    async for text in socket:
                        self._hear(json.loads(text))
            except (OSError, WebSocketException, TimeoutError):
                pass
            self.socket = None
            await asyncio.sleep(chance.uniform(0.01, 0.3))

    async def _enter(self, socket, epoch):
        if self.token:
            await socket.send(json.dumps({"type": "IDENTIFY", "token": self.token}))
        since = {"epoch": epoch, "seq": self.heard[-1] if self.heard else 0}
        run = {"trainNo": self.crew.train_no, "startDate": self.crew.start_date}
        await socket.send(json.dumps({"type": "SUBSCRIBE_TRAIN", **run, "since": since}))

    def _hear(self, message):
        own = message.get("trainNo", self.crew.train_no) == self.crew.train_no
        if not own or message["type"] == "ERROR":
            self.foreign.append(message)
        elif message["type"] == "SNAPSHOT":
            self.snapshots += 1
        elif "timestamp" in message:
            self.heard.append(message["seq"])

    def cut(self, roughly):
        """Close the socket, or if `roughly` abort it."""
        if self.socket is None:
            return
        self.cuts += 1
        if roughly:
            self.socket.transport.abort()
        else:
            asyncio.get_running_loop().create_task(self.socket.close())

    def should_hear(self, log):
        users = {p["pnr"]: p["irctcId"] for p in self.crew.chart["passengers"]}

        def may(kind, data):
            if kind in PUBLIC or self.role in STAFF:
                return True
            own = self.role == "PASSENGER" and users.get(data.get("pnr")) == self.user
            return own and kind not in STAFF_ONLY

        return [seq for seq in sorted(log) if may(*log[seq])]


async def churn(clients, crews, hub, again, chance):
    """Make load, cuts and kills for SECONDS; then let all reconnect. Return the last hub."""
    url = f"ws://127.0.0.1:{hub.port}/ws"
    token, epoch = admin_token(hub), asker(hub)("/api/monitor")["epoch"]
    living = [asyncio.create_task(each.live(url, epoch, chance)) for each in clients]
    end = time.monotonic() + SECONDS
    over = lambda: time.monotonic() >= end  # noqa: E731

    async def drive(crew):
        while not over():
            await crew.drive(url, token, goes_on=lambda: not over())
            await asyncio.sleep(0.1)

    async def cut():
        while not over():
            await asyncio.sleep(chance.uniform(0, 0.02))
            chance.choice(clients).cut(roughly=chance.random() < 0.5)

    driving = [asyncio.create_task(drive(crew)) for crew in crews]
    cutting = asyncio.create_task(cut())
    for _ in range(KILLS):
        await asyncio.sleep(SECONDS / (KILLS + 1))
        await asyncio.to_thread(hub.kill)
        hub = await asyncio.to_thread(again)
    await asyncio.gather(*driving, cutting)
    for crew in crews:
        while await crew.drive(url, token, commands=1) != "done":
            pass  # the hub may still be busy with all that came back
    await settled(hub)
    return hub, living


async def caught_up(clients, expected):
    deadline = time.monotonic() + PATIENCE
    while any(len(c.heard) < len(e) for c, e in zip(clients, expected, strict=True)):
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(0.1)


@pytest.mark.sized
def test_churn(start_hub, mongod_options, database, unused_port, capsys):
    """500 clients of all roles hear each of their events once and in order, and no other."""
    seed, chance = seeded()
    fleet = Fleet(RUNS, seed)
    options = (*mongod_options, "--port", str(unused_port))
    hub = start_hub(*options)
    fleet.begin(hub)
    tokens = hub.tokens
    clients = [Client(n, fleet.crews[n % RUNS], tokens) for n in range(CLIENTS)]

    async def test():
        last, living = await churn(
            clients, fleet.crews, hub, lambda: start_hub(*options, folder=hub.folder), chance
        )
        logs = logs_of(last.folder, database)
        expected = [client.should_hear(logs[client.crew.run]) for client in clients]
        await caught_up(clients, expected)
        for task in living:
            task.cancel()
        await asyncio.gather(*living, return_exceptions=True)
        return last, expected

    last, expected = asyncio.run(test())
    missing = twice = 0
    for client, seqs in zip(clients, expected, strict=True):
        counts = Counter(client.heard)
        missing += len(set(seqs) - counts.keys())
        twice += sum(count - 1 for count in counts.values())
        assert client.foreign == []
        assert client.heard == seqs, (client.role, client.user, client.snapshots)
    frames, cuts = sum(len(c.heard) for c in clients), sum(c.cuts for c in clients)
    answered, _ = fleet.check(last, database)
    with capsys.disabled():
        print(f"\n{CLIENTS} clients on {RUNS} runs, seed {seed}: {answered} commands,")
        print(f"{cuts} sockets cut, {KILLS} times kill -9 of the hub; {frames} events heard:")
        print(f"{missing} missing, {twice} twice, 0 foreign, all in order")
