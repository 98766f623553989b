"""What people set for themselves: preferences and devices; and what staff read of their letters."""

import re
from dataclasses import dataclass
from datetime import datetime, time
from typing import Annotated, Any, TypedDict

from trainhub.core.about import About
from trainhub.core.codec import dump, load
from trainhub.core.contacts import Contacts, Device, Preferences
from trainhub.core.errors import BadMessage, Unavailable
from trainhub.core.notifications import Channel, Outcome
from trainhub.core.write_buffer import Document, StoreAway
from trainhub.domain import normal
from trainhub.domain.fields import TIME, Pnr, Seq, UserId
from trainhub.domain.model import person_key
from trainhub.hub.letters import KINDS
from trainhub.hub.protocol import moment_text
from trainhub.hub.wording import DEFAULT_LANGUAGE, LANGUAGES
from trainhub.web.base import Api

_KINDS = tuple(kind.name for kind in KINDS)
_TIME = re.compile(TIME)
# A key of 65 bytes and a secret of 16, in base64url.
_P256DH = re.compile(r"[A-Za-z0-9_-]{86,88}={0,2}")
_AUTH = re.compile(r"[A-Za-z0-9_-]{22,24}={0,2}")
# The newest letters in one answer.
MOST_LETTERS = 500

QuietTime = Annotated[
    str | None,
    About("HH:MM by the train's clock; null for no quiet hours.", pattern=TIME, example="22:00"),
]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """How you want to be told. Fields that are left out are as if nothing was chosen."""

    language: Annotated[str, About("The language of letters.", choices=LANGUAGES)] = (
        DEFAULT_LANGUAGE
    )
    channels: Annotated[tuple[Channel, ...], About("The channels that may be used.")] = tuple(
        Channel
    )
    muted: Annotated[
        tuple[str, ...], About("Kinds of letters that you do not want.", example=["DELAY"])
    ] = ()
    quiet_from: QuietTime = None
    quiet_to: QuietTime = None


@dataclass(frozen=True, kw_only=True)
class PushKeys:
    """A browser's keys, as its PushSubscription has them."""

    p256dh: Annotated[str, About("The public key, in base64url.")]
    auth: Annotated[str, About("The secret, in base64url.")]


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A browser that takes pushes: the JSON of its PushSubscription."""

    endpoint: Annotated[
        str, About("Where pushes go.", longest=2_000, example="https://fcm.googleapis.com/x")
    ]
    keys: PushKeys
    expiration_time: Annotated[int | None, About("Not used.")] = None


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A browser, by its endpoint."""

    endpoint: Annotated[
        str, About("Where its pushes go.", longest=2_000, example="https://fcm.googleapis.com/x")
    ]


class PushKey(TypedDict):
    """The hub's public key for pushes."""

    key: Annotated[
        str | None,
        About("The applicationServerKey of a PushManager; null if this hub sends no pushes."),
    ]


class Letter(TypedDict):
    """A letter, and what became of it."""

    event: Seq
    kind: Annotated[str, About("What the letter is about.", example="OFFER")]
    channel: Channel
    user: UserId
    about: Annotated[str | None, About("PNR/index of the person.", example="4512345602/1")]
    outcome: Outcome
    attempts: Annotated[int, About("How often it was tried.", least=0, example=1)]
    at: Annotated[datetime, About("When that was.", example="2026-11-27T10:04:31+00:00")]
    detail: Annotated[str, About("More of it, in words.", example="1 device")]
    queuedAt: Annotated[datetime | None, About("When its event was. Null in old entries.")]
    sentAt: Annotated[datetime | None, About("When a server took it. Null before that.")]
    seenAt: Annotated[
        datetime | None,
        About("When a device of the user acknowledged the event. Null before that."),
    ]


class PushKeyHandler(Api):
    """The hub's public key, which a browser needs to subscribe."""

    def get(self) -> None:
        self.answer({"key": self.web.push_key})


class OwnHandler(Api):
    """What belongs to the token's user."""

    @property
    def contacts(self) -> Contacts:
        if self.web.contacts is None:
            raise Unavailable("this hub keeps no preferences and devices")
        return self.web.contacts

    @property
    def user(self) -> str:
        assert self.identity.user is not None  # `roles` lets no one else in
        return self.identity.user


class PreferencesHandler(OwnHandler):
    """How the token's user wants to be told."""

    def get(self) -> None:
        self.answer(dump(_chosen(self.contacts.preferences(self.user))))

    async def put(self) -> None:
        chosen = load(Chosen, self.read_body())
        await self.contacts.set_preferences(self.user, _preferences(chosen))
        self.answer(dump(chosen))


class DevicesHandler(OwnHandler):
    """The browsers that take the pushes of the token's user."""

    def get(self) -> None:
        self.answer([{"endpoint": each.endpoint} for each in self.contacts.devices(self.user)])

    async def post(self) -> None:
        given = load(Subscription, self.read_body())
        why = self.web.push_hosts.why_refused(given.endpoint)
        if why is not None:
            raise BadMessage(f"endpoint: {why}")
        if not _P256DH.fullmatch(given.keys.p256dh) or not _AUTH.fullmatch(given.keys.auth):
            raise BadMessage("keys are those of a browser's PushSubscription, in base64url")
        device = Device(self.user, given.endpoint, given.keys.p256dh, given.keys.auth)
        await self.contacts.add_device(device)
        self.answer({"endpoint": given.endpoint})

    async def delete(self) -> None:
        given = load(Endpoint, self.read_body())
        await self.contacts.remove_device(self.user, given.endpoint)
        self.answer({"endpoint": given.endpoint})


@dataclass(frozen=True, kw_only=True)
class LettersQuery:
    """What a list of letters is narrowed by."""

    pnr: Annotated[Pnr | None, About("Only letters about a person: give `index` too.")] = None
    index: Annotated[int | None, About("The person on the PNR, from 1.", least=1)] = None


class LettersHandler(Api):
    """The letters of a run, and what became of each: for its staff."""

    query = LettersQuery

    async def get(self, trainNo: str) -> None:  # noqa: N803 (named by the path)
        state = self.staffs_run(trainNo)
        pnr, index = self.parameter("pnr"), self.parameter("index")
        if (pnr is None) != (index is None):
            raise BadMessage("pnr and index go together: give both, or neither")
        about = user = None
        if pnr is not None and index is not None:
            if not index.isascii() or not index.isdecimal() or len(index) > 2:
                raise BadMessage("index is a whole number from 1")
            about = person_key(str(normal.pnr(pnr)), int(index))
            person = state.passengers.get(about)
            user = None if person is None else person.booking.irctc_id
        try:
            found = await self.hub.archive.letters(state.run, about, user, MOST_LETTERS)
        except StoreAway:
            raise Unavailable(
                "the letters are read from MongoDB, which does not answer now: try again later"
            ) from None
        self.answer([_letter(each) for each in found])


class Retried(TypedDict):
    """What became of a request to try again."""

    retried: Annotated[int, About("The dead letters that are tried again.", least=0, example=3)]


class RetryHandler(Api):
    """The dead letters: those that are still true are tried again."""

    async def post(self) -> None:
        if self.web.retry_letters is None:
            raise Unavailable("this hub keeps no dead letters")
        try:
            self.answer({"retried": await self.web.retry_letters()})
        except OSError:
            raise Unavailable("the dead letters cannot be written: see the log") from None


def _letter(document: Document) -> Letter:
    return {
        "event": document["event"],
        "kind": document["kind"],
        "channel": document["channel"],
        "user": document["user"],
        "about": document["about"],
        "outcome": document["outcome"],
        "attempts": document["attempts"],
        "at": moment_text(document["at"]),
        "detail": document["detail"],
        "queuedAt": _moment(document, "queuedAt"),
        "sentAt": _moment(document, "sentAt"),
        "seenAt": _moment(document, "seenAt"),
    }


def _moment(document: Document, name: str) -> Any:
    """Return a time in JSON; None if the entry has none. Old entries have no such field."""
    found = document.get(name)
    return None if found is None else moment_text(found)


def _chosen(preferences: Preferences) -> Chosen:
    begin, end = preferences.quiet_from, preferences.quiet_to
    return Chosen(
        language=preferences.language,
        channels=tuple(each for each in Channel if each in preferences.channels),
        muted=tuple(sorted(preferences.muted)),
        quiet_from=None if begin is None else f"{begin:%H:%M}",
        quiet_to=None if end is None else f"{end:%H:%M}",
    )


def _preferences(chosen: Chosen) -> Preferences:
    if chosen.language not in LANGUAGES:
        raise BadMessage(f"language is one of {', '.join(LANGUAGES)}")
    if odd := set(chosen.muted).difference(_KINDS):
        raise BadMessage(f"muted: unknown kind {min(odd)[:20]!a}; expected {', '.join(_KINDS)}")
    if (chosen.quiet_from is None) != (chosen.quiet_to is None):
        raise BadMessage("quietFrom and quietTo go together: give both, or neither")
    return Preferences(
        language=chosen.language,
        channels=frozenset(chosen.channels),
        muted=frozenset(chosen.muted),
        quiet_from=_clock("quietFrom", chosen.quiet_from),
        quiet_to=_clock("quietTo", chosen.quiet_to),
    )


def _clock(name: str, text: str | None) -> time | None:
    if text is not None and not _TIME.fullmatch(text):
        raise BadMessage(f"{name} is a time like 22:00")
    return None if text is None else time.fromisoformat(text)
