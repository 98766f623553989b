"""Letters: which events a passenger is told by e-mail and push, at which address, in which words.

Everything in a letter comes from the booking that its event is about. A letter promises only what
the rules (docs/reference/rules.md) give.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from trainhub.core.journal import Record
from trainhub.core.notifications import Channel, Notification
from trainhub.domain import events as e
from trainhub.domain.bookings import email_of, stranded
from trainhub.domain.marks import UNDO_WINDOW
from trainhub.domain.model import PersonKey
from trainhub.domain.train import TrainState

_PLAIN_ID = re.compile("[A-Za-z0-9_-]{1,64}")


def jobs(state: TrainState, record: Record) -> Iterator[Notification]:
    """Yield the jobs of a record: one for each address and one for each user that it concerns.

    The same record makes the same jobs, whenever it is read again.
    """
    event = record.event
    words = _WORDS.get(type(event))
    if words is None:
        return
    subject, body = words(state, event)
    name = f"{record.stream}/{record.seq}".replace("/", "_")
    expires = event.expires_at if isinstance(event, e.UpgradeOffer) else None
    for channel, to in _recipients(state, _about(state, event)):
        job = f"{name}-{_id(to)}-{channel.lower()}"
        yield Notification(job, record.position, channel, to, subject, body, expires)


def _about(state: TrainState, event: e.Event) -> Iterable[PersonKey]:
    """Return the people whose journey an event is about."""
    if isinstance(event, e.UserEvent):
        return (event.person,)
    return (passenger.person for passenger in stranded(state))


def _recipients(state: TrainState, people: Iterable[PersonKey]) -> Iterable[tuple[Channel, str]]:
    """Return where the people are written to: each address and each user once."""
    found: dict[tuple[Channel, str], str] = {}
    for person in people:
        email = email_of(state, person)
        if email is not None:
            found.setdefault((Channel.EMAIL, email.casefold()), email)
        user = state.passengers[person].booking.irctc_id
        found.setdefault((Channel.PUSH, user), user)
    return ((channel, to) for (channel, _), to in found.items())


def _id(recipient: str) -> str:
    """Return the recipient as part of a job's id, which becomes a file's name and a header."""
    if _PLAIN_ID.fullmatch(recipient):
        return recipient
    return hashlib.sha256(recipient.encode()).hexdigest()[:16]


# --- the words ----------------------------------------------------------------------------------


def _no_show(state: TrainState, event: e.NoShow) -> tuple[str, str]:
    latest = _moment((event.at + UNDO_WINDOW).replace(second=0), state.zone)
    free, unless = "", ""
    if event.coach is not None:
        free = "The berth may be given to another passenger at any time from now on. "
        unless = ", unless the berth has been given to another passenger before"
    return (
        f"Train {state.chart.train_no}: you are marked as not turned up",
        f"The ticket examiner of {_train(state)} did not find {_person(event)}. {free}"
        f"If {event.name} is on the train, speak to the examiner at once. "
        f"The examiner can take the mark back no later than {latest}{unless}.",
    )


def _no_show_undone(state: TrainState, event: e.NoShowUndone) -> tuple[str, str]:
    return (
        f"Train {state.chart.train_no}: you are expected on board again",
        f"The mark 'not turned up' for {_person(event)} on {_train(state)} was taken back.",
    )


def _train_cancelled(state: TrainState, event: e.TrainCancelled) -> tuple[str, str]:
    why = f": {event.reason.rstrip('.')}" if event.reason else ""
    return (
        f"Train {state.chart.train_no} is cancelled",
        f"{_train(state)} is cancelled{why}.",
    )


def _offer(state: TrainState, event: e.UpgradeOffer) -> tuple[str, str]:
    name = state.passengers[event.person].booking.name
    return (
        f"Train {state.chart.train_no}: a berth of your own is free",
        f"Berth {event.coach}-{event.berth} ({_words(event.berth_type)}) of {_train(state)} is "
        f"held for {name}, to {event.to}. Answer in the app, or tell the ticket examiner, before "
        f"{_moment(event.expires_at, state.zone)}: then the offer ends. It may be withdrawn "
        "earlier.",
    )


def _upgraded(state: TrainState, event: e.UpgradeConfirmed) -> tuple[str, str]:
    return (
        f"Train {state.chart.train_no}: you have berth {event.coach}-{event.berth}",
        f"{event.name} now travels confirmed in berth {event.coach}-{event.berth} of "
        f"{_train(state)}, from {event.from_} to {event.to}.",
    )


def _train(state: TrainState) -> str:
    return f"{state.chart.train_name} of {_day(state.chart.start_date)}"


def _person(event: e.PersonEvent) -> str:
    berth = f" (berth {event.coach}-{event.berth})" if event.coach else ""
    return f"{event.name}{berth}, {event.from_} to {event.to}"


def _words(berth_type: str) -> str:
    return berth_type.lower().replace("_", " ")


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _moment(moment: datetime, zone: ZoneInfo) -> str:
    """Return a time by the train's clock, with its offset: some nights have an hour twice."""
    local = moment.astimezone(zone).replace(microsecond=0)
    clock = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    offset = local.isoformat()[-len("+00:00") :]
    return f"{clock} on {_day(local)} (UTC{offset})"


_WORDS: dict[type[e.Event], Callable[[TrainState, Any], tuple[str, str]]] = {
    e.NoShow: _no_show,
    e.NoShowUndone: _no_show_undone,
    e.TrainCancelled: _train_cancelled,
    e.UpgradeOffer: _offer,
    e.UpgradeConfirmed: _upgraded,
}
