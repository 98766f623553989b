"""The documents of a run in MongoDB, with their collections and `_id`s.

    runs        "12345/2026-11-23"                 the run as it is now
    passengers  "12345/2026-11-23/4512345678/1"    a person as they are now
    offers      "12345.2026-11-23.17"              an offer of a berth, and how it ended
    events      "12345/2026-11-23/17"              one event of the run's log, for good
    audit       "2026-11-23T10:20:00.000Z/…"       one command, its user, and its result

Each document has the log's `epoch` and the run's `seq` that it shows, so that an older write never
replaces a newer one, and the number of its form. docs/reference/mongodb.md lists the fields.
"""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from trainhub.core.codec import dump
from trainhub.core.journal import Deed, Record
from trainhub.core.ledger import Way
from trainhub.core.write_buffer import Change, Document
from trainhub.domain.events import TYPES
from trainhub.domain.model import PersonKey, Role, RunKey, RunStatus
from trainhub.domain.run_state import Stop
from trainhub.domain.train import TrainState
from trainhub.domain.views import offer_view, person_view
from trainhub.hub.protocol import run_fields

RUNS = "runs"
PASSENGERS = "passengers"
OFFERS = "offers"
EVENT_COLLECTION = "events"
AUDIT = "audit"
NOTIFICATIONS = "notifications"

# The number of the documents' form. A change of the form gets the next number, and a migration in
# adapters/schema.py: a database has years of documents in older forms.
DOCUMENT_SCHEMA = 3
# The query for runs that have not ended.
LIVE = {"status": {"$in": [RunStatus.SCHEDULED.value, RunStatus.RUNNING.value]}}
# Collections whose documents never change.
LASTING = frozenset({EVENT_COLLECTION, AUDIT})
# Collections whose ids are never used again: a document that is there already is the same one.
UNIQUE = frozenset({AUDIT})

# Collection → keys of each index, in addition to MongoDB's index on _id.
INDEXES: dict[str, tuple[tuple[str, ...], ...]] = {
    RUNS: (("trainNo", "startDate"), ("status",)),
    PASSENGERS: (("run", "pnr"), ("irctcId",), ("run", "coach", "berth")),
    OFFERS: (("run", "state"), ("irctcId",)),
    EVENT_COLLECTION: (("run", "seq"), ("type", "timestamp")),
    AUDIT: (("run", "_id"), ("user", "_id")),
    NOTIFICATIONS: (("run", "about"), ("user", "at")),
}


def changes(
    state: TrainState | None, record: Record, epoch: str, made_in: str | None = None
) -> Iterator[Change]:
    """Yield the documents that a record changes. Each is rendered when it is written.

    A run's first record changes all its documents, so that a log can be read again from its start
    after records in between were trimmed. `state` is None once the run has left the hub: then only
    the collections of LASTING are written. `made_in` is the epoch in which the record was made, if
    it is not the present one.
    """
    run, made_in = record.stream, made_in or epoch
    yield Change(EVENT_COLLECTION, f"{run}/{record.seq}", partial(_event, record, epoch))
    if record.deed is not None:
        name = f"{stamp(record.event.at)}/{made_in}/{run}/{record.seq}"
        yield Change(AUDIT, name, partial(_done, name, record, record.deed, made_in))
    if state is None:
        return
    yield Change(RUNS, run, partial(_run, state, epoch))
    first = record.seq == 1
    for person in state.passengers if first else record.event.persons:
        yield Change(PASSENGERS, f"{run}/{person}", partial(_passenger, state, person, epoch))
    for offer in state.offers if first else record.event.offers:
        yield Change(OFFERS, offer, partial(_offer, state, offer, epoch))


def _event(record: Record, epoch: str) -> Document:
    return {
        "_id": f"{record.stream}/{record.seq}",
        "epoch": epoch,
        "schema": DOCUMENT_SCHEMA,
        "seq": record.seq,
        "run": record.stream,
        **run_fields(record.stream),
        "type": TYPES[type(record.event)],
        "timestamp": record.event.at,
        "data": dump(record.event),
    }


def _run(state: TrainState, epoch: str) -> Document:
    chart = state.chart
    return {
        "_id": state.run,
        "epoch": epoch,
        "schema": DOCUMENT_SCHEMA,
        "seq": state.seq,
        "trainNo": chart.train_no,
        "trainName": chart.train_name,
        "startDate": chart.start_date.isoformat(),
        "timezone": chart.timezone,
        "policy": chart.policy.value,
        "boarding": chart.boarding.value,
        "status": state.status.value,
        "endedAt": state.ended_at,
        "index": state.current,
        "departed": state.departed,
        "delayMinutes": state.delay_minutes,
        "stations": [_stop(stop) for stop in state.stops],
        "coaches": dump(chart.coaches),
    }


def _stop(stop: Stop) -> dict[str, Any]:
    return {
        "code": stop.station.code,
        "name": stop.station.name,
        "platform": stop.platform,
        "platformConfirmed": stop.platform_confirmed,
        "skipped": stop.skipped,
        "scheduledArrival": stop.scheduled_arrival,
        "scheduledDeparture": stop.scheduled_departure,
        "actualArrival": stop.arrived,
        "actualDeparture": stop.departed,
    }


def _passenger(state: TrainState, person: PersonKey, epoch: str) -> Document:
    passenger = state.passengers.get(person)
    return {
        "_id": f"{state.run}/{person}",
        "epoch": epoch,
        "schema": DOCUMENT_SCHEMA,
        "seq": state.seq,
        "run": state.run,
        # A chart that was replaced had a person who is not on the new one.
        **({"state": "GONE"} if passenger is None else person_view(passenger)),
    }


def _offer(state: TrainState, offer_id: str, epoch: str) -> Document:
    offer = state.offers[offer_id]
    return {
        "_id": offer_id,
        "epoch": epoch,
        "schema": DOCUMENT_SCHEMA,
        "seq": state.seq,
        "run": state.run,
        "irctcId": offer.made.user,
        **offer_view(offer, Role.ADMIN),
        "expiresAt": offer.made.expires_at,
        "closedAt": offer.closed_at,
        "deliveredAt": offer.delivered_at,
    }


def told(way: Way, position: int, epoch: str) -> Change:
    """Return the ledger's entry of a notification, as of a position of the log."""
    return Change(NOTIFICATIONS, way.id, partial(_told, way, position, epoch))


def _told(way: Way, position: int, epoch: str) -> Document:
    return {
        "_id": way.id,
        "epoch": epoch,
        "schema": DOCUMENT_SCHEMA,
        "seq": position,
        "run": way.run,
        "event": way.event,
        "kind": way.kind,
        "channel": way.channel.value,
        "user": way.user,
        "about": way.about,
        "outcome": way.outcome.value,
        "attempts": way.attempts,
        "at": way.at,
        "detail": way.detail,
        "queuedAt": way.queued_at,
        "sentAt": way.sent_at,
        "seenAt": way.seen_at,
    }


def stamp(at: datetime) -> str:
    """Return a time as the start of an entry's id, so that ids are in the order of time."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _done(name: str, record: Record, deed: Deed, epoch: str) -> Document:
    return _entry(name, deed, record.stream, record.event.at, epoch, record.seq, "DONE")


def single(deed: Deed, run: RunKey | None, result: str, at: datetime, epoch: str) -> Change:
    """Return an audit entry without events: of a refused command, or of an act without a run."""
    name = f"{stamp(at)}/{epoch}/{secrets.token_hex(8)}"
    return Change(AUDIT, name, partial(_entry, name, deed, run, at, epoch, None, result))


def _entry(
    name: str,
    deed: Deed,
    run: RunKey | None,
    at: datetime,
    epoch: str,
    seq: int | None,
    result: str,
) -> Document:
    return {
        "_id": name,
        "epoch": epoch,
        "schema": DOCUMENT_SCHEMA,
        "at": at,
        "user": deed.user,
        "role": str(deed.role),
        "address": deed.address,
        "command": deed.command,
        "run": run,
        "about": deed.about,
        "seq": seq,
        "result": result,
    }
