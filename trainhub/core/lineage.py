"""The comparison of journal and MongoDB, by epoch, start of the hub, and position.

A copy of a journal is an earlier state of that journal. So the journal stores the ids of the hub's
starts, and MongoDB stores the id of the start that wrote last. If the journal does not know that
id, MongoDB has a history that the journal has lost.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

# An epoch is this letter, a number, and a random part. Epochs of older hubs are hexadecimal without
# a number, so they sort before all numbered ones.
NUMBERED = "h"
# Starts, and epochs, that a journal stores. If MongoDB was last written by an older start, a new
# epoch begins, and no event is lost.
STARTS_KEPT = 500


@dataclass(frozen=True, slots=True)
class StorePlace:
    """MongoDB has the records of `epoch` up to `position`. The hub's start `start` wrote them."""

    epoch: str
    start: str
    position: int


@dataclass(frozen=True, slots=True)
class Beginning:
    """The name of an epoch or a start, and the log's head when it began."""

    name: str
    head: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """The epochs and the starts of a journal, oldest first."""

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
        """Return the lineage with a new epoch. `after` is another log's epoch that it continues."""
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
    SAME = auto()  # MongoDB has what the journal expects
    BEHIND = auto()  # MongoDB lacks records that the journal has
    FORKED = auto()  # MongoDB has another history, which this epoch's documents would not replace


def compare(lineage: Lineage, flushed: int, place: StorePlace | None) -> Verdict:
    """Compare MongoDB's place with the journal, which expects MongoDB to be at `flushed`."""
    if place is None or place.epoch in lineage.past:
        return Verdict.BEHIND
    if place.epoch != lineage.epoch:
        lower = _number(place.epoch) < _number(lineage.epoch)
        return Verdict.BEHIND if lower else Verdict.FORKED
    for start, following in zip(lineage.starts, (*lineage.starts[1:], None), strict=True):
        if start.name == place.start:
            if following is not None and place.position > following.head:
                return Verdict.FORKED  # the journal ended before `position` at its next start
            return Verdict.BEHIND if place.position < flushed else Verdict.SAME
    return Verdict.FORKED


def next_epoch(known: Sequence[str] = ()) -> str:
    """Return a new epoch, which sorts after all known ones."""
    number = 1 + max(map(_number, known), default=0)
    return f"{NUMBERED}{number:06d}-{secrets.token_hex(6)}"


def _number(epoch: str) -> int:
    digits = epoch[1:].partition("-")[0]
    return int(digits) if epoch.startswith(NUMBERED) and digits.isdecimal() else 0
