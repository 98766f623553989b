"""Fakes that record what they are given. A test never proves anything about a fake itself."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from witness import WITNESS

from trainhub.core.contacts import Device, Preferences
from trainhub.core.journal import Commit, JournalFailed, ReaderPlace, Record, StoredAnswer
from trainhub.core.lease import Held, LeaseHolder
from trainhub.core.lineage import Beginning, Lineage, StorePlace
from trainhub.core.log import Reader
from trainhub.core.notifications import Notification, Undelivered
from trainhub.core.write_buffer import DeadLetter, Document, StoreAway
from trainhub.domain.model import RunKey
from trainhub.domain.snapshot import RunSnapshot


class Clock:
    """A clock that stands at `now` until a test moves it."""

    def __init__(self, now=0.0):
        self.now = now

    def __call__(self):
        return self.now


class MemoryJournal:
    """A journal.Journal without a disk. `gate`, once cleared, holds records until it is set."""

    def __init__(self) -> None:
        self.lineage = Lineage((Beginning("e1", 0),))
        self.head = 0
        self.size = 0
        self.records: list[Record] = []
        self.commits: list[int] = []
        self.kept: list[StoredAnswer] = []
        self.snapshot_of: dict[RunKey, RunSnapshot] = {}
        self.places: dict[str, ReaderPlace] = {}
        self.over: dict[RunKey, float] = {}
        self.trimmed = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = False

    @property
    def epoch(self) -> str:
        return self.lineage.epoch

    async def commit(self, batch: Commit) -> None:
        await asyncio.sleep(0)
        if batch.records:
            await self.gate.wait()
        if self.broken:
            raise JournalFailed("no disk")
        self.records += batch.records
        self.kept = [each for each in self.kept if (each.user, each.key) not in batch.gone]
        self.kept += batch.answers
        self.snapshot_of |= batch.snapshots
        self.places |= {place.reader: self._with_ahead(place) for place in batch.places}
        self.over |= {retired.stream: retired.at for retired in batch.retired}
        if batch.records:
            self.commits.append(len(batch.records))
            self.head = batch.records[-1].position

    def _with_ahead(self, place: ReaderPlace) -> ReaderPlace:
        before = self.places[place.reader].ahead if place.reader in self.places else {}
        ahead = {**before, **place.ahead}.items()
        beyond = {name: at for name, at in ahead if at > place.position}
        return ReaderPlace(place.reader, place.position, beyond)

    async def read(self, after: int, limit: int) -> list[Record]:
        await asyncio.sleep(0)
        return [record for record in self.records if record.position > after][:limit]

    async def unfolded(self, after: int, limit: int, kept: int) -> list[Record]:
        return [
            record for record in await self.read(after, limit) if record.stream not in self.over
        ]

    async def snapshot(self, run: RunKey) -> RunSnapshot | None:
        return self.snapshot_of.get(run)

    async def retired(self) -> dict[RunKey, float]:
        return self.over

    async def answers(self) -> list[StoredAnswer]:
        return self.kept

    async def read_place(self, reader: str) -> ReaderPlace:
        return self.places.get(reader, ReaderPlace(reader, 0, {}))

    async def trim(self, up_to: int) -> None:
        self.trimmed = max(self.trimmed, up_to)

    async def prune(self, answers_before: float, retired_before: float) -> None:
        self.kept = [answer for answer in self.kept if answer.at >= answers_before]

    async def close(self) -> None:
        pass


async def save(journal: MemoryJournal, reader: Reader) -> None:
    """Save a reader's place, as the hub's timer does."""
    place = reader.place()
    if place is not None:
        await journal.commit(Commit(places=[place]))
        reader.has_saved(place)


class Ear:
    """A rooms.Listener that keeps what it hears, a list of messages for each write."""

    window = 0
    is_behind = False

    def __init__(self) -> None:
        self.writes: list[list[dict[str, Any]]] = []

    def send(self, frames: bytes) -> None:
        self.writes.append([json.loads(line) for line in frames.splitlines()])
        for message in self.writes[-1]:
            WITNESS.sent(message)

    def catch_up(self, frames: bytes) -> None:
        self.send(frames)

    def show(self, figure: str, frame: bytes) -> None:
        self.send(frame)

    def missed(self) -> None:
        self.writes.append([{"type": "MISSED"}])

    @property
    def heard(self) -> list[dict[str, Any]]:
        return [message for write in self.writes for message in write]

    @property
    def seqs(self) -> list[int]:
        return [message["seq"] for message in self.heard if "seq" in message and "data" in message]


def line(payload: bytes) -> bytes:
    """Return a frame for Ear: the JSON and a line end."""
    return payload + b"\n"


class MemoryStore:
    """A write_buffer.Store that keeps the last of each document; `away` makes it refuse."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], Document] = {}
        self.position = 0
        self.bulks: list[tuple[str, int]] = []
        self.away = False

    async def write(self, collection: str, documents: Sequence[Document]) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreAway("no store")
        self.bulks.append((collection, len(documents)))
        for document in documents:
            self.documents[collection, document["_id"]] = document

    async def reached(self, position: int) -> None:
        self.position = position

    async def holds_all(self) -> bool:
        return True


class MemoryLease:
    """A lease.Lease without a database; `away` makes it fail."""

    def __init__(self) -> None:
        self.held: Held | None = None
        self.away = False

    async def read(self) -> Held | None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreAway("no database")
        return self.held

    async def claim(self, mine: LeaseHolder, expected: LeaseHolder | None) -> bool:
        held = await self.read()
        if (None if held is None else held.holder) != expected:
            return False
        beats = 1 if expected is None else expected.beats + 1
        place = None if held is None else held.place
        self.held = Held(replace(mine, beats=beats), place)
        return True

    async def renew(self, start: str) -> Held | None:
        held = await self.read()
        if held is None or held.holder.start != start:
            return None
        self.held = replace(held, holder=replace(held.holder, beats=held.holder.beats + 1))
        return self.held

    async def put(self, start: str, place: StorePlace, expected: StorePlace | None) -> bool:
        held = await self.read()
        if held is None or held.holder.start != start or expected not in (None, held.place):
            return False
        self.held = replace(held, place=place)
        return True

    async def release(self, start: str) -> None:
        held = await self.read()
        if held is not None and held.holder.start == start:
            self.held = replace(held, holder=replace(held.holder, released=True))


class Letters:
    """A write_buffer.DeadLetters that keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[DeadLetter] = []

    async def store(self, letters: Sequence[DeadLetter]) -> None:
        await asyncio.sleep(0)
        self.kept += letters


class Postbox:
    """A notifications.Sender that keeps what it is given; `refuse` makes the next sends fail."""

    def __init__(self) -> None:
        self.jobs: list[Notification] = []
        self.refuse = 0

    async def send(self, job: Notification) -> None:
        await asyncio.sleep(0)
        if self.refuse:
            self.refuse -= 1
            raise OSError("no post today")
        self.jobs.append(job)

    async def close(self) -> None:
        pass


class KeptJobs:
    """A notifications.UndeliveredJobs that keeps what it is given; `broken` makes it fail."""

    def __init__(self) -> None:
        self.jobs: dict[str, Undelivered] = {}
        self.broken = False

    async def note(self, jobs: Sequence[Undelivered], sent: Sequence[str]) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("no disk")
        self.jobs |= {each.job.id: each for each in jobs}
        for name in sent:
            self.jobs.pop(name, None)


class MemoryContacts:
    """A contacts.Contacts that keeps nothing on disk."""

    def __init__(self) -> None:
        self.chosen: dict[str, Preferences] = {}
        self.of_user: dict[str, dict[str, Device]] = {}

    def preferences(self, user: str) -> Preferences:
        return self.chosen.get(user, Preferences())

    async def set_preferences(self, user: str, preferences: Preferences) -> None:
        self.chosen[user] = preferences

    def devices(self, user: str) -> list[Device]:
        return list(self.of_user.get(user, {}).values())

    async def add_device(self, device: Device) -> None:
        self.of_user.setdefault(device.user, {})[device.endpoint] = device

    async def remove_device(self, user: str, endpoint: str) -> bool:
        return self.of_user.get(user, {}).pop(endpoint, None) is not None
