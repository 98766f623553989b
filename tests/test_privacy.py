"""Who hears whose data: each event and each answer is searched for the words of other people.

Every text that could name a person is a word found nowhere else. All bytes that reach a socket are
searched for the words of others. A new event type is covered as soon as it is in EVENTS.
"""

import json
import logging
import re
from collections import Counter
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import count
from types import NoneType
from typing import get_args, get_origin, get_type_hints

import pytest
from fakes import line
from load import seeded
from marked import marked, marked_rac, marked_wl, words_in, words_of
from railway import MORNING, RUN, Driver, chart, person, register_chart

from trainhub.access.identity import Identity, Tokens
from trainhub.adapters.dead_letters import DeadLettersFile
from trainhub.core.audience import Everyone
from trainhub.core.log import Reader
from trainhub.core.wire import encode
from trainhub.core.write_buffer import Refused, WriteBuffer
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.model import Booking, Role
from trainhub.hub.documents import changes
from trainhub.hub.session import Session

OPERATOR = Identity("operator", Role.ADMIN, frozenset({"*"}))
TOKENS = Tokens({"k1": "a secret of tests, long enough for HMAC with SHA-256"})
OWN = "IR_own"
HERE = {"trainNo": "12345", "startDate": "2026-11-23"}
# The callers in the room: role, user and trains of each, after the identities they had before.
ROOM = {
    "the user": [(Role.PASSENGER, OWN, "12345")],
    "another passenger": [(Role.PASSENGER, "IR_other", "12345")],
    "no token": [None],
    "the run's TTE": [(Role.TTE, "T1", "12345")],
    "another train's TTE": [(Role.TTE, "T2", "54321")],
    "a TTE of the user's name": [(Role.TTE, OWN, "12345")],
    "another train's TTE of the user's name": [(Role.TTE, OWN, "54321")],
    "the user on another train": [(Role.PASSENGER, OWN, "54321")],
    "the user on another day": [(Role.PASSENGER, OWN, "12345/2026-11-24")],
    "control": [(Role.ADMIN, "control", "*")],
    "a feed": [(Role.SERVICE, "feed", "*")],
    "a feed of the user's name": [(Role.SERVICE, OWN, "*")],
    "was TTE": [(Role.TTE, "T1", "12345"), (Role.PASSENGER, "IR_other", "12345")],
    "was the user": [(Role.PASSENGER, OWN, "12345"), (Role.PASSENGER, "IR_other", "12345")],
    "was control": [(Role.ADMIN, "control", "*"), (Role.SERVICE, "feed", "*")],
    "has become the user": [(Role.TTE, "T1", "12345"), (Role.PASSENGER, OWN, "12345")],
    "has become TTE": [(Role.PASSENGER, "IR_other", "12345"), (Role.TTE, "T1", "12345")],
}
STAFF = {"the run's TTE", "a TTE of the user's name", "control", "has become TTE"}
USER = {"the user", "has become the user"}


# --- events of every type, made from their fields -------------------------------------------------


class Maker:
    """A maker of values for an event's fields, whose texts and numbers are found nowhere else.

    `of_people` has the marks in fields about a person, at any depth.
    """

    def __init__(self):
        self._next = count(1)
        self.marks = []
        self.of_people = []

    def value(self, hint, name=""):
        if name == "user":
            return OWN
        args = get_args(hint)
        if NoneType in args:
            return self.value(next(each for each in args if each is not NoneType), name)
        if get_origin(hint) is tuple:
            return (self.value(args[0], name),)
        if is_dataclass(hint):
            return self.make(hint)
        return self._plain(hint)

    def _plain(self, hint):
        if hint is str:
            self.marks.append(f"mark{next(self._next):04}m")
            return self.marks[-1]
        if issubclass(hint, StrEnum):
            return next(iter(hint))
        if hint in (datetime, date):
            return MORNING if hint is datetime else MORNING.date()
        if hint is bool:
            return True
        assert hint is int, f"{hint} is new: say here what one looks like"
        self.marks.append(str(880_000_000_000_000 + next(self._next)))
        return int(self.marks[-1])

    def make(self, cls, **given):
        hints, first = get_type_hints(cls), len(self.marks)
        made = cls(
            **{f.name: given.get(f.name) or self.value(hints[f.name], f.name) for f in fields(cls)}
        )
        if cls in (Booking, e.Considered):
            self.of_people += self.marks[first:]
        return made


def every_event():
    """Return each type of event, and an announcement to each audience, with its maker."""
    for kind, cls in e.EVENTS.items():
        for to in c.To if cls is e.Announcement else (None,):
            maker = Maker()
            made = maker.make(cls, audience_=to) if to else maker.make(cls)
            yield pytest.param(made, maker, id=f"{kind} {to or ''}")


def hearers(event):
    """Return the callers in ROOM who may hear an event, by its audience."""
    found = set()
    for part in event.audience:
        if part == Everyone():
            return set(ROOM)
        own = e.User(OWN, Role.PASSENGER)
        found |= USER if part == own else STAFF
        assert part in (own, *e.TO_STAFF), "a new kind of audience: who is in it?"
    return found


class Wire:
    """A listener that records the bytes it is sent."""

    window = 0
    is_behind = False

    def __init__(self):
        self.bytes = b""

    def send(self, frames):
        self.bytes += frames

    def catch_up(self, frames):
        self.send(frames)

    def show(self, figure, frame):
        self.send(frame)

    @property
    def heard(self):
        return [json.loads(each) for each in self.bytes.splitlines()]


class Caller:
    """A session on the wire, under one identity; `say` returns the answers."""

    def __init__(self, hub):
        self.wire = Wire()
        answer = lambda each: self.wire.send(line(encode(each)))  # noqa: E731
        self.session = Session(hub, TOKENS, self.wire, answer)

    async def become(self, who):
        if who is not None:
            role, user, train = who
            await self.say("IDENTIFY", token=TOKENS.issue(user, role, [train]))
            assert self.session.identity.role is role

    async def say(self, kind, **more):
        before = len(self.wire.bytes)
        await self.session.receive(json.dumps({"type": kind, **more}))
        return self.wire.bytes[before:]


async def in_the_room(hub):
    """Return a caller for each of ROOM, subscribed under its first identity."""
    callers = {}
    for name, lives in ROOM.items():
        caller = callers[name] = Caller(hub)
        await caller.become(lives[0])
        await caller.say("SUBSCRIBE_TRAIN", **HERE)
        for life in lives[1:]:
            await caller.become(life)
    return callers


@pytest.mark.made_up
@pytest.mark.gen_test
@pytest.mark.parametrize(("event", "maker"), every_event())
async def test_an_event_s_words_reach_its_audience_only(make_hub, event, maker):
    """Live or replayed, a caller gets all of an event or not one byte of it."""
    hub = make_hub()
    await hub.execute(register_chart(chart(person(1, irctcId=OWN))), OPERATOR)
    callers = await in_the_room(hub)
    state = hub.state(RUN)
    await hub.log.append(RUN, state.seq + 1, [event])
    state.seq += 1
    told = words_in(encode(event.told), maker.marks)
    for name, caller in callers.items():
        expected = told if name in hearers(event) else set()
        assert words_in(caller.wire.bytes, maker.marks) == expected, name
        back = Caller(hub)
        await back.become(ROOM[name][-1])
        since = {"epoch": hub.epoch, "seq": 1}
        again = await back.say("SUBSCRIBE_TRAIN", **HERE, since=since)
        assert b'"recovered":true' in again
        assert words_in(again, maker.marks) == expected, name
        if name not in STAFF:  # no event for them has another person's data
            assert not words_in(caller.wire.bytes + again, maker.of_people), name


def test_public_events_name_no_person():
    """An event for the whole room has no field about a person."""
    for param in every_event():
        event, _ = param.values
        if event.audience == e.EVERYONE:
            names = set(re.findall(rb'"(\w+)":', encode(event.told)))
            people = {b"pnr", b"user", b"irctcId", b"berth", b"coach", b"age", b"phone", b"email"}
            assert not names & people, type(event).__name__


def test_the_room_is_told_apart():
    """The check itself: a user's event is for two callers, a staff event for four."""
    driver = Driver()
    driver.start()
    boarded = driver.board(1)[0]
    assert boarded.audience == e.user_and_staff("IR_1")
    with pytest.raises(AssertionError, match="new kind"):
        hearers(boarded)  # it is another user's


# --- what a wrong command is answered -------------------------------------------------------------

PEOPLE = 12


def crowd():
    """Return twelve people of twelve users: confirmed, on RAC, and on the waiting list."""
    people = [marked(who) for who in range(1, 7)]
    people += [marked_rac(who, who - 6) for who in (7, 8)]
    return people + [marked_wl(who, who - 8) for who in range(9, PEOPLE + 1)]


def own_of(who):
    """A passenger's token names that passenger; a TTE's token names no passenger."""
    return (Role.PASSENGER, f"IR_{who:02}zq", "12345")


# The callers who give random commands, and whose words each may read.
WALKERS = {
    "IR_07": (own_of(7), {7}),
    "IR_02": (own_of(2), {2}),
    "IR_01 of another train": ((Role.PASSENGER, "IR_01zq", "54321"), set()),
    "a stranger": ((Role.PASSENGER, "IR_99", "12345"), set()),
    "no token": (None, set()),
    "another train's TTE": ((Role.TTE, "T2", "54321"), set()),
    "a TTE of IR_01's name": ((Role.TTE, "IR_01zq", "54321"), set()),
    "a passenger of the TTE's name": ((Role.PASSENGER, "T1", "12345"), set()),
    "a feed": ((Role.SERVICE, "feed", "*"), set()),
}
ENDING = {"CANCEL_TRAIN", "SHORT_TERMINATE", "ARRIVE", "DEPART", "SKIP_STATION"}
STATIONS = ("AAA", "BBB", "CCC", "DDD", "EEE", "ZZZ")


def any_command(chance, hub):
    """Return a command on any person, any station and any offer that exists."""
    kind = chance.choice([each for each in c.COMMANDS if each != "REGISTER_TRAIN"])
    offers = [o for state in hub.runs.all() for o in state.offers] or ["12345.2026-11-23.1"]
    who = {"pnr": f"45123456{chance.randint(1, PEOPLE + 1):02}", "index": chance.randint(1, 2)}
    more = {
        "stationCode": chance.choice(STATIONS),
        "offerId": chance.choice(offers),
        "delayMinutes": chance.randint(-5, 20),
        "platform": "9",
        "text": "hello",
        "marks": [{"mark": "NO_SHOW", **who}, {"mark": "BOARDED", **who}],
        **who,
    }
    known = {"trainNo", "stationCode", "offerId", "delayMinutes", "platform", "text", "marks"}
    hints = {re.sub(r"_(\w)", lambda m: m[1].upper(), f.name) for f in fields(c.COMMANDS[kind])}
    wanted = hints & (known | who.keys())
    return kind, {name: more[name] for name in wanted if name in more} | HERE | (
        {"key": f"k{chance.randint(1, 30)}"} if chance.random() < 0.5 else {}
    )


@pytest.mark.gen_test(timeout=120)
async def test_no_answer_names_another(make_hub):
    """No answer to a passenger, a feed or another train's TTE names another person.

    Meanwhile the run's own TTE gives commands, under the same idempotency keys.
    """
    seed, chance = seeded()
    print(f"seed {seed}")
    now = [MORNING]
    hub = make_hub(clock=lambda: now[0])
    await hub.execute(register_chart(chart(*crowd())), OPERATOR)
    tte = Caller(hub)
    await tte.become((Role.TTE, "T1", "12345"))
    await tte.say("START_JOURNEY", **HERE)
    walkers = {}
    for name, (who, _) in WALKERS.items():
        walkers[name] = Caller(hub)
        await walkers[name].become(who)
        await walkers[name].say("SUBSCRIBE_TRAIN", **HERE)
    answers, done = Counter(), 0
    for _ in range(1_500):
        kind, command = any_command(chance, hub)
        if kind not in ENDING:
            done += b'"DONE"' in await tte.say(kind, **command)
        name = chance.choice(list(walkers))
        if kind == "CANCEL_TRAIN" or (name == "a feed" and kind in ("ARRIVE", "DEPART")):
            continue  # a command that would end the run
        answer = await walkers[name].say(kind, **command)
        codes = re.findall(rb'"type":"DONE|"type":"ERROR","code":"\w+', answer)
        answers.update(each.rpartition(b'"')[2].decode() for each in codes)
    everybody = {int(each["pnr"][-2:]): words_of(each) for each in crowd()}
    print(f"the TTE did {done}; the others were answered {dict(answers)}")
    assert done > 50
    assert answers.keys() >= {"FORBIDDEN", "NOT_IDENTIFIED", "CONFLICT", "DONE"}
    for name, caller in walkers.items():
        for who, words in everybody.items():
            # A caller may be told about itself.
            found = words_in(caller.wire.bytes, words) - {caller.session.identity.user}
            assert not found or who in WALKERS[name][1], f"{name} read {found}"
    for who in (2, 7):  # the words that are searched for do exist
        assert words_in(walkers[f"IR_{who:02}"].wire.bytes, everybody[who]) == everybody[who]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "who",
    [
        (Role.PASSENGER, "T1", "12345"),
        (Role.SERVICE, "T1", "12345"),
        (Role.TTE, "T1", "54321"),
        (Role.TTE, "T1", "12345/2026-11-24"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["MARK_NO_SHOW", "CANCEL_JOURNEY"])
async def test_a_key_gives_no_answer_to_a_caller_who_may_not_ask(make_hub, who, kind):
    """A repeat under a key gets the first answer only as the same user in the same role.

    Two roles may have users of the same name, and a new token may cover fewer runs.
    """
    hub = make_hub()
    await hub.execute(register_chart(chart(*crowd())), OPERATOR)
    command = {**HERE, "pnr": "4512345601", "index": 1, "key": "k1"}
    tte = Caller(hub)
    await tte.become((Role.TTE, "T1", "12345"))
    await tte.say("START_JOURNEY", **HERE)
    assert b"Nomen01zq" in await tte.say(kind, **command)
    assert b"Nomen01zq" in await tte.say(kind, **command)
    other = Caller(hub)
    await other.become(who)
    answer = await other.say(kind, **command)
    assert b'"FORBIDDEN"' in answer
    assert not words_in(answer, words_of(marked(1)))


@pytest.mark.gen_test
@pytest.mark.parametrize("who", [name for name in WALKERS if name != "a feed"])
async def test_a_refusal_does_not_tell_whether_a_person_exists(make_hub, who):
    """Another's person or offer, and a missing one, get the same answer word for word."""
    hub = make_hub()
    await hub.execute(register_chart(chart(*crowd(), checkMinutes=None)), OPERATOR)
    tte, caller = Caller(hub), Caller(hub)
    await tte.become((Role.TTE, "T1", "12345"))
    await caller.become(WALKERS[who][0])
    await tte.say("START_JOURNEY", **HERE)
    for what, whose in (("MARK_BOARDED", 8), ("MARK_NO_SHOW", 3)):
        await tte.say(what, **HERE, pnr=f"45123456{whose:02}", index=1)
    (offer,) = hub.state(RUN).offers
    for kind, cls in c.COMMANDS.items():
        if issubclass(cls, c.PersonCommand):
            more = HERE | ({"stationCode": "BBB"} if cls is c.ChangeBoarding else {})
            names = [{"pnr": pnr, "index": 1, **more} for pnr in ("4512345604", "9999999999")]
        elif issubclass(cls, c.OfferCommand):
            names = [{"offerId": offer}, {"offerId": f"{offer}9"}]
        else:
            continue
        there, not_there = [await caller.say(kind, **each) for each in names]
        assert there == not_there
        assert b'"ERROR"' in there


# --- what the log says when a document is refused -------------------------------------------------


class Refusing:
    """A write_buffer.Store that refuses every document, and quotes it as a database does."""

    async def write(self, collection, documents):
        raise Refused({each["_id"]: f"not allowed: {each}" for each in documents})


@pytest.mark.gen_test
async def test_a_refused_document_is_not_quoted_in_the_log(make_hub, tmp_path, caplog):
    """Also if `dead_letters` refuses it too: only the file has it, readable by its owner."""
    caplog.set_level(logging.DEBUG)
    hub = make_hub()
    letters = DeadLettersFile(tmp_path / "dead_letters.jsonl", Refusing())
    buffer = WriteBuffer(
        Refusing(),
        lambda record: changes(hub.state(record.stream), record, hub.epoch),
        lambda: hub.log.append(),
        letters,
    )
    hub.follow(Reader("write buffer", hub._journal, buffer))
    await hub.execute(register_chart(chart(*crowd())), OPERATOR)
    await buffer.flush_now()
    assert buffer.refused > PEOPLE
    logged = caplog.text.encode()
    assert b"dead_letters" in logged
    for each in crowd():
        assert not words_in(logged, words_of(each))
    assert b"Nomen01zq" in (tmp_path / "dead_letters.jsonl").read_bytes()
