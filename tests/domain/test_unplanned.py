"""trainhub/domain/unplanned.py: runs that start late, end early, or serve a station after all."""

import pytest
from day import departed, pnr, state_of, types
from railway import TRAIN, Driver, person, rac

from trainhub.core.errors import Conflict
from trainhub.domain import commands as c
from trainhub.domain.decisions import Decisions
from trainhub.domain.model import PersonState
from trainhub.domain.views import common_view, vacancies_view


def start_at(run, code):
    return run.give(c.StartJourney(**TRAIN, station_code=code))


def end_at(run, code, reason=None):
    return run.give(c.ShortTerminate(**TRAIN, station_code=code, reason=reason))


def skip(run, code):
    return run.give(c.SkipStation(**TRAIN, station_code=code))


def undo_skip(run, code):
    return run.give(c.UndoSkip(**TRAIN, station_code=code))


def served(run):
    return [stop.station.code for stop in run.state.stops if not stop.skipped]


# --- an early end ------------------------------------------------------------------------------


def test_a_run_that_ends_early_is_completed_there():
    """Those aboard alight there, those due beyond were never served, and no one stays due."""
    run = Driver(person(1), person(2, end="CCC"), person(3, "CCC"), person(4, "DDD"), person(5))
    run.start()
    run.board(1)
    run.board(2)
    (event,) = end_at(run, "CCC", "a landslide")
    assert (event.station.code, event.not_served) == ("CCC", ("DDD", "EEE"))
    assert event.reason == "a landslide"
    assert end_at(run, "CCC") == []
    assert run.state.running
    run.go_to("BBB")
    run.depart("BBB")
    events = run.arrive("CCC")
    assert types(events) == [
        "STATION_ARRIVAL",
        *["PASSENGER_ALIGHTED"] * 2,
        *["PASSENGER_UNCHECKED"] * 3,
        "JOURNEY_COMPLETED",
    ]
    assert events[0].next is None
    assert events[-1].station.code == "CCC"
    assert run.state.status == "COMPLETED"
    found = [state_of(run, who) for who in range(1, 6)]
    assert found == ["ALIGHTED", "ALIGHTED", "UNCHECKED", "UNCHECKED", "UNCHECKED"]


def test_a_run_that_ends_where_it_stands_is_completed_at_once():
    """The offers that are open are withdrawn, and the berths beyond are no vacancies."""
    run = Driver(person(1), rac(11, 1))
    run.start()
    run.board(11)
    run.no_show(1)
    assert run.state.open_by_berth
    run.go_to("CCC")
    assert types(end_at(run, "CCC")) == [
        *("SHORT_TERMINATED", "PASSENGER_ALIGHTED", "JOURNEY_COMPLETED", "UPGRADE_CLOSED"),
    ]
    assert (run.state.status, run.state.ended_at) == ("COMPLETED", run.now)
    assert vacancies_view(run.state) == []


def test_a_run_that_ends_early_has_vacancies_up_to_there():
    """A berth is vacant up to the last station that the train serves."""
    run = Driver(person(1))
    run.start()
    end_at(run, "CCC")
    assert {row["to"] for row in vacancies_view(run.state)} == {"CCC"}
    stops = common_view(run.state)["stations"]
    assert [stop["skipped"] for stop in stops] == [False, False, False, True, True]


def test_a_run_that_ends_early_can_end_still_earlier():
    """An early end replaces the one before, as long as it is ahead."""
    run = departed()
    end_at(run, "DDD")
    assert end_at(run, "CCC")[0].not_served == ("DDD",)
    with pytest.raises(Conflict, match="is skipped"):
        end_at(run, "EEE")


def test_an_early_end_is_taken_back_station_by_station():
    """UNDO_SKIP lets the train go on to a station beyond, and the run ends there."""
    run = departed()
    end_at(run, "BBB")
    undo_skip(run, "EEE")
    assert served(run) == ["AAA", "BBB", "EEE"]
    run.arrive("BBB")
    assert run.state.running


def test_a_mark_that_comes_after_an_early_end_is_recorded():
    """A passenger aboard to the early end was there, also if the mark comes late."""
    run = Driver(person(1), person(2))
    run.start()
    made = run.now
    run.go_to("BBB")
    end_at(run, "BBB")
    run.give(c.MarkBoarded(**TRAIN, pnr=pnr(1), index=1, at=made))
    assert state_of(run, 1) == "ALIGHTED"
    run.give(c.MarkNoShow(**TRAIN, pnr=pnr(2), index=1, at=made))
    assert state_of(run, 2) == "NT"
    assert run.state.freed == {}


def test_the_history_of_a_passenger_ends_where_the_train_does():
    """The decisions about a passenger say that the run is over."""
    run = Driver(person(1), rac(11, 1))
    run.start()
    run.board(11)
    run.go_to("BBB")
    end_at(run, "BBB")
    decisions = Decisions(run.state.run, pnr(11), 1)
    for seq, event in enumerate(run.events, start=1):
        decisions.add(seq, event)
    assert decisions.found[-1]["event"] == "PASSENGER_ALIGHTED"
    assert decisions.standing(run.now) == "the run is COMPLETED"


# --- a later start -----------------------------------------------------------------------------


def test_a_run_that_starts_later_has_skipped_the_stations_before():
    """Passengers for a journey before the start are never served; the others board there."""
    run = Driver(person(1), person(2, "AAA", "BBB"), person(3, "CCC"), person(4, "BBB", "CCC"))
    events = start_at(run, "CCC")
    assert types(events) == [
        *["STATION_SKIPPED"] * 2,
        "JOURNEY_STARTED",
        *["PASSENGER_UNCHECKED"] * 2,
    ]
    assert {each.next.code for each in events[:2]} == {"CCC"}
    assert (events[2].station.code, events[2].next.code) == ("CCC", "DDD")
    assert run.state.here.station.code == "CCC"
    assert [state_of(run, who) for who in (1, 2, 3, 4)] == ["DUE", "UNCHECKED", "DUE", "UNCHECKED"]
    run.board(1)  # who came to CCC
    run.go_to("EEE")
    assert [state_of(run, who) for who in (1, 3)] == ["ALIGHTED", "UNCHECKED"]


def test_the_first_station_is_skipped_before_the_start():
    """The train starts at the next one; the skip can be undone until then."""
    run = Driver(person(1))
    assert skip(run, "AAA")[0].next.code == "BBB"
    assert undo_skip(run, "AAA")[0].next.code == "BBB"
    assert served(run)[0] == "AAA"
    skip(run, "AAA")
    skip(run, "BBB")
    assert undo_skip(run, "BBB")[0].next.code == "BBB"
    (started,) = run.start()
    assert started.station.code == "BBB"
    with pytest.raises(Conflict, match="has passed AAA"):
        undo_skip(run, "AAA")


def test_a_passenger_of_a_skipped_station_may_board_further_on():
    """No one can board where the train did not stop, so the boarding station can be changed."""
    run = Driver(person(1))
    start_at(run, "BBB")
    run.go_to("CCC")
    run.give(c.ChangeBoarding(**TRAIN, pnr=pnr(1), index=1, station_code="DDD"))
    assert run.state.passenger(pnr(1), 1).from_ == "DDD"


def test_a_turn_does_not_wait_for_those_who_were_to_board_before_the_start():
    """A passenger who did not come to the new start holds up no one."""
    run = Driver(person(1, "BBB"), rac(11, 1), rac(12, 2, "BBB"), policy="AUTO")
    start_at(run, "BBB")
    run.board(12)
    run.no_show(1)
    assert [each.pnr for each in run.state.upgrades] == [pnr(12)]


# --- a station after all -----------------------------------------------------------------------


def test_a_skipped_station_is_served_after_all():
    """Its passengers board and alight there again."""
    run = Driver(person(2, end="BBB"))
    run.start()
    run.board(2)
    run.depart("AAA")
    skip(run, "BBB")
    assert undo_skip(run, "BBB")[0].next.code == "BBB"
    assert undo_skip(run, "BBB") == []
    run.arrive("BBB")
    assert run.state.passenger(pnr(2), 1).state is PersonState.ALIGHTED
