"""Timetables, and charts made from them for the demo, the tests and the benchmarks.

A timetable file is a JSON array of trains. A chart is one run of one train. A seeded generator
makes up its passengers: no person in a chart is real.
"""

import gzip
import json
import math
import re
import reprlib
import zlib
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

DEMO_TIMETABLE = Path(__file__).with_name("timetable.json")


class TimetableError(Exception):
    """A timetable file cannot be used. The message is one line that says where and why."""


# Reading


def read_timetable(path: Path) -> list[dict[str, Any]]:
    """Read the trains of a .json or .json.gz file, unchanged and in the file's order.

    A train is {trainNo, trainName, runsOn, stations: [{code, name, arrival, departure, day,
    distanceKm}]}: times "HH:MM" or null at the ends, day from 1, distance in km from the start. It
    may have the railway's `zone`, and other fields are allowed. Raises TimetableError at the first
    fault, with the entry's number from 1.
    """
    trains = _load(path)
    seen: set[str] = set()
    for place, train in enumerate(trains, 1):
        try:
            _check_train(train)
            if train["trainNo"] in seen:
                raise TimetableError("the train is in the file twice")
        except TimetableError as fault:
            raise TimetableError(f"{path}: entry {place}{_named(train)}: {fault}") from None
        seen.add(train["trainNo"])
    return trains


def _load(path: Path) -> list[Any]:
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        content = json.loads(data, parse_constant=_refuse_constant)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TimetableError(f"{path}: not a whole gzip file: {error}") from error
    except OSError as error:
        raise TimetableError(f"{path}: cannot be read: {error.strerror}") from error
    # RecursionError is how json reports brackets nested beyond any real timetable.
    except (ValueError, RecursionError) as error:
        raise TimetableError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, list):
        raise TimetableError(f"{path}: not a JSON array of trains")
    return content


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _named(train: Any) -> str:
    known = isinstance(train, dict) and "trainNo" in train
    return f" (train {reprlib.repr(train['trainNo'])})" if known else ""


_DAYS = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
# No blank at either end: " 12345 " would be a second name of train 12345. No lone surrogate: JSON
# allows it, and UTF-8 cannot encode it.
_TEXT = re.compile(r"(?!\s)[^\x00-\x1f\ud800-\udfff]+(?<!\s)")


def _check_train(train: Any) -> None:
    if not isinstance(train, dict):
        raise TimetableError("not a JSON object")
    _check_text(train, "trainNo", "trainName", *(("zone",) if "zone" in train else ()))
    runs_on = train.get("runsOn")
    if not isinstance(runs_on, list) or not all(day in _DAYS for day in map(str, runs_on)):
        raise TimetableError(f"runsOn is {reprlib.repr(runs_on)}, not a list of mon … sun")
    stations = train.get("stations")
    if not isinstance(stations, list) or len(stations) < 2:
        raise TimetableError("stations is not a list of two or more")
    for place, station in enumerate(stations, 1):
        try:
            _check_station(station, first=place == 1, last=place == len(stations))
        except TimetableError as fault:
            raise TimetableError(f"station {place}: {fault}") from None
    _check_order(stations)


def _check_text(entry: dict[str, Any], *fields: str) -> None:
    for field in fields:
        value = entry.get(field)
        if not isinstance(value, str) or not _TEXT.fullmatch(value):
            raise TimetableError(f"{field} is {reprlib.repr(value)}, not one line of text")


def _check_station(station: Any, *, first: bool, last: bool) -> None:
    if not isinstance(station, dict):
        raise TimetableError("not a JSON object")
    _check_text(station, "code", "name")
    _check_time(station, "arrival", absent=first)
    _check_time(station, "departure", absent=last)
    day: Any = station.get("day")
    if not _is_number(day, int) or day < 1:
        raise TimetableError(f"day is {reprlib.repr(day)}, not a whole number from 1")
    distance: Any = station.get("distanceKm")
    if not _is_number(distance, int, float) or not 0 <= distance < math.inf:
        raise TimetableError(f"distanceKm is {reprlib.repr(distance)}, not a number from 0")


def _is_number(value: Any, *kinds: type) -> bool:
    # In Python true and false are ints.
    return isinstance(value, kinds) and not isinstance(value, bool)


def _check_time(station: dict[str, Any], field: str, *, absent: bool) -> None:
    value = station.get(field)
    if absent:
        if value is not None:
            raise TimetableError(f"{field} is {reprlib.repr(value)}, not null at an end of the run")
    elif not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise TimetableError(f"{field} is {reprlib.repr(value)}, not HH:MM")


def _check_order(stations: list[dict[str, Any]]) -> None:
    codes: set[str] = set()
    day, distance = 1, 0
    for place, station in enumerate(stations, 1):
        if station["code"] in codes:
            code = reprlib.repr(station["code"])
            raise TimetableError(f"station {place}: the train calls at {code} twice")
        for field, before in (("day", day), ("distanceKm", distance)):
            if station[field] < before:
                raise TimetableError(
                    f"station {place}: {field} falls from {before} to {station[field]}"
                )
        codes.add(station["code"])
        day, distance = station["day"], station["distanceKm"]


# Making a chart


class _CoachClass(NamedTuple):
    """A class of travel in ICF coaches: each bay repeats the berths and has one side lower."""

    code: str
    prefix: str
    berths: int
    bay: int
    side_lower: int
    share: int  # of 100 groups

    def side_lowers(self) -> range:
        return range(self.side_lower, self.berths + 1, self.bay)


_CLASSES = (
    _CoachClass("SL", "S", 72, 8, 7, 60),
    _CoachClass("3A", "B", 64, 8, 7, 28),
    _CoachClass("2A", "A", 46, 6, 5, 12),
)
_CLASS_SHARES = [travel.share for travel in _CLASSES]
_GROUP_SIZES = range(1, 7)  # people who book together
_GROUP_SHARES = (34, 30, 14, 12, 6, 4)  # of 100 groups
_RAC_SHARE = 0.12  # of all people
_WL_SHARE = 0.04  # of all people
_RAC_ALONE = 0.15  # of the side lowers for RAC
_REUSE = 0.3  # of the confirmed people: a used berth is tried first
_REUSE_TRIES = 6  # berths that are tried for one of them


class _Booking(NamedTuple):
    """One person: the chart's fields, in which the berth is filled in later, and the segments."""

    passenger: dict[str, Any]
    travel: _CoachClass
    segments: int  # a bit for each


def make_chart(
    train: Mapping[str, Any], start_date: date, *, seed: int, passengers: int
) -> dict[str, Any]:
    """Make the chart (docs/reference/charts.md) of one run of a train from `read_timetable`.

    Equal arguments make equal charts. Raises ValueError if `passengers` is negative.
    """
    if passengers < 0:
        raise ValueError(f"a chart cannot have {passengers} passengers")
    # Random hashes a str itself, so the chart is the same in every process.
    rng = Random(f"{train['trainNo']}/{start_date.isoformat()}/{seed}")
    stations = [_station(station, rng) for station in train["stations"]]
    ids = ticket_ids(train["trainNo"], start_date)
    bookings = _book(rng, [station["code"] for station in stations], ids, passengers)
    coaches = [coach for travel in _CLASSES for coach in _seat(rng, travel, bookings)]
    return {
        "trainNo": train["trainNo"],
        "trainName": train["trainName"],
        "startDate": start_date.isoformat(),
        "zone": train.get("zone"),
        "timezone": "Asia/Kolkata",
        "policy": "OFFER",
        "stations": stations,
        "coaches": coaches,
        "passengers": [booking.passenger for booking in bookings],
    }


def _station(station: Mapping[str, Any], rng: Random) -> dict[str, Any]:
    fields = ("code", "name", "arrival", "departure", "day", "distanceKm")
    return {field: station[field] for field in fields} | {"platform": str(rng.randint(1, 8))}


# (train, day, serial) in mixed base is a ticket number, and a PNR is the ticket number times a
# factor. The bases (100,000 train numbers, the days, the serials) multiply to _PNR_COUNT. The
# factors share no divisor with _PNR_COUNT, so within _PNR_DAYS no PNR and no irctcId repeats. Each
# period of _PNR_DAYS is shifted by _PNR_SHIFT, so its PNRs differ from those of the one before.
_PNR_COUNT = 9_000_000_000
_PNR_DAYS = 90
_PNR_SERIALS = 1_000  # groups in a run: 1,700 people are about 720
_PNR_FACTOR = 5_562_305_899
_PNR_SHIFT = 3_141_592_653
_USER_FACTOR = 3_819_660_113


def ticket_ids(train_no: str, start_date: date, serial: int = 0) -> Iterator[tuple[str, str]]:
    """Yield a PNR and an irctcId for each group from the ticket `serial` on.

    The irctcId does not show the PNR.
    """
    number = int(train_no) if train_no.isdecimal() else zlib.crc32(train_no.encode())
    period, day = divmod(start_date.toordinal(), _PNR_DAYS)
    first = (number * _PNR_DAYS + day) * _PNR_SERIALS + period * _PNR_SHIFT
    for ticket in count(first + serial):
        pnr = 1_000_000_000 + ticket * _PNR_FACTOR % _PNR_COUNT
        yield str(pnr), f"IR_{ticket * _USER_FACTOR % _PNR_COUNT:09x}"


def _book(
    rng: Random, codes: list[str], ids: Iterator[tuple[str, str]], total: int
) -> list[_Booking]:
    """Make the bookings in order: the last people get RAC and WL, which may split a group."""
    wl = round(total * _WL_SHARE)
    rac = round(total * _RAC_SHARE)
    statuses = iter(["CNF"] * (total - rac - wl) + ["RAC"] * rac + ["WL"] * wl)
    bookings: list[_Booking] = []
    while len(bookings) < total:
        size = rng.choices(_GROUP_SIZES, _GROUP_SHARES)[0]
        size = min(size, total - len(bookings))
        bookings += _group(rng, codes, next(ids), [next(statuses) for _ in range(size)])
    return bookings


def _group(
    rng: Random, codes: list[str], ids: tuple[str, str], statuses: list[str]
) -> list[_Booking]:
    pnr, user = ids
    travel = rng.choices(_CLASSES, _CLASS_SHARES)[0]
    start, end = _journey(rng, len(codes))
    surname = rng.choice(_SURNAMES)
    phone = f"+91 00000 {rng.randrange(100_000):05d}"
    return [
        _Booking(
            {"pnr": pnr, "index": index, "irctcId": user}
            | _person(rng, surname, youngest=18 if index == 1 else 5)
            | {"from": codes[start], "to": codes[end], "class": travel.code}
            | {"status": status, "number": None, "coach": None, "berth": None}
            | {"phone": phone, "email": f"{user.lower()}@example.invalid"},
            travel,
            (1 << end) - (1 << start),
        )
        for index, status in enumerate(statuses, 1)
    ]


def _journey(rng: Random, stations: int) -> tuple[int, int]:
    """Return from and to as indexes. The squares make most people travel most of the way."""
    last = stations - 1
    start = int(last * rng.random() ** 2)
    return start, last - int((last - start) * rng.random() ** 2)


def _person(rng: Random, surname: str, *, youngest: int) -> dict[str, Any]:
    gender = rng.choice("FM")
    name = f"{rng.choice(_FIRST_NAMES[gender])} {surname}"
    return {"name": name, "age": rng.randint(youngest, 78), "gender": gender}


def _seat(rng: Random, travel: _CoachClass, bookings: list[_Booking]) -> list[dict[str, Any]]:
    """Give the people of one class numbers and berths, and return the coaches."""
    confirmed, rac, waiting = (
        [b for b in bookings if b.travel is travel and b.passenger["status"] == status]
        for status in ("CNF", "RAC", "WL")
    )
    for queue in (rac, waiting):
        for number, booking in enumerate(queue, 1):
            booking.passenger["number"] = number
    shared = _share_out(rng, rac)
    coaches = _coaches(travel, len(confirmed) + len(shared), len(shared))
    sides = rng.sample([(c, b) for c in coaches for b in travel.side_lowers()], len(shared))
    for berth, people in zip(sides, shared, strict=True):
        for booking in people:
            _assign(booking, berth)
    taken = set(sides)
    every = ((c, b) for c in coaches for b in range(1, travel.berths + 1))
    _seat_confirmed(rng, (berth for berth in every if berth not in taken), confirmed)
    return [{"code": c, "class": travel.code, "berths": travel.berths} for c in coaches]


def _share_out(rng: Random, people: list[_Booking]) -> list[list[_Booking]]:
    """Return the RAC people by side lower: two to each, sometimes one."""
    shared = []
    start = 0
    while start < len(people):
        end = start + (1 if rng.random() < _RAC_ALONE else 2)
        shared.append(people[start:end])
        start = end
    return shared


def _coaches(travel: _CoachClass, berths: int, side_lowers: int) -> list[str]:
    """Return the codes of the coaches needed for these berths and side lowers."""
    by_berths = math.ceil(berths / travel.berths)
    by_side_lowers = math.ceil(side_lowers / len(travel.side_lowers()))
    number = max(1, by_berths, by_side_lowers)
    return [f"{travel.prefix}{place}" for place in range(1, number + 1)]


def _seat_confirmed(rng: Random, fresh: Iterator[tuple[str, int]], people: list[_Booking]) -> None:
    """Give each person a fresh berth, or sometimes a used berth that is free on the way."""
    held: dict[tuple[str, int], int] = {}
    opened: list[tuple[str, int]] = []
    for booking in people:
        berth = None
        if opened and rng.random() < _REUSE:
            tries = rng.choices(opened, k=_REUSE_TRIES)
            berth = next((b for b in tries if not held[b] & booking.segments), None)
        if berth is None:
            berth = next(fresh)
            opened.append(berth)
        held[berth] = held.get(berth, 0) | booking.segments
        _assign(booking, berth)


def _assign(booking: _Booking, berth: tuple[str, int]) -> None:
    booking.passenger["coach"], booking.passenger["berth"] = berth


_FEMALE_NAMES = """
    Aditi Amina Anjali Ayesha Bhavna Chitra Deepa Divya Farida Gauri Harpreet Indira Ishita Jaya
    Kavita Lakshmi Madhuri Mary Meena Nandini Neha Padma Pallavi Pooja Radha Rekha Ritu Sakina
    Sangeeta Shanti Simran Sunita Tara Uma Usha Vidya
"""
_MALE_NAMES = """
    Abdul Ajay Amit Anand Arjun Ashok Balwinder Bhaskar Biju Debashis Dinesh Farhan Ganesh Girish
    Gurpreet Harish Imran Jatin John Karthik Kiran Mahesh Manoj Mohan Naveen Nikhil Prakash Rahul
    Rajesh Ramesh Sanjay Suresh Tenzin Vijay Vikram Yusuf
"""
_FAMILY_NAMES = """
    Agarwal Ahmed Banerjee Baruah Bhat Bora Chatterjee Chauhan Das Deka Deshmukh Dutta Fernandes
    Ghosh Gill Gogoi Gupta Iyer Jadhav Jain Joshi Khan Kulkarni Kumar Mahato Mehta Menon Mishra
    Mukherjee Murmu Naidu Nair Pandey Patel Patil Pillai Prasad Qureshi Rao Rathore Reddy Roy Sahu
    Sen Shah Sharma Shetty Siddiqui Singh Sinha Thomas Tiwari Varghese Verma Yadav
"""
_FIRST_NAMES = {"F": _FEMALE_NAMES.split(), "M": _MALE_NAMES.split()}
_SURNAMES = _FAMILY_NAMES.split()
