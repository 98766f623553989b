"""Vacancies, and an index of those that can be offered now, sorted as a passenger prefers them.

Whatever changes a berth marks it; it is looked at again only when berths are matched. So folding a
log costs next to nothing here, and one passenger who boards does not look at every berth again.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from trainhub.domain.events import Cause
from trainhub.domain.model import BerthKey, PersonKey


@dataclass(slots=True)
class Vacancy:
    """A berth, or half a side lower, that fell free from a station on; `id` is new each time.

    `start` is that station's index, which may lie ahead. `passed` are those who had an offer of it
    that ended without an upgrade.
    """

    id: int
    key: BerthKey
    coach: str
    berth: int
    class_: str
    start: int
    cause: Cause
    passed: set[PersonKey] = field(default_factory=set)


class Opening(NamedTuple):
    """A vacancy that can be offered now, `until` the segment on which its berth is taken again.

    Openings sort as a passenger prefers them: of those that are free to the destination the one
    free for the shortest time beyond it, then the best by `liked`. `holder` is the person
    person who has half of the berth until then.
    """

    until: int
    liked: int
    coach: str
    berth: int
    holder: PersonKey | None
    vacancy: Vacancy


class Openings:
    """The openings of a run, sorted, by class."""

    def __init__(self) -> None:
        self._by_class: dict[str, list[Opening]] = {}
        self._by_berth: dict[BerthKey, Opening] = {}
        self._changed: set[BerthKey] | None = None  # None: all of them

    def mark(self, key: BerthKey) -> None:
        """Take note that a berth has changed."""
        if self._changed is not None:
            self._changed.add(key)

    def mark_all(self) -> None:
        """Take note that the train has moved: every berth is to be looked at again."""
        self._changed = None

    def of_class(
        self, class_: str, freed: Iterable[BerthKey], look: Callable[[BerthKey], Opening | None]
    ) -> list[Opening]:
        """Return the openings of a class; `look` tells what of a berth in `freed` is open now."""
        if self._changed is None:
            self._by_class, self._by_berth = {}, {}
            self._changed = set(freed)
        for key in self._changed:
            if key in self._by_berth:
                drop(self._by_class[self._by_berth[key].vacancy.class_], self._by_berth.pop(key))
            opening = look(key)
            if opening is not None:
                self._by_berth[key] = opening
                insort(self._by_class.setdefault(opening.vacancy.class_, []), opening)
        self._changed = set()
        return self._by_class.get(class_, [])


def drop(openings: list[Opening], opening: Opening) -> None:
    """Take an opening out of a sorted list, if it is in it."""
    place = bisect_left(openings, opening[:4], key=lambda each: each[:4])
    if place < len(openings) and openings[place].vacancy is opening.vacancy:
        del openings[place]
