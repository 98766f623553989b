"""A chat over trainhub's core: a durable log, rooms, replay and WebSockets, without a railway.

    python examples/chatroom.py FOLDER [PORT]

A client opens ws://127.0.0.1:PORT/ROOM?name=ann&since=0 and sends lines of text. It gets each line
of its room after `since`, including those of an earlier process. It then gets each new line when
the line is on disk. FOLDER contains the journal.
"""

import asyncio
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).parents[1]))

from tornado.web import Application
from tornado.websocket import WebSocketHandler

from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.core.audience import EVERYONE, Audience, Standing
from trainhub.core.history import History
from trainhub.core.journal import Journal, Record, Vocabulary
from trainhub.core.log import Log
from trainhub.core.presence import Presence
from trainhub.core.rooms import Rooms
from trainhub.core.stream import Stream


@dataclass(frozen=True, kw_only=True)
class Said:
    """The only event of this domain."""

    at: datetime
    name: str
    text: str
    audience: ClassVar[Audience] = EVERYONE


CHAT = Vocabulary({"SAID": Said}, object)


class Chat:
    """The rooms of one journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seqs: dict[Stream, int] = {}
        self.log = Log(journal, self._committed, print)
        self.history = History()
        self.rooms = Rooms({}, lambda payload, **_: payload + b"\n", message, Presence(dict, {}))

    async def load(self) -> None:
        """Load the lines of earlier processes."""
        position = 0
        while records := await self._journal.read(position, 1_000):
            position = records[-1].position
            for record in records:
                self._seqs[record.stream] = record.seq
                self.history.add(record)

    async def say(self, room: Stream, name: str, text: str) -> None:
        """Return when the line is on disk and sent to everyone in the room."""
        seq = self._seqs[room] = self._seqs.get(room, 0) + 1
        await self.log.append(room, seq, [Said(at=datetime.now(UTC), name=name, text=text)])

    def _committed(self, records: list[Record], after: int) -> None:
        for record in records:
            self.history.add(record)
        self.rooms.accept(records)


def message(record: Record) -> dict[str, Any]:
    return {"seq": record.seq, "name": record.event.name, "text": record.event.text}


class ChatSocket(WebSocketHandler):
    """A member of a room, as core/rooms.py sees a listener."""

    window = 0  # accepts no compressed messages

    def initialize(self, chat: Chat) -> None:
        self.chat = chat

    def open(self, room: str) -> None:
        self.room, self.name = Stream(room), self.get_argument("name", "anonymous")
        missed = self.chat.history.since(self.room, int(self.get_argument("since", "0")))
        self.chat.rooms.join(self.room, self, Standing("member", self.name))
        for record in missed or ():
            self.send(self.chat.rooms.frame(message(record)))

    async def on_message(self, text: str | bytes) -> None:
        await self.chat.say(self.room, self.name, str(text))

    def on_close(self) -> None:
        self.chat.rooms.leave_all(self)

    def send(self, frames: bytes) -> None:
        for line in frames.splitlines():
            self.write_message(line.decode())

    def missed(self) -> None:
        self.close(1011, "a line could not be sent: connect again with since")


async def serve(folder: Path, port: int) -> None:
    chat = Chat(await SqliteJournal.open(folder / "chat.db", CHAT))
    await chat.load()
    Application([(r"/(\w+)", ChatSocket, {"chat": chat})]).listen(port, "127.0.0.1")
    print(f"chat on ws://127.0.0.1:{port}/ROOM", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 8899))
