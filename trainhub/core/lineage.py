"""How journal and MongoDB are compared: epochs, the hub's starts, and how far MongoDB has got.

A copy of a journal is a past of that journal. So the journal keeps the id of every start of a hub
on it, and MongoDB keeps the id of the start that wrote there last: an id that the journal does not
know is of a history that the journal has lost.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

# An epoch is this letter and its number, then a random part. Older epochs are hexadecimal and have
# no number: in the order of texts they come before all that have one.
NUMBERED = "h"
# Starts and epochs that a journal keeps. A store that was written before them counts as unknown,
# which costs a new epoch and loses nothing.
STARTS_KEPT = 500


@dataclass(frozen=True, slots=True)
class StorePlace:
    """What MongoDB has: an epoch's records up to `position`, written by the hub of one start."""

    epoch: str
    start: str
    position: int


@dataclass(frozen=True, slots=True)
class Beginning:
    """An epoch or a start by its name, and the log's head when it began."""

    name: str
    head: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """The epochs and the starts that a journal has been through, oldest first."""

    epochs: tuple[Beginning, ...]
    starts: tuple[Beginning, ...] = ()

    @property
    def epoch(self) -> str:
        return self.epochs[-1].name

    @property
    def past(self) -> frozenset[str]:
        """The epochs before the present one."""
        return frozenset(each.name for each in self.epochs[:-1])

    def epoch_at(self, position: int) -> str:
        """Return the epoch in which a record was made."""
        found = self.epochs[0].name
        for each in self.epochs:
            if each.head < position:
                found = each.name
        return found

    def started(self, start: str, head: int) -> "Lineage":
        return replace(self, starts=(*self.starts, Beginning(start, head))[-STARTS_KEPT:])

    def began(self, epoch: str, head: int, after: str | None = None) -> "Lineage":
        """Return the lineage with a new epoch; `after` is another log's that it goes on from."""
        before = (*self.epochs, *([] if after is None else [Beginning(after, head)]))
        return replace(self, epochs=(*before, Beginning(epoch, head))[-STARTS_KEPT:])

    def to_text(self) -> str:
        pairs = ([[each.name, each.head] for each in part] for part in (self.epochs, self.starts))
        return json.dumps(dict(zip(("epochs", "starts"), pairs, strict=True)))


def read_lineage(text: str) -> Lineage:
    """Read what `to_text` wrote."""
    found = json.loads(text)
    epochs, starts = (
        tuple(Beginning(*pair) for pair in found[name]) for name in ("epochs", "starts")
    )
    return Lineage(epochs, starts)


class Verdict(Enum):
    SAME = auto()  # MongoDB has what the journal believes it has
    BEHIND = auto()  # MongoDB lacks records that the journal has
    FORKED = auto()  # MongoDB has another history, over which this epoch would not win


def compare(lineage: Lineage, flushed: int, place: StorePlace | None) -> Verdict:
    """Compare what MongoDB says it has with the journal, which believes it has up to `flushed`."""
    if place is None or place.epoch in lineage.past:
        return Verdict.BEHIND
    if place.epoch != lineage.epoch:
        lower = _number(place.epoch) < _number(lineage.epoch)
        return Verdict.BEHIND if lower else Verdict.FORKED
    for start, following in zip(lineage.starts, (*lineage.starts[1:], None), strict=True):
        if start.name == place.start:
            if following is not None and place.position > following.head:
                return Verdict.FORKED  # the journal ended before that, when it was opened again
            return Verdict.BEHIND if place.position < flushed else Verdict.SAME
    return Verdict.FORKED


def next_epoch(known: Sequence[str] = ()) -> str:
    """Return a new epoch, which comes after all that are known."""
    number = 1 + max(map(_number, known), default=0)
    return f"{NUMBERED}{number:06d}-{secrets.token_hex(6)}"


def _number(epoch: str) -> int:
    digits = epoch[1:].partition("-")[0]
    return int(digits) if epoch.startswith(NUMBERED) and digits.isdecimal() else 0
