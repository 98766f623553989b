"""trainhub/domain/service.py: whether a run is in service, by its status and by the clock."""

from datetime import timedelta

import pytest
from railway import TRAIN, Driver

from trainhub.domain import commands as c
from trainhub.domain.service import LONG_PAST, SOON, Service, service

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


def driver(status="SCHEDULED", delay=0):
    """A run from 09:10 to 13:00 by its timetable."""
    made = Driver()
    if delay:
        made.give(c.SetDelay(**TRAIN, delay_minutes=delay))
    if status in ("RUNNING", "COMPLETED"):
        made.start()
    if status == "COMPLETED":
        made.go_to("EEE")
    if status == "CANCELLED":
        made.give(c.CancelTrain(**TRAIN))
    return made.state


def test_a_closed_run_is_the_least_likely():
    """Its train number is free for the run of today."""
    run = Driver()
    run.start()
    run.give(c.CloseRun(**TRAIN))
    assert service(run.state, run.now) is Service.GIVEN_UP


@pytest.mark.parametrize(
    ("status", "service_at"),
    [
        ("SCHEDULED", (Service.AHEAD, Service.DUE, Service.DUE, Service.GIVEN_UP)),
        ("RUNNING", (Service.UNDER_WAY,) * 3 + (Service.GIVEN_UP,)),
        ("COMPLETED", (Service.COMPLETED,) * 4),
        ("CANCELLED", (Service.CANCELLED,) * 4),
    ],
)
@pytest.mark.parametrize("delay", [0, 90])
def test_service_by_status_and_clock(status, service_at, delay):
    """A run is DUE 12 hours before its departure, and GIVEN_UP 6 hours after its expected end.

    Both times move with the delay. A run that has ended does not depend on the time.
    """
    state = driver(status, delay)
    late = timedelta(minutes=state.delay_minutes)
    departs = state.stops[0].scheduled_departure + late
    ends = state.stops[-1].scheduled_arrival + late
    moments = (departs - SOON - SECOND, departs - SOON, ends + LONG_PAST)
    moments += (ends + LONG_PAST + SECOND,)
    found = [service(state, each) for each in moments]
    if status == "RUNNING" and delay:  # under way by its reports, although not by the timetable
        assert found[2] is Service.LATE
        found[2] = Service.UNDER_WAY
    assert tuple(found) == service_at


def test_a_run_that_is_reported_late_stays_in_service():
    """A run eight hours late with recent reports is not GIVEN_UP."""
    made = Driver()
    made.start()
    made.now = made.state.stops[0].scheduled_departure + 8 * HOUR
    made.depart("AAA")
    ends = made.state.stops[-1].scheduled_arrival
    assert service(made.state, ends + LONG_PAST) is Service.UNDER_WAY
    assert service(made.state, ends + 8 * HOUR + LONG_PAST) is Service.LATE
    assert service(made.state, ends + 9 * HOUR + LONG_PAST) is Service.GIVEN_UP
