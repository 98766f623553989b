"""A run's state at one seq, as a value without its chart, so that a start replays fewer events.

`snapshot_of` copies what events have changed. `resume` restores it over the run's first event,
which has the chart. The result equals the state after a replay of all events.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from trainhub.domain.berths import Block, Hold
from trainhub.domain.events import (
    BerthAllotted,
    Cause,
    Remarked,
    TrainRegistered,
    UpgradeConfirmed,
    UpgradePending,
)
from trainhub.domain.model import (
    AlightReason,
    BerthKey,
    BlockReason,
    BookingStatus,
    Chart,
    OfferState,
    PersonKey,
    PersonState,
    Role,
    RunKey,
    RunStatus,
    StationReport,
    berth_key,
)
from trainhub.domain.openings import Vacancy
from trainhub.domain.run_state import Duty, Offer, Passenger, Report, RunState
from trainhub.domain.train import TrainState


@dataclass(frozen=True, kw_only=True)
class StopThen:
    """What events have changed of a stop."""

    arrived: datetime | None
    departed: datetime | None
    platform: str | None
    platform_confirmed: bool
    skipped: bool


@dataclass(frozen=True, kw_only=True)
class PassengerThen:
    """What events have changed of a passenger."""

    person: str
    from_: str
    status: BookingStatus
    coach: str | None
    berth: int | None
    state: PersonState
    marked_nt_at: datetime | None
    boarding_changed: bool
    upgraded_from: str | None
    marked_at: datetime | None = None
    marked_by: str | None = None
    assumed: bool = False
    left: AlightReason | None = None
    claim: int | None = None


@dataclass(frozen=True, kw_only=True)
class HoldThen:
    """A person's hold of a berth. The masks are hexadecimal: they may have 200 bits."""

    berth: str
    person: str
    whole: str
    half: str


@dataclass(frozen=True, kw_only=True)
class BlockThen:
    """A berth that is or was blocked. The mask is hexadecimal, and negative if without an end."""

    berth: str
    mask: str
    reason: BlockReason


@dataclass(frozen=True, kw_only=True)
class LapsedThen:
    """A person whose offer of a vacancy ended, and the station that the train had reached then."""

    person: str
    at: int


@dataclass(frozen=True, kw_only=True)
class VacancyThen:
    """A vacancy; its berth is `coach` and `berth`."""

    id: int
    coach: str
    berth: int
    class_: str
    start: int
    cause: Cause
    passed: tuple[str, ...]
    lapsed: tuple[LapsedThen, ...] = ()
    ladies: bool = False


@dataclass(frozen=True, kw_only=True)
class CheckedThen:
    """A coach, and the station up to which it was checked."""

    coach: str
    index: int


@dataclass(frozen=True, kw_only=True)
class DutyThen:
    """A coach, and the TTE who is responsible for it since then."""

    coach: str
    tte: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class ReportThen:
    """A station report that can be undone, as in Report."""

    seq: int
    at: datetime
    kind: StationReport
    current: int
    delay_minutes: int
    platform: str | None
    platform_confirmed: bool
    checked: tuple[CheckedThen, ...]
    upgrades: int


@dataclass(frozen=True, kw_only=True)
class OfferThen:
    """An offer; `vacancy` is the id of its vacancy."""

    made: UpgradePending
    vacancy: int
    state: OfferState
    closed_at: datetime | None
    delivered_at: datetime | None = None
    devices: int = 0
    answered_by: Role | None = None


@dataclass(frozen=True, kw_only=True)
class RunSnapshot:
    """The changes to a run since its chart, up to `seq`.

    `passengers` are those who differ from the chart. `replaced` are vacancies that offers refer to
    and that a newer vacancy of the berth has replaced. `chart` is the chart if it has changed since
    the first event. `started` is None in a snapshot of an older hub.
    """

    seq: int
    status: RunStatus
    current: int
    departed: bool
    delay_minutes: int
    ended_at: datetime | None
    stops: tuple[StopThen, ...]
    passengers: tuple[PassengerThen, ...]
    holds: tuple[HoldThen, ...]
    vacancies: tuple[VacancyThen, ...]
    replaced: tuple[VacancyThen, ...]
    offers: tuple[OfferThen, ...]
    upgrades: tuple[UpgradeConfirmed, ...]
    checked: tuple[CheckedThen, ...] = ()
    blocks: tuple[BlockThen, ...] = ()
    allotments: tuple[BerthAllotted, ...] = ()
    touched: bool = True
    chart: Chart | None = None
    duty: tuple[DutyThen, ...] = ()
    remarks: tuple[Remarked, ...] = ()
    reports: tuple[ReportThen, ...] = ()
    decided: int = 0
    started: bool | None = None
    last_at: datetime | None = None


def snapshot_of(state: RunState) -> RunSnapshot:
    """Copy the state as it is now. Later changes of the state do not change the copy."""
    vacancies = [each for starts in state.freed.values() for each in starts.values()]
    standing = {each.id for each in vacancies}
    replaced = {
        offer.vacancy.id: offer.vacancy
        for offer in state.offers.values()
        if offer.vacancy.id not in standing
    }
    return RunSnapshot(
        seq=state.seq,
        status=state.status,
        current=state.current,
        departed=state.departed,
        delay_minutes=state.delay_minutes,
        ended_at=state.ended_at,
        stops=tuple(
            StopThen(
                arrived=stop.arrived,
                departed=stop.departed,
                platform=stop.platform,
                platform_confirmed=stop.platform_confirmed,
                skipped=stop.skipped,
            )
            for stop in state.stops
        ),
        passengers=tuple(_passenger_then(each) for each in _changed(state)),
        holds=tuple(
            HoldThen(berth=berth, person=person, whole=f"{hold.whole:x}", half=f"{hold.half:x}")
            for berth, person, hold in state.occupancy.all()
        ),
        vacancies=tuple(map(_vacancy_then, vacancies)),
        replaced=tuple(map(_vacancy_then, replaced.values())),
        offers=tuple(
            OfferThen(
                made=offer.made,
                vacancy=offer.vacancy.id,
                state=offer.state,
                closed_at=offer.closed_at,
                delivered_at=offer.delivered_at,
                devices=offer.devices,
                answered_by=offer.answered_by,
            )
            for offer in state.offers.values()
        ),
        upgrades=tuple(state.upgrades),
        checked=_checked_then(state.checked),
        blocks=tuple(
            BlockThen(berth=berth, mask=f"{block.mask:x}", reason=block.reason)
            for berth, block in state.occupancy.blocks.items()
        ),
        allotments=tuple(state.allotments),
        reports=tuple(_report_then(each) for each in state.reports),
        decided=state.decided,
        started=state.started,
        last_at=state.last_at,
        touched=state.touched,
        chart=state.chart if state.amended else None,
        duty=tuple(
            DutyThen(coach=code, tte=each.tte, since=each.since)
            for code, each in state.duty.items()
        ),
        remarks=tuple(state.remarks),
    )


def resume(run: RunKey, registered: TrainRegistered, saved: RunSnapshot) -> TrainState:
    """Return the run as it was at the snapshot.

    Raises ValueError if the snapshot does not fit the registration.
    """
    if not isinstance(registered, TrainRegistered):
        raise ValueError(f"the first event of {run} is not its registration")
    state = TrainState(run)
    state.begin_with(registered.chart if saved.chart is None else saved.chart)
    state.last_at = registered.at
    state.amended = saved.chart is not None
    try:
        _restore(state, saved)
    except (KeyError, ValueError) as error:
        raise ValueError(f"the snapshot does not fit the chart of {run}: {error!r}") from error
    return state


def _restore(state: TrainState, saved: RunSnapshot) -> None:
    state.seq = saved.seq
    state.touched = saved.touched
    state.status = saved.status
    state.current, state.departed = saved.current, saved.departed
    state.delay_minutes = saved.delay_minutes
    state.ended_at = saved.ended_at
    for stop, was in zip(state.stops, saved.stops, strict=True):
        stop.arrived, stop.departed, stop.skipped = was.arrived, was.departed, was.skipped
        stop.platform, stop.platform_confirmed = was.platform, was.platform_confirmed
    for each in saved.passengers:
        state.recall(each)
    for claim, person in sorted((e.claim, e.person) for e in saved.passengers if e.claim):
        state.claim_berth(state.passengers[PersonKey(person)], claim)
    state.occupancy.restore(
        (
            BerthKey(each.berth),
            state.passengers[PersonKey(each.person)].person,  # the same text in each look-up
            Hold(int(each.whole, 16), int(each.half, 16)),
        )
        for each in saved.holds
    )
    state.occupancy.blocks = {
        BerthKey(each.berth): Block(int(each.mask, 16), each.reason) for each in saved.blocks
    }
    vacancies = {}
    for then in saved.vacancies:
        vacancy = vacancies[then.id] = _vacancy(then)
        state.has_ladies_vacancy = state.has_ladies_vacancy or vacancy.ladies
        state.freed.setdefault(vacancy.key, {})[vacancy.start] = vacancy
    vacancies |= {then.id: _vacancy(then) for then in saved.replaced}
    for made in saved.offers:
        offer = Offer(made.made, vacancies[made.vacancy], made.state, made.closed_at)
        offer.delivered_at, offer.devices = made.delivered_at, made.devices
        offer.answered_by = made.answered_by
        state.offers[offer.id] = offer
        if offer.state is OfferState.OPEN:
            state.open_by_berth[offer.key] = offer
            state.open_by_person[offer.person] = offer
    state.upgrades = list(saved.upgrades)
    state.duty = {each.coach: Duty(tte=each.tte, since=each.since) for each in saved.duty}
    state.remarks = list(saved.remarks)
    state.allotments = list(saved.allotments)
    state.checked = {each.coach: each.index for each in saved.checked}
    state.last_at = saved.last_at
    state.reports, state.decided = [_report(each) for each in saved.reports], saved.decided
    if saved.started is not None:
        state.started = saved.started
    else:
        known = saved.status in (RunStatus.RUNNING, RunStatus.COMPLETED)
        state.started = known or saved.current > 0 or saved.departed


def _changed(state: RunState) -> Iterator[Passenger]:
    """Yield the passengers that events have changed, in the order of `boarding_at`."""
    for persons in state.boarding_at.values():
        for person in persons:
            passenger = state.passengers[person]
            if passenger != Passenger.booked(passenger.booking):
                yield passenger


def _passenger_then(passenger: Passenger) -> PassengerThen:
    return PassengerThen(
        person=passenger.person,
        from_=passenger.from_,
        status=passenger.status,
        coach=passenger.coach,
        berth=passenger.berth,
        state=passenger.state,
        marked_nt_at=passenger.marked_nt_at,
        boarding_changed=passenger.boarding_changed,
        upgraded_from=passenger.upgraded_from,
        marked_at=passenger.marked_at,
        marked_by=passenger.marked_by,
        assumed=passenger.assumed,
        left=passenger.left,
        claim=passenger.claim,
    )


def _checked_then(checked: dict[str, int]) -> tuple[CheckedThen, ...]:
    return tuple(CheckedThen(coach=coach, index=index) for coach, index in checked.items())


def _report_then(report: Report) -> ReportThen:
    fields = {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
    return ReportThen(**fields | {"checked": _checked_then(report.checked)})


def _report(then: ReportThen) -> Report:
    fields = {field.name: getattr(then, field.name) for field in dataclasses.fields(then)}
    return Report(**fields | {"checked": {each.coach: each.index for each in then.checked}})


def _vacancy_then(vacancy: Vacancy) -> VacancyThen:
    return VacancyThen(
        id=vacancy.id,
        coach=vacancy.coach,
        berth=vacancy.berth,
        class_=vacancy.class_,
        start=vacancy.start,
        cause=vacancy.cause,
        passed=tuple(sorted(vacancy.passed)),
        lapsed=tuple(LapsedThen(person=p, at=at) for p, at in sorted(vacancy.lapsed)),
        ladies=vacancy.ladies,
    )


def _vacancy(then: VacancyThen) -> Vacancy:
    key = berth_key(then.coach, then.berth)
    passed = {PersonKey(person) for person in then.passed}
    lapsed = {(PersonKey(each.person), each.at) for each in then.lapsed}
    return Vacancy(
        then.id,
        key,
        then.coach,
        then.berth,
        then.class_,
        then.start,
        then.cause,
        passed,
        lapsed,
        then.ladies,
    )
