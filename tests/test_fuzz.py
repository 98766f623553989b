"""trainhub/hub/protocol.py and session.py under nonsense that no honest client would send.

Each frame is answered with a documented code, or as usual if it is still valid. Nothing is logged,
kept or changed. FUZZ_FRAMES=1000000 sends more frames, SEED repeats a run.
"""

import asyncio
import gc
import json
import os
import time
import tracemalloc
from collections import Counter
from datetime import date

import pytest
from built import build_of_fakes
from fakes import line
from load import seeded
from mutation import DEPTH, MESSAGES, ODD, message, mutated
from railway import RUN, person, rac, register
from recorder import compile_messages, error_codes
from witness import WITNESS

from trainhub.access.identity import Identity, Tokens
from trainhub.core.codec import dump
from trainhub.core.errors import BadMessage, HubError
from trainhub.core.wire import encode, error_fields, parse
from trainhub.domain import commands as c
from trainhub.domain.model import Role
from trainhub.domain.snapshot import snapshot_of
from trainhub.domain.train import fold
from trainhub.hub.protocol import _MESSAGES, read_message
from trainhub.hub.session import Session

FRAMES = int(os.environ.get("FUZZ_FRAMES", "10000"))
BATCH = 2_000
OPERATOR = Identity("operator", Role.ADMIN, frozenset({"*"}))
# Bytes of memory that a frame may leave behind: less than a pointer to it takes.
BYTES_A_FRAME, SLACK = 2, 256 * 1024
# Callers who may change nothing: without a token, without a booking, a TTE of another train.
BYSTANDERS = (
    Identity(),
    Identity("IR_99", Role.PASSENGER, frozenset({"12345"})),
    Identity("T2", Role.TTE, frozenset({"99999"})),
)
FIRST = {"type": "PING", "id": "after"}
ANSWERS = {"IDENTIFIED", "LOGGED_OUT", "SUBSCRIBED", "UNSUBSCRIBED", "PONG", "DONE", "ERROR"}
ANSWERS |= {"FLEET_SUBSCRIBED", "FLEET_UNSUBSCRIBED"}


class Sink:
    """A listener that counts the answers by kind, and keeps those to the current frame."""

    window = 0
    is_behind = False

    def __init__(self):
        self.seen = Counter()
        self.answers = []

    def send(self, frames):
        for text in frames.splitlines():
            found = json.loads(text)
            WITNESS.sent(found)
            if found["type"] in ANSWERS:
                self.answers.append(found)
                self.seen[found.get("code", found["type"])] += 1

    def catch_up(self, frames):
        self.send(frames)

    def show(self, figure, frame):
        self.send(frame)


class Target:
    """A hub with a running train, and the session of a client that sends nonsense."""

    def __init__(self, hub, identity, tokens=None):
        self.hub, self.identity = hub, identity
        self.sink = Sink()
        tokens = tokens or Tokens({"k": "a secret of tests, long enough for HMAC with SHA-256"})
        answer = lambda each: self.sink.send(line(encode(each)))  # noqa: E731
        self.session = Session(hub, tokens, self.sink, answer)
        self.session.identity = identity

    async def send(self, frame):
        """Send a frame; check that exactly one answer comes, with a documented code."""
        self.sink.answers.clear()
        self.session.identity = self.identity  # it may have logged out
        await self.session.receive(frame)
        found = self.sink.answers
        assert len(found) == 1 or (not found and "ACK" in str(frame)), (frame[:300], found)
        for each in found:
            code = each.get("code")
            assert each["type"] != "ERROR" or code in error_codes() - {"UNAVAILABLE"}, frame[:300]

    async def still_answers(self):
        self.sink.answers.clear()
        await self.session.receive(json.dumps(FIRST))
        (answer,) = self.sink.answers
        assert (answer["type"], answer["id"]) == ("PONG", "after")


async def running():
    """Return a hub in memory; its train stands at the first station, with a passenger aboard."""
    hub = build_of_fakes().hub
    people = [person(1), person(2), rac(3, 1), rac(4, 2)]
    given = {"passengers": people}
    for command in (
        register(**given),
        c.StartJourney(train_no="12345", start_date=date(2026, 11, 23)),
        c.MarkBoarded(train_no="12345", pnr="4512345602", index=1),
    ):
        await hub.execute(command, OPERATOR)
    return hub


def image(hub):
    """Return all that a hub knows of its runs, and the length of its log."""
    return {s.run: (s.seq, json.dumps(dump(snapshot_of(s)))) for s in hub.runs.all()}, hub.log.last


def in_use():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_there_is_a_sound_message_of_every_type():
    """The hub accepts every message before it is mutated."""
    assert MESSAGES.keys() == _MESSAGES.keys()
    for kind in MESSAGES:
        assert read_message(parse(json.dumps(message(kind)))) is not None


@pytest.mark.sized
@pytest.mark.gen_test(timeout=36_000)
async def test_nonsense_is_answered_and_leaves_nothing(caplog):
    """Each frame gets one answer; the hub stays as it was, keeps no memory and logs no line."""
    seed, chance = seeded()
    print(f"seed {seed}")
    hub = await running()
    targets = [Target(hub, identity) for identity in BYSTANDERS]
    before = image(hub)
    compile_messages()
    await hub.fleet.encoded()  # its rows are made at the first look
    start = time.monotonic()
    tracemalloc.start()
    try:
        sent = first = 0
        while sent < FRAMES:
            for _ in range(BATCH):
                await chance.choice(targets).send(mutated(chance))
            sent += BATCH
            for each in targets:
                await each.still_answers()
            assert image(hub) == before
            if sent <= 2 * BATCH:  # what is worked out once is not kept for a frame
                first = in_use()
        grown = in_use() - first
    finally:
        tracemalloc.stop()
    seen = sum((each.sink.seen for each in targets), Counter())
    print(f"{sent} frames in {time.monotonic() - start:.0f} s: {dict(seen)}")
    print(f"memory {first} B after {2 * BATCH}, {first + grown} B at the end")
    assert grown < SLACK + BYTES_A_FRAME * sent
    assert not caplog.records
    for each in targets:
        each.session.close()
    assert (hub.rooms._table, hub.rooms._rooms_of) == ({}, {})


@pytest.mark.gen_test(timeout=600)
async def test_what_nonsense_changes_by_right_is_in_the_log(caplog):
    """Valid commands from the control room may change the state: it remains the fold of the log."""
    seed, chance = seeded()
    print(f"seed {seed}")
    hub = await running()
    target = Target(hub, OPERATOR)
    for _ in range(2_000):
        await target.send(mutated(chance))
    await target.still_answers()
    journal = hub._journal
    for state in hub.runs.all():
        events = [each.event for each in journal.records if each.stream == state.run]
        assert snapshot_of(fold(state.run, events)) == snapshot_of(state)
    assert hub.state(RUN).seq > 3, "nothing came through: this proves little"
    assert not caplog.records


# --- by name ----------------------------------------------------------------------------------


def leaves(data, path=()):
    """Yield the path of each value in a message."""
    for key in data if isinstance(data, dict) else range(len(data)):
        yield (*path, key)
        if isinstance(data[key], dict | list):
            yield from leaves(data[key], (*path, key))


BROKEN = {
    "deep lists": "[" * DEPTH + "]" * DEPTH,
    "deep objects": '{"a":' * DEPTH + "1" + "}" * DEPTH,
    "beyond all floats": "1e400",
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "half a pair": '"\\ud800"',
}


@pytest.mark.parametrize("odd", BROKEN)
@pytest.mark.parametrize("kind", MESSAGES)
def test_what_is_not_json_is_refused_in_every_place(kind, odd):
    """The hub bears any odd value in any field, and any odd name of a field."""
    for *within, key in leaves(message(kind)):
        data = message(kind)
        place = data
        for step in within:
            place = place[step]
        place[key] = "@here@"
        with pytest.raises(BadMessage):
            parse(json.dumps(data).replace('"@here@"', BROKEN[odd], 1))


def refusal(text):
    """Return the text of ERROR for a message, or None if the hub accepts it."""
    try:
        read_message(parse(text))
    except HubError as error:
        return error_fields(error)
    return {}


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: f"{odd[:12]!a}{len(odd)}")
def test_any_odd_value_is_read_or_refused(odd):
    """In every place of every message it is read or refused, and raises nothing else."""
    for kind in MESSAGES:
        for *within, key in leaves(message(kind)):
            if len(within) > 1 and kind == "REGISTER_TRAIN" and within[1]:
                continue  # the first item of each list represents the others
            data = message(kind)
            place = data
            for step in within:
                place = place[step]
            place[key] = "@here@"
            text = json.dumps(data).replace('"@here@"', odd, 1)
            assert len(encode(refusal(text))) < 1_000, (kind, within, key)


def test_of_a_name_that_is_there_twice_the_last_counts():
    """Browsers read it the same way, so a check in front of the hub sees what the hub sees."""
    assert parse('{"type": "PING", "type": "ACK"}') == {"type": "ACK"}
    asyncio.run(_two_types())


async def _two_types():
    target = Target(await running(), Identity())
    await target.send('{"type": "IDENTIFY", "id": 1, "type": "PING", "id": 2}')
    assert [(each["type"], each["id"]) for each in target.sink.answers] == [("PONG", 2)]
