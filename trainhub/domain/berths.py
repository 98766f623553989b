"""Berths: their layout by class, and who holds which for which segments.

Segment i is the leg from station i to station i+1. A journey [from, to) is a bit mask with the
bits from..to-1 set, so that "is it free from here to there" is one AND.
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

# One bay of berths by class; the bay repeats through the coach. A class that is not here has seats.
BAYS: dict[str, tuple[BerthType, ...]] = {
    "SL": (_L, _M, _U, _L, _M, _U, _SL, _SU),
    "3A": (_L, _M, _U, _L, _M, _U, _SL, _SU),
    "3E": (_L, _M, _U, _L, _M, _U, _SL, _SU),
    "2A": (_L, _U, _L, _U, _SL, _SU),
    "1A": (_L, _U),
}

# Berths of a coach whose chart names its type but not their number.
BERTHS: dict[tuple[str, str], int] = {
    ("SL", "ICF"): 72,
    ("3A", "ICF"): 64,
    ("2A", "ICF"): 46,
    ("SL", "LHB"): 80,
    ("3A", "LHB"): 72,
    ("2A", "LHB"): 52,
}


def layout(coach: Coach) -> tuple[BerthType, ...]:
    """The type of each berth of a coach, berth 1 first. BadMessage if the chart's own is odd."""
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
    return tuple(bay[place % len(bay)] for place in range(coach.berths))


def segments(start: int, end: int) -> int:
    """The bit mask of a journey [start, end); 0 if it is empty."""
    return ((1 << max(end - start, 0)) - 1) << start


def stretches(mask: int) -> Iterator[int]:
    """A mask's runs of neighbouring segments, each as a mask, the first one first."""
    while mask:
        low = mask & -mask
        stretch = mask & ~(mask + low)
        yield stretch
        mask &= ~stretch


@dataclass(frozen=True, slots=True)
class Hold:
    """A person's part in a berth: the segments held whole, and those held half (RAC)."""

    whole: int = 0
    half: int = 0

    @property
    def mask(self) -> int:
        return self.whole | self.half


class Occupancy:
    """Who holds which berth of one run, segment by segment.

    A berth holds one person a segment; a side lower may hold two on RAC instead.
    """

    def __init__(self, coaches: tuple[Coach, ...]) -> None:
        self.types: dict[BerthKey, BerthType] = {
            berth_key(coach.code, place): kind
            for coach in coaches
            for place, kind in enumerate(layout(coach), start=1)
        }
        self._holds: dict[BerthKey, dict[PersonKey, Hold]] = {}

    def holders(self, berth: BerthKey) -> Mapping[PersonKey, Hold]:
        return self._holds.get(berth, {})

    def all(self) -> Iterator[tuple[BerthKey, PersonKey, Hold]]:
        """Every hold there is, berth by berth."""
        for berth, holds in self._holds.items():
            for person, hold in holds.items():
                yield berth, person, hold

    def put(self, holds: Iterable[tuple[BerthKey, PersonKey, Hold]]) -> None:
        """Let these holds, in the order of `all`, be all that there are."""
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
        """Whether one more person (on half a side lower, if `half`) fits on all of `mask`."""
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
        """Return the first segment from `start` on that a person but `but` holds, or `end`."""
        held = 0
        for person, hold in self.holders(berth).items():
            if person != but:
                held |= hold.mask
        held >>= start
        return end if not held else min(end, start + (held & -held).bit_length() - 1)

    def half_free(self, berth: BerthKey, segment: int) -> bool:
        """True if a single person, on RAC, holds half of the berth on that segment."""
        bit = 1 << segment
        holds = [hold for hold in self.holders(berth).values() if hold.mask & bit]
        return len(holds) == 1 and bool(holds[0].half & bit)

    def take(self, berth: BerthKey, person: PersonKey, mask: int, *, half: bool) -> None:
        """Give the berth to a person for `mask`; the caller has asked `has_room` before."""
        holds = self._holds.setdefault(berth, {})
        old = holds.get(person, Hold())
        if half:
            holds[person] = Hold(old.whole, old.half | mask)
        else:
            holds[person] = Hold(old.whole | mask, old.half)

    def release(self, berth: BerthKey, person: PersonKey, mask: int) -> None:
        """Take `mask` from a person's hold; a hold that has nothing left goes."""
        holds = self._holds[berth]
        left = Hold(holds[person].whole & ~mask, holds[person].half & ~mask)
        if left.mask:
            holds[person] = left
        else:
            del holds[person]
            if not holds:
                del self._holds[berth]
