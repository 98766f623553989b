"""trainhub/domain/decisions.py: why a passenger got a berth, or did not."""

import pytest
from railway import RUN, TRAIN, Driver, person, rac

from trainhub.domain import commands as c
from trainhub.domain.decisions import LOWER_FIRST, LOWER_TURN, Decisions


def wl(who, number=1, **fields):
    return person(who, status="WL", number=number, coach=None, berth=None, **fields)


def decided(run, who, after=0):
    """Return the decisions about person `who`, made of the events after seq `after`."""
    decisions = Decisions(RUN, f"45123456{who:02}", 1)
    for seq, event in enumerate(run.events[after:], start=after + 1):
        decisions.add(seq, event)
    return decisions


def reasons(run, who):
    return [(each["event"], each["reason"]) for each in decided(run, who).found]


def answer(run, kind):
    (offer,) = run.state.open_by_berth.values()
    return run.give(kind(**TRAIN, offer_id=offer.id))


def begin(*people, **fields):
    """Start a run whose turn waits for no passenger who is due, unless `checkMinutes` is given."""
    run = Driver(*people, **{"policy": "OFFER", "checkMinutes": None, **fields})
    run.start()
    return run


def test_a_passenger_who_is_not_aboard_is_not_asked():
    """A berth was free while she was due, and it went on to the next in turn."""
    run = begin(person(1), rac(10, 1), rac(11, 2))
    run.board(11)
    run.no_show(1)
    assert reasons(run, 10) == [
        ("BERTH_VACATED", "not asked: is DUE, not aboard"),
        ("UPGRADE_PENDING", "the berth is for RAC 2: is DUE, not aboard"),
    ]
    assert decided(run, 10).standing(run.now) == "is DUE, not aboard"


def test_a_lower_berth_is_offered_to_others_first():
    """The passengers on RAC and in lower turn read why; who gave the berth away comes before."""
    run = begin(person(1), person(2, age=61), person(3, age=80), person(4), rac(10, 1))
    for who in (2, 3, 4, 10):
        run.board(who)
    run.give(c.BlockBerth(**TRAIN, coach="S1", berth=4, reason="BROKEN"))
    run.no_show(1)
    answer(run, c.DenyOffer)  # passenger 4, who has lost a berth
    assert reasons(run, 10)[-1] == ("UPGRADE_PENDING", f"the berth is for CNF: {LOWER_FIRST}")
    assert reasons(run, 2) == [
        ("PASSENGER_BOARDED", "is aboard"),
        (
            "UPGRADE_PENDING",
            "the berth is for CNF (whose berth was given away): CNF "
            "(whose berth was given away) is before CNF",
        ),
        ("UPGRADE_PENDING", f"the berth is for CNF: {LOWER_TURN}"),
    ]
    assert reasons(run, 4)[-1] == (
        "UPGRADE_PENDING",
        "the berth is for CNF: had an offer of this berth before",
    )
    assert decided(run, 3).standing(run.now) == "is CNF with berth S1-3"


def test_a_better_number_comes_first():
    """The passenger before her was asked, and she is asked after the denial."""
    run = begin(person(1), rac(10, 1), rac(11, 2))
    run.board(10)
    run.board(11)
    run.no_show(1)
    assert reasons(run, 11) == [
        ("PASSENGER_BOARDED", "is aboard"),
        ("UPGRADE_PENDING", "the berth is for RAC 1: RAC 1 is before RAC 2"),
    ]
    answer(run, c.DenyOffer)
    assert reasons(run, 10)[-2:] == [
        ("UPGRADE_CLOSED", "the offer is DENIED"),
        ("UPGRADE_PENDING", "the berth is for RAC 2: had an offer of this berth before"),
    ]
    answer(run, c.AcceptOffer)
    assert reasons(run, 11)[2:] == [
        ("UPGRADE_PENDING", "the berth is for this passenger"),
        ("UPGRADE_OFFER", "is asked"),
        ("UPGRADE_CONFIRMED", "has the berth"),
    ]
    assert decided(run, 11).standing(run.now) == "is CNF with berth S1-1"


def test_a_short_journey_and_a_berth_that_is_taken():
    """The journey is under the chart's kilometres, or the berth is another's before its end."""
    short = [person(1), rac(10, 1, end="BBB")]
    run = begin(*short, minUpgradeKm=150)
    run.board(10)
    run.no_show(1)
    assert reasons(run, 10)[-1] == ("BERTH_VACATED", "not asked: the journey is under 150 km")
    run = begin(person(1, end="CCC"), person(2, "CCC", "EEE", berth=1), wl(20))
    run.board(20)
    run.no_show(1)
    assert reasons(run, 20)[-1] == ("BERTH_VACATED", "not asked: the berth is taken from CCC")
    assert "no free berth of the class suits" in decided(run, 20).standing(run.now)


def test_boarding_looks_at_the_berths_that_are_free():
    """A berth that did not suit her is named once more with the new reason."""
    run = begin(person(1, end="CCC"), person(2, "CCC", "EEE", berth=1), wl(20))
    run.no_show(1)
    run.board(20)
    assert reasons(run, 20) == [
        ("BERTH_VACATED", "not asked: is DUE, not aboard"),
        ("PASSENGER_BOARDED", "is aboard"),
        ("PASSENGER_BOARDED", "not asked: the berth is taken from CCC"),
    ]


def test_the_turn_waits_for_a_better_number():
    """A passenger before her is due and may be aboard, so the berth waits too."""
    run = begin(person(1), rac(10, 1), rac(11, 2), checkMinutes=30)
    run.board(11)
    run.no_show(1)
    waits = "the turn waits for RAC 1, who is due and not checked"
    assert reasons(run, 11)[-1] == ("BERTH_VACATED", f"not asked: {waits}")
    assert decided(run, 11).standing(run.now) == waits
    run.no_show(10)
    assert reasons(run, 11)[-1] == ("UPGRADE_OFFER", "is asked")


def test_a_passenger_with_a_berth_has_their_own_events_only():
    """Who does not wait is in no turn."""
    run = begin(person(1), person(2), rac(10, 1))
    run.board(2)
    run.no_show(1)
    assert reasons(run, 2) == [("PASSENGER_BOARDED", "is aboard")]
    assert reasons(run, 1) == [("NO_SHOW", "has not turned up")]
    assert decided(run, 2).standing(run.now) == "is CNF with berth S1-2"


@pytest.mark.parametrize("policy", ["AUTO", "APPROVAL"])
def test_the_other_policies(policy):
    """An upgrade at once, or a berth that waits for the staff, is a decision too."""
    run = begin(person(1), rac(10, 1), rac(11, 2), policy=policy)
    run.board(11)
    run.no_show(1)
    assert "the berth is for RAC 2: is DUE, not aboard" in dict(reasons(run, 10)).values()
    assert reasons(run, 11)[1][1] == "the berth is for this passenger"


def test_events_without_those_before_them():
    """What the events say themselves is known, and the history says that it is not complete."""
    run = begin(person(1), rac(10, 1), rac(11, 2))
    run.board(11)
    run.no_show(1)
    whole, part = decided(run, 10), decided(run, 10, after=2)
    assert (whole.complete, part.complete) == (True, False)
    assert part.found == whole.found[1:]
    assert [each["reason"] for each in decided(run, 11, after=2).found] == [
        "is aboard",
        "the berth is for this passenger",
        "is asked",
    ]


def test_a_late_passenger_is_named_as_booked():
    """A passenger whose berth was given away is before her, by the number on the ticket."""
    run = begin(person(1), person(2), rac(10, 1), wl(20), wl(21, 2), wl(22, 3), policy="AUTO")
    run.board(10)
    run.no_show(1)  # RAC 1 has berth 1, and WL 1 has berth 7 then
    run.board(20)
    run.give(c.UndoBoarded(**TRAIN, pnr="4512345610", index=1))
    run.no_show(10)
    run.board(21)  # WL 2 has berth 1
    run.board(10)
    run.board(22)
    run.no_show(2)
    late = "RAC 1 (whose berth was given away)"
    assert reasons(run, 22)[-1] == (
        "UPGRADE_CONFIRMED",
        f"the berth is for {late}: {late} is before WL 3",
    )
    assert [each.status for each in run.state.upgrades[-1].reason] == ["RAC"]


def test_the_waiting_list_is_named_by_its_kind():
    """Of two kinds of waiting list the general one comes first, whatever the numbers."""
    run = begin(person(1), wl(20, 1, waitingKind="RL"), wl(21, 9))
    run.board(20)
    run.board(21)
    run.no_show(1)
    assert reasons(run, 20)[-1] == (
        "UPGRADE_PENDING",
        "the berth is for WL 9: WL 9 is before RLWL 1",
    )


def test_the_waiting_list_of_the_next_station_is_looked_at_on_the_way():
    """A berth that is free already is looked at once the train has left for her station."""
    run = begin(person(1), wl(20, 1, start="BBB"), waitingList="PARTLY")
    run.no_show(1)
    run.depart("AAA")
    wholly = "the PNR is wholly on the waiting list"
    assert reasons(run, 20) == [
        ("BERTH_VACATED", "not asked: is DUE, not aboard"),
        ("STATION_DEPARTURE", f"not asked: {wholly}"),
    ]
    assert decided(run, 20).standing(run.now) == wholly
