"""Every failure of the rules: each is refused with its code, and changes nothing.

The table has a line for each `raise` of the rules, and the last test checks that it has them all.
"""

import ast
import copy
from datetime import timedelta
from pathlib import Path

import pytest
from railway import MORNING, TRAIN, Driver, chart, person, rac, register, register_chart, station

from trainhub.core.errors import HubError
from trainhub.domain import allotment, amend, duty, journey, marks, offers, run_state
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.model import AlightReason, AllotReason, BlockReason, PersonState
from trainhub.hub.protocol import read_command

RULES = (allotment, amend, duty, journey, marks, offers, run_state)
PEOPLE = (
    person(1),
    person(2, "AAA", "BBB"),
    person(3, "CCC", "EEE"),
    rac(10, 1),
    rac(11, 2),
)
OTHER_LINE = [{**station(place), "code": f"XX{place}"} for place in range(5)]
GONE = "12345.2026-11-23.999"


def scheduled(**fields):
    return Driver(*PEOPLE, **fields)


def standing(**fields):
    """A train at AAA with the RAC passengers aboard."""
    run = scheduled(**fields)
    run.start()
    run.board(10)
    run.board(11)
    return run


def offering(**fields):
    """A train on which S1-1 is held for person 10."""
    run = standing(**fields)
    run.no_show(1)
    return run


def at(place):
    def make():
        run = scheduled()
        run.go_to(place)
        return run

    return make


def left(place):
    def make():
        run = at(place)()
        run.depart(place)
        return run

    return make


def after(make, *commands, wait=timedelta(0)):
    """A run after the commands, given some time ago."""

    def done():
        run = make()
        for command in commands:
            run.give(command)
        run.now += wait
        return run

    return done


def on(who, kind, **fields):
    return kind(**TRAIN, pnr=f"45123456{who:02}", index=1, **fields)


def an(kind, **fields):
    return kind(**TRAIN, **fields)


def answer(kind):
    """An answer to the run's first offer."""
    return lambda run: an(kind, offer_id=next(iter(run.state.offers)))


def to_berth(who, berth, coach="S1"):
    return on(who, c.AllotBerth, coach=coach, berth=berth, reason=AllotReason.OTHER)


TWO_CLASSES = [
    {"code": "S1", "class": "SL", "berths": 72},
    {"code": "C1", "class": "CC", "berths": 8},
]


def with_a_child():
    run = Driver(*PEOPLE, person(21, status="NOSB", coach=None, berth=None, age=7))
    run.start()
    return run


def upgraded():
    run = offering(policy="AUTO")
    assert run.state.upgrades
    return run


def limited():
    """A run whose chart limits the undo, 31 minutes after NT."""
    run = Driver(undoMinutes=30)
    run.start()
    run.no_show(1)
    run.now += timedelta(minutes=31)
    return run


def twice():
    """A run that calls at BBB before and after CCC."""
    stations = [station(0), station(1), station(2), {**station(3), "code": "BBB"}, station(4)]
    return Driver(person(1), stations=stations)


def of_an_older_hub():
    """A run on which a passenger stayed DUE when the journey was over."""
    run = at("BBB")()
    run.state.passenger("4512345602", 1).state = PersonState.DUE
    return run


def remarked():
    """A run with the most remarks."""
    run = standing()
    for _ in range(duty.MOST_REMARKS):
        run.give(an(c.Remark, text="no water"))
    return run


def travelled():
    run = standing()
    run.go_to("EEE")
    return run


def amended(*people, **fields):
    """An amendment by a second chart, unless `source` is given."""
    data = {"trainNo": "12345", "source": "SECOND", "passengers": list(people), **fields}
    return read_command(c.AmendChart, data)


def ref(who):
    return {"pnr": f"45123456{who:02}", "index": 1}


HOUR = timedelta(hours=1)
EARLY = AlightReason.EARLY


UNMARKED = after(standing, on(1, c.CancelJourney))
MOVED = after(standing, on(1, c.ChangeBoarding, station_code="BBB"))
# fmt: off
# Faults of one line of an amendment: the run, the line, and the reason that the line has.
LINES = [
    (at("CCC"), person(4, "AAA", "BBB"), "the train has reached BBB"),
    (offering, person(4, berth=1), "is on offer"),
    (UNMARKED, person(1, berth=9), "a CORRECTION brings them back"),
    (after(standing, on(1, c.MarkNoShow)), person(1, berth=9), "the passenger is NT"),
    (offering, rac(10, 1, end="DDD"), "has an open offer"),
    (MOVED, person(1, berth=9), "another berth or boarding station"),
    (after(standing, on(1, c.MarkBoarded)), person(1, "BBB"), "the passenger is aboard"),
]
HALT = {"name": "HALT", "arrival": "09:20", "departure": "09:30"}
FAILURES = [
    # unknown names
    (standing, an(c.Arrive, station_code="ZZZ"), "UNKNOWN_STATION"),
    (twice, an(c.SkipStation, station_code="BBB"), "AMBIGUOUS_STATION"),
    (standing, on(99, c.MarkBoarded), "UNKNOWN_PASSENGER"),
    (standing, an(c.AcceptOffer, offer_id=GONE), "UNKNOWN_OFFER"),
    (standing, an(c.Announce, text="x", to=c.To.USER, user="IR_99"), "UNKNOWN_PASSENGER"),
    # the run
    (standing, register(), "CONFLICT"),
    (scheduled, register_chart(chart(person(1, end="ZZZ"))), "BAD_MESSAGE"),
    (scheduled, register_chart(chart(stations=OTHER_LINE)), "CONFLICT"),
    (standing, an(c.StartJourney), "CONFLICT"),
    (at("EEE"), an(c.CancelTrain), "CONFLICT"),
    (scheduled, an(c.Arrive, station_code="BBB"), "CONFLICT"),
    (scheduled, an(c.Depart, station_code="AAA"), "CONFLICT"),
    (standing, an(c.Arrive, station_code="CCC"), "CONFLICT"),
    (left("AAA"), an(c.Arrive, station_code="CCC"), "CONFLICT"),
    (left("AAA"), an(c.Depart, station_code="AAA"), "CONFLICT"),
    (standing, an(c.Depart, station_code="BBB"), "CONFLICT"),
    (at("BBB"), an(c.SkipStation, station_code="BBB"), "CONFLICT"),
    (standing, an(c.SkipStation, station_code="EEE"), "CONFLICT"),
    (at("EEE"), an(c.SkipStation, station_code="CCC"), "CONFLICT"),
    (at("BBB"), an(c.AddHalt, station_code="HHH", after="AAA", **HALT), "CONFLICT"),
    (at("BBB"), an(c.AddHalt, station_code="HHH", after="EEE", **HALT), "CONFLICT"),
    (standing, an(c.AddHalt, station_code="BBB", after="AAA", **HALT), "CONFLICT"),
    (twice, an(c.AddHalt, station_code="HHH", after="AAA", **HALT), "CONFLICT"),
    (standing, an(c.AddHalt, station_code="HHH", after="ZZZ", **HALT), "UNKNOWN_STATION"),
    (standing, an(c.AddHalt, station_code="HHH", after="DDD", **HALT), "BAD_MESSAGE"),
    (at("EEE"), an(c.ReinstateTrain), "CONFLICT"),
    (standing, an(c.UndoReport, station_code="AAA", report="DEPARTURE"), "CONFLICT"),
    (left("AAA"), an(c.UndoReport, station_code="BBB", report="ARRIVAL"), "CONFLICT"),
    (left("BBB"), an(c.UndoReport, station_code="BBB", report="ARRIVAL"), "CONFLICT"),
    (after(left("AAA"), wait=timedelta(minutes=11)),
     an(c.UndoReport, station_code="AAA", report="DEPARTURE"), "CONFLICT"),
    (after(left("AAA"), an(c.CancelTrain)),
     an(c.UndoReport, station_code="AAA", report="DEPARTURE"), "CONFLICT"),
    (after(at("CCC"), on(3, c.MarkBoarded)),
     an(c.UndoReport, station_code="CCC", report="ARRIVAL"), "CONFLICT"),
    (scheduled, an(c.StartJourney, station_code="EEE"), "CONFLICT"),
    (scheduled, an(c.StartJourney, station_code="ZZZ"), "UNKNOWN_STATION"),
    (after(scheduled, an(c.SkipStation, station_code="BBB")),
     an(c.StartJourney, station_code="BBB"), "CONFLICT"),
    (after(scheduled, an(c.ShortTerminate, station_code="BBB")),
     an(c.SkipStation, station_code="AAA"), "CONFLICT"),
    (after(at("BBB"), an(c.ShortTerminate, station_code="BBB")),
     an(c.UndoSkip, station_code="CCC"), "CONFLICT"),
    (after(standing, an(c.SkipStation, station_code="BBB"), an(c.Depart, station_code="AAA"),
           an(c.Arrive, station_code="CCC")),
     an(c.UndoSkip, station_code="BBB"), "CONFLICT"),
    (standing, an(c.ShortTerminate, station_code="AAA"), "CONFLICT"),
    (left("BBB"), an(c.ShortTerminate, station_code="BBB"), "CONFLICT"),
    (after(standing, an(c.SkipStation, station_code="CCC")),
     an(c.ShortTerminate, station_code="CCC"), "CONFLICT"),
    (at("EEE"), an(c.ShortTerminate, station_code="CCC"), "CONFLICT"),
    (standing, an(c.SetDelay, delay_minutes=-121), "BAD_MESSAGE"),
    (standing, an(c.SetDelay, delay_minutes=2881), "BAD_MESSAGE"),
    (at("EEE"), an(c.SetDelay, delay_minutes=1), "CONFLICT"),
    (left("AAA"), an(c.SetPlatform, station_code="AAA", platform="9"), "CONFLICT"),
    (after(standing, an(c.SkipStation, station_code="CCC")),
     an(c.SetPlatform, station_code="CCC", platform="9"), "CONFLICT"),
    (standing, an(c.Announce, text="x", to=c.To.USER), "BAD_MESSAGE"),
    (standing, an(c.Announce, text="x", user="IR_1"), "BAD_MESSAGE"),
    (standing, an(c.Depart, station_code="AAA", at=MORNING + timedelta(days=1)), "BAD_MESSAGE"),
    (left("AAA"), an(c.Arrive, station_code="BBB", at=MORNING - timedelta(days=1)), "CONFLICT"),
    (standing, an(c.Depart, station_code="AAA", at=MORNING - timedelta(days=1)), "BAD_MESSAGE"),
    (after(standing, wait=timedelta(days=400)), an(c.Depart, station_code="AAA"), "CONFLICT"),
    # marks
    (scheduled, on(1, c.MarkBoarded), "CONFLICT"),
    (scheduled, on(1, c.MarkNoShow), "CONFLICT"),
    (standing, on(3, c.MarkBoarded), "CONFLICT"),
    (standing, on(3, c.MarkNoShow), "CONFLICT"),
    (at("BBB"), on(2, c.MarkNoShow), "CONFLICT"),
    (after(standing, wait=timedelta(minutes=11)), on(10, c.MarkNoShow), "CONFLICT"),
    (after(standing, on(10, c.UndoBoarded), on(10, c.MarkNoShow)), on(10, c.UndoBoarded),
     "CONFLICT"),
    (scheduled, on(1, c.Alight, reason=EARLY), "CONFLICT"),
    (after(standing, on(1, c.MarkNoShow)), on(1, c.Alight, reason=EARLY), "CONFLICT"),
    (standing, an(c.CheckCoach, coach="S9"), "UNKNOWN_COACH"),
    (scheduled, an(c.CheckCoach, coach="S1"), "CONFLICT"),
    # blocked berths
    (at("EEE"), an(c.BlockBerth, coach="S1", reason=BlockReason.BROKEN), "CONFLICT"),
    (at("EEE"), an(c.UnblockBerth, coach="S1"), "CONFLICT"),
    (standing, an(c.UnblockBerth, coach="S1", berth=99), "BAD_MESSAGE"),
    (standing, an(c.BlockBerth, coach="S9", reason=BlockReason.BROKEN), "UNKNOWN_COACH"),
    # berths by decision
    (at("EEE"), to_berth(1, 3), "CONFLICT"),
    (after(standing, on(1, c.MarkNoShow)), to_berth(1, 3), "CONFLICT"),
    (of_an_older_hub, to_berth(2, 3), "CONFLICT"),
    (with_a_child, to_berth(21, 3), "CONFLICT"),
    (offering, to_berth(10, 3), "CONFLICT"),
    (standing, to_berth(1, 99), "BAD_MESSAGE"),
    (standing, to_berth(1, 2), "CONFLICT"),
    (with_a_child, to_berth(1, 1, "B1"), "UNKNOWN_COACH"),
    (offering, to_berth(11, 1), "CONFLICT"),
    (lambda: scheduled(coaches=TWO_CLASSES), to_berth(1, 1, "C1"), "CONFLICT"),
    (after(standing, an(c.BlockBerth, coach="S1", berth=9, reason=BlockReason.STAFF)),
     to_berth(1, 9), "CONFLICT"),
    (standing, on(1, c.SwapBerths, other_pnr="4512345610", other_index=1), "CONFLICT"),
    (after(standing, an(c.BlockBerth, coach="S1", berth=1, reason=BlockReason.STAFF)),
     on(1, c.SwapBerths, other_pnr="4512345602", other_index=1), "CONFLICT"),
    (standing, on(1, c.MarkBoarded, at=MORNING + timedelta(days=1)), "BAD_MESSAGE"),
    (at("CCC"), on(3, c.MarkBoarded, at=MORNING), "CONFLICT"),
    (at("CCC"), on(2, c.MarkBoarded, at=MORNING + timedelta(hours=2.8)), "CONFLICT"),
    (travelled, on(10, c.MarkNoShow, at=MORNING + timedelta(hours=2)), "CONFLICT"),
    (after(standing, on(1, c.MarkNoShow)), on(1, c.MarkBoarded, at=MORNING - HOUR), "CONFLICT"),
    (after(standing, on(1, c.CancelJourney)), on(1, c.MarkBoarded), "CONFLICT"),
    (standing, on(10, c.UndoNoShow), "CONFLICT"),
    (limited, on(1, c.UndoNoShow), "CONFLICT"),
    (after(standing, on(1, c.MarkNoShow)), on(1, c.UndoNoShow, at=MORNING - HOUR), "CONFLICT"),
    (upgraded, on(1, c.UndoNoShow), "CONFLICT"),
    # duty
    (standing, an(c.SignOn, coaches=("S1",)), "BAD_MESSAGE"),
    (standing, an(c.SignOn, coaches=(), tte="T1"), "BAD_MESSAGE"),
    (standing, an(c.SignOn, coaches=("S9",), tte="T1"), "UNKNOWN_COACH"),
    (at("EEE"), an(c.SignOn, coaches=("S1",), tte="T1"), "CONFLICT"),
    (standing, an(c.SignOff, tte=""), "BAD_MESSAGE"),
    (standing, an(c.Remark, text="no water", coach="S9"), "UNKNOWN_COACH"),
    (standing, an(c.Remark, text=" "), "BAD_MESSAGE"),
    (remarked, an(c.Remark, text="no water"), "CONFLICT"),
    # cancelling and boarding
    (standing, on(10, c.CancelJourney), "CONFLICT"),
    (at("BBB"), on(2, c.CancelJourney), "CONFLICT"),
    (of_an_older_hub, on(2, c.CancelJourney), "CONFLICT"),
    (at("EEE"), on(1, c.CancelJourney), "CONFLICT"),
    (after(standing, on(1, c.ChangeBoarding, station_code="BBB")),
     on(1, c.ChangeBoarding, station_code="CCC"), "CONFLICT"),
    (standing, on(1, c.ChangeBoarding, station_code="EEE"), "CONFLICT"),
    (standing, on(3, c.ChangeBoarding, station_code="BBB"), "CONFLICT"),
    (standing, on(10, c.ChangeBoarding, station_code="BBB"), "CONFLICT"),
    (left("AAA"), on(1, c.ChangeBoarding, station_code="CCC"), "CONFLICT"),
    # amendments; a line that fails alone fails the amendment
    (at("EEE"), amended(person(4)), "CONFLICT"),
    (standing, amended(), "BAD_MESSAGE"),
    (standing, amended(coaches=[{**TWO_CLASSES[0], "blocked": [9]}]), "BAD_MESSAGE"),
    (standing, amended(removeCoaches=["S9"]), "UNKNOWN_COACH"),
    (standing, amended(removeCoaches=["S1"]), "CONFLICT"),
    (standing, amended(person(4, coach="S9")), "BAD_MESSAGE"),
    (standing, amended(person(4, berth=1)), "BAD_MESSAGE"),
    (standing, amended(removePassengers=[ref(99)]), "BAD_MESSAGE"),
    (standing, amended(removePassengers=[ref(10)]), "BAD_MESSAGE"),
    *((make, amended(line), "BAD_MESSAGE") for make, line, _ in LINES),
    # offers
    (offering, answer(c.ApproveOffer), "CONFLICT"),
    (lambda: offering(policy="APPROVAL"), answer(c.AcceptOffer), "CONFLICT"),
    *((lambda kind=kind: closed(kind), answer(again), "OFFER_CLOSED")
      for kind in (c.AcceptOffer, c.DenyOffer, c.WithdrawOffer, c.ExpireOffers)
      for again in (c.AcceptOffer, c.DenyOffer, c.WithdrawOffer)),
]
# fmt: on


def closed(kind):
    """A run whose first offer has that outcome."""
    run = offering()
    if kind is c.ExpireOffers:
        run.now += timedelta(seconds=300)
        run.give(an(c.ExpireOffers))
    else:
        run.give(answer(kind)(run))
    return run


def whole(state):
    """All parts of a state, in a form that can be compared."""
    return {
        name: repr(value)
        for name, value in vars(state).items()
        if name not in ("occupancy", "_openings")
    } | {"occupancy": copy.deepcopy((state.occupancy._holds, state.occupancy.blocks))}


def fail(make, command, code):
    """Check one failure of the table. Return the file and line of the rule that raised."""
    run = make()
    given = command(run) if callable(command) else command
    before = whole(run.state)
    with pytest.raises(HubError) as raised:
        run.give(given)
    assert raised.value.code == code
    assert raised.value.message
    assert whole(run.state) == before
    last = raised.traceback[-1]
    return Path(str(last.path)).name, last.lineno + 1


@pytest.mark.parametrize(("make", "command", "code"), FAILURES)
def test_a_failure_changes_nothing(make, command, code):
    """A failure has its code and a text, and leaves the state unchanged."""
    fail(make, command, code)


def test_the_table_has_every_failure():
    """The table reaches each `raise` of the rules, except those for readers only."""
    reached = {fail(make, command, code) for make, command, code in FAILURES}
    raises = set()
    for module in RULES:
        tree = ast.parse(Path(module.__file__).read_text())
        for function in ast.walk(tree):
            # Only readers look up a PNR, and an offer's id is parsed before there is a run. A line
            # of an amendment has a test of its own.
            named = isinstance(function, ast.FunctionDef) and function.name
            if named and named not in (*READERS, *OF_A_LINE):
                raises |= {
                    (Path(module.__file__).name, line)
                    for node in ast.walk(function)
                    if isinstance(node, ast.Raise)
                    for line in [range(node.lineno, node.end_lineno + 1)]
                }
    missed = [
        (name, lines.start)
        for name, lines in raises
        if not any(name == other and line in lines for other, line in reached)
    ]
    assert missed == []


READERS = {"on_pnr", "run_of_offer"}
OF_A_LINE = {"_lines", "_check_movable"}


def test_a_line_of_an_amendment_fails_with_its_reason():
    """Each fault of a line is told, and the table of lines has each `raise` but one.

    That one is for a person that the same amendment removes, so the amendment has effect.
    """
    for make, line, reason in LINES:
        with pytest.raises(HubError, match=reason):
            make().give(amended(line))
    run = standing()
    run.give(amended(person(1, berth=9), removePassengers=[ref(1)]))
    (told,) = next(each for each in run.events if isinstance(each, e.ChartAmended)).rejected
    assert "the same amendment removes the passenger" in told.reason
    tree = ast.parse(Path(amend.__file__).read_text())
    of_a_line = [
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name in OF_A_LINE
        for node in ast.walk(function)
        if isinstance(node, ast.Raise)
    ]
    assert len(of_a_line) == len(LINES) + 1
