"""One run: commands in, events out. `decide` checks the rules; `carry_out` applies the events too.

The table of commands is here. The rules are in journey.py, amend.py, marks.py, duty.py,
allotment.py and offers.py.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from trainhub.domain import allotment, amend, duty, journey, marks, offers, unplanned
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.model import BerthKey, Role, RunKey
from trainhub.domain.run_state import RunState
from trainhub.domain.schedule import local


class TrainState(RunState):
    """One run's state, and the rules by which it may change."""

    def __init__(self, run: RunKey) -> None:
        super().__init__(run)
        # Changes that may bring a passenger a berth, since the last match. Derived.
        self.due = offers.Due()

    def decide(self, command: c.Command, now: datetime) -> list[e.Event]:
        """Return the events of the command; an empty list if the run is so already.

        Raises a HubError if the rules do not allow the command. Changes nothing.
        """
        if self.seq:
            now = local(now, self.zone)
        elif not isinstance(command, c.RegisterTrain):
            raise TypeError("a run begins with RegisterTrain")
        return _DECIDE[type(command)](self, command, now)

    def carry_out(
        self,
        command: c.Command,
        now: datetime,
        by: Role | None = None,
        user: str | None = None,
        *,
        match: bool = True,
    ) -> list[e.Event]:
        """Decide a command, apply its events, and then the offers and upgrades that follow.

        `by` is the caller's role, which an answer to an offer records. A mark and a remark record
        `user`, the caller, and a TTE who is not named is the caller. Without `match`, the berths
        that become free wait for the next call.
        Returns all the events, in order. Raises a HubError before anything has changed.
        """
        first = journey.implied(self, command, local(now, self.zone)) if self.seq else None
        before = [] if first is None else self.carry_out(first, now, by, user)
        if isinstance(command, c.DutyCommand) and command.tte is None:
            command = replace(command, tte=user)
        marker = user if isinstance(command, c.MarkCommand | c.Remark) else None
        events = [_signed(event, by, marker) for event in self.decide(command, now)]
        now = local(now, self.zone) if self.seq else now
        if isinstance(command, c.ExpireOffers) and offers.turn_goes_on(self, now):
            self.due.everywhere = True
        return before + self._apply(events, now, match=match)

    def match_berths(self, now: datetime) -> list[e.Event]:
        """Give the berths that are free to those who wait; return the events."""
        return self._apply([], local(now, self.zone), match=True)

    def _apply(self, events: list[e.Event], now: datetime, *, match: bool) -> list[e.Event]:
        """Apply events, and those that follow from them. Return them all."""
        done: list[e.Event] = []
        check: dict[BerthKey, None] = {}  # berths whose offers may be outdated
        while events or (match and self.due):
            for event in events:
                self.evolve(event)
                check |= dict.fromkeys(offers.to_check(self, event))
                self.due.add(self, event)
            done += events
            events = offers.outdated(self, check, now)
            check.clear()
            if match and not events:
                events = offers.match(self, self.due, now)
        return done


def _signed(event: e.Event, by: Role | None, marker: str | None) -> e.Event:
    if isinstance(event, e.UpgradeClosed | e.UpgradeConfirmed):
        return replace(event, answered_by=by)
    if isinstance(event, e.MarkEvent) and marker is not None:
        return replace(event, marked_by=marker)
    if isinstance(event, e.Remarked):
        return replace(event, tte=marker)
    return event


def fold(run: RunKey, events: Iterable[e.Event]) -> TrainState:
    """Return the state after all of a run's events."""
    state = TrainState(run)
    for event in events:
        state.evolve(event)
    return state


_DECIDE: dict[type[c.Command], Callable[[RunState, Any, datetime], list[e.Event]]] = {
    c.RegisterTrain: journey.register,
    c.AmendChart: amend.amend,
    c.StartJourney: journey.start,
    c.CancelTrain: journey.cancel,
    c.CloseRun: unplanned.close,
    c.ReinstateTrain: unplanned.reinstate,
    c.UndoReport: unplanned.undo_report,
    c.Arrive: journey.arrive,
    c.Depart: journey.depart,
    c.SkipStation: journey.skip,
    c.UndoSkip: unplanned.undo_skip,
    c.AddHalt: unplanned.add_halt,
    c.ShortTerminate: unplanned.short_terminate,
    c.SetDelay: journey.set_delay,
    c.SetPlatform: journey.set_platform,
    c.MarkBoarded: marks.board,
    c.MarkNoShow: marks.no_show,
    c.UndoBoarded: marks.undo_boarded,
    c.UndoNoShow: marks.undo_no_show,
    c.Alight: marks.alight,
    c.CheckCoach: marks.check_coach,
    c.SignOn: duty.sign_on,
    c.SignOff: duty.sign_off,
    c.Remark: duty.remark,
    c.BlockBerth: allotment.block,
    c.UnblockBerth: allotment.unblock,
    c.AllotBerth: allotment.allot,
    c.SwapBerths: allotment.swap,
    c.CancelJourney: marks.cancel,
    c.ChangeBoarding: marks.change_boarding,
    c.AcceptOffer: offers.accept,
    c.DenyOffer: offers.deny,
    c.ApproveOffer: offers.approve,
    c.WithdrawOffer: offers.withdraw,
    c.ExpireOffers: offers.expire,
    c.AcknowledgeOffer: offers.acknowledge,
    c.CorrectClock: journey.correct_clock,
    c.Announce: journey.announce,
}
