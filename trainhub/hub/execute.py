"""Carrying out commands: permission, events, answer.

A command is decided on the run's state. Its events change the state at once and go to the log. The
client gets the answer when the events are on disk, so a crash undoes nothing that a client saw.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from trainhub.access.identity import Identity
from trainhub.core import cost
from trainhub.core.answers import MOST, MOST_OF_PASSENGER, Answers
from trainhub.core.audience import Standing
from trainhub.core.codec import dump
from trainhub.core.errors import Conflict, HubError, Unavailable
from trainhub.core.journal import Deed
from trainhub.core.log import Log
from trainhub.core.wire import error_fields
from trainhub.domain import commands as c
from trainhub.domain.errors import UnknownOffer, UnknownTrain
from trainhub.domain.events import TYPES, Event, UpgradeClosed, UpgradeConfirmed, UpgradePending
from trainhub.domain.model import Role, RunKey, person_key
from trainhub.domain.offers import turn_goes_on
from trainhub.domain.train import TrainState
from trainhub.domain.unplanned import closes_at
from trainhub.hub.audit import Audit, deed_of
from trainhub.hub.deliveries import Deliveries
from trainhub.hub.permissions import MAY, require_relation, require_role
from trainhub.hub.protocol import run_fields
from trainhub.hub.runs import Runs
from trainhub.process.activity import Act, Activity

# Marks of a batch that are decided in one turn of the event loop. A no-show on a full train takes
# about a millisecond.
MARKS_AT_ONCE = 16


class Executor:
    """Carries out commands on the runs of one log."""

    def __init__(
        self,
        runs: Runs,
        log: Log,
        answers: Answers,
        audit: Audit,
        deliveries: Deliveries,
        clock: Callable[[], datetime],
        activity: Activity,
    ) -> None:
        self._runs = runs
        self._log = log
        self._answers = answers
        self._audit = audit
        self._deliveries = deliveries
        self._clock = clock
        self._activity = activity

    async def execute(
        self,
        command: c.Command,
        identity: Identity,
        key: str | None = None,
        address: str | None = None,
        *,
        match: bool = True,
    ) -> dict[str, Any]:
        """Carry out a command. Returns its result once its events are durable and delivered.

        Without `match`, the caller matches the berths that become free.

        `address` is the client's, for the audit trail. If the user has given a command under the
        same `key` before, the command is not carried out again and gets the first result.
        Raises a HubError if the command is refused and changes nothing. The error comes once all
        that it mentions is durable.
        """
        self._log.check()
        deed = deed_of(command, identity, address)
        try:
            if isinstance(command, c.Batch):
                state = self._run_of(command, identity)
                return await self._batch(state, command, identity, key, address)
            signed = None if key is None or identity.user is None else (identity.user, key)
            kept = signed and self._answers.find(*signed, command)
            if kept:
                self._check_again(kept, command, identity)
                result, durable = kept, self._log.append()
            else:
                state = self._run_of(command, identity)
                result, durable = self._carry_out(state, command, signed, deed, match=match)
        except HubError as error:
            self._audit.refused(deed, self._named(command, identity), error, self._clock())
            await self._log.append()
            raise
        await durable
        return result

    def _check_again(self, kept: Mapping[str, Any], command: c.Command, identity: Identity) -> None:
        """Raise Forbidden unless the caller may still give the command.

        The stored answer may name a person, and the caller may have another role or other trains
        now.
        """
        require_role(identity, MAY[type(command)])
        run = RunKey(f"{kept['trainNo']}/{kept['startDate']}")
        state = self._runs.present(run)
        owner = identity.user if state is None else _owner(command, state, identity)
        require_relation(identity, type(command), run, owner)

    def _carry_out(
        self,
        state: TrainState,
        command: c.Command,
        signed: tuple[str, str] | None = None,
        deed: Deed | None = None,
        *,
        match: bool = True,
    ) -> "tuple[dict[str, Any], asyncio.Future[None]]":
        """Decide a command, apply its events and append them to the log.

        Returns the result, and a future that is done when the events are durable. `signed` is the
        user and the key under which the result is stored, `deed` the entry for the audit trail.
        """
        self._log.check_room()
        now = self._clock()
        first = state.seq + 1
        role, user = (None, None) if deed is None else (Role(deed.role), deed.user)
        events = state.carry_out(command, now, role, user, match=match)
        self._runs.adopt(state)
        self._note(state, events, deed)
        result = _result(command, state, events)
        if signed is None:
            return result, self._log.append(state.run, first, events, deed=deed)
        most = MOST_OF_PASSENGER if deed and deed.role == Role.PASSENGER else MOST
        answer, gone = self._answers.store(*signed, command, result, now.timestamp(), most)
        return result, self._log.append(state.run, first, events, answer, gone=gone, deed=deed)

    def _note(self, state: TrainState, events: list[Event], deed: Deed | None) -> None:
        """Count a command and the offers that it made or closed, for the operator's log."""
        note, run, seq = self._activity.note, state.run, state.seq
        if deed is not None:
            note(
                Act.COMMANDS,
                deed.command,
                "%s on %s by %s: seq %d",
                deed.command,
                run,
                deed.role,
                seq,
            )
        for event in events:
            if isinstance(event, UpgradePending):
                note(Act.OFFERS, "made", "offer %s made", event.offer_id)
            elif isinstance(event, UpgradeConfirmed):
                note(Act.OFFERS, "upgraded", "%s: an upgrade by offer %s", run, event.offer_id)
            elif isinstance(event, UpgradeClosed):
                note(Act.OFFERS, event.outcome, "offer %s %s", event.offer_id, event.outcome)

    async def _batch(
        self,
        state: TrainState,
        batch: c.Batch,
        identity: Identity,
        key: str | None,
        address: str | None,
    ) -> dict[str, Any]:
        """Carry out each mark as a command of its own, with its own key if the batch has one.

        The berths that become free are matched once, after the last mark.
        """
        commands = [_command_of(batch, mark) for mark in batch.marks]
        keys = (None if key is None else f"{key}#{index}" for index in range(len(commands)))
        answers: list[asyncio.Task[dict[str, Any]]] = []
        pairs = zip(commands, keys, strict=True)
        async for some in cost.in_slices(iter(lambda: [*islice(pairs, MARKS_AT_ONCE)], [])):
            for command, own in some:
                work = cost.paid(self.execute(command, identity, own, address, match=False))
                answers.append(asyncio.create_task(work))
            await asyncio.sleep(0)  # the tasks decide their commands within this slice
        first, events = state.seq + 1, state.match_berths(self._clock())
        matched = self._log.append(state.run, first, events)
        results = await asyncio.gather(*answers, return_exceptions=True)
        await matched
        return {"marks": [_marked(*pair) for pair in zip(batch.marks, results, strict=True)]}

    async def acknowledge(
        self, state: TrainState, seq: int, standing: Standing, device: object
    ) -> None:
        """Record in the log that the UPGRADE_OFFER numbered `seq` has arrived on a device.

        Does nothing if the device has acknowledged the offer before, if the offer is not the
        user's, or while the log is full.
        """
        if self._log.full:
            return
        offer = self._deliveries.arrived(state, seq, standing, device)
        if offer is not None:
            train_no = state.chart.train_no
            command = c.AcknowledgeOffer(train_no=train_no, offer_id=offer)
            _, durable = self._carry_out(state, command)
            await durable

    async def expire_offers(self) -> None:
        """Close the offers whose time is over, on every run, and let the turn go on.

        Does nothing while the log is full.
        """
        if self._log.full:
            return
        now = self._clock()
        for state in [s for s in self._runs.all() if s.open_by_berth or s.held or s.due]:
            ended = any(each.made.expires_at <= now for each in state.open_by_berth.values())
            if ended or turn_goes_on(state, now) or state.due:
                self._carry_out(state, c.ExpireOffers(train_no=state.chart.train_no))
        await self._log.append()

    async def close_runs(self, hours: float) -> None:
        """Close the runs whose end was not reported, these hours after all that is known of them.

        Does nothing while the log is full.
        """
        if self._log.full:
            return
        now = self._clock()
        for state in [s for s in self._runs.all() if s.ended_at is None]:
            if closes_at(state, hours) <= now:
                self._carry_out(state, c.CloseRun(train_no=state.chart.train_no))
        await self._log.append()

    async def correct_clock(self, seconds: int) -> None:
        """Record on every run that the clock was set, so that offers end neither early nor late.

        The clock shows its new time already. No command is decided meanwhile.
        """
        for state in list(self._runs.all()):
            self._carry_out(
                state, c.CorrectClock(train_no=state.chart.train_no, by_seconds=seconds)
            )
        await self._log.append()

    def _run_of(self, command: c.Command, identity: Identity) -> TrainState:
        # Before the look-up, so that a caller without the right does not learn which runs exist.
        require_role(identity, MAY[type(command)])
        if isinstance(command, c.RegisterTrain):
            run = command.chart.run
            require_relation(identity, type(command), run)
            if run in self._runs.retired:
                raise Conflict(f"{run} has ended and left the hub: a run is registered once")
            return self._runs.present(run) or TrainState(run)
        try:
            state = self._runs.find(
                command.train_no,
                command.start_date,
                identity,
                self._clock(),
                stopped=isinstance(command, c.ReinstateTrain),
            )
        except UnknownTrain:
            if isinstance(command, c.OfferCommand):
                raise UnknownOffer("there is no offer of that id") from None
            raise
        require_relation(identity, type(command), state.run, _owner(command, state, identity))
        return state

    def _named(self, command: c.Command, identity: Identity) -> RunKey | None:
        return self._runs.named(command.train_no, command.start_date, identity, self._clock())


def _owner(command: c.Command, state: TrainState, identity: Identity) -> str | None:
    """Return the user of the person that a command is about, if that person is known.

    For a TTE's duty that is the TTE: the caller, if the command names none.
    """
    if isinstance(command, c.DutyCommand):
        return command.tte or identity.user
    if isinstance(command, c.OfferCommand):
        offer = state.offers.get(command.offer_id)
        return None if offer is None else offer.made.user
    if isinstance(command, c.PersonCommand):
        passenger = state.passengers.get(person_key(command.pnr, command.index))
        return None if passenger is None else passenger.booking.irctc_id
    return None


def _command_of(batch: c.Batch, mark: c.Mark) -> c.Command:
    """Return a mark of a batch as a command of its own."""
    kind = c.MARKS[mark.mark]
    return kind(
        train_no=batch.train_no,
        start_date=batch.start_date,
        pnr=mark.pnr,
        index=mark.index,
        at=mark.at,
    )


def _marked(mark: c.Mark, result: dict[str, Any] | BaseException) -> dict[str, Any]:
    """Return the answer to one mark of a batch."""
    named = {"mark": mark.mark.value, "pnr": mark.pnr, "index": mark.index}
    if isinstance(result, HubError) and not isinstance(result, Unavailable):
        return {**named, "error": error_fields(result)}
    if isinstance(result, BaseException):
        raise result
    return {**named, "result": result}


def _result(command: c.Command, state: TrainState, events: list[Event]) -> dict[str, Any]:
    """Return the answer to a command: the run's seq, and the data of the command's own event."""
    if isinstance(command, c.RegisterTrain):
        chart = command.chart
        return {
            "seq": state.seq,
            **run_fields(state.run),
            "stations": len(chart.stations),
            "passengers": len(chart.passengers),
            "rejected": [dump(each) for each in command.rejected],
            "warnings": [dump(each) for each in command.warnings],
        }
    own = (event for event in events if TYPES[type(event)] == command.answer)
    told = next(own, events[0]).told if events else {"unchanged": True}
    return {"seq": state.seq, **run_fields(state.run), **told}
