"""trainhub/domain/amend.py: a chart that grows or is corrected, checked against live occupancy."""

import pytest
from railway import RUN, TRAIN, Driver, person, rac

from trainhub.core.errors import BadMessage, Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.decisions import Decisions
from trainhub.domain.errors import UnknownCoach
from trainhub.domain.snapshot import resume, snapshot_of
from trainhub.domain.train import fold
from trainhub.hub.protocol import read_command

OTHER = {"code": "S2", "class": "SL", "berths": 8}


def amendment(*people, source="SECOND", **fields):
    data = {"trainNo": "12345", "source": source, "passengers": list(people), **fields}
    return read_command(c.AmendChart, data)


def amend(run, *people, **fields):
    """Amend the run's chart. Return the events, after a check that a start would replay them."""
    events = run.give(amendment(*people, **fields))
    saved = snapshot_of(run.state)
    again = resume(RUN, run.events[0], saved)
    assert snapshot_of(again) == saved == snapshot_of(fold(RUN, run.events))
    for part in ("passengers", "waiting", "by_pnr", "by_user", "boarding_at", "alighting_at"):
        ours, theirs = getattr(run.state, part), getattr(again, part)
        assert ours == theirs
        assert list(ours) == list(theirs)
    return events


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def reasons(events):
    (event,) = of(events, e.ChartAmended)
    return {each.line: each.reason for each in event.rejected}


def berths(run):
    return {int(each[8:10]): p.berth_key for each, p in run.state.passengers.items()}


def ref(who):
    return {"pnr": f"45123456{who:02}", "index": 1}


def standing(*people, **fields):
    run = Driver(*people, **fields)
    run.start()
    return run


def test_a_second_chart_adds_passengers_and_coaches():
    """New passengers are DUE, hear of it, and have their berths; a coach may come with them."""
    run = Driver(person(1))
    events = amend(run, person(2), person(3, coach="S2"), rac(10, 1), coaches=[OTHER])
    (event,) = of(events, e.ChartAmended)
    assert (event.source, event.added, event.corrected, event.removed) == ("SECOND", 3, 0, 0)
    assert [each.pnr[-2:] for each in of(events, e.BookingChanged)] == ["02", "03", "10"]
    assert berths(run) == {1: "S1-1", 2: "S1-2", 3: "S2-3", 10: "S1-7"}
    assert list(run.state.waiting["SL"]) == ["4512345610/1"]
    assert "S2-8" in run.state.occupancy.types


def test_a_chart_may_be_sent_again_as_a_whole():
    """Lines that are on the chart already change nothing, whatever has happened to the people."""
    run = standing(person(1), person(2))
    run.board(1)
    assert amend(run, person(1), person(2)) == []
    (event,) = of(amend(run, person(1), person(2), person(3)), e.ChartAmended)
    assert (event.added, event.corrected) == (1, 0)
    assert run.state.passengers["4512345601/1"].state == "ABOARD"


def test_each_fault_is_reported_with_its_line():
    """Lines with faults are left out, and the others count."""
    run = standing(person(1), person(2), person(5))
    run.board(1)
    run.no_show(5)
    events = amend(
        run,
        person(3, end="ZZZ"),
        person(4, berth=2),
        person(6, berth=99),
        person(5, berth=9),
        person(7),
        {"pnr": "1"},
        removePassengers=[ref(1), ref(99)],
    )
    assert list(berths(run)) == [1, 2, 5, 7]
    (event,) = of(events, e.ChartAmended)
    assert sorted((each.line, each.reason) for each in event.rejected) == [
        (1, "removePassengers: the passenger is ABOARD, not DUE"),
        (1, "to: the train has no station ZZZ"),
        (2, "berth S1-2 is taken on that part of the way: give another berth"),
        (2, "removePassengers: the chart has no such person"),
        (3, "there is no coach S1 with a berth 99"),
        (4, "the passenger is NT: only name and contact can be corrected"),
        (6, "index is missing"),
    ]


def test_an_amendment_of_which_no_line_loads_is_an_error():
    """It changes nothing, and so does an empty one."""
    run = Driver(person(1))
    with pytest.raises(BadMessage, match="no passenger loads; line 1: berth S1-1 is taken"):
        run.give(amendment(person(2, berth=1)))
    with pytest.raises(BadMessage, match="the amendment is empty"):
        run.give(amendment())
    assert run.state.seq == 1


def test_a_correction_keeps_what_has_happened():
    """Name and contact change in any state; the journey and berth of one who travels, too."""
    run = standing(person(1), person(2), person(3))
    run.board(1)
    run.no_show(2)
    run.depart("AAA")
    amend(
        run,
        person(1, berth=8, name="New Name"),
        person(2, email="new@example.org"),
        source="CORRECTION",
    )
    one, two = (run.state.passengers[f"451234560{who}/1"] for who in (1, 2))
    assert (one.state, one.berth, one.booking.name) == ("ABOARD", 8, "New Name")
    assert (two.state, two.booking.email) == ("NT", "new@example.org")


def test_a_correction_is_told_to_the_passenger_alone():
    """A name or contact tells the booking's user, and another user tells both users."""
    run = Driver(person(1), person(2), person(3, irctcId=None))
    events = amend(run, person(1, phone="1"), person(3, irctcId=None, name="Known to none"))
    (told,) = of(events, e.BookingCorrected)
    assert (told.audience, told.told) == (e.to_passenger("IR_1"), {"pnr": told.pnr, "index": 1})
    events = amend(run, person(1, irctcId="IR_9"), person(2, berth=9, irctcId="IR_9"))
    assert [(type(each), each.user, each.pnr[-2:]) for each in events[1:4]] == [
        (e.BookingCorrected, "IR_9", "01"),
        (e.BookingCorrected, "IR_1", "01"),
        (e.BookingChanged, "IR_9", "02"),
    ]
    assert (events[4].user, events[4].pnr[-2:]) == ("IR_2", "02")
    assert of(amend(run, person(3, irctcId="IR_3")), e.BookingCorrected)[0].user == "IR_3"


def test_people_may_swap_their_berths_in_one_amendment():
    """All lines leave their old berths before any takes its new one."""
    run = Driver(person(1), person(2), person(3))
    amend(run, person(1, berth=2), person(2, berth=3), person(3, berth=1))
    assert berths(run) == {1: "S1-2", 2: "S1-3", 3: "S1-1"}


def test_a_line_that_fails_keeps_the_old_berth_and_fails_others_that_wanted_it():
    """Lines that count on the berth of a line with a fault are rejected with it."""
    run = Driver(person(1), person(2), person(3), person(4))
    events = amend(
        run, person(1, berth=2), person(2, berth=3), person(3, berth=4), person(9, berth=9)
    )
    assert sorted(reasons(events)) == [1, 2, 3]
    assert berths(run) == {1: "S1-1", 2: "S1-2", 3: "S1-3", 4: "S1-4", 9: "S1-9"}


def test_a_line_that_fails_keeps_the_half_berth_that_another_leaves_free():
    """Who is on RAC has the berth whole once the other is removed, though a line failed."""
    run = standing(person(1), rac(10, 1), rac(11, 2))
    run.board(11)
    events = amend(run, person(11, berth=1), removePassengers=[ref(10)])
    assert "taken" in reasons(events)[1]
    assert [(each.berth, each.cause) for each in of(events, e.BerthVacated)] == [(7, "CANCELLED")]
    (offer,) = run.state.open_by_berth.values()
    assert (offer.key, offer.person) == ("S1-7", "4512345611/1")


def test_a_berth_that_is_left_goes_to_the_next_in_turn():
    """A removed or moved passenger leaves a vacancy, unless the amendment gives it to another."""
    run = standing(person(1), person(2), rac(10, 1), policy="AUTO", checkMinutes=None)
    run.board(10)
    events = amend(run, person(2, berth=9), person(3, berth=2))
    assert not of(events, e.BerthVacated)
    events = amend(run, removePassengers=[ref(1)], source="CORRECTION")
    assert run.state.passengers["4512345601/1"].state == "CANCELLED"
    (upgrade,) = of(events, e.UpgradeConfirmed)
    assert (upgrade.coach, upgrade.berth, upgrade.cause) == ("S1", 1, "CANCELLED")


@pytest.mark.parametrize("change", ["removed", "moved"])
def test_the_last_ladies_ticket_leaves_a_berth_of_their_quota(change):
    """The berth goes to a woman before a man, also if no other ticket is of the quota now."""
    people = (person(1, quota="LD"), rac(10, 1), rac(11, 2) | {"gender": "F"})
    run = standing(*people, policy="AUTO")
    run.board(10)
    run.board(11)
    if change == "removed":
        amend(run, removePassengers=[ref(1)])
    else:
        amend(run, person(1, berth=9))
    assert berths(run)[11] == "S1-1"


def test_a_removed_passenger_comes_back_by_a_correction_only():
    """A second chart does not bring back who has cancelled."""
    run = Driver(person(1), person(2))
    amend(run, removePassengers=[ref(1)])
    with pytest.raises(BadMessage, match="the passenger is CANCELLED"):
        run.give(amendment(person(1)))
    amend(run, person(1), source="CORRECTION")
    assert run.state.passengers["4512345601/1"].state == "DUE"
    assert run.state.occupancy.at("S1-1", 0) == ["4512345601/1"]


def test_a_line_never_takes_what_an_offer_holds():
    """A berth on offer, and a passenger with an open offer, stay as they are."""
    run = standing(person(1), rac(10, 1))
    run.board(10)
    run.no_show(1)
    events = amend(run, person(2, berth=1), rac(10, 2), person(3))
    assert reasons(events) == {
        1: "berth S1-1 is on offer: withdraw the offer first",
        2: "the passenger has an open offer: withdraw it first",
    }


def test_a_journey_that_is_over_is_not_added():
    """A passenger of the way so far is added only up to a station ahead."""
    run = standing(person(1))
    run.go_to("CCC")
    events = amend(run, person(2, end="CCC"), person(3, end="DDD"), source="EFT")
    assert reasons(events) == {1: "to: the train has reached CCC already"}
    assert run.state.occupancy.holders("S1-3")["4512345603/1"].whole == 0b100


def test_a_coach_is_removed_once_it_is_empty():
    """A coach with passengers stays; with all of them moved or removed it goes."""
    run = Driver(person(1), person(2, coach="S2"), coaches=[OTHER, {**OTHER, "code": "S1"}])
    with pytest.raises(Conflict, match="berth S2-2 is in use") as raised:
        run.give(amendment(removeCoaches=["S2"]))
    assert raised.value.details == {"berth": "S2-2"}
    with pytest.raises(UnknownCoach):
        run.give(amendment(removeCoaches=["S7"]))
    amend(run, person(2), removeCoaches=["S2"])
    assert [coach.code for coach in run.state.chart.coaches] == ["S1"]
    with pytest.raises(BadMessage, match="1 to 150 berths"):
        run.give(amendment(coaches=[{**OTHER, "berths": 0}]))


def test_a_passenger_who_was_added_has_a_history():
    """Before the amendment there is nothing to say; then it is said as of any passenger."""
    run = standing(person(1), rac(10, 1), policy="AUTO", checkMinutes=None)
    run.no_show(1)
    amend(run, rac(11, 2))
    run.board(11)
    told = Decisions(RUN, "4512345611", 1)
    for seq, event in enumerate(run.events, start=1):
        told.add(seq, event)
    assert [each["event"] for each in told.found] == [
        "BOOKING_CHANGED",
        "PASSENGER_BOARDED",
        "UPGRADE_CONFIRMED",
    ]
    assert told.standing(run.now) == "is CNF with berth S1-1"


def test_a_run_that_has_ended_keeps_its_chart():
    """A completed run is not amended."""
    run = standing(person(1))
    run.go_to("EEE")
    with pytest.raises(Conflict, match="is COMPLETED"):
        run.give(amendment(person(2)))


def test_what_is_changed_by_rules_since_stays():
    """Who was upgraded, or boards elsewhere, gets only name and contact from a chart."""
    run = standing(person(1), person(2), rac(10, 1), policy="AUTO", checkMinutes=None)
    run.board(10)
    run.no_show(1)
    run.give(c.ChangeBoarding(**TRAIN, pnr="4512345602", index=1, station_code="BBB"))
    events = amend(run, rac(10, 4), person(2, berth=9), person(3))
    assert [reason.partition(":")[0] for reason in reasons(events).values()] == [
        "the passenger has another berth or boarding station than the chart by now"
    ] * 2
    amend(run, {**rac(10, 1), "name": "Corrected"}, person(2, name="Too"))
    assert run.state.passengers["4512345610/1"].berth == 1
    assert run.state.passengers["4512345602/1"].from_ == "BBB"
