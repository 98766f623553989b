"""Vacancies, and an index of those that can be offered now, sorted as a passenger prefers them.

Each change of a berth marks the berth. A marked berth is examined when berths are matched. So the
replay of a log is cheap here, and a boarding does not examine every berth again.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from trainhub.domain.events import Cause
from trainhub.domain.model import BerthKey, BerthType, PersonKey


@dataclass(slots=True)
class Vacancy:
    """A berth, or half a side lower, that became free from a station on; `id` is new each time.

    `start` is that station's index, which may be ahead. `passed` are the people who denied this
    vacancy. `lapsed` has those whose offer of it ended otherwise, with the station reached then.
    `ladies` means that the berth is of the ladies' quota.
    """

    id: int
    key: BerthKey
    coach: str
    berth: int
    class_: str
    start: int
    cause: Cause
    passed: set[PersonKey] = field(default_factory=set)
    lapsed: set[tuple[PersonKey, int]] = field(default_factory=set)
    ladies: bool = False

    def barred(self, person: PersonKey, current: int) -> bool:
        """Return whether the person is not asked for this vacancy before the next arrival."""
        return person in self.passed or (person, current) in self.lapsed


class Opening(NamedTuple):
    """A vacancy that can be offered now, `until` the segment on which its berth is taken again.

    Openings sort by `until`, and then by `liked`, the best first. A passenger gets the first
    opening that is free to the destination. `holder` is the person who has half of the berth.
    """

    until: int
    liked: int
    coach: str
    berth: int
    holder: PersonKey | None
    vacancy: Vacancy
    type: BerthType


class Openings:
    """The openings of a run, sorted, by class."""

    def __init__(self) -> None:
        self._by_class: dict[str, list[Opening]] = {}
        self._by_berth: dict[BerthKey, Opening] = {}
        self._changed: set[BerthKey] | None = None  # None: all of them

    def mark(self, key: BerthKey) -> None:
        """Mark a berth that has changed."""
        if self._changed is not None:
            self._changed.add(key)

    def mark_all(self) -> None:
        """Mark every berth: the train has moved, or the run has begun or ended."""
        self._changed = None

    def of_class(
        self, class_: str, freed: Iterable[BerthKey], look: Callable[[BerthKey], Opening | None]
    ) -> list[Opening]:
        """Return the openings of a class. `look` returns a berth's opening, if there is one."""
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
    """Remove an opening from a sorted list, if the list has it."""
    index = bisect_left(openings, opening[:4], key=lambda each: each[:4])
    if index < len(openings) and openings[index].vacancy is opening.vacancy:
        del openings[index]
