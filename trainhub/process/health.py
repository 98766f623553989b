"""Faults of a running hub: one list of complaints from all parts."""

import time
from collections.abc import Callable, Iterable
from typing import Protocol

# How long a mishap is reported after it happened.
LATELY_MINUTES = 60

Complaints = Callable[[], Iterable[str]]


class Observer(Protocol):
    """A part that must be called once a second to notice its faults."""

    def note(self) -> None: ...

    def complaints(self) -> Iterable[str]: ...


class Health:
    """The parts that report their own faults.

    `/readyz` and the monitor page show every complaint to anyone, so a complaint names no person
    and quotes no error text of a driver.
    """

    def __init__(self) -> None:
        self._parts: list[Complaints] = []
        self._observers: list[Observer] = []

    def watch(self, *parts: Complaints) -> None:
        """Add parts. Each returns one sentence per fault."""
        self._parts += parts

    def observe(self, *observers: Observer) -> None:
        """Add parts that are also called at each `note`."""
        self._observers += observers
        self.watch(*(each.complaints for each in observers))

    def note(self) -> None:
        """Call `note` of every observer. A timer calls this once a second."""
        for each in self._observers:
            each.note()

    def complaints(self) -> list[str]:
        """Return what is wrong now, one sentence per fault."""
        return [sentence for part in self._parts for sentence in part()]


class Lately:
    """A counter of mishaps that is a complaint for an hour after each mishap."""

    def __init__(
        self,
        count: Callable[[], int],
        sentence: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`count` returns the mishaps so far; `sentence` has "{}" in place of their number."""
        self._count, self._sentence, self._clock = count, sentence, clock
        self._seen = count()
        # Minute → mishaps noted in it.
        self._minutes: dict[int, int] = {}

    def note(self) -> None:
        """Record the mishaps since the last call. A timer calls this."""
        minute, now = int(self._clock() // 60), self._count()
        if now > self._seen:
            self._minutes[minute] = self._minutes.get(minute, 0) + now - self._seen
        self._seen = now
        self._minutes = {at: n for at, n in self._minutes.items() if at > minute - LATELY_MINUTES}

    def complaints(self) -> list[str]:
        """Return the sentence if anything happened within the hour."""
        self.note()
        lately = sum(self._minutes.values())
        return [self._sentence.format(lately)] if lately else []
