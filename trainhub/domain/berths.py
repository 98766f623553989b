"""Berths: their layout by class, and which passenger holds which berth on which segments.

Segment i is the leg from station i to station i+1. A journey [from, to) is a bit mask with the
bits from..to-1 set, so one AND tells whether a berth is free for a journey.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from trainhub.core.errors import BadMessage
from trainhub.domain.model import BerthKey, BerthType, Coach, PersonKey, berth_key

_L = BerthType.LOWER
_M = BerthType.MIDDLE
_U = BerthType.UPPER
_SL = BerthType.SIDE_LOWER
_SU = BerthType.SIDE_UPPER

# One bay of berths by class. The bay repeats through the coach. Any other class has seats.
BAYS: dict[str, tuple[BerthType, ...]] = {
    "SL": (_L, _M, _U, _L, _M, _U, _SL, _SU),
    "3A": (_L, _M, _U, _L, _M, _U, _SL, _SU),
    "3E": (_L, _M, _U, _L, _M, _U, _SL, _SU),
    "2A": (_L, _U, _L, _U, _SL, _SU),
    "1A": (_L, _U),
}

# The number of berths by class and type, for a chart that names only the coach's type.
BERTHS: dict[tuple[str, str], int] = {
    ("SL", "ICF"): 72,
    ("3A", "ICF"): 64,
    ("2A", "ICF"): 46,
    ("SL", "LHB"): 80,
    ("3A", "LHB"): 72,
    ("2A", "LHB"): 52,
}


def layout(coach: Coach) -> tuple[BerthType, ...]:
    """Return the type of each berth of a coach, berth 1 first.

    Raises BadMessage if the chart's layout has another length, or a type that does not exist.
    """
    if coach.layout is not None:
        if len(coach.layout) != coach.berths:
            raise BadMessage(
                f"coach {coach.code} has {coach.berths} berths and a layout of {len(coach.layout)}"
            )
        try:
            return tuple(BerthType(name) for name in coach.layout)
        except ValueError as error:
            known = ", ".join(BerthType)
            raise BadMessage(f"coach {coach.code}: {error}: use {known}") from None
    bay = BAYS.get(coach.class_, (BerthType.SEAT,))
    return tuple(bay[index % len(bay)] for index in range(coach.berths))


def segments(start: int, end: int) -> int:
    """Return the bit mask of a journey [start, end); 0 if the journey is empty."""
    return ((1 << max(end - start, 0)) - 1) << start


def stretches(mask: int) -> Iterator[int]:
    """Yield each stretch of adjacent segments in a mask, as a mask, in running order."""
    while mask:
        low = mask & -mask
        stretch = mask & ~(mask + low)
        yield stretch
        mask &= ~stretch


@dataclass(frozen=True, slots=True)
class Hold:
    """The segments on which a person holds a whole berth, and those with half a berth (RAC)."""

    whole: int = 0
    half: int = 0

    @property
    def mask(self) -> int:
        return self.whole | self.half


class Occupancy:
    """The holders of each berth of one run, segment by segment.

    On a segment, a berth has one holder. A side lower may have two on RAC instead.
    """

    def __init__(self, coaches: tuple[Coach, ...]) -> None:
        self.types: dict[BerthKey, BerthType] = {
            berth_key(coach.code, number): kind
            for coach in coaches
            for number, kind in enumerate(layout(coach), start=1)
        }
        self._holds: dict[BerthKey, dict[PersonKey, Hold]] = {}

    def holders(self, berth: BerthKey) -> Mapping[PersonKey, Hold]:
        return self._holds.get(berth, {})

    def all(self) -> Iterator[tuple[BerthKey, PersonKey, Hold]]:
        """Yield every hold, berth by berth."""
        for berth, holds in self._holds.items():
            for person, hold in holds.items():
                yield berth, person, hold

    def restore(self, holds: Iterable[tuple[BerthKey, PersonKey, Hold]]) -> None:
        """Replace all holds by these, which are in the order of `all`."""
        self._holds = {}
        for berth, person, hold in holds:
            self._holds.setdefault(berth, {})[person] = hold

    def at(self, berth: BerthKey, segment: int) -> list[PersonKey]:
        """Return the holders of the berth on that segment: none, one, or two on RAC."""
        bit = 1 << segment
        return [person for person, hold in self.holders(berth).items() if hold.mask & bit]

    def held_at(self, segment: int) -> Iterator[BerthKey]:
        """Yield the berths that are held on that segment."""
        bit = 1 << segment
        for berth, holds in self._holds.items():
            if any(hold.mask & bit for hold in holds.values()):
                yield berth

    def has_room(self, berth: BerthKey, mask: int, *, half: bool) -> bool:
        """Return whether one more person fits on all of `mask`. `half` means half a side lower."""
        if half and self.types[berth] is not BerthType.SIDE_LOWER:
            return False
        full = once = 0
        for hold in self.holders(berth).values():
            full |= hold.whole
            if half:
                full |= once & hold.half
                once |= hold.half
            else:
                full |= hold.half
        return not full & mask

    def free_until(
        self, berth: BerthKey, start: int, end: int, but: PersonKey | None = None
    ) -> int:
        """Return the first segment from `start` that a person other than `but` holds, or `end`."""
        held = 0
        for person, hold in self.holders(berth).items():
            if person != but:
                held |= hold.mask
        held >>= start
        return end if not held else min(end, start + (held & -held).bit_length() - 1)

    def half_free(self, berth: BerthKey, segment: int) -> bool:
        """Return whether the berth's only holder on that segment is on RAC, with half of it."""
        bit = 1 << segment
        holds = [hold for hold in self.holders(berth).values() if hold.mask & bit]
        return len(holds) == 1 and bool(holds[0].half & bit)

    def occupy(self, berth: BerthKey, person: PersonKey, mask: int, *, half: bool) -> None:
        """Give the berth to a person for `mask`. The caller must ask `has_room` first."""
        holds = self._holds.setdefault(berth, {})
        old = holds.get(person, Hold())
        if half:
            holds[person] = Hold(old.whole, old.half | mask)
        else:
            holds[person] = Hold(old.whole | mask, old.half)

    def release(self, berth: BerthKey, person: PersonKey, mask: int) -> None:
        """Remove `mask` from a person's hold, and the hold if it becomes empty."""
        holds = self._holds[berth]
        left = Hold(holds[person].whole & ~mask, holds[person].half & ~mask)
        if left.mask:
            holds[person] = left
        else:
            del holds[person]
            if not holds:
                del self._holds[berth]
