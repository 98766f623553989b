"""Helpers for the tests of the rules: times and people of railway.py's run, and its events."""

import json
from datetime import UTC, datetime, timedelta

from railway import RUN, Driver, chart, person

from trainhub.core.codec import dump, load
from trainhub.domain import events as e
from trainhub.domain.train import fold

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def types(events):
    return [e.TYPES[type(event)] for event in events]


def pnr(number):
    return f"45123456{number:02}"


def state_of(run, number):
    return run.state.passenger(pnr(number), 1).state


def recovered(run):
    """Return the run as another process reads it from the journal."""
    loaded = [load(type(each), json.loads(json.dumps(dump(each)))) for each in run.events]
    return fold(RUN, loaded)


def at(hour, minute=0, second=0):
    """Return this time on the run's day, in the run's zone."""
    return datetime(2026, 11, 23, hour, minute, second, tzinfo=UTC) - timedelta(hours=5.5)


def departed(code="AAA"):
    """Return a run that has left this station on time."""
    run = Driver()
    run.go_to(code)
    run.now = run.state.stops[run.state.current].scheduled_departure
    run.depart(code)
    return run


def london(**fields):
    """Return a run in the night when, at 01:00 UTC, clocks go back from 02:00 to 01:00."""
    ends = {"departure": "00:30", "arrival": "00:20"}, {"arrival": "03:30"}
    stations = [{**each, **end} for each, end in zip(chart()["stations"][:2], ends, strict=True)]
    people = [person(1, "AAA", "BBB")]
    fields |= {"stations": stations, "timezone": "Europe/London", "startDate": "2026-10-25"}
    run = Driver(*people, **fields)
    run.now = datetime(2026, 10, 24, 23, 20, tzinfo=UTC)
    run.start()
    return run


def utc(hour, minute):
    return datetime(2026, 10, 25, hour, minute, tzinfo=UTC)
