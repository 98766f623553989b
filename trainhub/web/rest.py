"""The hub over HTTP: each command has an address, and what may be read has one too."""

from typing import Any

import tornado.web

from trainhub.domain import commands as c
from trainhub.domain.errors import BadMessage, UnknownPassenger
from trainhub.domain.model import Role
from trainhub.domain.views import person_view, run_view, summary, visible_people
from trainhub.identity import require_role
from trainhub.protocol import read_command
from trainhub.web.base import Api, Large, Web

_READERS = frozenset({Role.TTE, Role.ADMIN, Role.PASSENGER})
_TRAIN = r"/api/trains/(?P<trainNo>[^/]+)"
_PERSON = _TRAIN + r"/passengers/(?P<pnr>[^/]+)/(?P<index>[^/]+)"
# Address of each command that is given with POST.
COMMANDS: dict[str, type[c.Command]] = {
    _TRAIN + "/start": c.StartJourney,
    _TRAIN + "/arrivals": c.Arrive,
    _TRAIN + "/departures": c.Depart,
    _TRAIN + "/announcements": c.Announce,
    _PERSON + "/board": c.MarkBoarded,
    _PERSON + "/no-show": c.MarkNoShow,
    _PERSON + "/undo-no-show": c.UndoNoShow,
}


class CommandHandler(Api):
    """One command: its fields come from the path, `?date=` and the body."""

    def initialize(self, web: Web, command: type[c.Command]) -> None:  # type: ignore[override]
        super().initialize(web)
        self._command = command

    async def post(self, **path: str) -> None:
        fields: dict[str, Any] = {**self.read_body(), **path}
        if "index" in path:
            fields["index"] = _number(path["index"])
        day = self.get_query_argument("date", None)
        if day is not None:
            fields["startDate"] = day
        command = read_command(self._command, fields)
        self.answer(await self.hub.execute(command, self.identity))


class TrainsHandler(Large, CommandHandler):
    """The runs: a list to read, and the place where a chart is registered."""

    async def get(self) -> None:
        self.answer(await self.hub.read(lambda: [summary(state) for state in self.hub.runs()]))


class TrainHandler(Api):
    async def get(self, trainNo: str) -> None:  # noqa: N803 (named by the path)
        state = self.find(trainNo)
        standing = self.identity.standing(state.run)
        self.answer(await self.hub.read(lambda: run_view(state, standing.role, standing.user)))


class PassengersHandler(Api):
    """The people of a run whom the reader may see, narrowed by ?status=, ?coach= and ?q=."""

    async def get(self, trainNo: str) -> None:  # noqa: N803 (named by the path)
        require_role(self.identity, _READERS)
        state = self.find(trainNo)
        standing = self.identity.standing(state.run)
        wanted = {
            name: value
            for name in ("status", "state", "coach")
            if (value := self.get_query_argument(name, None)) is not None
        }
        text = self.get_query_argument("q", "").casefold()

        def view() -> list[dict[str, Any]]:
            people = visible_people(state, standing.role, standing.user) or ()
            views = map(person_view, people)
            return [
                each
                for each in views
                if all(each[name] == value for name, value in wanted.items())
                and (text in each["name"].casefold() or text in each["pnr"])
            ]

        self.answer(await self.hub.read(view))


class PnrHandler(Api):
    async def get(self, trainNo: str, pnr: str) -> None:  # noqa: N803 (named by the path)
        require_role(self.identity, _READERS)
        state = self.find(trainNo)
        standing = self.identity.standing(state.run)

        def view() -> list[dict[str, Any]]:
            people = state.on_pnr(pnr)
            if standing.role not in (Role.TTE, Role.ADMIN):
                people = [each for each in people if each.booking.irctc_id == standing.user]
            if not people:
                raise UnknownPassenger(f"{state.run} has nobody on that PNR")
            return [person_view(each) for each in people]

        self.answer(await self.hub.read(view))


class EventsHandler(Api):
    """The run's last events after `?after=`, those that the reader may be told."""

    async def get(self, trainNo: str) -> None:  # noqa: N803 (named by the path)
        state = self.find(trainNo)
        after = _number(self.get_query_argument("after", "0"))
        standing = self.identity.standing(state.run)
        events = await self.hub.read(lambda: self.hub.missed(state, after, standing))
        if events is None:
            raise tornado.web.HTTPError(
                410, reason="events that old are not held: read the train as it is now"
            )
        self.answer(events)


class MeHandler(Api):
    def get(self) -> None:
        require_role(self.identity, frozenset(Role))
        trains = sorted(self.identity.trains)
        self.answer({"user": self.identity.user, "role": self.identity.role, "trains": trains})


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise BadMessage(f"{text[:20]!a} is not a whole number")
    return int(text)


def routes(web: Web) -> list[tuple[str, type[Api], dict[str, Any]]]:
    return [
        (r"/api/trains", TrainsHandler, {"web": web, "command": c.RegisterTrain}),
        (_TRAIN, TrainHandler, {"web": web}),
        (_TRAIN + "/passengers", PassengersHandler, {"web": web}),
        (_TRAIN + r"/passengers/(?P<pnr>[^/]+)", PnrHandler, {"web": web}),
        (_TRAIN + "/events", EventsHandler, {"web": web}),
        (r"/api/me", MeHandler, {"web": web}),
        *(
            (address, CommandHandler, {"web": web, "command": command})
            for address, command in COMMANDS.items()
        ),
    ]
