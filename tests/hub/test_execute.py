"""Offers on a live hub: permission, expiry, restarts and MongoDB."""

import asyncio
from datetime import timedelta

import pytest
from fakes import Clock, Ear, Letters, MemoryJournal, MemoryStore
from mongods import PatientStore
from railway import MORNING, PEOPLE, RUN, TRAIN, rac, register

from trainhub.access.identity import ANONYMOUS, Identity
from trainhub.core.errors import Conflict, Forbidden, NotIdentified, Unavailable
from trainhub.core.log import Reader
from trainhub.core.write_buffer import WriteBuffer
from trainhub.domain import commands as c
from trainhub.domain.errors import OfferClosed, UnknownOffer
from trainhub.domain.model import OfferState, Role
from trainhub.hub.documents import INDEXES, LIVE, OFFERS, changes
from trainhub.hub.execute import MARKS_AT_ONCE
from trainhub.hub.vocabulary import RAILWAY

HERE = frozenset({"12345"})
ADMIN = Identity("control", Role.ADMIN, frozenset({"*"}))
TTE = Identity("T1", Role.TTE, HERE)
OTHER_TTE = Identity("T2", Role.TTE, frozenset({"54321"}))
SERVICE = Identity("feed", Role.SERVICE, frozenset({"*"}))
# RAC 1 has the first offer, RAC 2 the next; IR_3 has a seat of their own.
FIRST = Identity("IR_10", Role.PASSENGER, HERE)
SECOND = Identity("IR_11", Role.PASSENGER, HERE)
SEATED = Identity("IR_3", Role.PASSENGER, HERE)
ELSEWHERE = Identity("IR_10", Role.PASSENGER, frozenset({"54321"}))

FIRST_OFFER = "12345.2026-11-23.7"
OFFER_SECONDS = timedelta(seconds=300)


async def offering(hub, **fields):
    """Train 12345 at its first station, with both RACs aboard and S1-1 on offer to the first."""
    await hub.execute(register(**fields), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    for number in (10, 11):
        await hub.execute(c.MarkBoarded(**TRAIN, pnr=f"45123456{number}", index=1), TTE)
    await hub.execute(c.MarkNoShow(**TRAIN, pnr="4512345601", index=1), TTE)
    state = hub.state(RUN)
    assert list(state.offers) == [FIRST_OFFER]
    return state


def answer(command, offer=FIRST_OFFER):
    return command(**TRAIN, offer_id=offer)


def outcomes(state):
    """User and outcome of each offer, in their order."""
    return [(each.made.user, each.state) for each in state.offers.values()]


# --- permission -----------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize("identity", [FIRST, TTE, ADMIN], ids=lambda who: who.user)
@pytest.mark.parametrize("command", [c.AcceptOffer, c.DenyOffer])
async def test_the_passenger_and_the_staff_may_answer(make_hub, command, identity):
    """The offer's passenger, the run's TTE and the control room may accept and deny."""
    hub = make_hub()
    state = await offering(hub)
    await hub.execute(answer(command), identity)
    outcome = OfferState.ACCEPTED if command is c.AcceptOffer else OfferState.DENIED
    assert state.offers[FIRST_OFFER].state is outcome


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("identity", "error"),
    [
        (SECOND, Forbidden),
        (SEATED, Forbidden),
        (ELSEWHERE, Forbidden),
        (OTHER_TTE, Forbidden),
        (SERVICE, Forbidden),
        (ANONYMOUS, NotIdentified),
    ],
    ids=["second", "seated", "elsewhere", "other TTE", "service", "anonymous"],
)
@pytest.mark.parametrize("command", [c.AcceptOffer, c.DenyOffer, c.ApproveOffer, c.WithdrawOffer])
async def test_other_callers_may_not_answer(make_hub, command, identity, error):
    """Other passengers, other trains' TTEs, feeds and callers without a token may not answer."""
    hub = make_hub()
    state = await offering(hub)
    before = state.seq
    with pytest.raises(error):
        await hub.execute(answer(command), identity)
    assert state.seq == before
    assert outcomes(state) == [("IR_10", OfferState.OPEN)]


@pytest.mark.gen_test
@pytest.mark.parametrize("identity", [TTE, ADMIN], ids=lambda who: who.user)
async def test_only_the_staff_withdraw_and_approve(make_hub, identity):
    """The offer's passenger may neither withdraw nor approve."""
    hub = make_hub()
    state = await offering(hub)
    for command in (c.WithdrawOffer, c.ApproveOffer):
        with pytest.raises(Forbidden):
            await hub.execute(answer(command), FIRST)
    with pytest.raises(Conflict, match="ACCEPT_OFFER"):
        await hub.execute(answer(c.ApproveOffer), identity)
    await hub.execute(answer(c.WithdrawOffer), identity)
    assert outcomes(state)[0] == ("IR_10", OfferState.WITHDRAWN)


@pytest.mark.gen_test
async def test_where_a_tte_approves_the_passenger_cannot_accept(make_hub):
    """Under APPROVAL the passenger may only deny, and has the berth after the approval."""
    hub = make_hub()
    state = await offering(hub, policy="APPROVAL")
    with pytest.raises(Conflict, match="APPROVE_OFFER"):
        await hub.execute(answer(c.AcceptOffer), FIRST)
    await hub.execute(answer(c.ApproveOffer), TTE)
    assert outcomes(state)[0] == ("IR_10", OfferState.ACCEPTED)
    passenger = state.passengers["4512345610/1"]
    assert (passenger.coach, passenger.berth, passenger.upgraded_from) == ("S1", 1, "RAC 1")


@pytest.mark.gen_test
async def test_a_passenger_cancels_and_moves_their_own_people_only(make_hub):
    """A passenger gets the same error for another user's person and for an unknown one."""
    hub = make_hub()
    await hub.execute(register(), ADMIN)
    own = {**TRAIN, "pnr": "4512345603", "index": 1}
    for person in (own, {**own, "index": 2}, {**own, "pnr": "9999999999"}):
        for command in (c.ChangeBoarding(**person, station_code="CCC"), c.CancelJourney(**person)):
            with pytest.raises(Forbidden) as raised:
                await hub.execute(command, FIRST)
            assert raised.value.details == {}
    assert hub.state(RUN).seq == 1
    moved = await hub.execute(c.ChangeBoarding(**own, station_code="CCC"), SEATED)
    assert (moved["oldFrom"], moved["from"]) == ("BBB", "CCC")
    cancelled = await hub.execute(c.CancelJourney(**own), SEATED)
    assert cancelled["pnr"] == "4512345603"
    assert (await hub.execute(c.CancelJourney(**own), SEATED))["unchanged"] is True


@pytest.mark.gen_test
async def test_an_offer_that_is_not_there(make_hub):
    """An unknown offer is UNKNOWN_OFFER for the staff, and FORBIDDEN for a passenger."""
    hub = make_hub()
    await offering(hub)
    for command in (c.AcceptOffer, c.DenyOffer, c.WithdrawOffer, c.ApproveOffer):
        with pytest.raises(UnknownOffer):
            await hub.execute(answer(command, "12345.2026-11-23.8"), TTE)
    with pytest.raises(Forbidden):
        await hub.execute(answer(c.AcceptOffer, "12345.2026-11-23.8"), FIRST)


# --- many at once ---------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_of_many_answers_at_once_one_wins(make_hub):
    """In any order, one answer is done, and each other one gets the outcome."""
    for turn in range(6):
        hub = make_hub()
        state = await offering(hub)
        commands = [c.AcceptOffer, c.DenyOffer, c.WithdrawOffer] * 7
        commands = commands[turn:] + commands[:turn]
        results = await asyncio.gather(
            *(hub.execute(answer(each), TTE) for each in commands), return_exceptions=True
        )
        lost = [each for each in results if isinstance(each, OfferClosed)]
        assert len(lost) == len(commands) - 1
        assert not isinstance(results[0], Exception)
        assert {each.details["outcome"] for each in lost} == {state.offers[FIRST_OFFER].state}


def mark(kind, number, index=1):
    return c.Mark(mark=kind, pnr=f"45123456{number:02}", index=index)


MANY_MARKS = (
    mark(c.MarkKind.BOARDED, 10),
    mark(c.MarkKind.BOARDED, 3),  # boards at BBB
    mark(c.MarkKind.NO_SHOW, 1),
    mark(c.MarkKind.BOARDED, 99),  # an unknown person
    mark(c.MarkKind.NO_SHOW, 1),  # no change
    mark(c.MarkKind.UNDO_NO_SHOW, 1),
    mark(c.MarkKind.BOARDED, 1),
    mark(c.MarkKind.UNDO_NO_SHOW, 1),  # aboard
)


@pytest.mark.gen_test
async def test_each_mark_of_a_batch_is_answered(make_hub):
    """The marks of a batch are answered in order, and written in one commit."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await hub.execute(register(), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    journal.commits.clear()
    result = await hub.execute(c.Batch(**TRAIN, marks=MANY_MARKS), TTE)
    assert [(each["mark"], each["pnr"], each["index"]) for each in result["marks"]] == [
        (each.mark, each.pnr, 1) for each in MANY_MARKS
    ]
    assert [each.get("error", {}).get("code") for each in result["marks"]] == [
        None,
        "CONFLICT",
        None,
        "UNKNOWN_PASSENGER",
        *(None, None, None, "CONFLICT"),
    ]
    assert result["marks"][1]["error"]["details"] == {"boardsAt": "BBB"}
    assert result["marks"][4]["result"]["unchanged"] is True
    assert journal.commits == [hub.state(RUN).seq - 2]
    states = {key: each.state for key, each in hub.state(RUN).passengers.items()}
    assert states["4512345601/1"] == states["4512345610/1"] == "ABOARD"
    assert states["4512345603/1"] == "DUE"


@pytest.mark.gen_test
async def test_a_batch_is_told_in_the_order_of_its_marks(make_hub):
    """A batch is one write to each socket, with the events by seq."""
    hub = make_hub()
    await hub.execute(register(), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    ear = Ear()
    await hub.subscriptions.join(ear, TTE, hub.state(RUN), None, lambda _: None)
    ear.writes.clear()
    await hub.execute(c.Batch(**TRAIN, marks=MANY_MARKS), TTE)
    (told,) = ear.writes
    assert [message["type"] for message in told] == [
        "PASSENGER_BOARDED",
        "NO_SHOW",
        "BERTH_VACATED",
        "NO_SHOW_UNDONE",
        "PASSENGER_BOARDED",
    ]
    assert ear.seqs == [3, 4, 5, 6, 7]


@pytest.mark.gen_test
async def test_a_batch_matches_once_after_its_last_mark(make_hub):
    """The better number gets the berth, although its mark comes later in the batch."""
    hub = make_hub()
    await hub.execute(register(checkMinutes=None), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    kinds = (c.MarkKind.NO_SHOW, 1), (c.MarkKind.BOARDED, 11), (c.MarkKind.BOARDED, 10)
    marks = tuple(mark(kind, who) for kind, who in kinds)
    await hub.execute(c.Batch(**TRAIN, marks=marks), TTE)
    (offer,) = hub.state(RUN).offers.values()
    assert offer.made.user == "IR_10"


@pytest.mark.gen_test
async def test_a_batch_that_a_crash_cut_short_is_matched_at_the_start(make_hub):
    """Marks without the matching that follows them are on disk: the next hub matches."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await hub.execute(register(), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    await hub.execute(c.MarkBoarded(**TRAIN, pnr="4512345610", index=1), TTE)
    no_show = c.MarkNoShow(**TRAIN, pnr="4512345601", index=1)
    await hub.executor.execute(no_show, TTE, match=False)
    assert not hub.state(RUN).offers
    again = make_hub(journal)
    await again.upkeep.load()
    await again.executor.expire_offers()
    assert [offer.made.user for offer in again.state(RUN).offers.values()] == ["IR_10"]


@pytest.mark.gen_test
async def test_a_large_batch_gives_way_to_other_work(make_hub):
    """Other commands are answered between the parts of a large batch."""
    hub = make_hub()
    await hub.execute(register(), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    turns = (c.MarkKind.NO_SHOW, c.MarkKind.UNDO_NO_SHOW)
    marks = tuple(mark(turns[place % 2], 1) for place in range(40 * MARKS_AT_ONCE))
    batch = asyncio.create_task(hub.execute(c.Batch(**TRAIN, marks=marks), TTE))
    turned = 0
    while hub.state(RUN).seq < 40 * MARKS_AT_ONCE:  # an event or more of each mark
        await asyncio.sleep(0)
        turned += 1
        assert not batch.done()
    assert turned >= 20
    answers = (await batch)["marks"]
    assert [each.get("error") for each in answers] == [None] * len(marks)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("identity", "error"),
    [(FIRST, Forbidden), (OTHER_TTE, Forbidden), (SERVICE, Forbidden), (ANONYMOUS, NotIdentified)],
)
async def test_a_batch_is_for_the_run_s_staff(make_hub, identity, error):
    """A batch of another caller is refused as a whole."""
    hub = make_hub()
    await hub.execute(register(), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    with pytest.raises(error):
        await hub.execute(c.Batch(**TRAIN, marks=MANY_MARKS), identity)
    assert hub.state(RUN).seq == 2


@pytest.mark.gen_test
async def test_a_batch_that_cannot_be_written_is_unavailable(make_hub):
    """If the journal fails, a batch is answered UNAVAILABLE, without a list of marks."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await hub.execute(register(), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    journal.broken = True
    with pytest.raises(Unavailable):
        await hub.execute(c.Batch(**TRAIN, marks=MANY_MARKS), TTE)


# --- time -----------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_what_runs_out_goes_to_the_next(make_hub):
    """The timer closes expired offers, tells their audience, and offers the berth to the next."""
    clock = Clock(MORNING)
    hub = make_hub(clock=clock)
    state = await offering(hub)
    ears = {who: Ear() for who in (TTE, FIRST, SECOND, SEATED)}
    for who, ear in ears.items():
        await hub.subscriptions.join(ear, who, state, None, lambda _: None)
        ear.writes.clear()
    clock.now += OFFER_SECONDS - timedelta(milliseconds=1)
    await hub.executor.expire_offers()
    assert outcomes(state) == [("IR_10", OfferState.OPEN)]
    clock.now += timedelta(milliseconds=1)
    await hub.executor.expire_offers()
    assert outcomes(state) == [("IR_10", OfferState.EXPIRED), ("IR_11", OfferState.OPEN)]
    heard = {who: [message["type"] for message in ear.heard] for who, ear in ears.items()}
    assert heard[TTE] == ["UPGRADE_CLOSED", "UPGRADE_PENDING"]
    assert heard[FIRST] == ["UPGRADE_CLOSED"]
    assert heard[SECOND] == ["UPGRADE_OFFER"]
    assert heard[SEATED] == []
    assert ears[FIRST].heard[0]["data"]["outcome"] == "EXPIRED"
    seq = state.seq
    await hub.executor.expire_offers()
    assert state.seq == seq
    clock.now += OFFER_SECONDS
    await hub.executor.expire_offers()
    assert [outcome for _, outcome in outcomes(state)] == [OfferState.EXPIRED] * 2
    assert not state.open_by_berth


@pytest.mark.gen_test
async def test_a_run_that_never_ended_is_closed_and_takes_no_report_of_the_next_day(make_hub):
    """The timer closes it hours after its expected end, and not a second earlier."""
    clock = Clock(MORNING)
    hub = make_hub(clock=clock)
    state = await offering(hub)
    end = state.stops[-1].scheduled_arrival
    clock.now = end + timedelta(hours=12) - timedelta(seconds=1)
    await hub.executor.close_runs(12)
    assert state.running
    clock.now += timedelta(seconds=1)
    await hub.executor.close_runs(12)
    assert (state.status, state.open_by_berth) == ("CLOSED", {})
    with pytest.raises(Conflict, match="is CLOSED"):
        await hub.execute(c.Depart(**TRAIN, station_code="AAA"), SERVICE)


@pytest.mark.gen_test
async def test_an_answer_that_comes_too_late_has_lost(make_hub):
    """A late answer is refused even before the timer runs."""
    clock = Clock(MORNING)
    hub = make_hub(clock=clock)
    state = await offering(hub)
    seq = state.seq
    clock.now += OFFER_SECONDS
    for command in (c.AcceptOffer, c.DenyOffer):
        with pytest.raises(OfferClosed) as raised:
            await hub.execute(answer(command), FIRST)
        assert raised.value.details == {"outcome": "EXPIRED"}
    assert state.seq == seq


@pytest.mark.gen_test
async def test_the_timer_and_an_answer_at_once(make_hub):
    """Of the timer and an answer, the first one decides, and the other changes nothing."""
    clock = Clock(MORNING)
    journal = MemoryJournal()
    hub = make_hub(journal, clock)
    state = await offering(hub)
    journal.gate.clear()
    accepted = asyncio.ensure_future(hub.execute(answer(c.AcceptOffer), FIRST))
    await asyncio.sleep(0)
    clock.now += OFFER_SECONDS
    expiring = asyncio.ensure_future(hub.executor.expire_offers())
    await asyncio.sleep(0)
    journal.gate.set()
    await asyncio.gather(accepted, expiring)
    assert outcomes(state)[0] == ("IR_10", OfferState.ACCEPTED)
    outcome = [each.event for each in journal.records if FIRST_OFFER in list(each.event.offers)]
    assert len(outcome) == 2  # made, and answered


@pytest.mark.gen_test
async def test_every_run_s_offers_run_out(make_hub):
    """The timer closes expired offers on all runs, and changes no other run."""
    clock = Clock(MORNING)
    hub = make_hub(clock=clock)
    state = await offering(hub)
    await hub.execute(register(startDate="2026-11-24"), ADMIN)
    other = next(each for each in hub.runs.all() if each is not state)
    there = {"train_no": "12345", "start_date": other.chart.start_date}
    await hub.execute(c.StartJourney(**there), ADMIN)
    await hub.execute(c.MarkBoarded(**there, pnr="4512345610", index=1), TTE)
    await hub.execute(c.MarkNoShow(**there, pnr="4512345601", index=1), TTE)
    await hub.execute(register(startDate="2026-11-25"), ADMIN)
    clock.now += OFFER_SECONDS
    await hub.executor.expire_offers()
    assert [state.seq, other.seq] == [11, 8]
    assert outcomes(other) == [("IR_10", OfferState.EXPIRED)]


# --- a restart ------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_new_hub_has_the_same_offers(make_hub):
    """After kill -9, open offers are open and closed offers closed, and both take answers."""
    journal = MemoryJournal()
    old = await offering(make_hub(journal))
    again = make_hub(journal)
    await again.upkeep.load()
    new = again.state(RUN)
    assert new.offers == old.offers
    assert new.freed == old.freed
    assert (new.open_by_berth, new.open_by_person) == (old.open_by_berth, old.open_by_person)
    await again.execute(answer(c.DenyOffer), FIRST)
    third = make_hub(journal)
    await third.upkeep.load()
    state = third.state(RUN)
    assert outcomes(state) == [("IR_10", OfferState.DENIED), ("IR_11", OfferState.OPEN)]
    vacancy = state.vacancy("S1-1")
    assert vacancy.passed == {"4512345610/1"}
    with pytest.raises(OfferClosed) as raised:
        await third.execute(answer(c.AcceptOffer), FIRST)
    assert raised.value.details == {"outcome": "DENIED"}
    await third.execute(answer(c.AcceptOffer, next(reversed(state.offers))), SECOND)
    assert outcomes(state)[1] == ("IR_11", OfferState.ACCEPTED)


@pytest.mark.gen_test
async def test_what_ran_out_meanwhile_is_closed_at_the_start(make_hub):
    """An offer that expired while the hub was down is closed at the start."""
    journal, clock = MemoryJournal(), Clock(MORNING)
    await offering(make_hub(journal, clock))
    clock.now += timedelta(hours=1)
    again = make_hub(journal, clock)
    await again.upkeep.load()
    await again.executor.expire_offers()
    state = again.state(RUN)
    assert outcomes(state) == [("IR_10", OfferState.EXPIRED), ("IR_11", OfferState.OPEN)]
    assert state.offers[FIRST_OFFER].closed_at == clock.now
    (open_offer,) = state.open_by_berth.values()
    assert open_offer.made.expires_at == clock.now + OFFER_SECONDS
    third = make_hub(journal, clock)
    await third.upkeep.load()
    assert third.state(RUN).offers == state.offers


@pytest.mark.gen_test
async def test_an_offer_that_the_journal_lost_was_never_told(make_hub):
    """An offer that was not committed before a kill was sent to no socket."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await hub.execute(register(), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    await hub.execute(c.MarkBoarded(**TRAIN, pnr="4512345610", index=1), TTE)
    ear = Ear()
    await hub.subscriptions.join(ear, FIRST, hub.state(RUN), None, lambda _: None)
    ear.writes.clear()
    journal.gate.clear()
    marking = asyncio.ensure_future(
        hub.execute(c.MarkNoShow(**TRAIN, pnr="4512345601", index=1), TTE)
    )
    for _ in range(20):
        await asyncio.sleep(0)
    assert hub.state(RUN).offers
    assert ear.writes == []
    killed = MemoryJournal()
    killed.records, killed.head = list(journal.records), journal.head
    again = make_hub(killed)
    await again.upkeep.load()
    assert again.state(RUN).offers == {}
    journal.gate.set()
    await marking


# --- MongoDB --------------------------------------------------------------------------------


def writing(hub, journal, store):
    """A write buffer behind the hub, as server.py connects it."""
    buffer = WriteBuffer(
        store,
        lambda record: changes(hub.state(record.stream), record, hub.epoch),
        lambda: hub.log.append(),
        Letters(),
    )
    reader = Reader("write buffer", journal, buffer)
    hub.follow(reader)
    return buffer, reader


@pytest.mark.gen_test
async def test_mongodb_has_each_offer_as_it_ended(make_hub, mongodb_uri, database_name, database):
    """MongoDB has one document for each offer, in its last state."""
    journal, clock = MemoryJournal(), Clock(MORNING)
    hub = make_hub(journal, clock)
    store = PatientStore(mongodb_uri, database_name, INDEXES, vocabulary=RAILWAY)
    try:
        buffer, _ = writing(hub, journal, store)
        state = await offering(hub)
        await buffer.flush()
        assert database.offers.find_one({"_id": FIRST_OFFER})["state"] == "OPEN"
        await hub.execute(answer(c.DenyOffer), FIRST)
        clock.now += OFFER_SECONDS
        await hub.executor.expire_offers()
        await hub.execute(c.MarkBoarded(**TRAIN, pnr="4512345620", index=1), TTE)
        third = next(reversed(state.offers))
        await hub.execute(answer(c.AcceptOffer, third), TTE)
        await buffer.flush()
        found = list(database.offers.find().sort("seq"))
        assert {each["_id"]: (each["irctcId"], each["state"]) for each in found} == {
            offer.id: (offer.made.user, offer.state.value) for offer in state.offers.values()
        }
        assert [outcome for _, outcome in outcomes(state)] == ["DENIED", "EXPIRED", "ACCEPTED"]
        assert {each["_id"]: each["closedAt"] for each in found} == {
            offer.id: offer.closed_at for offer in state.offers.values()
        }
        upgraded = database.passengers.find_one({"_id": f"{RUN}/4512345620/1"})
        assert (upgraded["status"], upgraded["coach"], upgraded["berth"]) == ("CNF", "S1", 1)
        assert upgraded["upgradedFrom"] == "WL 1"
        assert database.events.count_documents({}) == state.seq
        assert (buffer.depth, buffer.refused) == (0, 0)
    finally:
        store.close()


@pytest.mark.gen_test
async def test_mongodb_s_runs_come_back_with_their_offers(
    make_hub, mongodb_uri, database_name, database
):
    """A hub that lost its data folder gets its open offers from MongoDB."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    store = PatientStore(mongodb_uri, database_name, INDEXES, vocabulary=RAILWAY)
    try:
        buffer, _ = writing(hub, journal, store)
        state = await offering(hub)
        await hub.execute(answer(c.DenyOffer), FIRST)
        await buffer.flush()
        new = make_hub(MemoryJournal())
        await new.upkeep.restore({run: events async for run, events in store.runs(LIVE)})
        assert new.state(RUN).offers == state.offers
        await new.execute(answer(c.AcceptOffer, next(reversed(state.offers))), SECOND)
        assert outcomes(new.state(RUN))[1] == ("IR_11", OfferState.ACCEPTED)
    finally:
        store.close()


@pytest.mark.gen_test
async def test_offers_made_while_the_store_is_away_reach_it_later(make_hub):
    """Offers made while the store is away reach it once each, in their last state."""
    journal, store = MemoryJournal(), MemoryStore()
    hub = make_hub(journal)
    buffer, reader = writing(hub, journal, store)
    store.away = True
    state = await offering(hub)
    await buffer.flush_now()
    await hub.execute(answer(c.DenyOffer), FIRST)
    store.away = False
    await buffer.flush_now()
    kept = {name: each for (where, name), each in store.documents.items() if where == OFFERS}
    assert {name: each["state"] for name, each in kept.items()} == {
        offer.id: offer.state for offer in state.offers.values()
    }
    await buffer.flush_now()
    assert reader.done == journal.head


@pytest.mark.gen_test
async def test_the_next_in_turn_is_a_number(make_hub):
    """RAC 9 is offered a berth before RAC 10."""
    hub = make_hub()
    people = [{**rac(50, 10), "berth": 15}, {**rac(51, 9), "berth": 15}]
    await hub.execute(register(passengers=[*PEOPLE, *people], checkMinutes=None), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    for number in (50, 51):
        await hub.execute(c.MarkBoarded(**TRAIN, pnr=f"45123456{number}", index=1), TTE)
    await hub.execute(c.MarkNoShow(**TRAIN, pnr="4512345601", index=1), TTE)
    (offer,) = hub.state(RUN).offers.values()
    assert offer.made.user == "IR_51"
