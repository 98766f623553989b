"""Berths: their layout by class, who holds which berth on which segments, and blocked berths.

Segment i is the leg from station i to station i+1. A journey [from, to) is a bit mask with the
bits from..to-1 set, so one AND tells whether a berth is free for a journey.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import NamedTuple

from trainhub.core.errors import BadMessage
from trainhub.domain.model import BerthKey, BerthType, BlockReason, Coach, PersonKey, berth_key

_L = BerthType.LOWER
_M = BerthType.MIDDLE
_U = BerthType.UPPER
_SL = BerthType.SIDE_LOWER
_SM = BerthType.SIDE_MIDDLE
_SU = BerthType.SIDE_UPPER
_SEATS = (BerthType.SEAT,)
_BY_EIGHT = (_L, _M, _U, _L, _M, _U, _SL, _SU)
_BY_NINE = (_L, _M, _U, _L, _M, _U, _SL, _SM, _SU)

# One bay of each class. The bay repeats through the coach.
BAYS: dict[str, tuple[BerthType, ...]] = {
    "1A": (_L, _U),
    "2A": (_L, _U, _L, _U, _SL, _SU),
    "3A": _BY_EIGHT,
    "3E": _BY_EIGHT,
    "SL": _BY_EIGHT,
    "FC": (_L, _U),
    "CC": _SEATS,
    "EC": _SEATS,
    "EA": _SEATS,
    "2S": _SEATS,
}
# Classes from the lowest to the highest. A ticket may be upgraded into a higher one.
RANKS = (("SL", "3E", "3A", "2A", "1A"), ("2S", "CC", "EC", "EA"))
# Unreserved and service coaches by their class: they have no berths that a chart could give away.
WITHOUT_BERTHS = ("GEN", "GS", "UR", "SLR", "LSLRD", "EOG", "PC", "VP", "RMS", "L")
ANY_CLASS = "any"


class CoachType(NamedTuple):
    """A real coach: its number of berths, its bay if not the class's own, and its numbers."""

    berths: int | None
    bay: tuple[BerthType, ...] | None = None
    numbers: tuple[int, ...] | None = None


# The coaches by type and class. docs/reference/charts.md has the sources.
TYPES: dict[str, dict[str, CoachType]] = {
    "ICF": {
        "1A": CoachType(18),
        "2A": CoachType(46),
        "3A": CoachType(64),
        "SL": CoachType(72),
        "FC": CoachType(26),
        "CC": CoachType(73),
        "EC": CoachType(46),
        "2S": CoachType(108),
    },
    "LHB": {
        "1A": CoachType(24),
        "2A": CoachType(52),
        "3A": CoachType(72),
        "3E": CoachType(83),
        "SL": CoachType(80),
        "CC": CoachType(78),
        "EC": CoachType(56),
        "EA": CoachType(56),
    },
    "GARIB_RATH": {"3A": CoachType(78, _BY_NINE)},
    "HALF": {"1A": CoachType(10), "2A": CoachType(20)},
    "RIC": {
        ANY_CLASS: CoachType(
            60,
            (_L, _M, _U, _L, _M, _U),
            tuple(10 * cabin + place for cabin in range(1, 11) for place in range(1, 7)),
        )
    },
    "SEATS": {ANY_CLASS: CoachType(None, _SEATS)},
}


def is_upgrade(booked: str, given: str) -> bool:
    """Return whether a berth of class `given` is an upgrade of a ticket of class `booked`."""
    return any(
        booked in ranks and given in ranks and ranks.index(booked) < ranks.index(given)
        for ranks in RANKS
    )


def layout(coach: Coach) -> tuple[BerthType, ...]:
    """Return the type of each berth of a coach, in the order of their numbers.

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
    # A chart needs a layout for any other class. Older charts have seats in it.
    bay = BAYS.get(coach.class_, _SEATS)
    return tuple(bay[index % len(bay)] for index in range(coach.berths))


def numbers(coach: Coach) -> Sequence[int]:
    """Return the numbers of the coach's berths."""
    return range(1, coach.berths + 1) if coach.numbers is None else coach.numbers


def berth_keys(coach: Coach) -> Iterator[BerthKey]:
    """Yield the keys of the coach's berths, in the order of their numbers.

    Equal keys are one text in memory: a thousand trains have a coach S1.
    """
    return (BerthKey(intern(berth_key(coach.code, number))) for number in numbers(coach))


def segments(start: int, end: int) -> int:
    """Return the bit mask of a journey [start, end); 0 if the journey is empty."""
    return ((1 << max(end - start, 0)) - 1) << start


def ends(mask: int) -> tuple[int, int]:
    """Return where the journey of a mask begins and ends: its first station and its last."""
    return (mask & -mask).bit_length() - 1, mask.bit_length()


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


class Block(NamedTuple):
    """The segments on which a berth is blocked, and why it is or was last.

    A block lasts to the end of the run, however many segments there are: `mask` is negative then.
    """

    mask: int
    reason: BlockReason


class Occupancy:
    """The holders of each berth of one run, segment by segment.

    On a segment, a berth is vacant, blocked, or has one holder. A berth of `shared` may have two
    holders on RAC instead.
    """

    def __init__(self, coaches: tuple[Coach, ...]) -> None:
        self.types: dict[BerthKey, BerthType] = {}
        self.classes: dict[BerthKey, str] = {}
        self.shared: set[BerthKey] = set()
        self.blocks: dict[BerthKey, Block] = {}
        for coach in coaches:
            self._attach(coach)
        self._holds: dict[BerthKey, dict[PersonKey, Hold]] = {}

    def _attach(self, coach: Coach) -> None:
        kinds = dict(zip(berth_keys(coach), layout(coach), strict=True))
        self.types |= kinds
        self.classes |= dict.fromkeys(kinds, coach.class_)
        if coach.rac is None:
            self.shared |= {key for key, kind in kinds.items() if kind is BerthType.SIDE_LOWER}
        else:
            self.shared |= {berth_key(coach.code, number) for number in coach.rac}
        for number in coach.blocked:
            self.block(berth_key(coach.code, number), 0, BlockReason.STAFF)

    def refitted(self, coaches: tuple[Coach, ...]) -> "Occupancy":
        """Return the occupancy of amended coaches, without people. Known berths stay as blocked."""
        new = Occupancy(coaches)
        for key in self.types.keys() & new.types.keys():
            new.blocks.pop(key, None)
            if key in self.blocks:
                new.blocks[key] = self.blocks[key]
        return new

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

    def taken_at(self, segment: int) -> Iterator[BerthKey]:
        """Yield the berths that are held or blocked on that segment."""
        bit = 1 << segment
        for berth, holds in self._holds.items():
            if any(hold.mask & bit for hold in holds.values()):
                yield berth
        yield from (berth for berth, block in self.blocks.items() if block.mask & bit)

    def block(self, berth: BerthKey, start: int, reason: BlockReason) -> None:
        """Block a berth that no one holds from segment `start` on, to the end of the run."""
        self.blocks[berth] = Block(self._blocked_mask(berth) | -1 << start, reason)

    def unblock(self, berth: BerthKey, start: int) -> None:
        """Make a blocked berth free from segment `start` on."""
        block = self.blocks[berth]
        self.blocks[berth] = block._replace(mask=block.mask & ~(-1 << start))

    def blocked(self, berth: BerthKey, segment: int) -> BlockReason | None:
        """Return why the berth is blocked on that segment. None means that it is not."""
        block = self.blocks.get(berth)
        return block.reason if block is not None and block.mask >> segment & 1 else None

    def _blocked_mask(self, berth: BerthKey) -> int:
        return self.blocks[berth].mask if berth in self.blocks else 0

    def has_room(
        self, berth: BerthKey, mask: int, *, half: bool, but: Collection[PersonKey] = ()
    ) -> bool:
        """Return whether one more person fits on all of `mask`. `half` means half a berth (RAC).

        What the people of `but` hold counts as free.
        """
        if half and berth not in self.shared:
            return False
        full, once = self._blocked_mask(berth), 0
        for person, hold in self.holders(berth).items():
            if person in but:
                continue
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
        """Return the first segment from `start` that is blocked or held by another, or `end`."""
        held = self._blocked_mask(berth)
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

    def insert(self, station: int) -> None:
        """Split the segment before a station in two, as there is another stop now on its way."""

        def split(mask: int) -> int:
            return mask & segments(0, station) | mask >> (station - 1) << station

        self._holds = {
            berth: {
                person: Hold(split(hold.whole), split(hold.half)) for person, hold in holds.items()
            }
            for berth, holds in self._holds.items()
        }
        self.blocks = {
            berth: block._replace(mask=split(block.mask)) for berth, block in self.blocks.items()
        }

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
