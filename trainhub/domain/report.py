"""The captaincy report that a run's staff hand in, coach by coach, as JSON or CSV.

It has the passengers who did not turn up, who were never marked, and who left early. It has the
vacant berths with their stations and causes, the blocked berths, the upgrades with their reasons,
the berths that a TTE gave, and the remarks.
"""

import csv
import io
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from trainhub.core.codec import dump
from trainhub.domain.berths import berth_keys, ends, numbers, segments, stretches
from trainhub.domain.events import BerthAllotted, Cause, Remarked, UpgradeConfirmed
from trainhub.domain.model import Coach, PersonState, berth_key
from trainhub.domain.run_state import Passenger, RunState
from trainhub.domain.schedule import local
from trainhub.domain.shapes import (
    BlockedLine,
    LeftLine,
    PersonLine,
    RemarkLine,
    Report,
    VacantLine,
)

COLUMNS = ("coach", "kind", "berth", "from", "to", "pnr", "index", "name", "detail")


def captaincy_report(state: RunState) -> Report:
    """Return each coach's passengers with something to report, vacant berths, and upgrades."""
    no_shows: dict[tuple[str, str] | None, list[PersonLine]] = defaultdict(list)
    unchecked: dict[tuple[str, str] | None, list[PersonLine]] = defaultdict(list)
    left: dict[tuple[str, str] | None, list[LeftLine]] = defaultdict(list)
    for passenger in state.passengers.values():
        if passenger.state is PersonState.NT:
            no_shows[_part(state, passenger)].append(person_line(state, passenger))
        elif _is_unchecked(state, passenger):
            unchecked[_part(state, passenger)].append(person_line(state, passenger))
        elif passenger.left is not None:
            line: LeftLine = {**person_line(state, passenger), "left": passenger.left}
            left[_part(state, passenger)].append(line)
    given: dict[tuple[type, str, str], list[dict[str, Any]]] = defaultdict(list)
    moves: list[UpgradeConfirmed | BerthAllotted] = [*state.upgrades, *state.allotments]
    for event in moves:
        class_ = state.occupancy.classes[berth_key(event.coach, event.berth)]
        given[type(event), event.coach, class_].append(_given(event))
    return {
        "trainNo": state.chart.train_no,
        "trainName": state.chart.train_name,
        "startDate": dump(state.chart.start_date),
        "status": dump(state.status),
        "terminus": state.terminus.code,
        "coaches": [
            {
                "coach": coach.code,
                "class": coach.class_,
                "noShows": no_shows[coach.code, coach.class_],
                "unchecked": unchecked[coach.code, coach.class_],
                "leftEarly": left[coach.code, coach.class_],
                "vacant": list(_vacant(state, coach)),
                "blocked": list(_blocked(state, coach)),
                "upgrades": given[UpgradeConfirmed, coach.code, coach.class_],
                "allotments": given[BerthAllotted, coach.code, coach.class_],
            }
            for coach in state.chart.coaches
            if coach.berths
        ],
        "notServed": [
            {**person_line(state, each), "coach": each.coach}
            for each in state.passengers.values()
            if _is_not_served(state, each)
        ],
        "notSeated": no_shows[None],
        "uncheckedNotSeated": unchecked[None],
        "leftNotSeated": left[None],
        "remarks": [_remark(state, each) for each in state.remarks],
    }


def remark_lines(state: RunState, coach: str | None) -> list[RemarkLine]:
    """Return the remarks about a coach; None means those about no one coach."""
    return [_remark(state, each) for each in state.remarks if each.coach == coach]


def _remark(state: RunState, event: Remarked) -> RemarkLine:
    return {
        "at": dump(local(event.at, state.zone)),
        "station": state.stops[event.station.index].code,
        "coach": event.coach,
        "tte": event.tte,
        "text": event.text,
    }


def report_csv(report: Report) -> str:
    """Return the report as CSV with a header. A cell that could be a formula is marked as text."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", restval="")
    writer.writeheader()
    for row in _rows(report):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return f"\ufeff{out.getvalue()}"  # by this mark, Excel knows UTF-8


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # Spreadsheets skip blanks and invisible marks, and read full-width signs as plain ones.
    seen = unicodedata.normalize("NFKC", value).lstrip(" \ufeff\u200b\u200e\u200f\u2060\xa0")
    risky = value[:1] in ("\t", "\r", "\n") or seen.lstrip().startswith(("=", "+", "-", "@"))
    return f"'{value}" if risky else value


def _rows(report: Report) -> Iterator[dict[str, Any]]:
    for coach in report["coaches"]:
        code = {"coach": coach["coach"]}
        for person in coach["noShows"]:
            yield {**code, "kind": "NT", **person, "detail": person["markedAt"]}
        for person in coach["unchecked"]:
            yield {**code, "kind": "UNCHECKED", **person}
        for person in coach["leftEarly"]:
            yield {**code, "kind": "LEFT", **person, "detail": _left(person)}
        for vacant in coach["vacant"]:
            yield {**code, "kind": "VACANT", **vacant, "detail": vacant["cause"]}
        for blocked in coach["blocked"]:
            yield {**code, "kind": "BLOCKED", **blocked, "detail": blocked["reason"]}
        for upgrade in coach["upgrades"]:
            others = sum(each["count"] for each in upgrade["passedOver"])
            passed = len(upgrade["reason"]) - 1 + others
            came = (
                upgrade["status"]
                if upgrade["number"] is None
                else (f"{upgrade['status']} {upgrade['number']}")
            )
            detail = f"from {came}; {passed} passed over; the berth was free by {upgrade['cause']}"
            yield {**code, "kind": "UPGRADE", **upgrade, "detail": detail}
        for each in coach["allotments"]:
            detail = f"{each['allottedFor'] or 'SWAP'} {each['note'] or ''}".rstrip()
            yield {**code, "kind": "ALLOTTED", **each, "detail": detail}
    for person in report["notServed"]:
        yield {"coach": person["coach"] or "", "kind": "NOT_SERVED", **person}
    for person in report["notSeated"]:
        yield {"coach": "", "kind": "NT", **person, "detail": person["markedAt"]}
    for person in report["uncheckedNotSeated"]:
        yield {"coach": "", "kind": "UNCHECKED", **person}
    for person in report["leftNotSeated"]:
        yield {"coach": "", "kind": "LEFT", **person, "detail": _left(person)}
    for remark in report["remarks"]:
        yield {
            "coach": remark["coach"],
            "kind": "REMARK",
            "from": remark["station"],
            "detail": remark["text"],
        }


def _left(person: LeftLine) -> str:
    return f"{person['left']} {person['markedAt']}"


def _is_unchecked(state: RunState, passenger: Passenger) -> bool:
    """Return whether the train has left a passenger's station, and the passenger has no mark."""
    boards = state.boards(passenger)
    if state.stops[boards].skipped:
        return False  # no TTE could check there
    gone = boards < state.current or (boards == state.current and state.departed)
    missed = passenger.state is PersonState.DUE and gone
    return missed or passenger.state is PersonState.UNCHECKED


def _is_not_served(state: RunState, passenger: Passenger) -> bool:
    """Return whether a passenger could not board or alight, because the train did not stop."""
    if passenger.state in (PersonState.NT, PersonState.CANCELLED) or passenger.left is not None:
        return False
    unmarked = passenger.state in (PersonState.DUE, PersonState.UNCHECKED)
    skipped = state.stops[state.boards(passenger)].skipped and unmarked
    return skipped or state.stops[state.alights(passenger)].skipped


def person_line(state: RunState, passenger: Passenger) -> PersonLine:
    """Return a passenger for the report and the handover list."""
    booking = passenger.booking
    return {
        "berth": passenger.berth,
        "pnr": booking.pnr,
        "index": booking.index,
        "name": booking.name,
        "from": passenger.from_,
        "to": booking.to,
        "markedAt": passenger.marked_at and dump(local(passenger.marked_at, state.zone)),
    }


def _part(state: RunState, passenger: Passenger) -> tuple[str, str] | None:
    """Return the coach and the class of a passenger's berth. None without a berth."""
    key = passenger.berth_key
    if key is None or passenger.coach is None:
        return None
    class_ = state.occupancy.classes.get(key)  # None: the coach was taken off since
    return None if class_ is None else (passenger.coach, class_)


def _given(event: UpgradeConfirmed | BerthAllotted) -> dict[str, Any]:
    view = dump(event)
    return {name: value for name, value in view.items() if name != "user"}


def _vacant(state: RunState, coach: Coach) -> Iterator[VacantLine]:
    """Yield each stretch on which a berth was not held and not blocked, with the cause."""
    whole = segments(state.origin.index, state.terminus.index)
    for number, key in zip(numbers(coach), berth_keys(coach), strict=True):
        held = state.occupancy.blocks[key].mask if key in state.occupancy.blocks else 0
        for hold in state.occupancy.holders(key).values():
            held |= hold.mask
        for free in stretches(whole & ~held):
            start, end = (free & -free).bit_length() - 1, free.bit_length()
            freed = state.freed.get(key, {})
            cuts = [start, *(at for at in range(start + 1, end) if at in freed), end]
            for since, until in pairwise(cuts):
                yield {
                    "berth": number,
                    "from": state.stops[since].code,
                    "to": state.stops[until].code,
                    "cause": dump(freed[since].cause if since in freed else Cause.UNBOOKED),
                }


def _blocked(state: RunState, coach: Coach) -> Iterator[BlockedLine]:
    """Yield each stretch on which a berth was blocked, with the last reason."""
    whole = segments(state.origin.index, state.terminus.index)
    for number, key in zip(numbers(coach), berth_keys(coach), strict=True):
        block = state.occupancy.blocks.get(key)
        if block is None:
            continue
        for mask in stretches(block.mask & whole):
            start, end = ends(mask)
            yield {
                "berth": number,
                "from": state.stops[start].code,
                "to": state.stops[end].code,
                "reason": block.reason,
            }
