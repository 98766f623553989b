"""The open sockets and their rooms: an ADMIN of all trains lists them, and may close a socket."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypedDict, cast

from trainhub.access.identity import ALL_TRAINS, Identity
from trainhub.core.about import About
from trainhub.core.cost import in_slices
from trainhub.core.errors import BadMessage, Forbidden
from trainhub.core.rooms import Room
from trainhub.domain.fields import Moment
from trainhub.domain.model import Role, RunKey
from trainhub.hub.figures import RunKeyText
from trainhub.hub.protocol import moment_text
from trainhub.web.base import Api
from trainhub.web.websocket import TrainSocket

# The most connections in one answer.
MOST_CONNECTIONS = 200
# The most rooms in one answer.
MOST_ROOMS = 20


class Connection(TypedDict):
    """An open socket."""

    clientId: Annotated[str, About("Its name in WELCOME and in the log.", example="3f0c9d2b7a61e8")]
    role: Annotated[Role | None, About("The role of its token; null without one.")]
    user: Annotated[str | None, About("The user of its token; null without one.", example="T17")]
    address: Annotated[str, About("The client's address.", example="10.0.0.7")]
    runs: Annotated[list[RunKeyText], About("The runs whose rooms it is in.")]
    fleet: Annotated[bool, About("Whether it follows the fleet.")]
    since: Annotated[Moment, About("When it was opened.")]
    behind: Annotated[int, About("Bytes that wait for the client.", least=0, example=0)]


class Connected(TypedDict):
    """How many there are."""

    total: Annotated[int, About("The connections that match.", least=0, example=144)]


class RoomNow(TypedDict):
    """A run's room: how many sockets hear of the run, and how slowly."""

    run: RunKeyText
    sockets: Annotated[int, About("The sockets in the room.", least=1, example=190)]
    slow: Annotated[int, About("Those for which bytes wait.", least=0, example=2)]
    behind: Annotated[int, About("The bytes that wait for them.", least=0, example=48200)]


class RoomsOpen(TypedDict):
    """How many there are."""

    total: Annotated[int, About("The rooms with a socket.", least=0, example=36)]


class Closed(TypedDict):
    """What became of a request to close a connection."""

    closed: Annotated[bool, About("False if the hub has no such connection any more.")]


@dataclass(frozen=True, kw_only=True)
class ConnectionsQuery:
    """What the list is narrowed by."""

    q: Annotated[
        str | None,
        About("A part of an id, a role, a user, an address or a run.", longest=100, example="T17"),
    ] = None


class ConnectionsHandler(Api):
    """Those furthest behind come first, then the oldest."""

    query = ConnectionsQuery

    async def get(self) -> None:
        _require_all(self.identity)
        sought = (self.parameter("q") or "").strip().lower()
        if len(sought) > 100:
            raise BadMessage("q has at most 100 characters")
        sockets = list(TrainSocket.sockets)
        found = [each async for each in in_slices(sockets) if sought in _words(each)]
        found.sort(key=lambda each: (-each.unsent, each.opened_at))
        await self.answer_list(found[:MOST_CONNECTIONS], self._view, total=len(found))

    def _view(self, socket: TrainSocket) -> Connection:
        return {
            "clientId": socket.id,
            "role": socket.identity.role,
            "user": socket.identity.user,
            "address": socket.address,
            "runs": [*map(str, self.hub.rooms.rooms_of(socket))],
            "fleet": socket in self.hub.fleet,
            "since": moment_text(datetime.fromtimestamp(socket.opened_at, UTC)),
            "behind": socket.unsent,
        }


class RoomsHandler(Api):
    """The slowest come first: those for whose sockets the most bytes wait, then the largest."""

    async def get(self) -> None:
        _require_all(self.identity)
        rooms = list(TrainSocket.rooms.items())
        found = [_room(run, room) async for run, room in in_slices(rooms)]
        found.sort(key=lambda each: (-each["behind"], -each["sockets"], each["run"]))
        await self.answer_list(found[:MOST_ROOMS], lambda each: each, total=len(found))


def _room(run: RunKey, room: Room) -> RoomNow:
    sockets = cast("list[TrainSocket]", list(room.listeners))  # each in this table is one
    waiting = [each.unsent for each in sockets if each.is_behind]
    return {"run": str(run), "sockets": len(sockets), "slow": len(waiting), "behind": sum(waiting)}


class ConnectionHandler(Api):
    """One of them."""

    async def delete(self, clientId: str) -> None:  # noqa: N803 (named by the path)
        _require_all(self.identity)
        for each in TrainSocket.sockets:
            if each.id == clientId:
                about = f"{each.identity.user or 'no user'} ({clientId})"
                who = self.identity, self.request.remote_ip
                self.hub.audit.done("CLOSE_CONNECTION", *who, about, self.hub.now())
                each.dismiss()
                return self.answer({"closed": True})
        return self.answer({"closed": False})


def _require_all(identity: Identity) -> None:
    if ALL_TRAINS not in identity.trains:
        raise Forbidden('connections are not of one train: use a token for the trains ["*"]')


def _words(socket: TrainSocket) -> str:
    """Return what the list is searched in."""
    identity, runs = socket.identity, socket.web.hub.rooms.rooms_of(socket)
    words = (socket.id, identity.role or "", identity.user or "", socket.address, *runs)
    return "\n".join(words).lower()
