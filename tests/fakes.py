"""Fakes that record: for what a test wants to look at, never for what it wants to prove."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from trainhub.journal import Answer, JournalFailed, Record
from trainhub.notifications import Job
from trainhub.write_buffer import DeadLetter, Document, StoreAway


class MemoryJournal:
    """A journal.Journal without a disk. `gate`, once cleared, holds commits until it is set."""

    def __init__(self) -> None:
        self.epoch = "e1"
        self.head = 0
        self.records: list[Record] = []
        self.commits: list[int] = []
        self.kept: list[Answer] = []
        self.positions: dict[str, int] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = False

    async def commit(self, records: Sequence[Record], answers: Sequence[Answer] = ()) -> None:
        await asyncio.sleep(0)
        await self.gate.wait()
        if self.broken:
            raise JournalFailed("no disk")
        self.records += records
        self.kept += answers
        self.commits.append(len(records))
        self.head = self.records[-1].position

    async def read(self, after: int, limit: int) -> list[Record]:
        await asyncio.sleep(0)
        return [record for record in self.records if record.position > after][:limit]

    async def answers(self) -> list[Answer]:
        return self.kept

    async def forget_answers(self, before: float) -> None:
        self.kept = [answer for answer in self.kept if answer.at >= before]

    async def position(self, reader: str) -> int:
        return self.positions.get(reader, 0)

    async def save_position(self, reader: str, position: int) -> None:
        self.positions[reader] = position

    async def close(self) -> None:
        pass


class Ear:
    """A rooms.Listener that keeps what it hears, a list of messages for each write."""

    def __init__(self) -> None:
        self.writes: list[list[dict[str, Any]]] = []

    def send(self, frames: bytes) -> None:
        self.writes.append([json.loads(line) for line in frames.splitlines()])

    @property
    def heard(self) -> list[dict[str, Any]]:
        return [message for write in self.writes for message in write]

    @property
    def seqs(self) -> list[int]:
        return [message["seq"] for message in self.heard if "seq" in message and "data" in message]


def line(payload: bytes) -> bytes:
    """A frame for Ear: the JSON and a line's end."""
    return payload + b"\n"


class MemoryStore:
    """A write_buffer.Store that keeps the last of each document; `away` makes it refuse."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], Document] = {}
        self.bulks: list[tuple[str, int]] = []
        self.away = False

    async def write(self, collection: str, documents: Sequence[Document]) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreAway("no store")
        self.bulks.append((collection, len(documents)))
        for document in documents:
            self.documents[collection, document["_id"]] = document


class Letters:
    """A write_buffer.DeadLetters that keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[DeadLetter] = []

    async def keep(self, letters: Sequence[DeadLetter]) -> None:
        await asyncio.sleep(0)
        self.kept += letters


class Postbox:
    """A notifications.Sender that keeps what it is given; `refuse` makes the next sends fail."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.refuse = 0

    async def send(self, job: Job) -> None:
        await asyncio.sleep(0)
        if self.refuse:
            self.refuse -= 1
            raise OSError("no post today")
        self.jobs.append(job)

    async def close(self) -> None:
        pass
