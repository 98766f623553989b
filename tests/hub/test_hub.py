"""trainhub/hub/hub.py: one path for commands, and durability before delivery."""

import asyncio
from datetime import date

import pytest
from callers import ADMIN, PASSENGER, TTE, join, running
from fakes import Ear, MemoryJournal
from railway import RUN, TRAIN, register

from trainhub.access.identity import ANONYMOUS, Identity
from trainhub.core.errors import Conflict, Forbidden, NotIdentified, TooManyRooms, Unavailable
from trainhub.domain import commands as c
from trainhub.domain.errors import AmbiguousRun, UnknownTrain
from trainhub.domain.model import Role
from trainhub.domain.views import run_view
from trainhub.hub.protocol import Since
from trainhub.hub.subscriptions import PASSENGER_ROOMS


@pytest.mark.gen_test
async def test_a_command_is_answered_only_after_its_commit(make_hub):
    """A command is answered after its commit."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    journal.gate.clear()
    command = asyncio.ensure_future(hub.execute(register(), ADMIN))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not command.done()
    assert journal.records == []
    journal.gate.set()
    result = await command
    assert result["seq"] == 1
    assert result["passengers"] == 6
    assert [record.seq for record in journal.records] == [1]


@pytest.mark.gen_test
async def test_nothing_is_told_before_its_commit(make_hub):
    """A socket gets an event after its commit."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await running(hub)
    ear = Ear()
    await join(hub, ear, ADMIN)
    ear.writes.clear()
    journal.gate.clear()
    command = asyncio.ensure_future(hub.execute(c.Depart(**TRAIN, station_code="AAA"), ADMIN))
    for _ in range(20):
        await asyncio.sleep(0)
    assert ear.writes == []
    journal.gate.set()
    await command
    assert [message["type"] for message in ear.heard] == ["STATION_DEPARTURE"]


@pytest.mark.gen_test
async def test_commands_gather_while_a_commit_is_in_flight(make_hub):
    """Commands during a commit share the next commit, and one write to each socket."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await running(hub)
    ear = Ear()
    await join(hub, ear, ADMIN)
    ear.writes.clear()
    journal.commits.clear()
    announcements = [c.Announce(**TRAIN, text=f"number {n}") for n in range(10)]
    journal.gate.clear()
    first = asyncio.ensure_future(hub.execute(announcements[0], ADMIN))
    for _ in range(20):
        await asyncio.sleep(0)
    rest = [asyncio.ensure_future(hub.execute(each, ADMIN)) for each in announcements[1:]]
    await asyncio.sleep(0)
    journal.gate.set()
    await asyncio.gather(first, *rest)
    assert journal.commits == [1, 9]
    assert [len(write) for write in ear.writes] == [1, 9]


@pytest.mark.gen_test
async def test_of_many_who_arrive_at_once_one_succeeds(make_hub):
    """Of many reports of one arrival, one succeeds, and the others are conflicts."""
    hub = make_hub()
    await running(hub)
    await hub.execute(c.Depart(**TRAIN, station_code="AAA"), ADMIN)
    arrive = c.Arrive(**TRAIN, station_code="BBB")
    answers = await asyncio.gather(
        *(hub.execute(arrive, ADMIN) for _ in range(20)), return_exceptions=True
    )
    conflicts = [each for each in answers if isinstance(each, Conflict)]
    assert len(conflicts) == 19
    assert {each.details["next"] for each in conflicts} == {"BBB"}
    assert hub.state(RUN).current == 1


@pytest.mark.gen_test
async def test_a_failed_command_leaves_the_log_alone(make_hub):
    """A refused command adds nothing to the log."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await running(hub)
    before = len(journal.records)
    with pytest.raises(Conflict):
        await hub.execute(c.Arrive(**TRAIN, station_code="CCC"), ADMIN)
    with pytest.raises(Conflict, match="registered already"):
        await hub.execute(register(), ADMIN)
    assert len(journal.records) == before
    assert hub.state(RUN).seq == before


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("identity", "error"),
    [
        (ANONYMOUS, NotIdentified),
        (PASSENGER, Forbidden),
        (Identity("T2", Role.TTE, frozenset({"54321"})), Forbidden),
        (Identity("feed", Role.SERVICE, frozenset({"*"})), Forbidden),
    ],
)
async def test_only_the_run_s_staff_marks(make_hub, identity, error):
    """The hub checks the caller's role, from the command."""
    hub = make_hub()
    await running(hub)
    mark = c.MarkNoShow(**TRAIN, pnr="4512345601", index=1)
    with pytest.raises(error):
        await hub.execute(mark, identity)
    await hub.execute(mark, TTE)


@pytest.mark.gen_test
async def test_joining_waits_for_the_commit_in_flight(make_hub):
    """No event is lost between the SNAPSHOT and the first event of the room."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await running(hub)
    journal.gate.clear()
    before = asyncio.ensure_future(hub.execute(c.Announce(**TRAIN, text="before"), ADMIN))
    await asyncio.sleep(0)
    ear = Ear()
    joining = asyncio.ensure_future(join(hub, ear, ADMIN))
    await asyncio.sleep(0)
    after = asyncio.ensure_future(hub.execute(c.Announce(**TRAIN, text="after"), ADMIN))
    for _ in range(20):
        await asyncio.sleep(0)
    assert ear.writes == []
    journal.gate.set()
    await asyncio.gather(before, joining, after)
    snapshot, _presence, _boarding, told = ear.heard
    assert snapshot["type"] == "SNAPSHOT"
    assert snapshot["seq"] == 3
    assert (told["seq"], told["data"]["text"]) == (4, "after")


@pytest.mark.gen_test
async def test_who_comes_back_gets_what_was_missed(make_hub):
    """A reconnecting client gets each missed event once, with its seq, if it may see it."""
    hub = make_hub()
    await running(hub)
    mark = c.MarkNoShow(**TRAIN, pnr="4512345601", index=1)
    await hub.execute(mark, TTE)
    await hub.execute(c.Announce(**TRAIN, text="hello"), TTE)
    since = Since(epoch=hub.epoch, seq=1)
    expected = {
        TTE: ["JOURNEY_STARTED", "NO_SHOW", "BERTH_VACATED", "ANNOUNCEMENT"],
        PASSENGER: ["JOURNEY_STARTED", "NO_SHOW", "ANNOUNCEMENT"],
        ANONYMOUS: ["JOURNEY_STARTED", "ANNOUNCEMENT"],
    }
    for identity, types in expected.items():
        ear = Ear()
        answer = await join(hub, ear, identity, since)
        assert answer["recovered"] is True
        figures = ["PRESENCE"] * (identity is TTE) + ["BOARDING_UPDATE"]
        assert [message["type"] for message in ear.heard] == [*types, *figures]


@pytest.mark.gen_test
@pytest.mark.parametrize("since", [Since(epoch="another", seq=1), Since(epoch="e1", seq=99)])
async def test_what_is_no_longer_held_is_said_plainly(make_hub, since):
    """For another epoch or an unknown seq, `recovered` is false and a SNAPSHOT follows."""
    hub = make_hub()
    await running(hub)
    ear = Ear()
    answer = await join(hub, ear, ANONYMOUS, since)
    assert answer["recovered"] is False
    assert ear.heard[0]["type"] == "SNAPSHOT"


@pytest.mark.gen_test
async def test_history_that_goes_while_one_joins_becomes_a_snapshot(make_hub):
    """If memory drops missed events while a client joins, the client gets a SNAPSHOT."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await running(hub)
    journal.gate.clear()
    flood = [
        asyncio.ensure_future(hub.execute(c.Announce(**TRAIN, text="x"), ADMIN)) for _ in range(600)
    ]
    await asyncio.sleep(0)
    ear = Ear()
    joining = asyncio.ensure_future(join(hub, ear, ADMIN, Since(epoch="e1", seq=1)))
    await asyncio.sleep(0)
    journal.gate.set()
    answer = await joining
    await asyncio.gather(*flood)
    assert answer["recovered"] is False
    assert ear.heard[0]["type"] == "SNAPSHOT"
    assert ear.heard[0]["seq"] == answer["seq"] == 602


@pytest.mark.gen_test
async def test_a_passenger_sees_only_their_own_people(make_hub):
    """A SNAPSHOT has all people for the staff, and a passenger's own people."""
    hub = make_hub()
    await running(hub)
    seen = {}
    for identity in (TTE, PASSENGER, ANONYMOUS, Identity("T9", Role.TTE, frozenset({"1"}))):
        ear = Ear()
        await join(hub, ear, identity)
        seen[identity.user] = ear.heard[0]["run"].get("passengers")
    assert len(seen["T1"]) == 6
    assert [each["irctcId"] for each in seen["IR_1"]] == ["IR_1"]
    assert seen[None] is None
    assert seen["T9"] is None


@pytest.mark.gen_test
async def test_a_passenger_may_be_in_four_rooms(make_hub):
    """A passenger's socket may be in 4 rooms."""
    hub = make_hub()
    ear = Ear()
    for day in range(1, PASSENGER_ROOMS + 2):
        await hub.execute(register(startDate=f"2026-11-0{day}"), ADMIN)
    states = list(hub.runs.all())
    for state in states[:PASSENGER_ROOMS]:
        await hub.subscriptions.join(ear, PASSENGER, state, None, lambda _: None)
    with pytest.raises(TooManyRooms):
        await hub.subscriptions.join(ear, PASSENGER, states[-1], None, lambda _: None)
    await hub.subscriptions.join(
        ear, PASSENGER, states[0], None, lambda _: None
    )  # one it is in already
    await hub.subscriptions.join(ear, TTE, states[-1], None, lambda _: None)


@pytest.mark.gen_test
async def test_a_train_without_a_date_is_the_run_that_is_meant(make_hub):
    """Without a date, a run that the token names comes before the run in service."""
    hub = make_hub()
    with pytest.raises(UnknownTrain):
        hub.find("12345", None, ADMIN)
    for day in ("2026-11-22", "2026-11-23", "2026-11-24", "2026-11-25"):
        await hub.execute(register(startDate=day), ADMIN)
    assert hub.find("12345", None, ADMIN).run == RUN
    named = Identity("T1", Role.TTE, frozenset({"12345/2026-11-24"}))
    assert hub.find("12345", None, named).run == "12345/2026-11-24"
    rooms = ["12345/2026-11-25"]
    assert hub.find("12345", None, named, rooms).run == "12345/2026-11-25"
    two = Identity("T1", Role.TTE, frozenset({"12345/2026-11-24", "12345/2026-11-25"}))
    with pytest.raises(AmbiguousRun) as raised:
        hub.find("12345", None, two)
    assert raised.value.details["startDates"] == ["2026-11-24", "2026-11-25"]


@pytest.mark.gen_test
async def test_only_a_run_that_was_stopped_is_reinstated_without_a_date(make_hub):
    """REINSTATE_TRAIN does not mean the run in service where another was cancelled."""
    hub = make_hub()
    for day in ("2026-11-22", "2026-11-23"):
        await hub.execute(register(startDate=day), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    cancelled = date(2026, 11, 22)
    await hub.execute(c.CancelTrain(**TRAIN, start_date=cancelled), ADMIN)
    answer = await hub.execute(c.ReinstateTrain(**TRAIN), ADMIN)
    assert answer["startDate"] == "2026-11-22"
    assert hub.find("12345", cancelled, ADMIN).status == "SCHEDULED"


@pytest.mark.gen_test
async def test_a_journal_that_fails_stops_every_command(make_hub):
    """After a failure of the journal, every command gets UNAVAILABLE."""
    journal, failures = MemoryJournal(), []
    hub = make_hub(journal, failures=failures)
    await running(hub)
    journal.broken = True
    ear = Ear()
    await join(hub, ear, ADMIN)
    ear.writes.clear()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await hub.execute(c.Announce(**TRAIN, text="x"), ADMIN)
    assert len(failures) == 1
    assert ear.writes == []


@pytest.mark.gen_test
async def test_figures_come_once_for_many_changes(make_hub):
    """A room gets the newest BOARDING_UPDATE only, if its run changed."""
    hub = make_hub()
    await running(hub)
    ear = Ear()
    await join(hub, ear, ANONYMOUS)
    await hub.send_figures()
    ear.writes.clear()
    await hub.send_figures()
    assert ear.writes == []
    for index in (1, 2):
        await hub.execute(c.MarkBoarded(**TRAIN, pnr=f"451234560{index}", index=1), TTE)
    await hub.send_figures()
    (figures,) = ear.heard
    assert figures["type"] == "BOARDING_UPDATE"
    (row,) = figures["data"]["classes"]
    assert row == {
        "class": "SL", "booked": 6, "aboard": 2, "due": 4, "nt": 0, "rac": 2, "upgraded": 0,
        "vacant": 69,
    }  # fmt: skip
    assert "seq" not in figures


@pytest.mark.gen_test
async def test_a_new_hub_on_the_same_journal_has_the_same_state(make_hub):
    """A new hub on the same journal has the same state."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await running(hub)
    await hub.execute(c.MarkNoShow(**TRAIN, pnr="4512345601", index=1), TTE)
    again = make_hub(journal)
    await again.upkeep.load()
    old, new = hub.state(RUN), again.state(RUN)
    assert new.seq == old.seq == 4
    assert new.passengers == old.passengers
    assert run_view(old, Role.TTE, "T1") == run_view(new, Role.TTE, "T1")
    ear = Ear()
    answer = await join(again, ear, TTE, Since(epoch="e1", seq=2))
    assert answer["recovered"] is True
    assert ear.seqs == [3, 4]
