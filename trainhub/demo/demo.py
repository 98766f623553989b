"""The demo: real trains with made-up passengers, driven by the hub's own commands.

The demo's clock runs faster than the real one. Each train begins where the timetable has it at this
time, and runs with seeded delays and no-shows. After its end the train's next run begins.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from trainhub.access.identity import ALL_TRAINS, Identity, Tokens
from trainhub.core.errors import Conflict, Unavailable
from trainhub.demo.guest import (
    FIRST_OFFER_SECONDS,
    PAUSE_SECONDS,
    add_guest,
    guest_of,
    is_for_guest,
    is_guest,
    is_latecomer,
    next_late,
    next_latecomer,
)
from trainhub.demo.timetable import DEMO_TIMETABLE, make_chart, read_timetable
from trainhub.domain import commands as c
from trainhub.domain.errors import OfferClosed
from trainhub.domain.model import PersonState, Role, RunStatus, run_key
from trainhub.domain.run_state import Passenger
from trainhub.domain.schedule import since_midnight
from trainhub.domain.train import TrainState
from trainhub.hub.hub import Hub
from trainhub.hub.protocol import read_command

logger = logging.getLogger("trainhub.demo")

# A client that follows a train until it is cancelled. It gets a function that issues its token, and
# the train's number.
Listen = Callable[[Callable[[], str], str], Coroutine[Any, Any, NoReturn]]

ZONE = ZoneInfo("Asia/Kolkata")
# Passengers of one train.
PEOPLE = 60
# Passengers of all trains, at most; if there are many trains, each has fewer.
PEOPLE_IN_ALL = 40_000
# The part of the passengers that do not turn up.
NO_SHOW_SHARE = 0.06
# Trains that get listening sockets.
TRAINS_WITH_SOCKETS = 60
# Passengers with a socket, on each of these trains.
PASSENGERS_LISTENING = 3
# Seconds that the end of the demo's tasks may take.
STOP_SECONDS = 1.0
# How long before its first departure a train is registered.
CHARTED_BEFORE = timedelta(hours=4)


class DemoClock:
    """A clock that starts at a moment and runs `speed` times as fast as the real one."""

    def __init__(self, start: datetime, speed: float) -> None:
        self._start = start
        self._zero = time.monotonic()
        self.speed = speed

    def __call__(self) -> datetime:
        gone = timedelta(seconds=(time.monotonic() - self._zero) * self.speed)
        return self._start.astimezone(ZONE) + gone


class Demo:
    """The trains of a timetable. A task for each looks at its run and does the next step."""

    def __init__(
        self,
        hub: Hub,
        clock: DemoClock,
        operator: Identity,
        timetable: Path | None,
        seed: int,
        pauses: tuple[float, float] = (FIRST_OFFER_SECONDS, PAUSE_SECONDS),
    ) -> None:
        """`clock` is the hub's own. Raises TimetableError if the timetable cannot be used.

        `pauses` are the seconds before the guest's first offer, and before each other one.
        """
        self._hub = hub
        self._clock = clock
        self._operator = operator
        self._trains = read_timetable(timetable or DEMO_TIMETABLE)
        self._people = max(5, min(PEOPLE, PEOPLE_IN_ALL // max(len(self._trains), 1)))
        self._seed = seed
        self._pauses = pauses
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Register a run of each train, then start the trains' tasks."""
        runs = [(train, await self._register(train, self._day(train))) for train in self._trains]
        self._tasks += [asyncio.create_task(self._go_on(train, state)) for train, state in runs]
        if runs:
            train_no = self._shown().chart.train_no
            self._tasks.append(asyncio.create_task(self._offer_to_guest(train_no)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            # A socket's closing may wait for the other side; the hub does not.
            await asyncio.wait(self._tasks, timeout=STOP_SECONDS)

    def links(self, url: str, tokens: Tokens) -> dict[str, str]:
        """Return the pages to open, by the person who opens each. `url` is the hub's."""
        state = self._shown()
        chart, guest = state.chart, guest_of(state)
        passenger = guest or next(iter(state.passengers.values()))
        where = f"{chart.train_no} {chart.train_name}"

        def token(user: str, role: Role, trains: str) -> str:
            return f"#token={tokens.issue(user, role, [trains])}"

        as_passenger = token(passenger.booking.irctc_id or "", Role.PASSENGER, chart.train_no)
        as_tte = token("T1", Role.TTE, chart.train_no)
        return {
            "control room": f"{url}/",
            f"passenger on RAC on {where}": f"{url}/passenger.html{as_passenger}",
            f"TTE of {where}": f"{url}/tte.html{as_tte}&run={state.run}",
            "control room with an ADMIN token": f"{url}/{token('control', Role.ADMIN, ALL_TRAINS)}",
        }

    def invitation(self, links: Mapping[str, str]) -> str:
        """Return the links as text to print."""
        lines = [
            f"{len(self._trains)} trains run, {self._clock.speed:g} times as fast as life.",
            "Open these pages; their tokens last 12 hours.",
            "The passenger gets an offer within a minute, which waits for your answer.",
            *(f"\n{who}\n  {link}" for who, link in links.items()),
        ]
        return "\n".join(lines)

    # --- the guest --------------------------------------------------------------------------

    def _shown(self) -> TrainState:
        """Return the run whose guest can get offers for the longest time."""
        now = self._clock()

        def rank(state: TrainState) -> tuple[bool, bool, float]:
            starts, ends = state.stops[0].scheduled_departure, state.stops[-1].scheduled_arrival
            assert starts is not None
            assert ends is not None
            under_way = state.status is not RunStatus.COMPLETED and starts <= now < ends
            seconds = (ends - now if under_way else now - starts).total_seconds()
            return under_way and next_late(state) is not None, under_way, seconds

        return max(self._hub.runs.all(), key=rank)

    async def _offer_to_guest(self, train_no: str) -> None:
        """Give the guest of a train one offer after another, until the guest has a berth."""
        first, later = self._pauses
        await asyncio.sleep(first)
        while True:
            for state in list(self._hub.runs.all()):
                latecomer = next_latecomer(state) if state.chart.train_no == train_no else None
                if latecomer is not None:
                    with suppress(Conflict, Unavailable):  # another caller drives the train too
                        await self._mark_absent(state, latecomer)
            await asyncio.sleep(later)

    # --- the trains -------------------------------------------------------------------------

    def _day(self, train: Mapping[str, Any]) -> date:
        """Return the start date of the run that is due to run now, else of the next run."""
        now = self._clock().astimezone(ZONE)
        last = train["stations"][-1]
        lasts = since_midnight(last["arrival"], last["day"])
        day = now.date() - timedelta(days=last["day"])
        while datetime.combine(day, datetime.min.time(), ZONE) + lasts <= now:
            day += timedelta(days=1)
        return day

    async def _register(self, train: Mapping[str, Any], day: date) -> TrainState:
        run = run_key(train["trainNo"], day)
        if all(state.run != run for state in self._hub.runs.all()):
            chart = make_chart(train, day, seed=self._seed, passengers=self._people)
            add_guest(chart, self._clock.speed)
            await self._hub.execute(read_command(c.RegisterTrain, chart), self._operator)
        return self._hub.state(run)

    async def _go_on(self, train: Mapping[str, Any], state: TrainState) -> None:
        try:
            while True:
                await self._drive(state)
                day = max(self._day(train), state.chart.start_date + timedelta(days=1))
                starts = datetime.combine(day, datetime.min.time(), ZONE)
                await self._until(starts - CHARTED_BEFORE)
                state = await self._register(train, day)
        except Unavailable:
            logger.info("the hub is stopping, and %s with it", state.run)

    async def _drive(self, state: TrainState) -> None:
        """Drive a run from its present state to its end."""
        chance = Random(f"{self._seed}/{state.run}")
        late = timedelta(minutes=max(0, round(chance.gauss(3, 8))))
        while state.status in (RunStatus.SCHEDULED, RunStatus.RUNNING):
            late = max(timedelta(0), late + timedelta(minutes=round(chance.gauss(0, 2))))
            try:
                await self._next_step(state, late, chance)
            except Conflict as error:
                # Another caller may drive this train too: look at its state again.
                logger.info("%s: %s", state.run, error.message)
                await asyncio.sleep(1)

    async def _next_step(self, state: TrainState, late: timedelta, chance: Random) -> None:
        if state.status is RunStatus.SCHEDULED:
            departure = state.stops[0].scheduled_departure
            assert departure is not None
            await self._until(departure - timedelta(minutes=30))
            await self._do(c.StartJourney, state)
            return
        coming = state.next_stop
        if not state.departed:
            here = state.stops[state.current]
            await self._mark(state, chance)
            await self._answer(state, chance)
            await self._serve(c.Depart, state, here.station.code, here.scheduled_departure, late)
        elif coming is not None:
            await self._serve(c.Arrive, state, coming.station.code, coming.scheduled_arrival, late)

    async def _serve(
        self,
        command: type[c.Command],
        state: TrainState,
        code: str,
        scheduled: datetime | None,
        late: timedelta,
    ) -> None:
        """Arrive or depart late by `late`, but always after the train's last report."""
        here = state.stops[state.current]
        last = here.departed or here.arrived
        assert scheduled is not None
        at = max(scheduled + late, (last or scheduled) + timedelta(minutes=1))
        await self._until(at)
        await self._do(command, state, stationCode=code, at=at.isoformat())

    async def _mark(self, state: TrainState, chance: Random) -> None:
        """Mark the passengers that board here, as a TTE would."""
        code = state.here.code
        due = [
            passenger.booking
            for passenger in state.passengers.values()
            if passenger.booking.from_ == code
            and passenger.state is PersonState.DUE
            and not is_latecomer(passenger)
        ]
        for booking in due:
            absent = chance.random() < NO_SHOW_SHARE and not is_guest(booking)
            mark = c.MarkNoShow if absent else c.MarkBoarded
            await self._do(mark, state, pnr=booking.pnr, index=booking.index)
        if state.current == len(state.stops) - 2:  # no latecomer can board later
            while (latecomer := next_late(state)) is not None:
                await self._mark_absent(state, latecomer)

    async def _mark_absent(self, state: TrainState, passenger: Passenger) -> None:
        booking = passenger.booking
        await self._do(c.MarkNoShow, state, pnr=booking.pnr, index=booking.index)

    async def _answer(self, state: TrainState, chance: Random) -> None:
        """Answer the open offers: most are accepted, some are denied, some get no answer."""
        for offer in list(state.open_by_berth.values()):
            if is_for_guest(offer):
                continue
            answer = chance.choices((c.AcceptOffer, c.DenyOffer, None), (6, 2, 2))[0]
            if answer is not None:
                with suppress(OfferClosed):  # the offer may have expired meanwhile
                    await self._hub.execute(
                        read_command(answer, {"offerId": offer.id}), self._operator
                    )

    async def _do(self, command: type[c.Command], state: TrainState, **fields: Any) -> None:
        named = {"trainNo": state.chart.train_no, "startDate": state.chart.start_date.isoformat()}
        await self._hub.execute(read_command(command, {**named, **fields}), self._operator)

    async def _until(self, moment: datetime) -> None:
        left = (moment - self._clock()).total_seconds()
        if left > 0:
            await asyncio.sleep(left / self._clock.speed)

    # --- the listeners ----------------------------------------------------------------------

    def start_listeners(self, listen: Listen, tokens: Tokens) -> None:
        """Open sockets for a TTE and a few passengers of each of the first trains."""
        for state in list(self._hub.runs.all())[:TRAINS_WITH_SOCKETS]:
            train_no = state.chart.train_no
            passengers = list(state.by_user)[:PASSENGERS_LISTENING]
            roles = {"T1": Role.TTE} | dict.fromkeys(passengers, Role.PASSENGER)
            for user, role in roles.items():
                issue_token = partial(tokens.issue, user, role, [train_no])
                self._tasks.append(asyncio.create_task(listen(issue_token, train_no)))
