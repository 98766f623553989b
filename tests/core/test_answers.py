"""trainhub/core/answers.py: a repeated command gets its first answer, and happens once."""

import asyncio
from datetime import timedelta

import pytest
from clocks import Machine
from fakes import MemoryJournal
from railway import MORNING, RUN, TRAIN, register

from trainhub.access.identity import Identity
from trainhub.core.answers import KEPT_SECONDS, LONGEST_KEY, MOST_OF_PASSENGER, Answers, check_key
from trainhub.core.errors import BadMessage, Conflict
from trainhub.domain import commands as c
from trainhub.domain.model import Role

ADMIN = Identity("control", Role.ADMIN, frozenset({"*"}))
TTE = Identity("T1", Role.TTE, frozenset({"12345"}))
BOARD = c.MarkBoarded(**TRAIN, pnr="4512345601", index=1)
HELLO = c.Announce(**TRAIN, text="hello")


async def started(hub):
    await hub.execute(register(), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    return hub


@pytest.mark.parametrize("key", ["k", "x" * LONGEST_KEY, "b6f2-41 #~"])
def test_a_key_is_chosen_by_the_client(key):
    """Up to 64 printable ASCII characters."""
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "x" * (LONGEST_KEY + 1), "a\nb", "é", 5, None, ["k"]])
def test_what_is_no_key_is_refused(key):
    """Anything else is a BadMessage."""
    with pytest.raises(BadMessage, match="idempotency key"):
        check_key(key)


@pytest.mark.gen_test
async def test_a_repeat_gets_the_first_answer_and_has_no_second_effect(make_hub):
    """An announcement sent twice under one key is made once."""
    hub = await started(make_hub())
    first = await hub.execute(HELLO, ADMIN, "k1")
    assert await hub.execute(HELLO, ADMIN, "k1") == first
    assert hub.state(RUN).seq == first["seq"]
    assert (await hub.execute(HELLO, ADMIN, "k2"))["seq"] == first["seq"] + 1
    assert (await hub.execute(HELLO, ADMIN))["seq"] == first["seq"] + 2


@pytest.mark.gen_test
async def test_a_repeat_that_overtakes_the_commit_waits_for_it(make_hub):
    """Sent again while the first is in flight: one event, both answered once it is durable."""
    journal = MemoryJournal()
    hub = await started(make_hub(journal))
    journal.gate.clear()
    both = [asyncio.ensure_future(hub.execute(HELLO, ADMIN, "k")) for _ in range(2)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(each.done() for each in both)
    journal.gate.set()
    first, second = await asyncio.gather(*both)
    assert first == second
    assert hub.state(RUN).seq == 3


@pytest.mark.gen_test
async def test_after_a_crash_a_repeat_gets_the_first_answer(make_hub):
    """The answer is in the same commit as the events, so one is never there without the other."""
    journal = MemoryJournal()
    hub = await started(make_hub(journal))
    first = await hub.execute(HELLO, ADMIN, "k")
    again = make_hub(journal)
    await again.upkeep.load()
    assert await again.execute(HELLO, ADMIN, "k") == first
    assert again.state(RUN).seq == hub.state(RUN).seq


@pytest.mark.gen_test
async def test_a_mark_that_was_so_already_is_kept_too(make_hub):
    """A command without events has an answer all the same."""
    journal = MemoryJournal()
    hub = await started(make_hub(journal))
    await hub.execute(BOARD, TTE)
    assert (await hub.execute(BOARD, TTE, "k"))["unchanged"] is True
    assert [answer.key for answer in journal.kept] == ["k"]


@pytest.mark.gen_test
async def test_a_key_is_its_user_s(make_hub):
    """Two users may choose the same key."""
    hub = await started(make_hub())
    first = await hub.execute(HELLO, ADMIN, "k")
    assert (await hub.execute(HELLO, TTE, "k"))["seq"] == first["seq"] + 1


@pytest.mark.gen_test
async def test_a_key_of_another_command_is_a_conflict(make_hub):
    """It would be a mistake to answer one command with another's result."""
    hub = await started(make_hub())
    await hub.execute(HELLO, ADMIN, "k")
    with pytest.raises(Conflict, match="another command"):
        await hub.execute(BOARD, ADMIN, "k")
    assert hub.state(RUN).passenger("4512345601", 1).state == "DUE"


@pytest.mark.gen_test
async def test_a_failure_is_not_kept(make_hub):
    """It changed nothing, so the same command may succeed later."""
    hub = await started(make_hub())
    arrive = c.Arrive(**TRAIN, station_code="CCC")
    with pytest.raises(Conflict):
        await hub.execute(arrive, ADMIN, "k")
    await hub.execute(c.Depart(**TRAIN, station_code="AAA"), ADMIN)
    await hub.execute(c.SkipStation(**TRAIN, station_code="BBB"), ADMIN)
    assert (await hub.execute(arrive, ADMIN, "k"))["station"]["code"] == "CCC"


@pytest.mark.gen_test
async def test_each_mark_of_a_batch_is_kept(make_hub):
    """A batch sent again gets, mark by mark, what it got."""
    hub = await started(make_hub())
    marks = tuple(
        c.Mark(mark=c.MarkKind.NO_SHOW, pnr=f"451234560{who}", index=1) for who in (1, 2, 9)
    )
    batch = c.Batch(**TRAIN, marks=marks)
    first = await hub.execute(batch, TTE, "k")
    seq = hub.state(RUN).seq
    assert await hub.execute(batch, TTE, "k") == first
    assert hub.state(RUN).seq == seq


@pytest.mark.gen_test
async def test_answers_are_kept_for_a_day(make_hub):
    """After 24 hours the key is free again, in memory and in the journal."""
    journal, now = MemoryJournal(), MORNING
    hub = await started(make_hub(journal, lambda: now))
    await hub.execute(HELLO, ADMIN, "k")
    now += timedelta(seconds=KEPT_SECONDS)
    await hub.upkeep.prune()
    assert len(journal.kept) == 1
    now += timedelta(seconds=1)
    await hub.upkeep.prune()
    assert journal.kept == []
    seq = hub.state(RUN).seq
    assert (await hub.execute(HELLO, ADMIN, "k"))["seq"] == seq + 1


@pytest.mark.gen_test
async def test_answers_are_kept_for_a_day_though_the_clock_is_set(make_hub):
    """A year forward in the first hour: the key is not free for that."""
    journal, machine = MemoryJournal(), Machine()
    clock = machine.clock()
    hub = await started(make_hub(journal, clock))
    await hub.execute(HELLO, ADMIN, "k")
    machine.pass_(3600)
    machine.set(400 * KEPT_SECONDS)
    clock.follow(clock.look())
    machine.pass_(22 * 3600)
    await hub.upkeep.prune(clock.before)
    assert len(journal.kept) == 1
    machine.pass_(2 * 3600)
    await hub.upkeep.prune(clock.before)
    assert journal.kept == []


def test_answers_do_not_grow_without_bound():
    """The oldest go first."""
    answers = Answers(most=3)
    for number in range(5):
        answers.store("u", f"k{number}", HELLO, {"seq": number}, float(number))
    assert len(answers) == 3
    assert answers.find("u", "k1", HELLO) is None
    assert answers.find("u", "k2", HELLO) == {"seq": 2}


def test_no_user_pushes_out_another_s_answers():
    """When the table is full, the user with the most answers loses the oldest one."""
    answers = Answers(most=10)
    answers.store("T1", "k", HELLO, {"seq": 1}, 0.0)
    for number in range(1_000):
        answers.store("IR_1", f"k{number}", HELLO, {"seq": number}, float(number))
    assert answers.find("T1", "k", HELLO) == {"seq": 1}
    assert len(answers) == 10


@pytest.mark.gen_test
async def test_a_passenger_who_repeats_a_command_under_new_keys(make_hub):
    """It costs the TTE's key nothing, and neither memory nor the journal keeps all of them.

    Nor does the next start find more.
    """
    journal = MemoryJournal()
    hub = await started(make_hub(journal))
    first = await hub.execute(HELLO, TTE, "k")
    mine = hub.state(RUN).passenger("4512345601", 1).booking.irctc_id
    passenger = Identity(mine, Role.PASSENGER, frozenset({"12345"}))
    cancel = c.CancelJourney(**TRAIN, pnr="4512345601", index=1)
    for number in range(MOST_OF_PASSENGER + 50):
        await hub.execute(cancel, passenger, f"k{number}")
    assert [answer.key for answer in journal.kept if answer.user == mine] == [
        f"k{number}" for number in range(50, MOST_OF_PASSENGER + 50)
    ]
    again = make_hub(journal)
    await again.upkeep.load()
    assert len(again.executor._answers) == MOST_OF_PASSENGER + 1
    assert await again.execute(HELLO, TTE, "k") == first
