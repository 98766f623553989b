"""trainhub/domain/allotment.py: berths that are blocked, allotted and exchanged."""

import pytest
from railway import TRAIN, Driver, chart, person, rac

from trainhub.core.errors import BadMessage, Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.chart import read_amendment, read_chart
from trainhub.domain.model import AllotReason, BlockReason, PersonState
from trainhub.domain.report import captaincy_report, report_csv
from trainhub.domain.views import berth_plan, figures, vacancies_view

BROKEN = BlockReason.BROKEN
SMALL = [{"code": "S1", "class": "SL", "berths": 8, "blocked": [8]}]
PEOPLE = (person(1), person(2, "CCC"), rac(10, 1), rac(11, 2))


def running(*aboard):
    """A train at AAA with these people aboard."""
    run = Driver(*PEOPLE, coaches=SMALL)
    run.start()
    for who in aboard:
        run.board(who)
    return run


def block(run, berth=None, reason=BROKEN):
    return run.give(c.BlockBerth(**TRAIN, coach="S1", berth=berth, reason=reason))


def unblock(run, berth=None):
    return run.give(c.UnblockBerth(**TRAIN, coach="S1", berth=berth))


def test_a_passenger_aboard_stays_aboard_without_the_blocked_berth():
    """The mark stays, and the passenger and the staff are told why the berth is lost."""
    run = running(1, 10, 11)
    blocked, lost = block(run, 1)
    assert (blocked.coach, blocked.berths, blocked.reason) == ("S1", (1,), BROKEN)
    assert (lost.pnr, lost.coach, lost.berth, lost.blocked) == ("4512345601", "S1", 1, BROKEN)
    first = run.state.passenger("4512345601", 1)
    assert (first.state, first.berth_key) == (PersonState.ABOARD, None)
    assert run.state.occupancy.at("S1-1", 0) == []


def test_all_berths_of_a_coach_are_blocked_at_once():
    """People with a whole berth are named before those on RAC. The second time changes nothing."""
    run = running(1, 10, 11)
    blocked, *lost = block(run)
    assert blocked.berths == tuple(range(1, 9))
    assert [each.berth for each in lost] == [1, 2, 7, 7]
    assert block(run) == []


def test_another_reason_replaces_the_first_and_a_free_berth_is_not_unblocked():
    """The staff's own berth breaks; a berth that is free is free already."""
    run = running(1, 10, 11)
    (again,) = block(run, 8)
    assert (again.berths, again.reason) == ((8,), BROKEN)
    assert unblock(run, 3) == []


def test_an_offer_of_a_blocked_berth_is_withdrawn():
    """No one can accept a berth that cannot be used."""
    run = running(10, 11)
    run.no_show(1)
    (offer,) = run.state.open_by_berth.values()
    block(run, 1)
    assert (offer.key, offer.state) == ("S1-1", "WITHDRAWN")


def test_an_unblocked_berth_is_vacant_from_here_on():
    """It is offered to the passenger who lost it first."""
    run = running(1, 10, 11)
    block(run, 1)
    run.go_to("BBB")
    unblocked, vacated, pending, _ = unblock(run, 1)
    assert (unblocked.berths, unblocked.station.code) == ((1,), "BBB")
    assert (vacated.from_, vacated.to, vacated.cause) == ("BBB", "EEE", e.Cause.UNBLOCKED)
    assert (pending.pnr, pending.berth) == ("4512345601", 1)


def test_what_can_be_read_of_a_blocked_berth():
    """A blocked berth is not vacant; the plan says why, and the report where it was blocked."""
    run = running(1, 10, 11)
    before = {row["coach"]: row["vacant"] for row in figures(run.state)["coaches"]}
    block(run, 5)
    assert figures(run.state)["coaches"][0]["vacant"] == before["S1"] - 1
    assert not {5, 8} & {each["berth"] for each in vacancies_view(run.state)}
    plan = {row["berth"]: row["blocked"] for row in berth_plan(run.state, run.state.coach("S1"))}
    assert {berth: why for berth, why in plan.items() if why} == {5: "BROKEN", 8: "STAFF"}
    run.go_to("CCC")
    unblock(run, 5)
    report = captaincy_report(run.state)
    (coach,) = report["coaches"]
    assert [tuple(each.values()) for each in coach["blocked"]] == [
        (5, "AAA", "CCC", "BROKEN"),
        (8, "AAA", "EEE", "STAFF"),
    ]
    free = [(each["from"], each["to"]) for each in coach["vacant"] if each["berth"] == 5]
    assert free == [("CCC", "EEE")]
    assert "S1,BLOCKED,5,AAA,CCC,,,,BROKEN" in report_csv(report)


def test_a_chart_names_the_staff_s_own_berths():
    """No passenger of the chart gets one, and a number that the coach does not have is a fault."""
    _, (rejected,), _ = read_chart(chart(person(1), person(8), coaches=SMALL))
    assert rejected.reason == "berth S1-8 is blocked: give another berth"
    with pytest.raises(BadMessage, match="blocked names berth 9"):
        read_chart(chart(coaches=[{**SMALL[0], "blocked": [9]}]))


def amend(run, **fields):
    found, lines, rejected, _ = read_amendment({"source": "CORRECTION", **fields})
    return run.give(
        c.AmendChart(**TRAIN, amendment=found, lines=lines, rejected=rejected, warnings=())
    )


def test_an_amendment_keeps_blocked_berths():
    """It gives none to a passenger, and blocks none of a coach that the train has."""
    run = running(1, 10, 11)
    block(run, 5)
    with pytest.raises(BadMessage, match="no passenger loads") as raised:
        amend(run, passengers=[person(5)])
    assert raised.value.details["rejected"][0]["reason"].startswith("berth S1-5 is blocked")
    with pytest.raises(BadMessage, match="BLOCK_BERTH and UNBLOCK_BERTH change them"):
        amend(run, coaches=[{**SMALL[0], "blocked": [6]}])
    amend(run, coaches=[{**SMALL[0], "code": "S2"}], passengers=[person(6)])
    blocked = run.state.occupancy.blocks
    assert {key: block.reason for key, block in blocked.items()} == {
        "S1-5": "BROKEN",
        "S1-8": "STAFF",
        "S2-8": "STAFF",
    }


def allot(run, who, berth, **fields):
    given = {"coach": "S1", "berth": berth, "reason": AllotReason.FAMILY, **fields}
    return run.give(c.AllotBerth(**TRAIN, pnr=f"45123456{who}", index=1, **given))


def test_an_allotment_records_those_who_were_passed_over():
    """The event has each better candidate with the reason, and the note for the staff."""
    run = running(10, 11)
    (allotted, vacated, *_) = allot(run, "11", 3, note="with her mother")
    assert [(each.pnr, each.outcome) for each in allotted.reason] == [
        ("4512345610", "was passed over by a TTE"),
        ("4512345611", "chosen"),
    ]
    assert (allotted.allotted_for, allotted.note) == (AllotReason.FAMILY, "with her mother")
    assert not {"reason", "passedOver", "note"} & allotted.told.keys()
    assert (vacated.berth, vacated.cause) == (7, e.Cause.ALLOTTED)
    second = run.state.passenger("4512345611", 1)
    assert (second.status, second.upgraded_from, second.berth) == ("CNF", "RAC 2", 3)
    assert allot(run, "11", 3) == []


def test_a_berth_that_is_held_names_its_holders():
    """The staff read who has the berth, and on which part of the way."""
    run = running(10, 11)
    with pytest.raises(Conflict, match="berth S1-2 is held from CCC to EEE") as raised:
        allot(run, "10", 2)
    (holder,) = raised.value.details["holders"]
    assert holder == {
        "pnr": "4512345602",
        "index": 1,
        "name": "Person 2",
        "from": "CCC",
        "to": "EEE",
    }


def test_the_report_lists_berths_that_a_tte_gave_and_exchanged():
    """They stand below the coach of the new berth, with the reason and the note."""
    run = running(1, 10, 11)
    allot(run, "10", 3, note="ill")
    swap = c.SwapBerths(**TRAIN, pnr="4512345601", index=1, other_pnr="4512345610", other_index=1)
    first, second = run.give(swap)
    assert (first.old_berth, first.berth, second.old_berth, second.berth) == (1, 3, 3, 1)
    report = captaincy_report(run.state)
    (coach,) = report["coaches"]
    assert [(each["pnr"], each["allottedFor"]) for each in coach["allotments"]] == [
        ("4512345610", "FAMILY"),
        ("4512345601", None),
        ("4512345610", None),
    ]
    text = report_csv(report)
    assert "S1,ALLOTTED,3,AAA,EEE,4512345610,1,Person 10,FAMILY ill" in text
    assert "S1,ALLOTTED,3,AAA,EEE,4512345601,1,Person 1,SWAP" in text


def test_an_amendment_does_not_move_a_passenger_whom_a_tte_has_moved():
    """The TTE's decision is newer than the chart."""
    run = running(1)
    allot(run, "01", 3)
    with pytest.raises(BadMessage) as raised:
        amend(run, passengers=[person(1, berth=4)])
    assert "another berth" in raised.value.details["rejected"][0]["reason"]


def test_unbooked_berths_are_vacant_once_the_train_has_left():
    """Each berth that is free on the leg has its vacancy once, up to the next holder."""
    run = Driver(*PEOPLE, coaches=SMALL, giveUnbooked=True)
    run.start()
    made = run.give(c.Depart(**TRAIN, station_code="AAA"))
    vacated = [each for each in made if isinstance(each, e.BerthVacated)]
    assert {(each.berth, each.to) for each in vacated} == {
        (2, "CCC"),
        *((berth, "EEE") for berth in (3, 4, 5, 6)),
    }
    assert {each.cause for each in vacated} == {e.Cause.UNBOOKED}
    run.go_to("BBB")
    again = run.give(c.Depart(**TRAIN, station_code="BBB"))
    assert not any(isinstance(each, e.BerthVacated) for each in again)
