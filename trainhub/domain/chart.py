"""Checks of a chart as a railway sends it. The result is a chart that a run can be loaded from.

A fault of the train itself refuses the whole chart (BadMessage). A fault of one passenger leaves
out that passenger, with the line and the reason. The other passengers load.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from trainhub.core.codec import load
from trainhub.core.errors import BadMessage
from trainhub.domain import fields, normal
from trainhub.domain.berths import BERTHS, Occupancy, layout, segments
from trainhub.domain.commands import Rejected, Warned
from trainhub.domain.fields import (
    MOST_BERTHS,
    MOST_COACHES,
    MOST_DAYS,
    MOST_ON_A_PNR,
    MOST_PASSENGERS,
    MOST_STATIONS,
    MOST_TEXT_BYTES,
    OFFER_SECONDS,
    UNDO_MINUTES,
)
from trainhub.domain.model import Booking, BookingStatus, Chart, berth_key
from trainhub.domain.schedule import due_times
from trainhub.domain.table import BadRow, Table, read_table

_TRAIN_NO = re.compile(fields.TRAIN_NO)
_PNR = re.compile(fields.PNR)
_TIME = re.compile(fields.TIME)
_COACH = re.compile(fields.COACH)
# A plain address of RFC 5321, in any script. No e-mail can be sent to other forms.
_LABEL = r"(?!-)(?:[A-Za-z0-9-]|[^\x00-\x7f]){1,63}(?<!-)"
_EMAIL = re.compile(
    r"(?!\.)(?!.*\.\.)[^\s@<>(),;:\\\"\[\]\x00-\x1f]{1,64}(?<!\.)"
    rf"@{_LABEL}(?:\.{_LABEL}){{1,8}}"
)


def read_chart(data: Any) -> tuple[Chart, tuple[Rejected, ...], tuple[Warned, ...]]:
    """Check a chart: a JSON object, whose `passengers` are a list, or CSV text with a header.

    Returns the chart with its sound passengers, the rejected passengers with their reasons, and
    warnings of columns and e-mail addresses that cannot be used.
    `line` counts entries from 1. In CSV it is the line of the text, and the header is line 1.
    Raises BadMessage if the train itself is at fault.
    """
    if not isinstance(data, Mapping):
        raise BadMessage("a chart is an object with trainNo, trainName, startDate and stations")
    passengers = data.get("passengers")
    rows, unused = _table(passengers)
    if len(rows) > MOST_PASSENGERS:
        raise BadMessage(f"a chart has at most {MOST_PASSENGERS} passengers, not {len(rows)}")
    coaches = [_with_berths(coach) for coach in _list(data, "coaches")]
    head = {**data, "coaches": coaches, "passengers": []}
    chart = load(Chart, head)
    _check_train(chart)
    passengers, rejected, warned = _check_passengers(chart, rows)
    chart = dataclasses.replace(chart, passengers=tuple(passengers))
    if _text_bytes(chart) > MOST_TEXT_BYTES:
        raise BadMessage(
            f"the chart's texts have over {MOST_TEXT_BYTES} bytes in total: shorten them"
        )
    warned[:0] = [_warned(1, "", f"the column {name} is not used") for name in unused]
    given = data.get("trainNo")
    if type(given) is int and 0 <= given < 10_000:
        reason = f"trainNo {given} is a number: if it lost zeros, send it as a text like 00851"
        warned.insert(0, _warned(1, "", reason))
    return chart, tuple(rejected), tuple(warned)


def _text_bytes(value: Any) -> int:
    """Return the bytes that all texts of a chart, or of a part of it, have in UTF-8."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    if isinstance(value, tuple):
        return sum(map(_text_bytes, value))
    if dataclasses.is_dataclass(value):
        return sum(_text_bytes(getattr(value, each.name)) for each in dataclasses.fields(value))
    return 0


def _list(data: Mapping[str, Any], name: str) -> list[Any]:
    value = data.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadMessage(f"{name} is not a list: send a list of objects")
    return value


def _with_berths(coach: Any) -> Any:
    """Add the number of berths to a coach that names its type (ICF, LHB) instead."""
    if not isinstance(coach, Mapping) or "type" not in coach:
        return coach
    rest = {name: value for name, value in coach.items() if name != "type"}
    class_ = normal.travel_class(coach.get("class"))
    known = BERTHS.get((str(class_), str(coach["type"])))
    if "berths" not in rest and known is not None:
        rest["berths"] = known
    return rest


def _table(passengers: Any) -> Table:
    if passengers is None:
        return Table((), ())
    if isinstance(passengers, list):
        return Table(list(enumerate(passengers, start=1)), ())
    if isinstance(passengers, str):
        return read_table(passengers)
    raise BadMessage("passengers is a list of objects, or one text in CSV with a header")


def _check_train(chart: Chart) -> None:
    if not _TRAIN_NO.fullmatch(chart.train_no):
        raise BadMessage("trainNo is 1 to 10 letters and digits, like 12345")
    try:
        ZoneInfo(chart.timezone)
    except (KeyError, ValueError, OSError):
        raise BadMessage("timezone is a name like Asia/Kolkata") from None
    _check_stations(chart)
    if chart.undo_minutes is not None and chart.undo_minutes not in UNDO_MINUTES:
        raise BadMessage(f"undoMinutes is from {UNDO_MINUTES[0]} to {UNDO_MINUTES[-1]}")
    if chart.offer_seconds not in OFFER_SECONDS:
        raise BadMessage(f"offerSeconds is from 1 to {OFFER_SECONDS[-1]}")
    if len(chart.coaches) > MOST_COACHES:
        raise BadMessage(f"a train has at most {MOST_COACHES} coaches")
    codes = [coach.code for coach in chart.coaches]
    for coach in chart.coaches:
        if not _COACH.fullmatch(coach.code):
            raise BadMessage("a coach's code is 1 to 6 letters and digits, like S1")
        if codes.count(coach.code) > 1:
            raise BadMessage(f"coach {coach.code} is there twice: give each coach its own code")
        if not 1 <= coach.berths <= MOST_BERTHS:
            raise BadMessage(f"coach {coach.code} has 1 to {MOST_BERTHS} berths")
        layout(coach)


def _check_stations(chart: Chart) -> None:
    stations = chart.stations
    if not 2 <= len(stations) <= MOST_STATIONS:
        raise BadMessage(f"stations is a list of 2 to {MOST_STATIONS}, in running order")
    if len({station.code for station in stations}) < len(stations):
        raise BadMessage("a station code is there twice: give each stop its own code")
    distance = 0
    for index, station in enumerate(stations):
        path = f"stations[{index}]"
        if station.arrival is None and index > 0:
            raise BadMessage(f"{path}.arrival is missing: only the first stop may lack it")
        if station.departure is None and index < len(stations) - 1:
            raise BadMessage(f"{path}.departure is missing: only the last stop may lack it")
        for name, time in (("arrival", station.arrival), ("departure", station.departure)):
            if time is None:
                continue
            if not _TIME.fullmatch(time):
                raise BadMessage(f"{path}.{name} is a time like 15:50")
        if not 1 <= station.day <= MOST_DAYS:
            raise BadMessage(f"{path}.day is from 1, the day of the start, to {MOST_DAYS}")
        if station.distance_km < distance:
            raise BadMessage(
                f"{path}.distanceKm is less than at the station before: "
                "give the distance from the first station"
            )
        distance = station.distance_km
    for _ in due_times(chart.start_date, stations, ZoneInfo(chart.timezone), strict=True):
        pass  # raises BadMessage if times run backwards or a time does not exist


def _check_passengers(
    chart: Chart, rows: Iterable[tuple[int, Any]]
) -> tuple[list[Booking], list[Rejected], list[Warned]]:
    indexes = {station.code: index for index, station in enumerate(chart.stations)}
    classes = {coach.code: coach.class_ for coach in chart.coaches}
    occupancy = Occupancy(chart.coaches)
    persons: set[str] = set()
    sound: list[Booking] = []
    rejected: list[Rejected] = []
    warned: list[Warned] = []
    for line, row in rows:
        try:
            booking = _booking(row)
            if booking.person in persons:
                raise BadMessage(f"person {booking.index} of the PNR is there twice: keep one")
            _seat(booking, indexes, classes, occupancy)
        except BadMessage as error:
            rejected.append(Rejected(line=line, pnr=_pnr(row), reason=error.message))
        else:
            persons.add(booking.person)
            sound.append(booking)
            if booking.email is not None and not _EMAIL.fullmatch(booking.email):
                reason = "no e-mail can go to the address: give one like asha@example.org"
                warned.append(_warned(line, booking.pnr, reason))
    return sound, rejected, warned


def _warned(line: int, pnr: str, reason: str) -> Warned:
    return Warned(line=line, pnr=pnr, reason=reason)


def _pnr(row: Any) -> str:
    """Return the line's PNR, at most 20 digits of it; an empty text if it has other characters."""
    found = str(row.get("pnr", ""))[:20] if isinstance(row, Mapping) else ""
    return found if found.isdecimal() and found.isascii() else ""


def _booking(row: Any) -> Booking:
    if isinstance(row, BadRow):
        raise BadMessage(row.reason)
    if not isinstance(row, Mapping):
        raise BadMessage("a passenger is an object with pnr, index, irctcId, name, from, to, …")
    booking = load(Booking, row)
    if not _PNR.fullmatch(booking.pnr):
        raise BadMessage("pnr is 10 to 12 digits")
    if not 1 <= booking.index <= MOST_ON_A_PNR:
        raise BadMessage(f"index counts the people on a PNR, from 1 to {MOST_ON_A_PNR}")
    return booking


def _seat(
    booking: Booking, indexes: Mapping[str, int], classes: Mapping[str, str], occupancy: Occupancy
) -> None:
    """Check the journey and the berth, and occupy the berth."""
    for name, code in (("from", booking.from_), ("to", booking.to)):
        if code not in indexes:
            raise BadMessage(f"{name}: the train has no {_code('station', code)}")
    start, end = indexes[booking.from_], indexes[booking.to]
    if end <= start:
        raise BadMessage("to does not come after from: give stations in running order")
    if booking.coach is None or booking.berth is None:
        if booking.status is BookingStatus.CNF:
            raise BadMessage("a confirmed passenger needs a coach and a berth")
        if booking.coach is not None or booking.berth is not None:
            raise BadMessage("coach and berth go together: give both or neither")
        return
    if booking.status is BookingStatus.WL:
        raise BadMessage("a passenger on the waiting list has no berth: leave out coach and berth")
    berth = berth_key(booking.coach, booking.berth)
    if berth not in occupancy.types:
        raise BadMessage(
            f"there is no {_code('coach', booking.coach)} with a berth {booking.berth}"
        )
    if classes[booking.coach] != booking.class_:
        raise BadMessage(
            f"coach {booking.coach} is of class {classes[booking.coach]}: give that class"
        )
    half, mask = booking.status is BookingStatus.RAC, segments(start, end)
    if half and occupancy.types[berth] != "SIDE_LOWER":
        raise BadMessage(f"berth {berth} is not a side lower: RAC passengers share a side lower")
    if not occupancy.has_room(berth, mask, half=half):
        raise BadMessage(f"berth {berth} is taken on that part of the way: give another berth")
    occupancy.occupy(berth, booking.person, mask, half=half)


def _code(kind: str, text: str) -> str:
    """Name a code of a line. Other texts stay unnamed: reasons are logged, people's data is not."""
    return f"{kind} {text}" if _COACH.fullmatch(text) else f"such {kind}"
