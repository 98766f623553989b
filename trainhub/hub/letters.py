"""Letters: which events a person is told over the channels, at which address, when and how long.

Everything in a letter comes from the booking that its event is about. A letter promises only what
the rules (docs/reference/rules.md) give. The words are those of wording.py.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from trainhub.core.contacts import Preferences
from trainhub.core.journal import Record
from trainhub.core.notifications import Channel, Notification, Plan, Urgency
from trainhub.core.stream import Stream
from trainhub.domain import events as e
from trainhub.domain.bookings import email_of, stranded, travelling
from trainhub.domain.commands import To
from trainhub.domain.model import BookingStatus, Level, OfferState, PersonKey, PersonState
from trainhub.domain.train import TrainState
from trainhub.hub.wording import Words, words_of

Fields = Mapping[str, object]
# A channel, the address or user on it, and the person it is about.
Recipient = tuple[Channel, str, PersonKey]
PASSENGER_PAGE = "passenger.html"
# Steps of a delay, in thresholds: each is told once.
STEPS = (1, 2, 4, 8, 16, 32)
# Runs of which told delays are remembered; the oldest are forgotten.
MOST_RUNS = 10_000


@dataclass(frozen=True, slots=True)
class Escalation:
    """Seconds after an event until a push, and until an e-mail, if no device has acknowledged it.

    `delay_minutes` is the delay from which people are told by push and e-mail.
    """

    push_seconds: float = 5.0
    mail_seconds: float = 30.0
    delay_minutes: int = 15


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of letter: over which channels, how urgent, and for how long it is true.

    `when` and `to` say in words when it is told and to which people.
    """

    name: str
    when: str
    to: str = "that passenger"
    channels: tuple[Channel, ...] = (Channel.PUSH, Channel.EMAIL)
    urgency: Urgency = Urgency.NORMAL
    lasts: timedelta = timedelta(hours=24)
    # Waits for an acknowledgement also if the user has no socket that could send one.
    escalates: bool = False


PUSH_ONLY = (Channel.PUSH,)
OFFER = Kind("OFFER", "a berth is offered to a passenger", urgency=Urgency.HIGH, escalates=True)
CONFIRMED = Kind("CONFIRMED", "a passenger has a berth of their own, or another")
CLOSED = Kind(
    "CLOSED",
    "an offer has expired or was withdrawn",
    channels=PUSH_ONLY,
    urgency=Urgency.LOW,
    lasts=timedelta(hours=2),
)
NO_SHOW = Kind(
    "NO_SHOW",
    "a TTE has marked a passenger as not turned up; the letter says how to object",
    urgency=Urgency.HIGH,
)
NO_SHOW_UNDONE = Kind("NO_SHOW_UNDONE", "the mark was taken back")
BERTH_LOST = Kind(
    "BERTH_LOST",
    "a passenger's berth was given away before they came aboard, or was blocked",
    urgency=Urgency.HIGH,
)
BOOKING_CHANGED = Kind(
    "BOOKING_CHANGED", "an amended chart has the passenger, or another journey or berth for them"
)
TRAIN_CANCELLED = Kind(
    "TRAIN_CANCELLED", "the run is cancelled", "all who lose a journey", urgency=Urgency.HIGH
)
TRAIN_REINSTATED = Kind(
    "TRAIN_REINSTATED",
    "the run was cancelled by mistake",
    "all whose journey goes on",
    urgency=Urgency.HIGH,
)
SKIPPED = Kind(
    "SKIPPED",
    "a station will not be served",
    "all who were to board or alight there",
    urgency=Urgency.HIGH,
)
SKIP_UNDONE = Kind(
    "SKIP_UNDONE",
    "a station will be served after all",
    "all who were to board or alight there",
    urgency=Urgency.HIGH,
)
SHORT_TERMINATED = Kind(
    "SHORT_TERMINATED",
    "the run ends before its terminus",
    "all who lose a journey, or a part of it",
    urgency=Urgency.HIGH,
)
DELAY = Kind(
    "DELAY",
    "a delay reaches 1, 2, 4, 8, 16 or 32 times `--delay-threshold-minutes`",
    "all who travel",
    lasts=timedelta(hours=2),
)
PLATFORM = Kind(
    "PLATFORM",
    "the platform is set where the train is, or at the next station",
    "all who board there",
    PUSH_ONLY,
    Urgency.HIGH,
    timedelta(hours=1),
)
EMERGENCY = Kind(
    "EMERGENCY",
    "an announcement has level EMERGENCY",
    "all who travel, or the user it is for",
    urgency=Urgency.HIGH,
    lasts=timedelta(hours=6),
)
KINDS = (
    *(OFFER, CONFIRMED, CLOSED, NO_SHOW, NO_SHOW_UNDONE, BERTH_LOST, TRAIN_CANCELLED, SKIPPED),
    *(TRAIN_REINSTATED, SKIP_UNDONE, SHORT_TERMINATED, DELAY, PLATFORM, EMERGENCY, BOOKING_CHANGED),
)


@dataclass(slots=True)
class Letters:
    """Makes the letters of one hub.

    `preferences` returns what a user has chosen, `present` whether a user has a socket on a run.
    """

    preferences: Callable[[str], Preferences] = lambda _: Preferences()
    present: Callable[[Stream, str], bool] = lambda run, user: False
    escalation: Escalation = field(default_factory=Escalation)
    # Of each run, the events that told a delay, by seq, with the step that they reached. It is not
    # durable: after a restart the next delay may be told again.
    _steps: dict[Stream, dict[int, int]] = field(default_factory=dict)

    def plan(
        self, state: TrainState, record: Record, channels: Collection[Channel] = tuple(Channel)
    ) -> Plan:
        """Return what a record asks of the queues of these channels.

        The same record gives the same notifications, with the same ids, whenever it is read again.
        """
        event = record.event
        settled = list(_settled(state, event))
        if type(event) not in _LETTERS:
            return Plan(settled=settled)
        kind, letter = _LETTERS[type(event)]
        found = letter(self, state, event, record.seq)
        if found is None:
            return Plan(settled=settled)
        people, fields, topic = found
        wanted = [channel for channel in kind.channels if channel in channels]
        told = _recipients(state, list(people), wanted)
        return Plan(self._notifications(state, record, kind, told, fields, topic), settled)

    def are_due(self, record: Record) -> bool:
        """True if an event may lead to letters, which an acknowledgement can cancel."""
        event = record.event
        if isinstance(event, e.Announcement):
            return event.level is Level.EMERGENCY
        if isinstance(event, e.DelayUpdate | e.StationArrival | e.StationDeparture):
            return event.next is not None and self.reaches_step(
                record.stream, record.seq, event.delay_minutes
            )
        return type(event) in _LETTERS

    def reaches_step(self, run: Stream, seq: int, minutes: int) -> bool:
        """True if the delay of event `seq` reaches a step that none before it has reached."""
        reached = sum(minutes >= self.escalation.delay_minutes * each for each in STEPS)
        steps = self._steps.setdefault(run, {})
        if seq in steps or reached <= max((steps[at] for at in steps if at < seq), default=0):
            return seq in steps
        steps[seq] = reached
        if len(self._steps) > MOST_RUNS:
            del self._steps[next(iter(self._steps))]
        return True

    def _notifications(
        self,
        state: TrainState,
        record: Record,
        kind: Kind,
        told: Iterable[Recipient],
        fields: Callable[[Words], Fields],
        topic: str,
    ) -> Iterator[Notification]:
        event = record.event
        expires = event.expires_at if isinstance(event, e.UpgradeOffer) else event.at + kind.lasts
        link = PASSENGER_PAGE
        if isinstance(event, e.UpgradeOffer):
            link += f"#offer={event.offer_id}"
        common = {"train_no": state.chart.train_no}
        texts: dict[str, tuple[str, str]] = {}  # by language: they are the same for all people
        for channel, to, person in told:
            # A ticket from a counter has no user, and so no preferences and no devices.
            user = state.passengers[person].booking.irctc_id or ""
            chosen = self.preferences(user)
            if not chosen.wants(kind.name, channel):
                continue
            words = words_of(chosen.language)
            if words.language not in texts:
                filled = {**common, "train": _train(state, words), **fields(words)}
                texts[words.language] = (
                    words.subject(kind.name, filled),
                    words.body(kind.name, filled),
                )
            subject, body = texts[words.language]
            due = event.at.astimezone(state.zone)
            if kind.escalates or self.present(record.stream, user):
                due += self._grace(channel)
            about = person if isinstance(event, e.UserEvent) else None
            # Of people without a user, none replaces another's letter.
            own = f"/{_id(channel, to)}" if not user and about is None else ""
            yield Notification(
                id=f"{record.stream}_{record.seq}".replace("/", "_") + f"-{_id(channel, to)}",
                position=record.position,
                channel=channel,
                to=to,
                subject=subject,
                body=body,
                expires=expires,
                queued=event.at,
                due=chosen.due(due, kind.urgency),
                stream=record.stream,
                seq=record.seq,
                kind=kind.name,
                user=user,
                about=about,
                topic=topic + own,
                language=words.language,
                link=link,
                urgency=kind.urgency,
            )

    def _grace(self, channel: Channel) -> timedelta:
        """Return how long a device has to acknowledge an event before the channel is used."""
        push, mail = self.escalation.push_seconds, self.escalation.mail_seconds
        return timedelta(seconds=push if channel is Channel.PUSH else mail)


def _settled(state: TrainState, event: e.Event) -> Iterator[tuple[str, str]]:
    """Yield the topics that an event makes an end of, each with its user."""
    if isinstance(event, e.UpgradeDelivered):
        offer = state.offers.get(event.offer_id)
        if offer is not None:
            yield event.offer_id, offer.made.user or ""
    elif isinstance(event, e.UpgradeConfirmed | e.UpgradeClosed) and event.offer_id is not None:
        yield event.offer_id, event.user or ""
    elif isinstance(event, e.NoShowUndone | e.BerthLost):
        yield f"{state.run}/mark-{event.person}", event.user or ""


def _recipients(
    state: TrainState, people: Iterable[PersonKey], channels: Collection[Channel]
) -> Iterator[Recipient]:
    """Yield where the people are told: each address and each user once, for the first of them."""
    found: set[tuple[Channel, str]] = set()
    for person in people:
        email = email_of(state, person) if Channel.EMAIL in channels else None
        if email is not None and (Channel.EMAIL, email.casefold()) not in found:
            found.add((Channel.EMAIL, email.casefold()))
            yield Channel.EMAIL, email, person
        user = state.passengers[person].booking.irctc_id
        if user is not None and Channel.PUSH in channels and (Channel.PUSH, user) not in found:
            found.add((Channel.PUSH, user))
            yield Channel.PUSH, user, person


def _id(channel: Channel, recipient: str) -> str:
    """Return the recipient in an id, which becomes a file's name: no address and no user."""
    return f"{hashlib.sha256(recipient.encode()).hexdigest()[:16]}-{channel.lower()}"


# --- what each event tells: people, words and topic ----------------------------------------------

_Letter = tuple[Iterable[PersonKey], Callable[[Words], Fields], str]


def _no_show(letters: Letters, state: TrainState, event: e.NoShow, seq: int) -> _Letter:
    minutes = state.chart.undo_minutes
    latest = None if minutes is None else event.at + timedelta(minutes=minutes)

    def fields(words: Words) -> Fields:
        return {
            **_journey(state, words, event),
            "limit": ""
            if latest is None
            else words.part("limit", until=words.moment(latest.replace(second=0), state.zone)),
            "taken": "" if event.coach is None else words.part("taken"),
            "unless": "" if event.coach is None else words.part("unless"),
        }

    return (event.person,), fields, f"{state.run}/mark-{event.person}"


def _about_mark(letters: Letters, state: TrainState, event: e.PersonEvent, seq: int) -> _Letter:
    """Take the place of the letter about the no-show: the mark was taken back."""

    def fields(words: Words) -> Fields:
        return _journey(state, words, event)

    return (event.person,), fields, f"{state.run}/mark-{event.person}"


def _booking_changed(
    letters: Letters, state: TrainState, event: e.BookingChanged, seq: int
) -> _Letter:
    number = "" if event.number is None else f" {event.number}"

    def fields(words: Words) -> Fields:
        return {**_journey(state, words, event), "status": f"{event.status}{number}"}

    return (event.person,), fields, f"{state.run}/booking-{event.person}"


def _berth_lost(letters: Letters, state: TrainState, event: e.BerthLost, seq: int) -> _Letter:
    """Take the place of the letter about the no-show, if there was one."""

    def fields(words: Words) -> Fields:
        part = "given" if event.blocked is None else "blocked"
        return {**_journey(state, words, event), "why": words.part(part)}

    return (event.person,), fields, f"{state.run}/mark-{event.person}"


def _train_cancelled(
    letters: Letters, state: TrainState, event: e.TrainCancelled, seq: int
) -> _Letter:
    def fields(words: Words) -> Fields:
        return {"reason": _why(words, event.reason)}

    people = [passenger.person for passenger in stranded(state)]
    return people, fields, f"{state.run}/cancelled"


def _reinstated(letters: Letters, state: TrainState, event: e.TrainReinstated, seq: int) -> _Letter:
    """The same people, in place of the letter about the cancellation."""
    people = [passenger.person for passenger in stranded(state)]
    return people, lambda _: {}, f"{state.run}/cancelled"


def _short_terminated(
    letters: Letters, state: TrainState, event: e.ShortTerminated, seq: int
) -> _Letter:
    def fields(words: Words) -> Fields:
        return {"station": event.station.name, "reason": _why(words, event.reason)}

    people = [passenger.person for passenger in stranded(state, event.station.index)]
    return people, fields, f"{state.run}/ends"


def _why(words: Words, reason: str | None) -> str:
    """Return a reason as the end of a sentence; empty without one."""
    why = reason and reason.rstrip(".")
    return words.part("reason", reason=why) if why else ""


def _offer(letters: Letters, state: TrainState, event: e.UpgradeOffer, seq: int) -> _Letter:
    def fields(words: Words) -> Fields:
        return {
            "coach": event.coach,
            "berth": event.berth,
            "berth_type": words.berth(event.berth_type),
            "name": state.passengers[event.person].booking.name,
            "to": state.station(event.to).station.name,
            "until": words.moment(event.expires_at, state.zone),
            "instead": _instead(state, event, words),
        }

    return (event.person,), fields, event.offer_id


def _instead(state: TrainState, event: e.UpgradeOffer, words: Words) -> str:
    """Return which berth the passenger would leave; empty without one."""
    offer = state.offers.get(event.offer_id)
    if offer is None or offer.made.old_coach is None:
        return ""
    coach, berth = offer.made.old_coach, offer.made.old_berth
    if (coach, berth) == (event.coach, event.berth):
        return ""
    return words.part("instead", coach=coach, berth=berth)


def _upgraded(letters: Letters, state: TrainState, event: e.UpgradeConfirmed, seq: int) -> _Letter:
    topic = event.offer_id or f"{state.run}/berth-{event.person}"
    return (event.person,), partial(_new_berth, state, event), topic


def _allotted(
    letters: Letters, state: TrainState, event: e.BerthAllotted, seq: int
) -> _Letter | None:
    """Two who share a berth on RAC are not confirmed by an exchange, and get no letter."""
    if event.status is not BookingStatus.CNF:
        return None
    return (event.person,), partial(_new_berth, state, event), f"{state.run}/berth-{event.person}"


def _new_berth(
    state: TrainState, event: e.UpgradeConfirmed | e.BerthAllotted, words: Words
) -> Fields:
    return {
        "name": event.name,
        "coach": event.coach,
        "berth": event.berth,
        "from": state.station(event.from_).station.name,
        "to": state.station(event.to).station.name,
    }


def _closed(
    letters: Letters, state: TrainState, event: e.UpgradeClosed, seq: int
) -> _Letter | None:
    """An offer that the passenger denied needs no letter: they know."""
    if event.outcome not in (OfferState.EXPIRED, OfferState.WITHDRAWN):
        return None
    name = state.passengers[event.person].booking.name
    return (event.person,), lambda _: {"name": name}, event.offer_id


def _skipped(
    letters: Letters, state: TrainState, event: e.StationSkipped | e.SkipUndone, seq: int
) -> _Letter:
    index, coming = event.station.index, event.next
    before = coming is not None and all(each.skipped for each in state.stops[: index + 1])

    def fields(words: Words) -> Fields:
        start = words.part("start", station=coming.name) if before and coming else ""
        return {"station": event.station.name, "start": start}

    people = [
        passenger.person
        for passenger in travelling(state)
        if state.alights(passenger) == index
        or (passenger.state is PersonState.DUE and state.boards(passenger) == index)
    ]
    return people, fields, f"{state.run}/stop-{index}"


def _delayed(letters: Letters, state: TrainState, event: Any, seq: int) -> _Letter | None:
    if event.next is None or not letters.reaches_step(state.run, seq, event.delay_minutes):
        return None

    def fields(words: Words) -> Fields:
        return {
            "count": event.delay_minutes,
            "station": event.next.name,
            "expected": words.clock(event.next.expected),
        }

    people = [passenger.person for passenger in travelling(state)]
    return people, fields, f"{state.run}/delay"


def _platform(
    letters: Letters, state: TrainState, event: e.PlatformChange, seq: int
) -> _Letter | None:
    """Those who board at the station where the train is, or at the next one."""
    coming = state.next_stop
    near = {state.current, state.current if coming is None else coming.index}
    if event.station.index not in near:
        return None
    people = [
        passenger.person
        for passenger in travelling(state)
        if passenger.state is PersonState.DUE and state.boards(passenger) == event.station.index
    ]

    def fields(words: Words) -> Fields:
        return {"platform": event.platform, "station": event.station.name}

    return people, fields, f"{state.run}/platform-{event.station.index}"


def _announced(
    letters: Letters, state: TrainState, event: e.Announcement, seq: int
) -> _Letter | None:
    if event.level is not Level.EMERGENCY:
        return None
    people = [
        passenger.person
        for passenger in travelling(state)
        if event.user is None or passenger.booking.irctc_id == event.user
    ]
    if event.user is None and event.audience_ is not To.EVERYONE:
        people = []  # for the staff alone
    return people, lambda _: {"text": event.text}, f"{state.run}/announcement-{seq}"


def _train(state: TrainState, words: Words) -> str:
    day = words.day(state.chart.start_date)
    return words.part("train", name=state.chart.train_name, day=day)


def _journey(state: TrainState, words: Words, event: e.PersonEvent) -> dict[str, object]:
    seat = words.part("berth", coach=event.coach, berth=event.berth) if event.coach else ""
    start, end = (state.station(code).station.name for code in (event.from_, event.to))
    return {"name": event.name, "seat": seat, "from": start, "to": end}


_LETTERS: dict[
    type[e.Event], tuple[Kind, Callable[[Letters, TrainState, Any, int], _Letter | None]]
] = {
    e.UpgradeOffer: (OFFER, _offer),
    e.UpgradeConfirmed: (CONFIRMED, _upgraded),
    e.BerthAllotted: (CONFIRMED, _allotted),
    e.UpgradeClosed: (CLOSED, _closed),
    e.NoShow: (NO_SHOW, _no_show),
    e.NoShowUndone: (NO_SHOW_UNDONE, _about_mark),
    e.BerthLost: (BERTH_LOST, _berth_lost),
    e.BookingChanged: (BOOKING_CHANGED, _booking_changed),
    e.TrainCancelled: (TRAIN_CANCELLED, _train_cancelled),
    e.TrainReinstated: (TRAIN_REINSTATED, _reinstated),
    e.StationSkipped: (SKIPPED, _skipped),
    e.SkipUndone: (SKIP_UNDONE, _skipped),
    e.ShortTerminated: (SHORT_TERMINATED, _short_terminated),
    e.DelayUpdate: (DELAY, _delayed),
    e.StationArrival: (DELAY, _delayed),
    e.StationDeparture: (DELAY, _delayed),
    e.PlatformChange: (PLATFORM, _platform),
    e.Announcement: (EMERGENCY, _announced),
}
# The events that each kind of letter tells.
EVENTS_OF = {
    kind.name: tuple(event for event, (told, _) in _LETTERS.items() if told is kind)
    for kind in KINDS
}
