"""trainhub/domain/board.py: which trains are due at a station, and what the board says of them."""

from datetime import timedelta

from railway import MORNING, Driver

from trainhub.domain import commands as c
from trainhub.domain.board import board_line

HOURS = timedelta(hours=4)


def line_at(run, code, within=HOURS):
    lines = (board_line(run.state, stop, run.now, within) for stop in run.state.stops_at(code))
    found = [line[1] for line in lines if line is not None]
    assert len(found) <= 1
    return found[0] if found else None


def test_a_train_is_due_by_its_delay():
    """The board has the way of the train, and the scheduled and expected time, here and now."""
    run = Driver()
    run.go_to("BBB")
    run.give(c.SetDelay(train_no="12345", delay_minutes=25))
    due, line = board_line(run.state, run.state.station("CCC"), run.now, HOURS)
    assert due.isoformat() == "2026-11-23T11:35:00+05:30"
    stop = line.pop("stop")
    assert line == {
        "trainNo": "12345",
        "trainName": "TEST EXP",
        "startDate": "2026-11-23",
        "status": "RUNNING",
        "origin": {"code": "AAA", "name": "STATION AAA"},
        "terminus": {"code": "EEE", "name": "STATION EEE"},
        "station": {"code": "BBB", "name": "STATION BBB"},
        "departed": False,
        "delayMinutes": 25,
    }
    assert (stop["scheduledArrival"], stop["expectedArrival"], stop["platform"]) == (
        "2026-11-23T11:00:00+05:30",
        "2026-11-23T11:25:00+05:30",
        "3",
    )


def test_a_train_is_on_the_board_until_it_has_left():
    """It is there while it stands, and gone after its departure; at the terminus after arrival."""
    run = Driver()
    run.go_to("BBB")
    assert line_at(run, "AAA") is None
    assert line_at(run, "BBB")["stop"]["actualArrival"] is not None
    run.now += timedelta(minutes=10)
    run.depart("BBB")
    assert line_at(run, "BBB") is None
    assert line_at(run, "EEE")["stop"]["expectedDeparture"] is None
    run.go_to("EEE")
    assert line_at(run, "EEE") is None


def test_a_train_that_ends_early_is_on_the_board_as_it_runs():
    """At the last station that it serves it comes, and does not leave."""
    run = Driver()
    run.start()
    run.give(c.SetDelay(train_no="12345", delay_minutes=25))
    run.give(c.ShortTerminate(train_no="12345", station_code="CCC"))
    line = line_at(run, "CCC")
    assert (line["terminus"]["code"], line["delayMinutes"]) == ("CCC", 25)
    assert line["stop"]["expectedDeparture"] is None


def test_the_board_looks_ahead_for_some_hours_only():
    """A later train, and a station that the train does not have, are not on the board."""
    run = Driver()
    assert line_at(run, "CCC") is not None
    assert line_at(run, "EEE") is None
    assert line_at(run, "EEE", timedelta(hours=5)) is not None
    assert line_at(run, "ZZZ") is None


def test_a_running_train_stays_on_the_board_however_late():
    """A train without a report stays; a train that never started, or is cancelled, is dropped."""
    late, idle, cancelled = Driver(), Driver(), Driver()
    late.start()
    cancelled.give(c.CancelTrain(train_no="12345"))
    for run in (late, idle, cancelled):
        assert line_at(run, "BBB")["status"] == run.state.status
        run.now = MORNING + timedelta(hours=10)
    assert line_at(late, "BBB") is not None
    assert line_at(idle, "BBB") is line_at(cancelled, "BBB") is None


def test_a_skipped_station_says_so():
    """Passengers who wait there read that the train does not stop."""
    run = Driver()
    run.start()
    run.give(c.SkipStation(train_no="12345", station_code="BBB"))
    assert line_at(run, "BBB")["stop"]["skipped"] is True
