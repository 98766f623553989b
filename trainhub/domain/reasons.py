"""Why a berth went to one passenger and not to those before: a few by name, the others in groups.

A reason has a bounded size, even if many passengers were passed over. With all of them by name, the
offers of a full train would grow with the square of the waiting passengers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

from trainhub.core.about import About
from trainhub.domain.fields import Number, PersonIndex, Pnr
from trainhub.domain.model import Booking, BookingStatus

# Passengers passed over that a reason names: the first in turn.
NAMED = 5
# Groups of other passengers in one reason, at most.
GROUPS = 12
CHOSEN = "chosen"
OTHER = "another reason"
PASSED = "was passed over by a TTE"


Outcome = Annotated[
    str, About('Why the berth was not for them; "chosen" for the chosen one.', example="is DUE")
]


@dataclass(frozen=True, kw_only=True)
class Considered:
    """A passenger who was considered for the berth, in order."""

    pnr: Pnr
    index: PersonIndex
    status: BookingStatus
    number: Number | None
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class PassedOver:
    """Passengers who came before the chosen one, and are not named in the reason.

    All with a number from `first` to `last`, or `count` of them where groups of one status overlap.
    """

    status: BookingStatus
    first: Number | None
    last: Number | None
    count: Annotated[int, About("How many passengers these are.", least=1, example=3)]
    outcome: Outcome


Reason = tuple[tuple[Considered, ...], tuple[PassedOver, ...]]


@dataclass(slots=True)
class _Group:
    """A PassedOver under construction."""

    status: BookingStatus
    first: int | None
    last: int | None
    count: int
    outcome: str


class Queue:
    """The candidates that a matching has passed over, in their turn, and why."""

    def __init__(self) -> None:
        self._named: list[tuple[Booking, str | None]] = []
        self._others: list[_Group | Booking] = []

    def add(self, booking: Booking, outcome: str | None) -> None:
        """Pass over a candidate. `outcome` is None if it depends on the berth."""
        last = self._others[-1] if self._others else None
        if len(self._named) < NAMED:
            self._named.append((booking, outcome))
        elif outcome is None:
            self._others.append(booking)
        elif isinstance(last, _Group) and last.outcome == outcome and last.status is booking.status:
            last.last = booking.number
            last.count += 1
        else:
            self._others.append(_group(booking, outcome))

    def reason(self, chosen: Booking, misfit: Callable[[Booking], str]) -> Reason:
        """Return why a berth is for `chosen`. `misfit` returns why it did not suit a passenger."""
        named = [(each, misfit(each) if why is None else why) for each, why in self._named]
        others = (
            each if isinstance(each, _Group) else _group(each, misfit(each))
            for each in self._others
        )
        return tuple(_considered(*each) for each in (*named, (chosen, CHOSEN))), _passed(others)


def shorten(reason: tuple[Considered, ...]) -> Reason:
    """Shorten a reason of an older hub, which names every passenger."""
    others = (_group(each, each.outcome) for each in reason[NAMED:-1])
    return (*reason[:NAMED], *reason[-1:]), _passed(others)


def _considered(booking: Booking, outcome: str) -> Considered:
    return Considered(
        pnr=booking.pnr,
        index=booking.index,
        status=booking.status,
        number=booking.number,
        outcome=outcome,
    )


def _group(one: Booking | Considered, outcome: str) -> _Group:
    return _Group(one.status, one.number, one.number, 1, outcome)


def _passed(groups: Iterable[_Group]) -> tuple[PassedOver, ...]:
    """Join adjacent groups with one outcome; if too many remain, all groups with one outcome."""
    joined: list[_Group] = []
    for each in groups:
        if joined and (joined[-1].status, joined[-1].outcome) == (each.status, each.outcome):
            joined[-1] = _joined(joined[-1], each, each.outcome)
        else:
            joined.append(each)
    if len(joined) > GROUPS:
        joined = _by_outcome((each, each.outcome) for each in joined)
    if len(joined) > GROUPS:
        # The largest groups stay. The others become one group for RAC and one for WL.
        largest = sorted(joined, key=lambda each: -each.count)[: GROUPS - 2]
        joined = _by_outcome((each, each.outcome if each in largest else OTHER) for each in joined)
    return tuple(
        PassedOver(
            status=each.status,
            first=each.first,
            last=each.last,
            count=each.count,
            outcome=each.outcome,
        )
        for each in joined
    )


def _by_outcome(groups: Iterable[tuple[_Group, str]]) -> list[_Group]:
    found: dict[tuple[BookingStatus, str], _Group] = {}
    for each, outcome in groups:
        before = found.get((each.status, outcome))
        found[each.status, outcome] = _joined(before, each, outcome)
    return list(found.values())


def _joined(before: _Group | None, group: _Group, outcome: str) -> _Group:
    """Return a new group of both."""
    first, count = (group.first, 0) if before is None else (before.first, before.count)
    return _Group(group.status, first, group.last, count + group.count, outcome)
