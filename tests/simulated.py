"""Simulated time and a simulated network, on which the real client meets a model of the hub.

Nothing waits: when the loop has nothing to do, its clock goes on to the next timer.
"""

import asyncio
import json
import selectors
from dataclasses import dataclass, field
from random import Random

from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

RUN = {"trainNo": "12345", "startDate": "2026-11-23"}


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps, and whose connections go to `network`."""

    def __init__(self):
        self.clock = 1000.0
        super().__init__(_Selector(self))
        self.network = None

    def time(self):
        return self.clock

    async def create_connection(self, factory, **_):
        return await self.network.connect(factory)


class _Selector(selectors.SelectSelector):
    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        assert timeout is not None, "nothing is left that could happen"
        self._loop.clock += max(0.0, timeout)
        return super().select(0)


def simulate(main, network, hours):
    """Run `main` on a simulated loop until that time is over."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.get_loop().network = network

        async def bounded():
            async with asyncio.timeout(hours * 3600):
                await main()

        runner.run(bounded())


class Pipe(asyncio.Transport):
    """One end of a connection. `rate` is in bytes a second; what is `silent` swallows all."""

    def __init__(self, protocol, rate):
        super().__init__()
        self.protocol, self.rate = protocol, rate
        self.peer = None
        self.silent = False
        self.cut_after = None  # bytes that still come through
        self._loop = asyncio.get_running_loop()
        self._free = self._loop.time()
        self._open = True

    def write(self, data):
        step = 1024 if self.rate < 100_000 else 65536
        for first in range(0, len(data), step):
            piece = bytes(data[first : first + step])
            self._free = max(self._free, self._loop.time()) + len(piece) / self.rate
            self._loop.call_at(self._free + 0.02, self._carry, piece)

    def _carry(self, piece):
        if self.silent or not self._open:
            return
        if self.cut_after is not None:
            piece = piece[: self.cut_after]
            self.cut_after -= len(piece)
        if self.peer._open:
            self.peer.protocol.data_received(piece)
        if self.cut_after == 0:
            self.cut()

    def cut(self):
        """End both ends at once; what is on its way is lost."""
        for end in (self, self.peer):
            end.abort(tell_the_other=False)

    def abort(self, tell_the_other=True):
        if not self._open:
            return
        self._open = False
        self._loop.call_soon(self.protocol.connection_lost, None)
        if tell_the_other and not self.silent:
            self._loop.call_at(max(self._free, self._loop.time()) + 0.02, self.peer.abort)

    close = abort

    def is_closing(self):
        return not self._open

    def can_write_eof(self):
        return False

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def get_extra_info(self, name, default=None):
        return default


class Network:
    """Connections between clients and a hub; `trouble` may be None, "refuse" or "hang"."""

    def __init__(self, hub, rate=1e6):
        self.hub = hub
        self.rate = rate
        self.trouble = None
        self.lines = []  # the hub's ends

    async def connect(self, factory):
        await asyncio.sleep(0.05)
        if self.trouble == "hang":
            await asyncio.sleep(1e6)
        if self.trouble == "refuse":
            raise ConnectionRefusedError("no route")
        ours, theirs = Pipe(factory(), self.rate), Pipe(Session(self.hub), self.rate)
        ours.peer, theirs.peer = theirs, ours
        for end in (ours, theirs):
            end.protocol.connection_made(end)
        self.lines = [each for each in self.lines if not each.is_closing()] + [theirs]
        return ours, ours.protocol


class Session(asyncio.Protocol):
    """A socket of the model hub."""

    def __init__(self, hub):
        self.hub = hub
        self.user = None
        self.subscribed = False

    def connection_made(self, transport):
        self.transport = transport
        self.ws = ServerProtocol()

    def connection_lost(self, error):
        self.hub.sessions.pop(self, None)

    def data_received(self, data):
        self.ws.receive_data(data)
        for event in self.ws.events_received():
            if isinstance(event, Request):
                self.ws.send_response(self.ws.accept(event))
                self.hub.sessions[self] = None
                self.say({"type": "WELCOME", "heartbeatSeconds": 25})
            elif event.opcode is Opcode.TEXT:
                self.hub.answer(self, json.loads(event.data))
        self._flush()

    def say(self, message):
        if self.ws.state is not State.OPEN:
            return
        self.ws.send_text(json.dumps(message).encode())
        self._flush()

    def close(self, code):
        if self.ws.state is State.OPEN:
            self.ws.send_close(code)
        self._flush()

    def _flush(self):
        for data in self.ws.data_to_send():
            if data:
                self.transport.write(data)
            else:
                self.transport.close()


@dataclass(eq=False)
class ModelHub:
    """What a hub promises, in eighty lines: numbered events, answers under keys, snapshots.

    A SNAPSHOT's run is the sum of all that was announced, and padding that makes it large.
    """

    chance: Random
    epoch: int = 1
    log: list = field(default_factory=list)  # the announced texts, seq 1 first
    done: dict = field(default_factory=dict)  # (user, key) → result
    kept: int = 40  # events that a client may have missed
    padding: int = 0
    refusal: str | None = None  # the code for SUBSCRIBE_TRAIN, as while charts are loaded
    sessions: dict = field(default_factory=dict)  # in the order in which they came

    def announce(self, text, user="hub"):
        self.log.append((text, user))
        for each in list(self.sessions):
            if each.subscribed:
                each.say(self.event(len(self.log)))
        return {"seq": len(self.log)}

    def event(self, seq):
        text, _ = self.log[seq - 1]
        data = {"text": text}
        return {"type": "ANNOUNCEMENT", **RUN, "seq": seq, "timestamp": "", "data": data}

    def answer(self, session, message):
        answer = getattr(self, "on_" + message["type"].lower(), self.on_command)
        head = {"id": message["id"]} if "id" in message else {}
        for each in answer(session, message):
            session.say({**each, **head})
            head = {}

    def on_ping(self, session, message):
        yield {"type": "PONG"}

    def on_identify(self, session, message):
        session.user, session.subscribed = message["token"], False
        yield {"type": "IDENTIFIED", "user": session.user, "role": "TTE", "trains": ["*"]}

    def on_unsubscribe_train(self, session, message):
        session.subscribed = False
        yield {"type": "UNSUBSCRIBED", **RUN}

    def on_subscribe_train(self, session, message):
        if self.refusal is not None:
            yield {"type": "ERROR", "code": self.refusal, "message": "not yet"}
            return
        since, seq = message.get("since", {}), len(self.log)
        missed = seq - since.get("seq", 0)
        recovered = since.get("epoch") == f"e{self.epoch}" and 0 <= missed <= self.kept
        session.subscribed = True
        place = {**RUN, "epoch": f"e{self.epoch}", "seq": seq}
        yield {"type": "SUBSCRIBED", **place, "recovered": recovered}
        if recovered:
            yield from (self.event(each) for each in range(since["seq"] + 1, seq + 1))
        else:
            run = {"texts": seq, "padding": "x" * self.padding}
            yield {"type": "SNAPSHOT", **place, "run": run}
        yield {"type": "BOARDING_UPDATE", **RUN, "data": {}}

    def on_command(self, session, message):
        if self.chance.random() < 0.02:
            yield {"type": "ERROR", "code": "RATE_LIMITED", "message": "", "retryAfterMs": 500}
            return
        name = session.user, message["key"]
        if name not in self.done:
            self.done[name] = self.announce(message["text"], session.user)
        yield {"type": "DONE", "result": self.done[name]}

    def restart(self, new_epoch=False):
        self.epoch += new_epoch
        for each in list(self.sessions):
            each.say({"type": "GOODBYE", "reason": "it stops", "retryAfterMs": 700})
            each.close(1001)
