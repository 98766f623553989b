"""trainhub/demo/timetable.py: timetables are checked, and every made-up chart keeps the rules."""

import gzip
import json
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date, timedelta
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from timetables import made_up_trains

from trainhub.demo.timetable import DEMO_TIMETABLE, TimetableError, make_chart, read_timetable

Chart = dict[str, Any]

REPO = Path(__file__).resolve().parents[2]
DAY = date(2026, 11, 23)
TRAINS = {train["trainNo"]: train for train in read_timetable(DEMO_TIMETABLE)}
LAYOUTS = {"SL": 72, "3A": 64, "2A": 46}
# A failure prints the three arguments, which make the chart again.
RUNS = given(
    train_no=st.sampled_from(sorted(TRAINS)), seed=st.integers(), passengers=st.integers(1, 1_700)
)
SMALLEST = example(train_no="12345", seed=1, passengers=1)
LARGEST = example(train_no="12345", seed=1, passengers=1_700)
MANY = settings(max_examples=40, deadline=None)


def chart_of(train_no: str, seed: int, passengers: int, day: date = DAY) -> Chart:
    return make_chart(TRAINS[train_no], day, seed=seed, passengers=passengers)


@pytest.fixture(scope="module")
def full_chart() -> Chart:
    return chart_of("12345", seed=7, passengers=1_700)


def is_side_lower(person: dict[str, Any]) -> bool:
    number: int = person["berth"]
    return number % 6 == 5 if person["class"] == "2A" else number % 8 == 7


def berth(person: dict[str, Any]) -> tuple[str, int]:
    return person["coach"], person["berth"]


def holders(chart: Chart) -> dict[tuple[tuple[str, int], int], list[str]]:
    """Return the statuses of the holders of each berth on each segment."""
    place = {station["code"]: index for index, station in enumerate(chart["stations"])}
    held = defaultdict(list)
    for person in with_status(chart, "CNF", "RAC"):
        for segment in range(place[person["from"]], place[person["to"]]):
            held[berth(person), segment].append(person["status"])
    return held


def with_status(chart: Chart, *statuses: str) -> list[dict[str, Any]]:
    return [person for person in chart["passengers"] if person["status"] in statuses]


# What decides a chart


def test_same_train_date_and_seed_give_the_identical_chart() -> None:
    """Only train, date, seed and number of passengers decide a chart."""
    twice = [json.dumps(chart_of("12345", seed=7, passengers=300)) for _ in range(2)]
    assert twice[0] == twice[1]


def test_another_process_makes_the_identical_chart() -> None:
    """Python's hash seed, which differs between processes, does not matter."""
    program = (
        "import datetime, json; from trainhub.demo.timetable import *;"
        "train = next(t for t in read_timetable(DEMO_TIMETABLE) if t['trainNo'] == '12345');"
        "day = datetime.date(2026, 11, 23);"
        "print(json.dumps(make_chart(train, day, seed=7, passengers=300)))"
    )
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == chart_of("12345", seed=7, passengers=300)


@pytest.mark.parametrize(
    ("train_no", "seed", "day"),
    [("12301", 7, DAY), ("12345", 8, DAY), ("12345", 7, DAY + timedelta(days=1))],
    ids=["train", "seed", "date"],
)
def test_another_train_seed_or_date_gives_other_people(train_no: str, seed: int, day: date) -> None:
    """The train, the seed and the date each change who travels."""
    one, other = chart_of("12345", 7, 100), chart_of(train_no, seed, 100, day)
    assert [p["name"] for p in one["passengers"]] != [p["name"] for p in other["passengers"]]


def test_making_a_chart_leaves_the_train_as_it_was() -> None:
    """Making a chart does not change the train."""
    before = json.dumps(TRAINS["12345"])
    chart_of("12345", seed=7, passengers=50)["stations"][0]["code"] = "changed"
    assert json.dumps(TRAINS["12345"]) == before


# The shape of a chart


def test_chart_has_the_protocols_fields(full_chart: Chart) -> None:
    """A chart, its stations, coaches and passengers have the fields of charts.md, no more."""
    assert " ".join(full_chart) == (
        "trainNo trainName startDate zone timezone policy stations coaches passengers"
    )
    assert full_chart["startDate"] == "2026-11-23"
    assert (full_chart["timezone"], full_chart["policy"]) == ("Asia/Kolkata", "OFFER")
    fields = {part: " ".join(full_chart[part][0]) for part in ("stations", "coaches", "passengers")}
    assert fields == {
        "stations": "code name arrival departure day distanceKm platform",
        "coaches": "code class berths",
        "passengers": "pnr index irctcId name age gender from to class status number coach berth "
        "phone email",
    }


@SMALLEST
@LARGEST
@RUNS
@MANY
def test_chart_has_as_many_passengers_as_asked(train_no: str, seed: int, passengers: int) -> None:
    """Exactly the asked number of people travel."""
    assert len(chart_of(train_no, seed, passengers)["passengers"]) == passengers


def test_chart_may_be_empty() -> None:
    """A chart without passengers has its coaches."""
    chart = chart_of("12345", seed=7, passengers=0)
    assert (len(chart["coaches"]), chart["passengers"]) == (3, [])


def test_fewer_than_no_passengers_is_an_error() -> None:
    """A negative number of passengers raises ValueError."""
    with pytest.raises(ValueError, match="-1 passengers"):
        chart_of("12345", seed=7, passengers=-1)


@SMALLEST
@LARGEST
@RUNS
@MANY
def test_coaches_are_distinct_and_of_the_class_layout(
    train_no: str, seed: int, passengers: int
) -> None:
    """Every class has a coach, no code stands twice, and berths are those of the ICF layout."""
    coaches = chart_of(train_no, seed, passengers)["coaches"]
    assert {coach["class"]: coach["berths"] for coach in coaches} == LAYOUTS
    assert len({coach["code"] for coach in coaches}) == len(coaches)


@SMALLEST
@LARGEST
@RUNS
@MANY
def test_people_are_well_formed(train_no: str, seed: int, passengers: int) -> None:
    """Ten-digit PNR, a journey forward, a plausible age, and contacts that reach no one."""
    chart = chart_of(train_no, seed, passengers)
    place = {station["code"]: index for index, station in enumerate(chart["stations"])}
    for person in chart["passengers"]:
        assert len(person["pnr"]) == 10
        assert person["pnr"].isdecimal()
        assert place[person["from"]] < place[person["to"]]
        assert 5 <= person["age"] <= 78
        assert person["gender"] in {"F", "M"}
        assert person["phone"].startswith("+91 00000 ")
        assert person["email"].endswith("@example.invalid")


@SMALLEST
@LARGEST
@RUNS
@MANY
def test_a_pnr_is_one_group_of_one_to_six(train_no: str, seed: int, passengers: int) -> None:
    """A PNR's people count from 1 to at most 6 and share journey, class and irctcId."""
    groups = defaultdict(list)
    for person in chart_of(train_no, seed, passengers)["passengers"]:
        groups[person["pnr"]].append(person)
    for group in groups.values():
        assert [person["index"] for person in group] == list(range(1, len(group) + 1))
        assert len(group) <= 6
        for field in ("irctcId", "from", "to", "class"):
            assert len({person[field] for person in group}) == 1
    users = {group[0]["irctcId"] for group in groups.values()}
    assert len(users) == len(groups)
    assert all(user.startswith("IR_") for user in users)


def test_pnrs_differ_over_trains_and_dates() -> None:
    """No PNR and no irctcId comes twice over every demo train, on near and on far dates."""
    days = [DAY + timedelta(days=days) for days in (0, 1, 2, 3, 30, 89, 90, 91, 365, 900)]
    charts = [chart_of(train_no, 7, 200, day) for train_no in TRAINS for day in days]
    for field in ("pnr", "irctcId"):
        runs = Counter(
            chain.from_iterable({p[field] for p in chart["passengers"]} for chart in charts)
        )
        assert runs.most_common(1)[0][1] == 1, field


# Berths


@SMALLEST
@LARGEST
@RUNS
@MANY
def test_no_berth_is_overfull_on_any_segment(train_no: str, seed: int, passengers: int) -> None:
    """On each segment a berth holds one confirmed person, or one or two RAC, never both."""
    held = holders(chart_of(train_no, seed, passengers))
    assert {tuple(statuses) for statuses in held.values()} <= {("CNF",), ("RAC",), ("RAC", "RAC")}


@SMALLEST
@LARGEST
@RUNS
@MANY
def test_places_exist_and_are_of_the_persons_class(
    train_no: str, seed: int, passengers: int
) -> None:
    """CNF and RAC have a berth of the chart in their class, RAC a side lower; WL have none."""
    chart = chart_of(train_no, seed, passengers)
    coaches = {coach["code"]: coach for coach in chart["coaches"]}
    for person in with_status(chart, "CNF", "RAC"):
        coach = coaches[person["coach"]]
        assert coach["class"] == person["class"]
        assert 1 <= person["berth"] <= coach["berths"]
    assert all(is_side_lower(person) for person in with_status(chart, "RAC"))
    assert {berth(person) for person in with_status(chart, "WL")} <= {(None, None)}


@SMALLEST
@LARGEST
@RUNS
@MANY
def test_queue_numbers_have_no_gaps(train_no: str, seed: int, passengers: int) -> None:
    """RAC and WL numbers run from 1 within each class; a confirmed person has none."""
    chart = chart_of(train_no, seed, passengers)
    assert {person["number"] for person in with_status(chart, "CNF")} <= {None}
    numbers = defaultdict(list)
    for person in with_status(chart, "RAC", "WL"):
        numbers[person["class"], person["status"]].append(person["number"])
    for queue in numbers.values():
        assert sorted(queue) == list(range(1, len(queue) + 1))


@SMALLEST
@LARGEST
@RUNS
@MANY
def test_shares_of_status_are_kept(train_no: str, seed: int, passengers: int) -> None:
    """84 % are confirmed, 12 % RAC and 4 % WL, to the nearest person."""
    chart = chart_of(train_no, seed, passengers)
    for status, share in (("CNF", 0.84), ("RAC", 0.12), ("WL", 0.04)):
        assert abs(len(with_status(chart, status)) - share * passengers) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_rac_people_mostly_share(seed: int) -> None:
    """On a full train most RAC berths have two people, and some have one."""
    rac = with_status(chart_of("12345", seed, 1_700), "RAC")
    sizes = Counter(Counter(berth(person) for person in rac).values())
    assert sizes[2] > sizes[1] > 0
    assert set(sizes) == {1, 2}


@pytest.mark.parametrize("seed", range(20))
def test_berths_are_used_again_now_and_then(seed: int) -> None:
    """On a full train some berths, not most, go to another person on a later leg."""
    confirmed = with_status(chart_of("12345", seed, 1_700), "CNF")
    times = Counter(berth(person) for person in confirmed)
    again = sum(1 for uses in times.values() if uses > 1)
    assert 0.02 * len(times) < again < 0.5 * len(times)


# Reading


def a_train(**changes: Any) -> dict[str, Any]:
    """A train of three stations; a key like `stations_1_day` changes one station's field."""
    stations: list[dict[str, Any]] = [
        {"code": "HWH", "arrival": None, "departure": "15:50", "day": 1, "distanceKm": 0},
        {"code": "NJP", "arrival": "23:59", "departure": "00:09", "day": 1, "distanceKm": 562},
        {"code": "GHY", "arrival": "07:30", "departure": None, "day": 2, "distanceKm": 1020},
    ]
    for station in stations:
        station["name"] = station["code"].title()
    train = {"trainNo": "12345", "trainName": "SARAIGHAT", "runsOn": ["mon"], "stations": stations}
    for key, value in changes.items():
        if key.startswith("stations_"):
            _, place, field = key.split("_")
            stations[int(place)][field] = value
        else:
            train[key] = value
    return train


@pytest.mark.parametrize("name", ["timetable.json", "timetable.json.gz"])
def test_plain_and_compressed_files_are_read(tmp_path: Path, name: str) -> None:
    """A .json and a .json.gz file give the trains in the file's order, untouched."""
    trains = [a_train(), a_train(trainNo="12346", extra="kept")]
    text = json.dumps(trains).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert read_timetable(tmp_path / name) == trains


UNREADABLE = {
    "missing": ("none.json", None, "cannot be read: No such file"),
    "empty": ("t.json", b"", "not JSON"),
    "not JSON": ("t.json", b"[{]", "not JSON"),
    "cut short": ("t.json", json.dumps([a_train()]).encode()[:-9], "not JSON"),
    "not UTF-8": ("t.json", b'["\xff"]', "not JSON"),
    "NaN": ("t.json", b"[NaN]", "NaN is no number"),
    "too deep": ("t.json", b"[" * 100_000, "not JSON"),
    "an object": ("t.json", b"{}", "not a JSON array"),
    "not gzip": ("t.json.gz", b"[]", "not a whole gzip file"),
    "gzip cut short": ("t.json.gz", gzip.compress(b"[]")[:-9], "not a whole gzip file"),
    "gzip damaged": ("t.json.gz", gzip.compress(b"[]")[:10] + b"\xff" * 20, "not a whole gzip"),
}


@pytest.mark.parametrize(("name", "content", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_file_gives_one_clear_line(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    """A file that cannot be read or is no JSON array is named, with the reason, in one line."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert one_line(path).startswith(f"{path}: ")
    assert reason in one_line(path)


BROKEN: dict[str, tuple[Any, str]] = {
    "no object": (7, "entry 2: not a JSON object"),
    "no number": (a_train(trainNo=None), "entry 2 (train None): trainNo is None"),
    "number not text": (a_train(trainNo=12346), "trainNo is 12346, not one line of text"),
    "number with blanks": (a_train(trainNo=" 12346 "), "trainNo is ' 12346 '"),
    "number given twice": (a_train(), "entry 2 (train '12345'): the train is in the file twice"),
    "name of two lines": (a_train(trainName="A\nB"), r"trainName is 'A\nB', not one line"),
    "half a surrogate pair": (a_train(trainName="A\ud800B"), r"trainName is 'A\ud800B'"),
    "unknown day": (a_train(runsOn=["mon", "mittwoch"]), "not a list of mon"),
    "no stations": (a_train(stations=None), "stations is not a list of two or more"),
    "one station": (a_train(stations=[{}]), "stations is not a list of two or more"),
    "station no object": (a_train(stations=["HWH", "GHY"]), "station 1: not a JSON object"),
    "no code": (a_train(stations_1_code=""), "station 2: code is ''"),
    "code twice": (a_train(stations_2_code="HWH"), "station 3: the train calls at 'HWH' twice"),
    "arrival at the start": (a_train(stations_0_arrival="15:40"), "station 1: arrival is '15:40'"),
    "departure at the end": (a_train(stations_2_departure="08:00"), "station 3: departure is"),
    "no arrival": (a_train(stations_1_arrival=None), "station 2: arrival is None, not HH:MM"),
    "no such time": (a_train(stations_1_arrival="24:00"), "arrival is '24:00', not HH:MM"),
    "day 0": (a_train(stations_0_day=0), "station 1: day is 0, not a whole number from 1"),
    "day true": (a_train(stations_0_day=True), "station 1: day is True"),
    "day falls": (a_train(stations_1_day=3), "station 3: day falls from 3 to 2"),
    "distance below 0": (a_train(stations_0_distanceKm=-1), "distanceKm is -1, not a number"),
    "distance falls": (a_train(stations_1_distanceKm=2e3), "distanceKm falls from 2000.0 to 1020"),
}


@pytest.mark.parametrize(("entry", "reason"), BROKEN.values(), ids=BROKEN)
def test_broken_entry_gives_one_clear_line(tmp_path: Path, entry: Any, reason: str) -> None:
    """The message about a bad train names the entry and the station by number."""
    path = tmp_path / "timetable.json"
    path.write_text(json.dumps([a_train(), entry]), encoding="utf-8")
    assert one_line(path).startswith(f"{path}: entry 2")
    assert reason in one_line(path)


def test_infinite_distance_is_refused(tmp_path: Path) -> None:
    """A number that JSON reads as infinite is not a distance."""
    path = tmp_path / "timetable.json"
    path.write_text(json.dumps([a_train()]).replace("1020", "1e999"), encoding="utf-8")
    assert "station 3: distanceKm is inf" in one_line(path)


def test_a_zone_is_a_text_if_there_is_one(tmp_path: Path) -> None:
    """A chart has the zone of its train, or null."""
    path = tmp_path / "timetable.json"
    path.write_text(json.dumps([a_train() | {"zone": 7}]), encoding="utf-8")
    assert "zone is 7, not one line of text" in one_line(path)
    for train, zone in ((a_train(), None), (a_train() | {"zone": "NFR"}, "NFR")):
        assert make_chart(train, DAY, seed=1, passengers=1)["zone"] == zone


def one_line(path: Path) -> str:
    with pytest.raises(TimetableError) as caught:
        read_timetable(path)
    text = str(caught.value)
    assert text.isprintable(), text
    assert len(text) < 200 + len(str(path))
    return text


# The timetables themselves


def test_demo_timetable_is_small_and_varied() -> None:
    """The demo has 36 trains, 12345 among them, of 8 to 40 stations, one a line, under 150 KB."""
    text = DEMO_TIMETABLE.read_text(encoding="utf-8")
    assert len(text.encode()) < 150_000
    assert len(text.splitlines()) == 36 + 2
    assert len(TRAINS) == 36
    assert "12345" in TRAINS
    assert all(8 <= len(train["stations"]) <= 40 for train in TRAINS.values())


@pytest.mark.parametrize("train", TRAINS.values(), ids=TRAINS)
def test_demo_train_is_well_formed(train: dict[str, Any]) -> None:
    """Stations are unique, times HH:MM and null at the ends, days and distances never fall."""
    stations = train["stations"]
    assert set(train) == {"trainNo", "trainName", "zone", "runsOn", "stations"}
    assert len({station["code"] for station in stations}) == len(stations)
    assert stations[0]["arrival"] is None
    assert stations[-1]["departure"] is None
    times = [s["arrival"] for s in stations[1:]] + [s["departure"] for s in stations[:-1]]
    for hour, minute in (time.split(":") for time in times):
        assert hour in {f"{number:02}" for number in range(24)}
        assert minute in {f"{number:02}" for number in range(60)}
    assert (stations[0]["day"], stations[0]["distanceKm"]) == (1, 0)
    for here, after in pairwise(stations):
        assert here["distanceKm"] <= after["distanceKm"]
        assert (here["day"], here["departure"]) < (after["day"], after["arrival"])


def test_every_train_of_a_large_timetable_makes_a_chart(tmp_path: Path) -> None:
    """A thousand trains of every shape are read and make a chart that keeps to the berths."""
    path = tmp_path / "timetable.json"
    path.write_text(json.dumps(made_up_trains(1_000)))
    trains = read_timetable(path)
    assert len(trains) == 1_000
    assert max(train["stations"][-1]["day"] for train in trains) > 3
    for train in trains:
        chart = make_chart(train, DAY, seed=7, passengers=20)
        assert len(chart["passengers"]) == 20
        statuses = {tuple(statuses) for statuses in holders(chart).values()}
        assert statuses <= {("CNF",), ("RAC",), ("RAC", "RAC")}, train["trainNo"]
