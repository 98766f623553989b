"""trainhub/hub/which_run.py: the run that a train number without a date means."""

from datetime import datetime

import pytest
from railway import chart, person, register_chart

from trainhub.access.identity import ANONYMOUS, Identity
from trainhub.core.errors import HubError
from trainhub.domain import commands as c
from trainhub.domain.errors import AmbiguousRun, UnknownTrain
from trainhub.domain.model import Role
from trainhub.domain.train import TrainState
from trainhub.hub.which_run import run_meant

NOW = datetime.fromisoformat("2026-11-23T10:00:00+05:30")
YESTERDAY, TODAY, TOMORROW, LATER = "2026-11-22", "2026-11-23", "2026-11-24", "2026-11-25"
AMBIGUOUS, UNKNOWN = "AMBIGUOUS_RUN", "UNKNOWN_TRAIN"


def run_on(day, status, *booked, over=()):
    """Train 12345's run of a day, from 09:10 to 13:00. Users in `over` have cancelled there."""
    people = [person(who, irctcId=user) for who, user in enumerate((*booked, *over, "IR_9"), 1)]
    whole = register_chart(chart(*people, startDate=day))
    state, train = TrainState(whole.chart.run), {"train_no": "12345"}
    commands = [whole]
    commands += [
        c.CancelJourney(**train, pnr=each["pnr"], index=1)
        for each in people
        if each["irctcId"] in over
    ]
    commands += [c.StartJourney(**train)] * (status in ("RUNNING", "COMPLETED", "LATE"))
    commands += [c.SetDelay(**train, delay_minutes=24 * 60)] * (status == "LATE")
    commands += [c.CancelTrain(**train)] * (status == "CANCELLED")
    now = datetime.fromisoformat(f"{day}T09:10:00+05:30")
    for command in commands:
        state.carry_out(command, now)
    for here, there in zip("ABCD", "BCDE", strict=True) if status == "COMPLETED" else ():
        state.carry_out(c.Depart(**train, station_code=here * 3), now)
        state.carry_out(c.Arrive(**train, station_code=there * 3), now)
    assert state.status == ("RUNNING" if status == "LATE" else status)
    return state


def passenger(*trains, user="U1"):
    return Identity(user, Role.PASSENGER, frozenset(trains or ("12345",)))


def tte(*trains):
    return Identity("T1", Role.TTE, frozenset(trains or ("12345",)))


def day(text):
    return f"12345/{text}"


# name → runs (day, status, booked users), the caller, the run that is meant
TABLE = {
    # the token's runs
    "the token names today's, yesterday's never ended": (
        [(YESTERDAY, "RUNNING", "U1"), (TODAY, "SCHEDULED", "U1")],
        passenger(day(TODAY)),
        TODAY,
    ),
    "the token names tomorrow's, today's is running": (
        [(TODAY, "RUNNING"), (TOMORROW, "SCHEDULED")],
        tte(day(TOMORROW)),
        TOMORROW,
    ),
    "the token names two, one is running": (
        [(TODAY, "RUNNING"), (TOMORROW, "SCHEDULED"), (LATER, "SCHEDULED")],
        tte(day(TODAY), day(LATER)),
        TODAY,
    ),
    "the token names two alike": (
        [(TODAY, "RUNNING"), (TOMORROW, "RUNNING"), (LATER, "SCHEDULED")],
        tte(day(TODAY), day(TOMORROW)),
        (AMBIGUOUS, TODAY, TOMORROW),
    ),
    "the token names a run that is not here": (
        [(YESTERDAY, "RUNNING", "U1")],
        passenger(day(TODAY)),
        (UNKNOWN,),
    ),
    "the token names a run that is not here, and the train": (
        [(YESTERDAY, "RUNNING", "U1")],
        passenger(day(TODAY), "12345"),
        YESTERDAY,
    ),
    "the token names a run and all trains": (
        [(TODAY, "RUNNING"), (TOMORROW, "SCHEDULED")],
        tte(day(TOMORROW), "*"),
        TOMORROW,
    ),
    "the token names another train's run": (
        [(TODAY, "RUNNING"), (TOMORROW, "SCHEDULED", "U1")],
        passenger("123456/2026-11-24"),
        TODAY,
    ),
    # where the user is booked
    "booked on the third day alone": (
        [(TODAY, "RUNNING"), (TOMORROW, "SCHEDULED"), (LATER, "SCHEDULED", "U1")],
        passenger(),
        LATER,
    ),
    "booked on a run that has ended": (
        [(TODAY, "COMPLETED", "U1"), (TOMORROW, "SCHEDULED")],
        passenger(),
        TODAY,
    ),
    "booked on a cancelled one and on the next": (
        [(TODAY, "CANCELLED", "U1"), (TOMORROW, "SCHEDULED", "U1")],
        passenger(),
        TOMORROW,
    ),
    "booked on a run that was never ended and on today's": (
        [(YESTERDAY, "RUNNING", "U1"), (TODAY, "SCHEDULED", "U1")],
        passenger(),
        TODAY,
    ),
    "booked on two that run": (
        [(TODAY, "RUNNING", "U1"), (TOMORROW, "RUNNING", "U1"), (LATER, "RUNNING")],
        passenger(),
        (AMBIGUOUS, TODAY, TOMORROW),
    ),
    "booked on none": (
        [(TODAY, "RUNNING", "U2"), (TOMORROW, "SCHEDULED", "U2")],
        passenger(),
        TODAY,
    ),
    "a token for the booked user's other train": (
        [(TODAY, "RUNNING"), (TOMORROW, "SCHEDULED", "U1")],
        passenger("54321"),
        TODAY,
    ),
    "a TTE of a booked user's name": (
        [(TODAY, "RUNNING"), (TOMORROW, "SCHEDULED", "T1")],
        tte(),
        TODAY,
    ),
    # the run in service, by status and by the clock
    "yesterday's was never reported to its end": (
        [(YESTERDAY, "RUNNING"), (TODAY, "SCHEDULED")],
        tte(),
        TODAY,
    ),
    "yesterday's never started": (
        [(YESTERDAY, "SCHEDULED"), (TODAY, "SCHEDULED")],
        ANONYMOUS,
        TODAY,
    ),
    "yesterday's was given up, today's has ended": (
        [(YESTERDAY, "RUNNING"), (TODAY, "COMPLETED")],
        ANONYMOUS,
        TODAY,
    ),
    "the charts of the next days are here": (
        [(TODAY, "SCHEDULED"), (TOMORROW, "SCHEDULED"), (LATER, "SCHEDULED")],
        ANONYMOUS,
        TODAY,
    ),
    "running before scheduled": (
        [(TODAY, "RUNNING"), (TOMORROW, "SCHEDULED")],
        ANONYMOUS,
        TODAY,
    ),
    "scheduled before completed": (
        [(TODAY, "COMPLETED"), (TOMORROW, "SCHEDULED")],
        ANONYMOUS,
        TOMORROW,
    ),
    "completed before cancelled": (
        [(YESTERDAY, "CANCELLED"), (TODAY, "COMPLETED")],
        ANONYMOUS,
        TODAY,
    ),
    "the only one, though long past": ([(YESTERDAY, "RUNNING")], ANONYMOUS, YESTERDAY),
    "two that run": (
        [(TODAY, "RUNNING"), (TOMORROW, "RUNNING"), (LATER, "SCHEDULED")],
        ANONYMOUS,
        (AMBIGUOUS, TODAY, TOMORROW),
    ),
    "yesterday's runs a day late, today's is due": (
        [(YESTERDAY, "LATE"), (TODAY, "SCHEDULED"), (TOMORROW, "SCHEDULED")],
        tte(),
        (AMBIGUOUS, YESTERDAY, TODAY),
    ),
    "yesterday's runs a day late, and today's too": (
        [(YESTERDAY, "LATE"), (TODAY, "RUNNING"), (TOMORROW, "SCHEDULED")],
        tte(),
        (AMBIGUOUS, YESTERDAY, TODAY),
    ),
    "yesterday's runs a day late, the next is ahead": (
        [(YESTERDAY, "LATE"), (TOMORROW, "SCHEDULED")],
        tte(),
        YESTERDAY,
    ),
    "one runs a day late, one never started": (
        [("2026-11-22", "LATE"), ("2026-11-21", "SCHEDULED")],
        tte(),
        (AMBIGUOUS, "2026-11-21", "2026-11-22"),
    ),
    "two that are ahead": (
        [(TODAY, "COMPLETED"), (TOMORROW, "SCHEDULED"), (LATER, "SCHEDULED")],
        tte("*"),
        (AMBIGUOUS, TOMORROW, LATER),
    ),
    "two that were given up": (
        [("2026-11-21", "RUNNING"), (YESTERDAY, "SCHEDULED")],
        ANONYMOUS,
        (AMBIGUOUS, "2026-11-21", YESTERDAY),
    ),
}  # fmt: skip


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "reversed"])
@pytest.mark.parametrize("name", TABLE)
def test_which_run_is_meant(name, reverse):
    """Facts about the caller come first, then status and time, then AMBIGUOUS_RUN."""
    runs, identity, expected = TABLE[name]
    states = [run_on(*each) for each in (reversed(runs) if reverse else runs)]
    if isinstance(expected, str):
        assert run_meant("12345", states, identity, NOW).run == day(expected)
        return
    code, *days = expected
    with pytest.raises(HubError) as raised:
        run_meant("12345", states, identity, NOW)
    assert raised.value.code == code
    assert raised.value.details.get("startDates", []) == days


def test_a_journey_that_was_given_up_is_not_meant():
    """A cancelled journey does not select its run."""
    states = [
        run_on(TODAY, "RUNNING"),
        run_on(TOMORROW, "SCHEDULED", over=("U1",)),
        run_on(LATER, "SCHEDULED", "U1"),
    ]
    assert run_meant("12345", states, passenger(), NOW).run == day(LATER)
    assert run_meant("12345", states[:2], passenger(), NOW).run == day(TOMORROW)


def test_a_socket_speaks_of_the_rooms_it_is_in():
    """Without a date, a socket leaves or acknowledges a run whose room it is in."""
    states = [run_on(TODAY, "RUNNING"), run_on(TOMORROW, "SCHEDULED")]
    rooms = [day(TOMORROW), "54321/2026-11-23"]
    for identity in (ANONYMOUS, passenger(day(LATER)), tte(day(TODAY))):
        assert run_meant("12345", states, identity, NOW, rooms).run == day(TOMORROW)
    assert run_meant("12345", states, ANONYMOUS, NOW, rooms[1:]).run == day(TODAY)


def test_the_errors_say_what_to_do():
    """The error asks for a startDate, and has the dates in `details`."""
    states = [run_on(TODAY, "RUNNING"), run_on(TOMORROW, "RUNNING")]
    with pytest.raises(AmbiguousRun, match="name one by its startDate"):
        run_meant("12345", states, ANONYMOUS, NOW)
    with pytest.raises(UnknownTrain, match="names 12345/2026-11-25, which is not here"):
        run_meant("12345", states, passenger(day(LATER)), NOW)
