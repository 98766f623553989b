"""Whatever is sent to a session: one answer, no fault in the log, nothing changed, nothing kept.

FUZZ_FRAMES=1000000 is the long form; SEED chooses the frames.
"""

import gc
import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest
from hostile import SOUND, stream
from load import seeded
from railway import register

from trainhub.domain import commands as c
from trainhub.domain.model import Role
from trainhub.domain.snapshot import take
from trainhub.domain.train import fold
from trainhub.identity import Identity, Tokens
from trainhub.protocol import _MESSAGES
from trainhub.session import Session

FRAMES = int(os.environ.get("FUZZ_FRAMES", "20000"))
BATCH = 100
TOKENS = Tokens({"k1": "a secret of tests, long enough for HMAC with SHA-256"})
OPERATOR = Identity("operator", Role.ADMIN, frozenset({"*"}))
# Objects that may be there at the end and were not once all was warm.
MOST_NEW = 1_000


def test_every_type_is_fuzzed():
    """A new message is one more line in hostile.py."""
    assert SOUND.keys() == _MESSAGES.keys()


class Client:
    """A session's other side: it counts the answers, and keeps the last."""

    def __init__(self, hub, token=None):
        self.answers = Counter()
        self.last = None
        self.session = Session(hub, TOKENS, self, self._hear)
        self.token = token

    def send(self, frames):
        pass

    def show(self, figure, frame):
        pass

    def _hear(self, message):
        self.last = message
        self.answers[message.get("code") or message["type"]] += 1

    async def say(self, message):
        await self.session.receive(json.dumps(message))
        return self.last


async def talked(client, frames):
    """Say them all; each is answered once, but for an ACK, which may have no answer."""
    for frame in frames:
        client.last = None
        before = client.answers.total()
        await client.session.receive(frame)
        said = client.answers.total() - before
        assert said == 1 or (said == 0 and "ACK" in str(frame)), (frame, client.last)
        # It can be sent: what cannot would break the socket.
        json.dumps(client.last, allow_nan=False).encode()


def state_of(hub):
    return [(state.run, state.seq) for state in hub.runs()]


@pytest.mark.gen_test(timeout=3_600)
@pytest.mark.parametrize("who", [None, "PASSENGER", "OTHER_TTE"])
async def test_hostile_frames_do_nothing(make_hub, caplog, who):
    """From those who may do nothing here: state, log and memory are as before, and talk goes on."""
    seed, _ = seeded()
    hub = make_hub()
    await hub.execute(register(), OPERATOR)
    await hub.execute(c.StartJourney(train_no="12345"), OPERATOR)
    client, before, start = Client(hub), state_of(hub), time.monotonic()
    token = {
        "PASSENGER": TOKENS.issue("IR_99", Role.PASSENGER, ["12345"]),
        "OTHER_TTE": TOKENS.issue("T2", Role.TTE, ["54321"]),
    }.get(who)
    frames, done, objects = stream(seed, FRAMES // 3), 0, None
    while batch := [frame for frame, _ in zip(frames, range(BATCH), strict=False)]:
        if token is not None:
            assert (await client.say({"type": "IDENTIFY", "token": token}))["user"]
        await talked(client, batch)
        done += len(batch)
        assert (await client.say({"type": "PING", "id": 7}))["id"] == 7
        if done >= FRAMES // 30 and objects is None:
            objects, memory = _objects(), _memory()
    new = _objects() - objects
    print(
        f"{done} frames as {who or 'nobody'}, seed {seed}, {time.monotonic() - start:.0f} s:",
        f"{dict(client.answers.most_common())}; {new} objects more,",
        f"{memory >> 10} KB and {_memory() >> 10} KB at the end",
    )
    assert new < MOST_NEW
    assert state_of(hub) == before
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
    assert client.answers["UNAVAILABLE"] == 0


@pytest.mark.gen_test(timeout=3_600)
async def test_hostile_frames_of_the_control_room_break_nothing(make_hub, caplog):
    """Some of them are good commands by chance; the state stays the fold of its events."""
    seed, _ = seeded()
    hub = make_hub()
    await hub.execute(register(), OPERATOR)
    client = Client(hub)
    token = TOKENS.issue("control", Role.ADMIN, ["*"])
    frames = stream(seed, FRAMES // 4)
    while batch := [frame for frame, _ in zip(frames, range(BATCH), strict=False)]:
        assert (await client.say({"type": "IDENTIFY", "token": token}))["user"]
        await talked(client, batch)
    print(f"seed {seed}: {dict(client.answers.most_common())}")
    records = hub._journal.records
    for state in hub.runs():
        again = fold(state.run, [each.event for each in records if each.run == state.run])
        assert take(again) == take(state)
    assert client.answers["DONE"] > FRAMES // 1_000
    assert client.answers["UNAVAILABLE"] == 0
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def _objects():
    gc.collect()
    return len(gc.get_objects())


def _memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
