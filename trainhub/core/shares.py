"""A bounded table that its owners share fairly."""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Owner = TypeVar("Owner", bound=Hashable)
Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value")


class Shares(Generic[Owner, Name, Value]):
    """Entries by owner and name, at most `most` of them.

    When the table is full, the owner with the most entries loses its oldest one. So an owner cannot
    displace the entries of an owner that has fewer.
    """

    def __init__(self, most: float) -> None:
        self.most = most
        self._entries: dict[Owner, dict[Name, Value]] = {}
        self._count = 0
        # The owners by the number of their entries.
        self._owners: defaultdict[int, dict[Owner, None]] = defaultdict(dict)
        self._largest = 0

    def __len__(self) -> int:
        return self._count

    def of(self, owner: Owner) -> dict[Name, Value]:
        """Return an owner's entries, oldest first. The caller must not change them."""
        return self._entries.get(owner, {})

    def get(self, owner: Owner, name: Name) -> Value | None:
        return self.of(owner).get(name)

    def oldest(self) -> Iterator[tuple[Owner, Name, Value]]:
        """Yield the oldest entry of each owner."""
        for owner, entries in list(self._entries.items()):
            name = next(iter(entries))
            yield owner, name, entries[name]

    def put(
        self, owner: Owner, name: Name, value: Value, most_each: float = math.inf
    ) -> list[tuple[Owner, Name]]:
        """Set an entry. Return the owner and name of each entry that was dropped for it.

        An owner with more than `most_each` entries loses its oldest ones.
        """
        self.drop(owner, name)
        self._entries.setdefault(owner, {})[name] = value
        self._count += 1
        self._resize(owner, +1)
        gone = []
        while len(self.of(owner)) > most_each:
            gone.append(self._drop_oldest(owner))
        while self._count > self.most:
            gone.append(self._drop_oldest(next(iter(self._owners[self._largest]))))
        return gone

    def _drop_oldest(self, owner: Owner) -> tuple[Owner, Name]:
        name = next(iter(self._entries[owner]))
        self.drop(owner, name)
        return owner, name

    def drop(self, owner: Owner, name: Name) -> None:
        """Remove an entry if it exists."""
        entries = self._entries.get(owner)
        if entries is None or name not in entries:
            return
        del entries[name]
        self._count -= 1
        self._resize(owner, -1)
        if not entries:
            del self._entries[owner]

    def _resize(self, owner: Owner, change: int) -> None:
        size = len(self._entries[owner])
        before = self._owners[size - change]
        before.pop(owner, None)
        if not before:
            del self._owners[size - change]
        if size:
            self._owners[size][owner] = None
        if size > self._largest or self._largest not in self._owners:
            self._largest = size
