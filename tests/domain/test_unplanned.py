"""trainhub/domain/unplanned.py: late starts, early ends, and what is undone."""

import pytest
from day import MINUTE, departed, pnr, recovered, state_of, types
from railway import TRAIN, Driver, person, rac, station

from trainhub.core.errors import BadMessage, Conflict
from trainhub.domain import commands as c
from trainhub.domain.decisions import Decisions
from trainhub.domain.model import PersonState, StationReport, person_key
from trainhub.domain.unplanned import closes_at
from trainhub.domain.views import berth_plan, common_view, vacancies_view


def start_at(run, code):
    return run.give(c.StartJourney(**TRAIN, station_code=code))


def end_at(run, code, reason=None):
    return run.give(c.ShortTerminate(**TRAIN, station_code=code, reason=reason))


def skip(run, code):
    return run.give(c.SkipStation(**TRAIN, station_code=code))


def undo_skip(run, code):
    return run.give(c.UndoSkip(**TRAIN, station_code=code))


def undo_report(run, code, report):
    return run.give(c.UndoReport(**TRAIN, station_code=code, report=StationReport(report)))


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
        *["BERTH_VACATED"] * 2,
    ]
    assert {each.next.code for each in events[:2]} == {"CCC"}
    assert (events[2].station.code, events[2].next.code) == ("CCC", "DDD")
    assert run.state.here.station.code == "CCC"
    assert [state_of(run, who) for who in (1, 2, 3, 4)] == ["DUE", "UNCHECKED", "DUE", "UNCHECKED"]
    run.board(1)  # who came to CCC
    run.go_to("EEE")
    assert [state_of(run, who) for who in (1, 3)] == ["ALIGHTED", "UNCHECKED"]


def test_a_berth_that_was_booked_up_to_the_new_start_is_offered_there():
    """As it is when its passenger alights there."""
    run = Driver(person(1, end="CCC"), person(2, end="CCC"), person(3, "CCC", berth=2), rac(11, 1))
    events = start_at(run, "CCC")
    assert types(events)[-1:] == ["BERTH_VACATED"]
    assert (events[-1].berth, events[-1].from_, events[-1].to) == (1, "CCC", "EEE")
    run.board(11)
    (offer,) = run.state.open_by_berth.values()
    assert offer.key == "S1-1"


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
    with pytest.raises(Conflict, match="BBB is skipped, and UNDO_SKIP serves it"):
        run.arrive("BBB")
    assert undo_skip(run, "BBB")[0].next.code == "BBB"
    assert undo_skip(run, "BBB") == []
    run.arrive("BBB")
    assert run.state.passenger(pnr(2), 1).state is PersonState.ALIGHTED


# --- a halt more -------------------------------------------------------------------------------


def halt(run, after, arrival, departure, **fields):
    fields = {"station_code": "HHH", "name": "HALT", **fields}
    return run.give(c.AddHalt(**TRAIN, **fields, after=after, arrival=arrival, departure=departure))


def test_a_diverted_train_also_stops_at_a_station_that_is_not_on_its_chart():
    """It is reported like each stop, and the stops after it are as before."""
    run = Driver(person(1, end="CCC"), person(2, "CCC"))
    run.start()
    run.board(1)
    run.depart("AAA")
    (added,) = halt(run, "AAA", "09:30", "09:40", platform="2")
    assert (added.station.index, added.next.code, added.halt.distance_km) == (1, "HHH", 0)
    assert served(run) == ["AAA", "HHH", "BBB", "CCC", "DDD", "EEE"]
    with pytest.raises(Conflict, match="the next station is HHH, not BBB"):
        run.arrive("BBB")
    assert run.arrive("HHH")[0].platform == "2"
    run.go_to("CCC")
    run.board(2)
    run.go_to("EEE")
    assert (state_of(run, 1), state_of(run, 2)) == ("ALIGHTED", "ALIGHTED")
    assert recovered(run).passengers == run.state.passengers


def test_a_halt_leaves_each_passenger_the_berth_to_the_same_station():
    """Berth 1 is one's to CCC and the other's from there, whatever the stops on the way are."""
    run = Driver(person(1, end="CCC"), person(2, "CCC", berth=1), rac(11, 1, "BBB"))
    before = [row["holders"] for row in berth_plan(run.state, run.state.coach("S1"))]
    run.give(c.BlockBerth(**TRAIN, coach="S1", berth=9, reason="BROKEN"))
    halt(run, "BBB", "10:20", "10:30")
    halt(run, "CCC", "11:20", "11:30", station_code="HH2")
    assert [row["holders"] for row in berth_plan(run.state, run.state.coach("S1"))] == before
    assert [run.state.occupancy.at("S1-1", leg) for leg in range(6)] == [
        *[[person_key(pnr(1), 1)]] * 3,
        *[[person_key(pnr(2), 1)]] * 3,
    ]
    assert all(run.state.occupancy.blocked("S1-9", leg) for leg in range(6))
    assert recovered(run).occupancy.at("S1-1", 5) == [person_key(pnr(2), 1)]


def test_a_berth_that_falls_vacant_ahead_is_offered_at_the_same_station():
    """A vacancy from CCC on begins there, also with a halt before it."""
    run = Driver(person(1, end="CCC"), rac(11, 1))
    run.start()
    run.board(1)
    run.board(11)
    run.go_to("BBB")
    halt(run, "BBB", "10:20", "10:30")
    run.go_to("HHH")
    assert not run.state.open_by_berth
    run.go_to("CCC")
    (offer,) = run.state.open_by_berth.values()
    assert (offer.made.from_, offer.made.to) == ("CCC", "EEE")


def test_a_halt_that_was_a_mistake_is_skipped():
    """SKIP_STATION takes it back."""
    run = Driver(person(1))
    halt(run, "BBB", "10:20", "10:30")
    skip(run, "HHH")
    assert served(run) == ["AAA", "BBB", "CCC", "DDD", "EEE"]


@pytest.mark.parametrize(
    ("after", "arrival", "departure", "fault"),
    [
        ("BBB", "10:05", "10:30", "BBB is left at 10:10 and CCC reached at 11:00"),
        ("BBB", "10:30", "11:01", "give times between"),
        ("BBB", "10:30", "10:20", "give times between"),
        ("BBB", "half past", "10:20", "arrival is a time like 15:50"),
    ],
)
def test_a_halt_is_between_its_neighbours(after, arrival, departure, fault):
    """The error has the times between which it must be."""
    with pytest.raises(BadMessage, match=fault):
        halt(Driver(person(1)), after, arrival, departure)


def test_a_halt_may_be_past_midnight():
    """Its day is the first on which it is between its neighbours."""
    late = [station(0), {**station(1), "arrival": "23:00", "departure": "23:10"}]
    late.append({**station(2), "arrival": "04:00", "departure": None, "day": 2})
    run = Driver(person(1, end="CCC"), stations=late)
    (added,) = halt(run, "BBB", "00:30", "00:40", distance_km=120)
    assert (added.halt.day, added.halt.distance_km) == (2, 120)
    assert run.state.stops[2].scheduled_arrival.isoformat() == "2026-11-24T00:30:00+05:30"


def test_a_halt_has_its_place_on_the_way_ahead():
    """Each refusal says which stop to name."""
    run = Driver(person(1))
    run.go_to("CCC")
    with pytest.raises(Conflict, match="BBB is behind the train: name CCC or a stop ahead"):
        halt(run, "BBB", "10:20", "10:30")
    with pytest.raises(Conflict, match="the train ends at EEE"):
        halt(run, "EEE", "13:20", "13:30")
    with pytest.raises(Conflict, match="the train calls at DDD already"):
        halt(run, "CCC", "11:20", "11:30", station_code="DDD")
    with pytest.raises(BadMessage, match="distanceKm"):
        halt(run, "CCC", "11:20", "11:30", distance_km=100)


def test_a_halt_is_behind_the_stops_that_are_named_by_an_index():
    """The name BBB@3 would mean another stop."""
    twice = [station(place) for place in range(5)]
    twice[3] |= {"code": "BBB"}
    run = Driver(person(1), stations=twice)
    with pytest.raises(Conflict, match="calls twice at a station ahead"):
        halt(run, "CCC", "11:20", "11:30")
    halt(run, "BBB@3", "12:20", "12:30")
    assert [stop.code for stop in run.state.stops][3:] == ["BBB@3", "HHH", "EEE"]


# --- a report that is undone -------------------------------------------------------------------


def test_an_arrival_that_is_undone_lets_the_train_go_on():
    """Who alighted is aboard again, and the offer of the berth that fell vacant is withdrawn."""
    run = Driver(person(1, end="BBB"), person(2, end="BBB"), rac(11, 1))
    run.start()
    run.board(1)
    run.board(11)
    run.depart("AAA")
    run.arrive("BBB")
    assert (state_of(run, 1), state_of(run, 2)) == ("ALIGHTED", "UNCHECKED")
    assert run.state.open_by_berth
    events = undo_report(run, "BBB", "ARRIVAL")
    assert types(events) == ["UPGRADE_CLOSED", "REPORT_UNDONE", *["PASSENGER_RESTORED"] * 2]
    assert events[1].next.code == "BBB"
    assert (state_of(run, 1), state_of(run, 2)) == ("ABOARD", "DUE")
    assert (run.state.here.code, run.state.departed) == ("AAA", True)
    assert run.state.stops[1].arrived is None
    assert not run.state.open_by_berth
    assert not any(run.state.freed.values())
    assert "UPGRADE_OFFER" in types(run.arrive("BBB"))


def test_a_departure_that_is_undone_makes_those_due_who_were_assumed_aboard():
    """A mark of a TTE stays."""
    run = Driver(person(1), person(2), person(3), boarding="auto")
    run.start()
    run.depart("AAA")
    run.board(2)
    run.no_show(3)
    assert types(undo_report(run, "AAA", "DEPARTURE")) == ["REPORT_UNDONE", "BOARDED_UNDONE"]
    assert [state_of(run, who) for who in (1, 2, 3)] == ["DUE", "ABOARD", "NT"]
    assert not run.state.departed
    assert types(run.depart("AAA")) == ["STATION_DEPARTURE", "PASSENGER_BOARDED"]


def test_the_last_arrival_is_undone_too():
    """The run is RUNNING again, and every passenger is as before."""
    run = Driver(person(1), person(2))
    run.start()
    run.board(1)
    run.go_to("DDD")
    run.depart("DDD")
    before = run.state.delay_minutes
    run.arrive("EEE")
    assert run.state.status == "COMPLETED"
    undo_report(run, "EEE", "ARRIVAL")
    assert (run.state.status, run.state.ended_at) == ("RUNNING", None)
    assert (run.state.here.code, run.state.delay_minutes) == ("DDD", before)
    assert (state_of(run, 1), state_of(run, 2)) == ("ABOARD", "DUE")
    assert recovered(run).passengers == run.state.passengers


def test_an_arrival_and_the_departure_that_it_implied_are_undone_one_by_one():
    """Both belong to one mistake. The report before them stays."""
    run = Driver(person(1))
    run.start()
    run.give(c.Arrive(**TRAIN, station_code="BBB"))
    undo_report(run, "BBB", "ARRIVAL")
    undo_report(run, "AAA", "DEPARTURE")
    assert (run.state.here.code, run.state.departed) == ("AAA", False)
    with pytest.raises(Conflict, match="no report to undo"):
        undo_report(run, "AAA", "DEPARTURE")


def test_a_report_is_not_undone_once_passengers_were_upgraded():
    """The error names them and their berths; nothing has changed."""
    run = Driver(person(1, end="BBB"), rac(11, 1), policy="AUTO")
    run.start()
    run.board(1)
    run.board(11)
    run.depart("AAA")
    run.arrive("BBB")
    with pytest.raises(Conflict) as raised:
        undo_report(run, "BBB", "ARRIVAL")
    place = {"coach": "S1", "berth": 1}
    assert raised.value.details == {"upgraded": [{"pnr": pnr(11), "index": 1, **place}]}


def test_a_report_is_not_undone_once_passengers_were_marked_at_the_station():
    """Their marks are undone first; a mark of a passenger from before stays."""
    run = Driver(person(1), person(2, "BBB"))
    run.go_to("BBB")
    run.no_show(1)
    run.board(2)
    with pytest.raises(Conflict) as raised:
        undo_report(run, "BBB", "ARRIVAL")
    assert raised.value.details == {"marked": [{"pnr": pnr(2), "index": 1}]}
    run.give(c.UndoBoarded(**TRAIN, pnr=pnr(2), index=1))
    undo_report(run, "BBB", "ARRIVAL")
    assert (state_of(run, 1), state_of(run, 2)) == ("NT", "DUE")


@pytest.mark.parametrize(("minutes", "undone"), [(10, True), (11, False)])
def test_a_report_can_be_undone_for_ten_minutes(minutes, undone):
    """The time counts from the report, also if the hub's clock was set meanwhile."""
    run = departed()
    run.give(c.CorrectClock(**TRAIN, by_seconds=3600))
    run.now += 60 * MINUTE + minutes * MINUTE
    if undone:
        assert types(undo_report(run, "AAA", "DEPARTURE")) == ["REPORT_UNDONE"]
    else:
        with pytest.raises(Conflict, match="ten minutes"):
            undo_report(run, "AAA", "DEPARTURE")


def test_the_round_of_a_coach_is_undone_with_the_arrival():
    """It was no round of the station where the train is not."""
    run = Driver(person(1))
    run.go_to("BBB")
    run.give(c.CheckCoach(**TRAIN, coach="S1"))
    undo_report(run, "BBB", "ARRIVAL")
    assert run.state.checked == {}


# --- a cancellation that is undone -------------------------------------------------------------


def test_a_cancelled_run_is_reinstated():
    """Who alighted by the cancellation is aboard again, and the berth is offered again."""
    run = Driver(person(1), person(2, end="BBB"), person(3, "CCC"), rac(11, 1))
    run.start()
    for who in (2, 11):
        run.board(who)
    run.go_to("BBB")
    run.no_show(1)
    assert run.state.open_by_berth
    run.give(c.CancelTrain(**TRAIN))
    assert state_of(run, 11) == "ALIGHTED"
    events = run.give(c.ReinstateTrain(**TRAIN))
    assert types(events) == [
        *("TRAIN_REINSTATED", "PASSENGER_RESTORED", "UPGRADE_PENDING", "UPGRADE_OFFER"),
    ]
    assert (events[0].status, events[0].next.code) == ("RUNNING", "CCC")
    found = [state_of(run, who) for who in (1, 2, 3, 11)]
    assert found == ["NT", "ALIGHTED", "DUE", "ABOARD"]
    assert (run.state.status, run.state.ended_at) == ("RUNNING", None)
    assert run.give(c.ReinstateTrain(**TRAIN)) == []


def test_a_run_that_had_not_started_is_scheduled_again():
    """It starts as it would have."""
    run = Driver(person(1))
    run.give(c.CancelTrain(**TRAIN))
    run.give(c.ReinstateTrain(**TRAIN))
    assert run.state.status == "SCHEDULED"
    assert types(run.start()) == ["JOURNEY_STARTED"]


# --- a run that is never ended -----------------------------------------------------------------


def test_a_run_is_closed_hours_after_all_that_is_known_of_it():
    """Its expected end counts, and each event, so that a very late train stays."""
    run = Driver(person(1))
    run.start()
    end = run.state.stops[-1].scheduled_arrival
    assert closes_at(run.state, 12) - end == 12 * 60 * MINUTE
    run.give(c.SetDelay(**TRAIN, delay_minutes=90))
    assert closes_at(run.state, 12) - end == (12 * 60 + 90) * MINUTE
    run.now = end + 20 * 60 * MINUTE
    run.give(c.Announce(**TRAIN, text="we wait for an engine"))
    assert closes_at(run.state, 12) == run.now + 12 * 60 * MINUTE


def test_a_closed_run_takes_no_report_and_no_one_is_due():
    """Today's reports do not catch it. A mark that was made before is recorded."""
    run = Driver(person(1), person(2), person(3))
    run.start()
    made = run.now
    run.board(1)
    run.depart("AAA")
    events = run.give(c.CloseRun(**TRAIN))
    assert types(events) == [
        *("RUN_CLOSED", "PASSENGER_ALIGHTED", "PASSENGER_UNCHECKED", "PASSENGER_UNCHECKED")
    ]
    assert run.give(c.CloseRun(**TRAIN)) == []
    with pytest.raises(Conflict, match="is CLOSED"):
        run.arrive("BBB")
    with pytest.raises(Conflict, match="is CLOSED already"):
        run.give(c.CancelTrain(**TRAIN))
    run.give(c.MarkNoShow(**TRAIN, pnr=pnr(2), index=1, at=made))
    assert [state_of(run, who) for who in (1, 2, 3)] == ["ALIGHTED", "NT", "UNCHECKED"]


def test_a_run_that_was_closed_too_early_is_reinstated():
    """The train was only very late: its passengers are as before, and it may report."""
    run = Driver(person(1), person(2))
    run.start()
    run.board(1)
    run.depart("AAA")
    run.give(c.CloseRun(**TRAIN))
    run.give(c.ReinstateTrain(**TRAIN))
    assert [state_of(run, who) for who in (1, 2)] == ["ABOARD", "DUE"]
    assert closes_at(run.state, 12) >= run.now + 12 * 60 * MINUTE
    run.arrive("BBB")
