"""The rules of a chart that grows or is corrected: AMEND_CHART, checked against live occupancy.

A line with a fault is rejected with its reason, and the other lines count. A fault of a coach
refuses the whole amendment.
"""

import dataclasses
from collections.abc import Iterable
from datetime import datetime

from trainhub.core.errors import BadMessage, Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.berths import Hold, Occupancy, segments
from trainhub.domain.chart import check_chart, check_journey, no_room, with_stops
from trainhub.domain.errors import UnknownCoach
from trainhub.domain.events import Events
from trainhub.domain.journey import nothing_loads
from trainhub.domain.marks import check_live, person_event
from trainhub.domain.model import (
    BerthKey,
    Booking,
    ChartSource,
    Coach,
    PersonKey,
    PersonState,
    berth_key,
)
from trainhub.domain.run_state import LADIES, Passenger, RunState

# The fields of a booking that can only be corrected as long as the person has a journey ahead.
_JOURNEY = ("from_", "to", "class_", "status", "number", "waiting_kind", "coach", "berth")
_TRAVELLING = (PersonState.DUE, PersonState.ABOARD)


@dataclasses.dataclass
class _Line:
    """A line of the amendment that adds a person, or corrects one. `seat` if the berth counts."""

    line: int
    booking: Booking
    old: Passenger | None
    seat: bool

    @property
    def person(self) -> PersonKey:
        return self.booking.person


def amend(state: RunState, command: c.AmendChart, now: datetime) -> Events:
    """Add, correct and remove bookings and coaches of a run that has not ended."""
    check_live(state)
    change = command.amendment
    given = change.passengers, change.remove_passengers, change.coaches, change.remove_coaches
    if not any((command.rejected, *given)):
        raise BadMessage("the amendment is empty: give passengers or coaches")
    rejected = list(command.rejected)
    coaches = _coaches(state, change.coaches, change.remove_coaches)
    removed = _removed(state, command, rejected)
    trial = _Trial(state, coaches, removed)
    lines = trial.seat(list(_lines(state, command, coaches, removed, rejected)), rejected)
    check_chart(state.chart.amended(coaches, [each.booking for each in lines]))
    _check_used(state, trial.occupancy, removed, lines)
    if not (lines or removed or coaches != state.chart.coaches):
        if rejected:
            raise nothing_loads(sorted(rejected, key=lambda each: each.line))
        return []
    seated = tuple(each.person for each in lines if each.seat)
    return [
        *(person_event(e.PassengerCancelled, now, each) for each in removed.values()),
        e.ChartAmended(
            at=now,
            source=change.source,
            passengers=tuple(each.booking for each in lines),
            seated=seated,
            coaches=coaches,
            added=sum(each.old is None for each in lines),
            corrected=sum(each.old is not None for each in lines),
            removed=len(removed),
            rejected=tuple(sorted(rejected, key=lambda each: each.line)),
            warnings=command.warnings,
        ),
        *(event for each in lines for event in _told(each, now)),
        *trial.vacated(now),
    ]


def _coaches(state: RunState, given: Iterable[Coach], gone: tuple[str, ...]) -> tuple[Coach, ...]:
    """Return the train's coaches after the amendment. Raises UnknownCoach."""
    coaches = {(each.code, each.class_): each for each in state.chart.coaches}
    for code in gone:
        parts = [key for key in coaches if key[0] == code]
        if not parts:
            raise UnknownCoach(f"the train has no coach {code[:6]}: name a coach of the chart")
        for key in parts:
            del coaches[key]
    for new in given:
        old = coaches.get((new.code, new.class_))
        if old is not None and set(old.blocked) != set(new.blocked):
            raise BadMessage(
                f"coach {new.code} is there with other blocked berths: BLOCK_BERTH and "
                "UNBLOCK_BERTH change them"
            )
        coaches[new.code, new.class_] = new
    return tuple(coaches.values())


def _removed(
    state: RunState, command: c.AmendChart, rejected: list[c.Rejected]
) -> dict[PersonKey, Passenger]:
    """Return the people to take off the chart: those who are DUE."""
    found = {}
    for line, ref in enumerate(command.amendment.remove_passengers, start=1):
        passenger = state.on_person(ref.pnr, ref.index)
        reason = None
        if passenger is None:
            reason = "removePassengers: the chart has no such person"
        elif passenger.state not in (PersonState.DUE, PersonState.CANCELLED):
            reason = f"removePassengers: the passenger is {passenger.state}, not DUE"
        elif passenger.state is PersonState.DUE:
            found[passenger.person] = passenger
        if reason is not None:
            rejected.append(c.Rejected(line=line, pnr=_shown(ref.pnr), reason=reason))
    return found


def _shown(pnr: str) -> str:
    return pnr[:20] if pnr.isalnum() and pnr.isascii() else ""


def _lines(
    state: RunState,
    command: c.AmendChart,
    coaches: tuple[Coach, ...],
    removed: dict[PersonKey, Passenger],
    rejected: list[c.Rejected],
) -> Iterable[_Line]:
    """Yield the lines that change the chart and that the rules allow, without their berths."""
    occupancy = Occupancy(coaches)
    for line, booking in zip(command.lines, command.amendment.passengers, strict=True):
        old = state.passengers.get(booking.person)
        try:
            booking = with_stops(booking, state.by_station)
            if booking.person in removed:
                raise BadMessage("the same amendment removes the passenger: keep one of the two")
            if old is not None and booking == old.booking and old.state is not _CANCELLED:
                continue  # a chart may be sent again as a whole
            seat = old is None or any(
                getattr(booking, name) != getattr(old.booking, name) for name in _JOURNEY
            )
            seat = seat or (old is not None and old.state is _CANCELLED)
            if seat:
                check_journey(booking, state.by_station, occupancy)
                _check_movable(state, booking, old, command.amendment.source)
            yield _Line(line, booking, old, seat)
        except BadMessage as error:
            rejected.append(c.Rejected(line=line, pnr=booking.pnr, reason=error.message))


_CANCELLED = PersonState.CANCELLED


def _check_movable(
    state: RunState, booking: Booking, old: Passenger | None, source: ChartSource
) -> None:
    """Raise BadMessage if the person's journey or berth cannot be set any more."""
    if state.by_station[booking.to] <= state.current:
        raise BadMessage(f"to: the train has reached {booking.to} already")
    key = None
    if booking.coach is not None and booking.berth is not None:
        key = berth_key(booking.coach, booking.berth)
    if key in state.open_by_berth:
        raise BadMessage(f"berth {key} is on offer: withdraw the offer first")
    if old is None:
        return
    if old.state is _CANCELLED and source is not ChartSource.CORRECTION:
        raise BadMessage("the passenger is CANCELLED: a CORRECTION brings them back")
    if old.state is _CANCELLED and old.upgraded_from is None and old.claim is None:
        return
    if old.state is not _CANCELLED and old.state not in _TRAVELLING:
        raise BadMessage(f"the passenger is {old.state}: only name and contact can be corrected")
    if old.person in state.open_by_person:
        raise BadMessage("the passenger has an open offer: withdraw it first")
    moved = (old.coach, old.berth) != (old.booking.coach, old.booking.berth)
    if moved or old.upgraded_from is not None or old.boarding_changed:
        raise BadMessage(
            "the passenger has another berth or boarding station than the chart by now: only name "
            "and contact can be corrected"
        )
    if old.state is PersonState.ABOARD and state.by_station[booking.from_] > state.current:
        raise BadMessage("from: the passenger is aboard already, so this station is too late")


class _Trial:
    """The occupancy as it would be after the amendment."""

    def __init__(
        self, state: RunState, coaches: tuple[Coach, ...], removed: dict[PersonKey, Passenger]
    ) -> None:
        self._state = state
        self._ahead = segments(state.current, len(state.stops) - 1)
        self.occupancy = state.occupancy.refitted(coaches)
        self.occupancy.restore(
            each for each in state.occupancy.all() if each[0] in self.occupancy.types
        )
        # The berth that each person left, and the station from which it is free.
        self._left: dict[PersonKey, tuple[BerthKey, int, e.Cause]] = {}
        self._ladies: set[BerthKey] = set()
        for passenger in removed.values():
            self._leave(passenger, e.Cause.CANCELLED)

    def seat(self, lines: list[_Line], rejected: list[c.Rejected]) -> list[_Line]:
        """Give the lines their berths, after all of them have left their old ones.

        A line whose berth is taken is rejected, and the person stays in the old berth. Who was
        given that berth meanwhile is rejected too.
        """
        moving = {each.person: each for each in lines if each.seat}
        before = {each.person: self._leave_for(each.old) for each in moving.values() if each.old}
        seated: dict[PersonKey, _Line] = {}
        failed = []
        for each in moving.values():
            if self._seat(each.booking):
                seated[each.person] = each
            else:
                failed.append(each)
        refused = set()
        while failed:
            line = failed.pop()
            refused.add(line.person)
            key = berth_key(line.booking.coach or "", line.booking.berth or 0)
            error = no_room(key, self.occupancy, self._state.current)
            rejected.append(c.Rejected(line=line.line, pnr=line.booking.pnr, reason=error.message))
            self._left.pop(line.person, None)
            old, hold = before.get(line.person, (None, Hold()))
            if old is None:
                continue
            for other in [each for each in self.occupancy.holders(old) if each in seated]:
                if self._clashes(old, hold):
                    self._release(old, other)
                    failed.append(seated.pop(other))
            self.occupancy.occupy(old, line.person, hold.whole, half=False)
            self.occupancy.occupy(old, line.person, hold.half, half=True)
        return [each for each in lines if each.person not in refused]

    def vacated(self, now: datetime) -> Events:
        """Return the vacancies of the berths that people left and that no one else has."""
        state, events, last = self._state, Events(), len(self._state.stops) - 1
        left = {(key, start): cause for key, start, cause in self._left.values()}
        for (key, start), cause in left.items():
            if key not in self.occupancy.types:
                continue
            half = self.occupancy.half_free(key, start)
            if self.occupancy.at(key, start) and not half:
                continue
            coach, _, berth = key.rpartition("-")
            end = last if half else self.occupancy.free_until(key, start, last)
            events.append(
                e.BerthVacated(
                    at=now,
                    coach=coach,
                    berth=int(berth),
                    class_=self.occupancy.classes[key],
                    from_=state.stops[start].code,
                    to=state.stops[end].code,
                    cause=cause,
                    ladies=key in self._ladies,
                )
            )
        return events

    def _leave_for(self, old: Passenger) -> tuple[BerthKey | None, Hold]:
        """Take the person out of the old berth. Returns it, and what they held of it ahead."""
        key = old.berth_key
        hold = Hold() if key is None else self.occupancy.holders(key).get(old.person, Hold())
        ahead = Hold(hold.whole & self._ahead, hold.half & self._ahead)
        self._leave(old, e.Cause.AMENDED)
        return (key if ahead.mask else None), ahead

    def _leave(self, passenger: Passenger, cause: e.Cause) -> None:
        key = passenger.berth_key
        if key is not None and passenger.person in self.occupancy.holders(key):
            self._left[passenger.person] = key, self._start(passenger), cause
            if passenger.booking.quota == LADIES:
                self._ladies.add(key)
            self._release(key, passenger.person)

    def _start(self, passenger: Passenger) -> int:
        return max(self._state.boards(passenger), self._state.current)

    def _release(self, key: BerthKey, person: PersonKey) -> None:
        self.occupancy.release(key, person, self._ahead)

    def _seat(self, booking: Booking) -> bool:
        if booking.coach is None or booking.berth is None:
            return True
        key, stations = berth_key(booking.coach, booking.berth), self._state.by_station
        start = max(stations[booking.from_], self._state.current)
        mask, half = segments(start, stations[booking.to]), booking.status == "RAC"
        if not self.occupancy.has_room(key, mask, half=half):
            return False
        self.occupancy.occupy(key, booking.person, mask, half=half)
        return True

    def _clashes(self, key: BerthKey, hold: Hold) -> bool:
        room = self.occupancy.has_room
        whole = hold.whole and not room(key, hold.whole, half=False)
        return bool(whole or (hold.half and not room(key, hold.half, half=True)))


def _check_used(
    state: RunState,
    occupancy: Occupancy,
    removed: dict[PersonKey, Passenger],
    lines: list[_Line],
) -> None:
    """Raise Conflict if a berth that the run still needs would be gone, or be of another class."""
    new = {each.person: each.booking for each in lines if each.seat}
    used = {offer.key for offer in state.offers.values()}
    used |= {berth_key(each.coach, each.berth) for each in state.upgrades}
    for person, passenger in state.passengers.items():
        if person not in removed and passenger.state is not _CANCELLED and person not in new:
            used |= {passenger.berth_key} - {None}  # type: ignore[arg-type]
    classes, shared = state.occupancy.classes, state.occupancy.shared
    lost = sorted(
        key
        for key in used
        if occupancy.classes.get(key) != classes[key] or (key in shared) > (key in occupancy.shared)
    )
    if lost:
        raise Conflict(
            f"berth {lost[0]} is in use and would be gone: give its passengers other berths first",
            berth=lost[0],
        )


def _told(line: _Line, now: datetime) -> Iterable[e.UserEvent]:
    """Yield what the passenger of a line is told, and the user who had the booking before."""
    user = line.booking.irctc_id
    if line.seat:
        yield _booking_changed(line.booking, now)
    elif user is not None:
        yield _booking_corrected(user, line.booking, now)
    before = None if line.old is None else line.old.booking.irctc_id
    if before not in (None, user):
        yield _booking_corrected(before, line.booking, now)


def _booking_corrected(user: str, booking: Booking, now: datetime) -> e.BookingCorrected:
    return e.BookingCorrected(at=now, user=user, pnr=booking.pnr, index=booking.index)


def _booking_changed(booking: Booking, now: datetime) -> e.BookingChanged:
    return e.BookingChanged(
        at=now,
        user=booking.irctc_id,
        pnr=booking.pnr,
        index=booking.index,
        name=booking.name,
        coach=booking.coach,
        berth=booking.berth,
        from_=booking.from_,
        to=booking.to,
        status=booking.status,
        number=booking.number,
    )
