"""Checks of a chart as a railway sends it. The result is a chart that a run can be loaded from.

A fault of the train itself refuses the whole chart (BadMessage). A fault of one passenger leaves
out that passenger, with the line and the reason. The other passengers load.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from trainhub.core.codec import load
from trainhub.core.email_address import why_no_mail
from trainhub.core.errors import BadMessage
from trainhub.domain import fields, normal
from trainhub.domain.berths import (
    ANY_CLASS,
    BAYS,
    TYPES,
    WITHOUT_BERTHS,
    CoachType,
    Occupancy,
    is_upgrade,
    layout,
    numbers,
    segments,
)
from trainhub.domain.commands import Rejected, Warned
from trainhub.domain.fields import (
    CHECK_MINUTES,
    MOST_BERTH_NUMBER,
    MOST_BERTHS,
    MOST_COACHES,
    MOST_DAYS,
    MOST_KINDS,
    MOST_ON_A_PNR,
    MOST_PASSENGERS,
    MOST_STATIONS,
    MOST_TEXT_BYTES,
    OFFER_SECONDS,
    UNDO_MINUTES,
)
from trainhub.domain.model import (
    Amendment,
    BerthKey,
    Booking,
    BookingStatus,
    Chart,
    Coach,
    berth_key,
    stop_codes,
)
from trainhub.domain.schedule import due_times
from trainhub.domain.table import BadRow, Table, is_empty, read_rows, read_table

_TRAIN_NO = re.compile(fields.TRAIN_NO)
_PNR = re.compile(fields.PNR)
_TIME = re.compile(fields.TIME)
_COACH = re.compile(fields.COACH)
_RAILWAY_ZONE = re.compile(fields.RAILWAY_ZONE)
_WAITING_KIND = re.compile(fields.WAITING_KIND)
# A status as reservation systems print it, like RLWL, RAC 5 or GNWL/12: the kind of the waiting
# list, the list, and the number.
_WAITS = re.compile(
    rf"(?:(?P<kind>{fields.WAITING_KIND})?(?P<wl>W/?L)|RAC)(?:[ /-]*(?P<number>[0-9]{{1,4}}))?"
)
# What a stop may lack.
_OF_STOP = ("arrival", "departure", "platform", "timezone")


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
    coaches = [_with_type(coach) for coach in _list(data, "coaches")]
    stations = data.get("stations")
    if isinstance(stations, list):
        data = {**data, "stations": [_filled_stop(stop) for stop in stations]}
    chart = load(Chart, {**data, "coaches": coaches, "passengers": []})
    chart = dataclasses.replace(chart, coaches=_numbered(chart.coaches))
    _check_train(chart)
    passengers, rejected, warned = _check_passengers(chart, rows)
    chart = dataclasses.replace(chart, passengers=tuple(passengers))
    _check_text(chart)
    warned[:0] = [_warned(1, "", f"the column {name} is not used") for name in unused]
    warned[:0] = [_warned(1, "", reason) for reason in _shifted(chart)]
    given = data.get("trainNo")
    if type(given) is int and 0 <= given < 10_000:
        reason = f"trainNo {given} is a number: if it lost zeros, send it as a text like 00851"
        warned.insert(0, _warned(1, "", reason))
    return chart, tuple(rejected), tuple(warned)


def read_amendment(
    data: Mapping[str, Any],
) -> tuple[Amendment, tuple[int, ...], tuple[Rejected, ...], tuple[Warned, ...]]:
    """Check the form of an amendment, whose `passengers` and `coaches` are as in a chart.

    Returns it with its sound passengers, the line of each, the rejected lines, and warnings. What
    the run allows is checked by amend.py. Raises BadMessage if more than a line is at fault.
    """
    rows, unused = _table(data.get("passengers"))
    if len(rows) > MOST_PASSENGERS:
        raise BadMessage(f"a chart has at most {MOST_PASSENGERS} passengers, not {len(rows)}")
    coaches = [_with_type(coach) for coach in _list(data, "coaches")]
    amendment = load(Amendment, {**data, "coaches": coaches, "passengers": []})
    sound: dict[str, tuple[int, Booking]] = {}
    rejected: list[Rejected] = []
    warned = [_warned(1, "", f"the column {name} is not used") for name in unused]
    for line, row in rows:
        try:
            booking = _booking(row)
            if booking.person in sound:
                raise BadMessage(f"person {booking.index} of the PNR is there twice: keep one")
        except BadMessage as error:
            rejected.append(Rejected(line=line, pnr=_pnr(row), reason=error.message))
        else:
            sound[booking.person] = line, booking
            warned += _warnings(line, booking)
    amendment = dataclasses.replace(
        amendment,
        coaches=_numbered(amendment.coaches),
        passengers=tuple(booking for _, booking in sound.values()),
    )
    return amendment, tuple(line for line, _ in sound.values()), tuple(rejected), tuple(warned)


def check_chart(chart: Chart) -> None:
    """Raise BadMessage if an amended chart would have more than a chart may have."""
    if len(chart.coaches) > MOST_COACHES:
        raise BadMessage(f"a train has at most {MOST_COACHES} coaches")
    if len(chart.passengers) > MOST_PASSENGERS:
        raise BadMessage(f"a chart has at most {MOST_PASSENGERS} passengers: load fewer")
    _check_coaches(chart.coaches)
    _check_text(chart)


def _check_text(chart: Chart) -> None:
    if _text_bytes(chart) > MOST_TEXT_BYTES:
        raise BadMessage(
            f"the chart's texts have over {MOST_TEXT_BYTES} bytes in total: shorten them"
        )


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


def _filled_stop(stop: Any) -> Any:
    """Return the stop without the fields whose text says that there is no value, like "--"."""
    if not isinstance(stop, Mapping):
        return stop
    return {
        name: value for name, value in stop.items() if name not in _OF_STOP or not is_empty(value)
    }


def _with_type(coach: Any) -> Any:
    """Add what a coach's type tells, its numbers if they follow others, and its count of berths."""
    if not isinstance(coach, Mapping):
        return coach
    rest = {name: value for name, value in coach.items() if name != "type"}
    class_ = normal.travel_class(coach.get("class"))
    if class_ in WITHOUT_BERTHS:
        return {**rest, "berths": 0, "layout": None, "numbers": None, "rac": None, "blocked": []}
    if "type" in coach:
        rest = _of_type(_type(coach, class_), rest)
    elif rest.get("layout") is None and isinstance(class_, str) and class_ not in BAYS:
        raise BadMessage(
            f"class {class_[:20]} has no layout here: give each berth's type in layout, a type "
            f"like SEATS, or a class of {', '.join((*BAYS, *WITHOUT_BERTHS))}"
        )
    if isinstance(rest.get("numbers"), list):
        rest.setdefault("berths", len(rest["numbers"]))
    return rest


def _type(coach: Mapping[str, Any], class_: Any) -> CoachType:
    """Return what is known of the coach's type. Raises BadMessage if nothing is."""
    name, code = str(normal.code(coach["type"]))[:20], str(coach.get("code"))[:6]
    known = TYPES.get(name)
    if known is None:
        raise BadMessage(
            f"coach {code}: type {name} is unknown; expected one of {', '.join(TYPES)}"
        )
    found = known.get(ANY_CLASS) or known.get(str(class_))
    if found is None and "berths" not in coach:
        raise BadMessage(
            f"coach {code}: a coach {name} of class {str(class_)[:20]} is unknown: give berths, "
            f"or a class of {', '.join(known)}"
        )
    return found or CoachType(None)


def _of_type(type_: CoachType, coach: dict[str, Any]) -> dict[str, Any]:
    """Fill in the fields that the type tells and the chart does not."""
    if type_.numbers is not None and "berths" not in coach:
        coach.setdefault("numbers", list(type_.numbers))
    elif type_.berths is not None and "numbers" not in coach:
        coach.setdefault("berths", type_.berths)
    count = coach.get("berths", len(coach.get("numbers") or ()))
    if type_.bay is not None and isinstance(count, int) and 0 < count <= MOST_BERTHS:
        bay = type_.bay
        coach.setdefault("layout", [bay[place % len(bay)] for place in range(count)])
    return coach


def _table(passengers: Any) -> Table:
    if passengers is None:
        return Table((), ())
    if isinstance(passengers, list):
        return read_rows(passengers)
    if isinstance(passengers, str):
        return read_table(passengers)
    raise BadMessage("passengers is a list of objects, or one text in CSV with a header")


def _check_train(chart: Chart) -> None:
    if not _TRAIN_NO.fullmatch(chart.train_no):
        raise BadMessage(
            "trainNo is 1 to 10 letters and digits, like 12345; 12345-2 to 12345-9 are other runs "
            "of the number on that date"
        )
    if chart.zone is not None and not _RAILWAY_ZONE.fullmatch(chart.zone):
        raise BadMessage("zone is 1 to 8 letters and digits, like NFR, or null")
    _check_zone("timezone", chart.timezone)
    check_stations(chart)
    if chart.check_minutes is not None and chart.check_minutes not in CHECK_MINUTES:
        raise BadMessage(f"checkMinutes is from {CHECK_MINUTES[0]} to {CHECK_MINUTES[-1]}, or null")
    if chart.undo_minutes is not None and chart.undo_minutes not in UNDO_MINUTES:
        raise BadMessage(f"undoMinutes is from {UNDO_MINUTES[0]} to {UNDO_MINUTES[-1]}")
    if len(chart.waiting_kinds) > MOST_KINDS:
        raise BadMessage(f"waitingKinds has at most {MOST_KINDS} kinds")
    for kind in chart.waiting_kinds:
        if not _WAITING_KIND.fullmatch(kind):
            raise BadMessage("waitingKinds has kinds of two letters, like GN")
    if chart.offer_seconds not in OFFER_SECONDS:
        raise BadMessage(f"offerSeconds is from 1 to {OFFER_SECONDS[-1]}")
    if len(chart.coaches) > MOST_COACHES:
        raise BadMessage(f"a train has at most {MOST_COACHES} coaches")
    _check_coaches(chart.coaches)


def _numbered(coaches: tuple[Coach, ...]) -> tuple[Coach, ...]:
    """Number the second part of a composite coach on from the first, unless it has numbers."""
    last: dict[str, int] = {}
    numbered = []
    for coach in coaches:
        after = last.get(coach.code, 0)
        if after and coach.numbers is None and 0 < coach.berths <= MOST_BERTHS:
            own = tuple(range(after + 1, after + coach.berths + 1))
            coach = dataclasses.replace(coach, numbers=own)
        last[coach.code] = max((after, *numbers(coach)[-1:]))
        numbered.append(coach)
    return tuple(numbered)


def _check_coaches(coaches: tuple[Coach, ...]) -> None:
    classes: set[tuple[str, str]] = set()
    berths: set[BerthKey] = set()
    for coach in coaches:
        code = coach.code
        if not _COACH.fullmatch(code):
            raise BadMessage("a coach's code is 1 to 6 letters and digits, like S1")
        if coach.class_ in WITHOUT_BERTHS:
            continue
        if (code, coach.class_) in classes:
            raise BadMessage(
                f"coach {code} is there twice: give each coach its own code, or each part of a "
                "composite coach its own class"
            )
        classes.add((code, coach.class_))
        if not 1 <= coach.berths <= MOST_BERTHS:
            raise BadMessage(f"coach {code} has 1 to {MOST_BERTHS} berths")
        layout(coach)
        if len(numbers(coach)) != coach.berths:
            raise BadMessage(
                f"coach {code} has {coach.berths} berths and {len(numbers(coach))} numbers"
            )
        for number in numbers(coach):
            if not 1 <= number <= MOST_BERTH_NUMBER:
                raise BadMessage(f"coach {code}: a berth's number is 1 to {MOST_BERTH_NUMBER}")
            if berth_key(code, number) in berths:
                raise BadMessage(f"coach {code} has berth {number} twice: number each berth once")
            berths.add(berth_key(code, number))
        for number in coach.rac or ():
            if number not in numbers(coach):
                raise BadMessage(f"coach {code}: rac names berth {number}, which is not there")
        for number in coach.blocked:
            if number not in numbers(coach):
                raise BadMessage(f"coach {code}: blocked names berth {number}, which is not there")


def _check_zone(path: str, name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BadMessage(f"{path} is a name like Asia/Kolkata") from None


def check_time(path: str, text: str) -> None:
    if not _TIME.fullmatch(text):
        raise BadMessage(f"{path} is a time like 15:50")


def check_stations(chart: Chart) -> None:
    """Raise BadMessage if the stops of a chart are not those of one run, in order."""
    stations = chart.stations
    if not 2 <= len(stations) <= MOST_STATIONS:
        raise BadMessage(f"stations is a list of 2 to {MOST_STATIONS}, in running order")
    if len(set(stop_codes(stations))) < len(stations):
        raise BadMessage("a station code is that of another stop with its index: give another code")
    for index, (station, following) in enumerate(pairwise(stations), start=1):
        if station.code == following.code:
            raise BadMessage(
                f"stations[{index}] is the station before it again: give a halt as one stop, with "
                "its arrival and its departure"
            )
    distance = 0
    for index, station in enumerate(stations):
        path = f"stations[{index}]"
        if station.arrival is None and index > 0:
            raise BadMessage(f"{path}.arrival is missing: only the first stop may lack it")
        if station.departure is None and index < len(stations) - 1:
            raise BadMessage(f"{path}.departure is missing: only the last stop may lack it")
        for name, time in (("arrival", station.arrival), ("departure", station.departure)):
            if time is not None:
                check_time(f"{path}.{name}", time)
        if station.timezone is not None:
            _check_zone(f"{path}.timezone", station.timezone)
        if not 1 <= station.day <= MOST_DAYS:
            raise BadMessage(f"{path}.day is from 1, the day of the start, to {MOST_DAYS}")
        if station.distance_km < distance:
            raise BadMessage(
                f"{path}.distanceKm is less than at the station before: "
                "give the distance from the first station"
            )
        distance = station.distance_km
    for _ in due_times(chart.start_date, stations, ZoneInfo(chart.timezone), strict=True):
        pass  # raises BadMessage if times run backwards


def _shifted(chart: Chart) -> Iterator[str]:
    """Yield a warning for each time that is read as another, because clocks are set forward."""
    zone = ZoneInfo(chart.timezone)
    for index, moments in enumerate(due_times(chart.start_date, chart.stations, zone)):
        station = chart.stations[index]
        printed = ("arrival", station.arrival), ("departure", station.departure)
        for (name, text), moment in zip(printed, moments, strict=True):
            if moment is not None and f"{moment:%H:%M}" != text:
                yield (
                    f"stations[{index}].{name} {text} is read as {moment:%H:%M}, since clocks are "
                    "set forward"
                )


def _check_passengers(
    chart: Chart, rows: Iterable[tuple[int, Any]]
) -> tuple[list[Booking], list[Rejected], list[Warned]]:
    indexes = {code: index for index, code in enumerate(stop_codes(chart.stations))}
    occupancy = Occupancy(chart.coaches)
    persons: set[str] = set()
    sound: list[Booking] = []
    rejected: list[Rejected] = []
    warned: list[Warned] = []
    places: dict[tuple[str, str, int], int] = {}  # how many have one place on RAC or WL
    for line, row in rows:
        try:
            booking = with_stops(_booking(row), indexes)
            if booking.person in persons:
                raise BadMessage(f"person {booking.index} of the PNR is there twice: keep one")
            _seat(booking, indexes, occupancy)
        except BadMessage as error:
            rejected.append(Rejected(line=line, pnr=_pnr(row), reason=error.message))
        else:
            persons.add(booking.person)
            sound.append(booking)
            if booking.coach is not None and booking.berth is not None:
                class_ = occupancy.classes[berth_key(booking.coach, booking.berth)]
                if class_ != booking.class_:
                    reason = f"the ticket of class {booking.class_} is upgraded to {class_}"
                    warned.append(_warned(line, booking.pnr, reason))
            if booking.number is not None and booking.waits:
                list_ = (booking.waiting_kind or "") + booking.status
                place = booking.class_, list_, booking.number
                places[place] = places.get(place, 0) + 1
                if places[place] == 2:
                    reason = (
                        f"{list_} {booking.number} of the class is there before: check the number"
                    )
                    warned.append(_warned(line, booking.pnr, reason))
            warned += _warnings(line, booking)
    return sound, rejected, warned


def _warnings(line: int, booking: Booking) -> Iterator[Warned]:
    """Yield what of a sound line cannot be used."""
    reason = None if booking.email is None else why_no_mail(booking.email)
    if reason is not None:
        yield _warned(line, booking.pnr, f"{reason}: give one like asha@example.org")


def _warned(line: int, pnr: str, reason: str) -> Warned:
    return Warned(line=line, pnr=pnr, reason=reason)


def _pnr(row: Any) -> str:
    """Return the line's PNR, or at most 20 digits; an empty text if it has other characters."""
    found = str(normal.pnr(row.get("pnr", "")))[:20] if isinstance(row, Mapping) else ""
    return found if _is_pnr(found) or (found.isdecimal() and found.isascii()) else ""


def _is_pnr(text: str) -> bool:
    """Return whether a text may be a PNR. Without a digit it may be a person's name."""
    return _PNR.fullmatch(text) is not None and not text.isalpha()


def _booking(row: Any) -> Booking:
    if isinstance(row, BadRow):
        raise BadMessage(row.reason)
    if not isinstance(row, Mapping):
        raise BadMessage("a passenger is an object with pnr, index, name, from, to, …")
    booking = load(Booking, _with_status(row))
    if not any(map(str.isalnum, booking.irctc_id or "")):  # "-" is how tables say none
        booking = dataclasses.replace(booking, irctc_id=None)
    if not _is_pnr(booking.pnr):
        raise BadMessage("pnr is 5 to 16 letters and digits, with a digit among them")
    if booking.waits and booking.number is not None and booking.number < 1:
        raise BadMessage("number is the place on RAC or WL, from 1")
    if booking.waiting_kind is not None and not _WAITING_KIND.fullmatch(booking.waiting_kind):
        raise BadMessage("waitingKind is two letters, like GN")
    if not 1 <= booking.index <= MOST_ON_A_PNR:
        raise BadMessage(f"index counts the people on a PNR, from 1 to {MOST_ON_A_PNR}")
    return booking


def _with_status(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the kind of waiting list and the number out of a status like RLWL or RAC 5."""
    status = normal.code(row.get("status"))
    found = _WAITS.fullmatch(status) if isinstance(status, str) else None
    if found is None:
        return {**row, "status": "CNF"} if status in ("CNF", "CONFIRMED") else row
    read = {**row, "status": "RAC" if found["wl"] is None else "WL"}
    if found["kind"] is not None:
        read["waitingKind"] = row.get("waitingKind") or found["kind"]
    if found["number"] is not None:
        read["number"] = int(found["number"])
        if row.get("number") not in (None, read["number"]):
            raise BadMessage("status has another number than number: give the number once")
    return read


def _seat(booking: Booking, indexes: Mapping[str, int], occupancy: Occupancy) -> None:
    """Check the journey and the berth, and occupy the berth."""
    check_journey(booking, indexes, occupancy)
    if booking.coach is None or booking.berth is None:
        return
    berth, half = berth_key(booking.coach, booking.berth), booking.status is BookingStatus.RAC
    mask = segments(indexes[booking.from_], indexes[booking.to])
    if not occupancy.has_room(berth, mask, half=half):
        raise no_room(berth, occupancy, indexes[booking.from_])
    occupancy.occupy(berth, booking.person, mask, half=half)


def with_stops(booking: Booking, indexes: Mapping[str, int]) -> Booking:
    """Return the booking with the stops that its stations mean, where a train calls at one twice.

    `indexes` has the codes of the stops. From before to decides as far as it can.
    Raises BadMessage if several stops may be meant.
    """
    starts, ends = (_stops_at(code, indexes) for code in (booking.from_, booking.to))
    last, first = MOST_STATIONS, -1  # of unknown stations, which check_journey refuses
    ways = [(a, b) for a in starts for b in ends if indexes.get(a, last) < indexes.get(b, first)]
    for place, name in enumerate(("from", "to")):
        choice = sorted({way[place] for way in ways}, key=lambda code: indexes[code])
        if len(choice) > 1:
            raise BadMessage(
                f"{name}: the train calls there more than once: give {' or '.join(choice)}"
            )
    if not ways:
        ways = [(starts[-1], ends[0])]  # likewise
    return dataclasses.replace(booking, from_=ways[0][0], to=ways[0][1])


def _stops_at(code: str, indexes: Mapping[str, int]) -> list[str]:
    """Return the stops that a code may mean; the code itself if the train does not have it."""
    if code in indexes:
        return [code]
    return [stop for stop in indexes if stop.rpartition("@")[0] == code] or [code]


def no_room(berth: BerthKey, occupancy: Occupancy, start: int) -> BadMessage:
    """Return the error that a berth cannot be a passenger's from segment `start` on."""
    blocked = occupancy.blocked(berth, start) is not None
    why = "blocked" if blocked else "taken on that part of the way"
    return BadMessage(f"berth {berth} is {why}: give another berth")


def check_journey(booking: Booking, indexes: Mapping[str, int], occupancy: Occupancy) -> None:
    """Raise BadMessage unless the train has the journey and the berth, taken or not."""
    for name, code in (("from", booking.from_), ("to", booking.to)):
        if code not in indexes:
            raise BadMessage(f"{name}: the train has no {_code('station', code)}")
    if indexes[booking.to] <= indexes[booking.from_]:
        raise BadMessage("to does not come after from: give stations in running order")
    if booking.coach is None or booking.berth is None:
        if booking.status is BookingStatus.CNF:
            raise BadMessage(
                "a confirmed passenger needs a coach and a berth; a child without one is NOSB"
            )
        if booking.coach is not None or booking.berth is not None:
            raise BadMessage("coach and berth go together: give both or neither")
        return
    if booking.status is BookingStatus.WL:
        raise BadMessage("a passenger on the waiting list has no berth: leave out coach and berth")
    if booking.status is BookingStatus.NOSB:
        raise BadMessage("a child without a berth (NOSB) has none: leave out coach and berth")
    berth = berth_key(booking.coach, booking.berth)
    if berth not in occupancy.types:
        raise BadMessage(
            f"there is no {_code('coach', booking.coach)} with a berth {booking.berth}"
        )
    class_ = occupancy.classes[berth]
    upgraded = booking.status is BookingStatus.CNF and is_upgrade(booking.class_, class_)
    if class_ != booking.class_ and not upgraded:
        raise BadMessage(f"berth {berth} is of class {class_}: give that class, or one below it")
    if booking.status is BookingStatus.RAC and berth not in occupancy.shared:
        raise BadMessage(
            f"berth {berth} is not a side lower: RAC passengers share a side lower, or a berth "
            "that the coach names in rac"
        )


def _code(kind: str, text: str) -> str:
    """Name a code of a line. Other texts stay unnamed: reasons are logged, people's data is not."""
    return f"{kind} {text}" if _COACH.fullmatch(text) else f"such {kind}"
