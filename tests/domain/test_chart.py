"""trainhub/domain/chart.py: charts that are refused, lines that are left out, charts that load."""

import contextlib
import csv
import io
from collections import Counter
from datetime import date, datetime
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from railway import PEOPLE, RUN, STATIONS, chart, largest_chart, person, rac, station
from timetables import made_up_trains

from trainhub.core.errors import BadMessage
from trainhub.demo.timetable import DEMO_TIMETABLE, make_chart, read_timetable
from trainhub.domain.chart import read_chart
from trainhub.domain.commands import RegisterTrain, Rejected
from trainhub.domain.fields import MOST_PASSENGERS
from trainhub.domain.model import Boarding, Policy
from trainhub.domain.train import TrainState
from trainhub.domain.views import figures

TRAINS = [*read_timetable(DEMO_TIMETABLE), *made_up_trains(300)]
OFTEN = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # no limit of time: the machine may be busy
)


def without(row, *names):
    return {name: value for name, value in row.items() if name not in names}


def no_berth(who, **fields):
    """A passenger on the waiting list, unless `fields` change that."""
    return person(who, **{"status": "WL", "number": 1, "coach": None, "berth": None, **fields})


def registered(data):
    """The run's state after the chart is registered."""
    checked, *_ = read_chart(data)
    state = TrainState(checked.run)
    command = RegisterTrain(train_no=checked.train_no, chart=checked)
    now = datetime.fromisoformat("2026-11-23T08:00:00+05:30")
    for event in state.decide(command, now):
        state.evolve(event)
    return state


# --- one passenger's faults --------------------------------------------------------------------

FAULTS = {
    # name: (the faulty line, the reason's text)
    "unknown from": (person(9, "ZZZ"), "from: the train has no station ZZZ"),
    "unknown to": (person(9, "AAA", "ZZZ"), "to: the train has no station ZZZ"),
    "no code": (person(9, "a-a"), "from: the train has no such station"),
    "to is from": (person(9, "CCC", "CCC"), "to does not come after from"),
    "to before from": (person(9, "DDD", "BBB"), "to does not come after from"),
    "no such berth": (person(9, berth=73), "there is no coach S1 with a berth 73"),
    "berth 0": (person(9, berth=0), "there is no coach S1 with a berth 0"),
    "no such coach": (person(9, coach="S9"), "there is no coach S9 with a berth 9"),
    "berth taken": (person(9, berth=1), "berth S1-1 is taken on that part of the way"),
    "berth taken in part": (person(9, "DDD", berth=1), "berth S1-1 is taken"),
    "side lower taken by two": (rac(9, 3), "berth S1-7 is taken"),
    "confirmed on RAC's berth": (person(9, "DDD", "EEE", berth=7), "berth S1-7 is taken"),
    "RAC on a confirmed's berth": (
        {**rac(9, 3), "berth": 15},
        "berth S1-15 is taken on that part of the way",
    ),
    "twice there": (person(1, berth=9), "person 1 of the PNR is there twice: keep one"),
    "4 digits": (person(9, pnr="4512"), "pnr is 5 to 16 letters and digits"),
    "17 digits": (person(9, pnr="45123456091234567"), "pnr is 5 to 16 letters and digits"),
    "a name": (person(9, pnr="ASHARAO"), "pnr is 5 to 16 letters and digits, with a digit"),
    "other digits": (person(9, pnr="451234560\u0669"), "pnr is 5 to 16 letters and digits"),
    "blank inside": (person(9, pnr="45123 45609"), "pnr is 5 to 16 letters and digits"),
    "a short number": (person(9, pnr=4512), "pnr is 5 to 16 letters and digits"),
    "index 0": (person(9, index=0), "index counts the people on a PNR, from 1 to 6"),
    "a seventh": (person(9, index=7), "index counts the people on a PNR, from 1 to 6"),
    "CNF, no berth": (person(9, berth=None), "a confirmed passenger needs a coach and a berth"),
    "CNF, no coach": (person(9, coach=None), "a confirmed passenger needs a coach and a berth"),
    "RAC, no berth": ({**rac(9, 3), "berth": None}, "coach and berth go together"),
    "RAC, no coach": ({**rac(9, 3), "coach": None}, "coach and berth go together"),
    "WL, a coach": (no_berth(9, coach="S1"), "coach and berth go together"),
    "WL, a berth": (no_berth(9, coach="S1", berth=9), "on the waiting list has no berth"),
    "another class": (
        person(9, **{"class": "3A"}),
        "berth S1-9 is of class SL: give that class, or",
    ),
    "NOSB, a berth": (person(9, status="NOSB"), "a child without a berth (NOSB) has none"),
    "RAC in another class": ({**rac(9, 3), "class": "2S"}, "S1-7 is of class SL: give that"),
    "RAC 0": (rac(9, 0), "number is the place on RAC or WL, from 1"),
    "RAC -3": (rac(9, -3), "number is the place on RAC or WL, from 1"),
    "WL 0": (no_berth(9, number=0), "number is the place on RAC or WL, from 1"),
    "RAC on a lower": ({**rac(9, 3), "berth": 9}, "S1-9 is not a side lower: RAC passengers"),
    "no object": ("4512345609", "a passenger is an object with pnr, index"),
    "null": (None, "a passenger is an object with pnr, index"),
    "a list": ([], "a passenger is an object with pnr, index"),
    "no name": (without(person(9), "name"), "name is missing"),
    "no PNR": (without(person(9), "pnr"), "pnr is missing"),
    "null PNR": (person(9, pnr=None), "pnr is a text that is not empty, not null"),
    "half a surrogate": (person(9, pnr="\ud800"), "pnr holds half of a surrogate pair"),
    "blank name": (person(9, name=" "), "name is missing"),
    "no such status": (person(9, status="REGRET"), "status is one of CNF, RAC, WL"),
    "true for one": (person(9, index=True), "index is a whole number, not true or false"),
    "a float": (person(9, age=34.5), "age is a whole number, not a fraction"),
}
SOUND = (person(1), rac(10, 1), person(15, berth=15), rac(11, 2), person(2))


@pytest.mark.parametrize(("row", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_line_is_left_out_and_the_others_load(row, reason):
    """A faulty line is reported with its number and reason, and the other lines load."""
    checked, rejected, _ = read_chart(chart(*SOUND[:4], row, *SOUND[4:]))
    assert [booking.irctc_id for booking in checked.passengers] == [
        each["irctcId"] for each in SOUND
    ]
    (fault,) = rejected
    assert fault.line == 5
    assert reason in fault.reason


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (person(1, "ZZZ"), "4512345601"),
        (person(1, "ZZZ", pnr=4512345601), "4512345601"),
        (person(1, pnr="1" * 30), "1" * 20),
        (without(person(1), "pnr"), ""),
        (person(1, pnr=None), ""),
        (person(1, "ZZZ", pnr="x7k2p9"), "X7K2P9"),
        (person(1, "ZZZ", pnr="ASHARAO"), ""),
        (None, ""),
    ],
)
def test_a_rejected_line_names_its_pnr_if_it_has_one(row, shown):
    """A rejected line is reported with its PNR."""
    _, (fault,), _ = read_chart(chart(row))
    assert fault.pnr == shown


def test_a_rejected_line_can_be_answered():
    """The line, PNR and reason of a rejected line are valid Unicode, so an answer can have them."""
    _, (fault,), _ = read_chart(chart(person(1, pnr="\ud800")))
    fault.pnr.encode()
    fault.reason.encode()


def test_every_fault_is_counted():
    """A chart with a fault on every line loads without passengers, and all reasons are reported."""
    rows = [row for row, _ in FAULTS.values() if row != FAULTS["twice there"][0]]
    checked, rejected, _ = read_chart(chart(person(1), *rows[:4], rows[5]))
    assert len(checked.passengers) == 1
    assert [fault.line for fault in rejected] == [2, 3, 4, 5, 6]


def test_a_person_left_out_may_come_again():
    """A person whose line was rejected may be on a later line."""
    checked, rejected, _ = read_chart(chart(person(1, "ZZZ"), person(1)))
    assert len(checked.passengers) == 1
    assert [fault.line for fault in rejected] == [1]


@pytest.mark.parametrize(
    ("given", "pnr"),
    [
        ("4512345678", "4512345678"),
        (4512345678, "4512345678"),
        ("45123", "45123"),
        ("4512345678901234", "4512345678901234"),
        (" x7k2p9 ", "X7K2P9"),
    ],
)
def test_a_pnr_has_letters_and_digits(given, pnr):
    """A PNR has 5 to 16 letters and digits, in capitals, in JSON as a text or a number."""
    checked, rejected, _ = read_chart(chart(person(1, pnr=given)))
    assert not rejected
    assert checked.passengers[0].pnr == pnr


def test_six_people_may_be_on_a_pnr():
    """A PNR has at most 6 people."""
    people = [person(n, pnr="4512345678", index=n) for n in range(1, 7)]
    checked, rejected, _ = read_chart(chart(*people))
    assert not rejected
    assert len({booking.person for booking in checked.passengers}) == 6


def test_two_on_rac_share_a_side_lower_and_a_third_is_refused():
    """Three people of a PNR do not fit one side lower."""
    people = [{**rac(n, n), "pnr": "4512345678", "index": n} for n in (1, 2, 3)]
    checked, rejected, _ = read_chart(chart(*people))
    assert [booking.index for booking in checked.passengers] == [1, 2]
    assert rejected == (
        Rejected(
            line=3,
            pnr="4512345678",
            reason="berth S1-7 is taken on that part of the way: give another berth",
        ),
    )


def test_a_side_lower_is_shared_by_legs():
    """Four RAC passengers fit a side lower if two alight where the other two board."""
    people = [rac(1, 1, "AAA", "CCC"), rac(2, 2, "AAA", "BBB"), rac(3, 3, "BBB", "CCC")]
    checked, rejected, _ = read_chart(chart(*people, rac(4, 4, "CCC"), person(5, "CCC", berth=7)))
    assert len(checked.passengers) == 4
    assert [fault.line for fault in rejected] == [5]


def test_a_berth_serves_journeys_that_meet():
    """One berth has the journeys 0-2 and 2-4."""
    checked, rejected, _ = read_chart(chart(person(1, "AAA", "CCC"), person(2, "CCC", berth=1)))
    assert len(checked.passengers) == 2
    assert not rejected


def test_rac_and_wl_may_be_without_a_berth():
    """Only a confirmed passenger needs a berth."""
    checked, rejected, _ = read_chart(chart(no_berth(1), no_berth(2, status="RAC", number=2)))
    assert [booking.berth for booking in checked.passengers] == [None, None]
    assert not rejected


LINES = st.lists(
    st.tuples(
        st.sampled_from(["CNF", "RAC", "RAC"]),
        st.sampled_from([1, 7, 7, 15]),
        st.integers(0, 4),
        st.integers(0, 4),
        st.integers(1, 3),
    ),
    max_size=12,
)


@given(LINES)
@settings(OFTEN, max_examples=100)
def test_whatever_the_lines_no_berth_is_overbooked(lines):
    """Of lines that clash, those load that find room, in the chart's order."""
    people, loaded, legs, known = [], [], Counter(), set()
    for number, (status, berth, start, end, index) in enumerate(lines, start=1):
        stations = {"start": STATIONS[start], "end": STATIONS[end]}
        fields = {"pnr": f"45123456{number // 2:02}", "index": index, "berth": berth}
        people.append(person(number, **stations, **fields, status=status))
        share = 1 if status == "RAC" else 2
        fits = all(legs[berth, leg] + share <= 2 for leg in range(start, end))
        right = end > start and (status == "CNF" or berth in (7, 15))
        if fits and right and (number // 2, index) not in known:
            known.add((number // 2, index))
            legs.update({(berth, leg): share for leg in range(start, end)})
            loaded.append(number)
    checked, rejected, _ = read_chart({**chart(), "passengers": people})
    assert [int(booking.irctc_id[3:]) for booking in checked.passengers] == loaded
    assert {fault.line for fault in rejected} == set(range(1, len(lines) + 1)) - set(loaded)


# --- CSV ---------------------------------------------------------------------------------------

HEADER = list(person(1))


def table(*people, header=HEADER):
    """The people as a CSV text."""
    out = io.StringIO()
    writer = csv.DictWriter(out, header, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(people)
    return out.getvalue()


def with_csv(text):
    return read_chart(chart(passengers=text))


PLAIN_PEOPLE = (person(1, age=34), person(2, gender="F", phone="+91 00000 00001"))


def test_csv_gives_what_the_list_gives():
    """CSV with the field names as its header loads like a list."""
    header = [*HEADER, "number", "age", "gender", "phone"]
    people = [*PEOPLE, person(30, age=34, gender="F", phone="+91 00000 00001")]
    assert with_csv(table(*people, header=header)) == read_chart(chart(*people))


def test_a_byte_order_mark_is_no_part_of_the_header():
    """A byte order mark before the header is ignored."""
    assert with_csv("\ufeff" + table(*PLAIN_PEOPLE)) == with_csv(table(*PLAIN_PEOPLE))


def test_blanks_and_the_order_of_columns_do_not_matter():
    """Blanks around cells are ignored, an empty cell is no value, and columns have any order."""
    text = table(*PLAIN_PEOPLE, header=HEADER[::-1]).replace(",", " , ").replace("\r\n", "\n")
    head, rest = text.split("\n", 1)
    assert with_csv(f"{head.replace(' ', '')}\n{rest}") == with_csv(table(*PLAIN_PEOPLE))


def test_a_quoted_cell_may_hold_commas_quotes_and_lines():
    """A quoted cell may have commas, quotes and line ends."""
    name = 'Sen, "Bo"\nJr'
    checked, rejected, _ = with_csv(table(person(1, name=name)))
    assert not rejected
    assert checked.passengers[0].name == name


LINE = "the line has"


def test_a_csv_fault_has_its_line_in_the_text():
    """A fault in CSV has the number of its line in the text. The header is line 1."""
    lines = table(person(1), person(2, "ZZZ"), person(3), person(4), person(5)).splitlines()
    lines[3] = lines[3].rpartition(",")[0]
    lines[4] += ",one,more"
    checked, rejected, _ = with_csv("\n".join(lines))
    assert [booking.irctc_id for booking in checked.passengers] == ["IR_1", "IR_5"]
    assert rejected == (
        Rejected(line=3, pnr="4512345602", reason="from: the train has no station ZZZ"),
        Rejected(line=4, pnr="", reason=f"{LINE} 10 cells, the header 11: fill the line up"),
        Rejected(
            line=5, pnr="", reason=f"{LINE} 13 cells, the header 11: quote texts with separators"
        ),
    )


def test_empty_lines_of_a_csv_are_counted_and_left_out():
    """An empty line is skipped, and later lines keep their numbers."""
    head, first, second = table(person(1), person(2, "ZZZ")).splitlines()
    checked, rejected, _ = with_csv("\n".join([head, "", first, "", "", second, ""]))
    assert len(checked.passengers) == 1
    assert [fault.line for fault in rejected] == [6]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("-1", "index is a whole number, not a text"),
        ("1.5", "index is a whole number, not a text"),
        ("one", "index is a whole number, not a text"),
        ("\u0661", "index is a whole number"),
        ("", "index is missing"),
        ("7", "from 1 to 6"),
        ("9" * 5_000, "index is a number beyond"),
    ],
)
def test_a_number_of_a_csv_is_digits(cell, reason):
    """A cell becomes a number only if it is digits."""
    _, (fault,), _ = with_csv(table(person(1, index=cell)))
    assert fault.line == 2
    assert reason in fault.reason


def test_digits_stay_text_where_the_chart_has_text():
    """A PNR, a name or a phone number of digits stays a text."""
    checked, *_ = with_csv(table(person(1, name="007", irctcId="12")))
    assert (checked.passengers[0].name, checked.passengers[0].irctc_id) == ("007", "12")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (table(header=HEADER[1:]), "the CSV header lacks pnr"),
        (table(header=without(person(1), "to", "from")), "the CSV header lacks from, to"),
        ("\n", "the CSV header lacks pnr, index, name, from, to, class, status: its"),
        ("4512345678", "the CSV header lacks"),
        (table(person(1)) + '"45"123', "the CSV cannot be read at line 3"),
        (table(person(1)) + '"4512345678', "the CSV cannot be read at line 3"),
        ('"pnr"x,index', "the CSV cannot be read at line 1"),
        (table(person(1)) + "x" * 200_000, "the CSV cannot be read at line 3"),
    ],
    ids=["pnr", "two", "blank", "no header", "quote", "open", "header", "long cell"],
)
def test_a_broken_csv_refuses_the_chart(text, message):
    """A CSV that cannot be parsed is refused as a whole, with the line of the fault."""
    with pytest.raises(BadMessage, match=message):
        with_csv(text)


# --- faults of the train -----------------------------------------------------------------------


def stations(place, **fields):
    """The five stations, one of them changed."""
    return [{**station(n), **(fields if n == place else {})} for n in range(5)]


def coaches(*changed):
    return [{"code": "S1", "class": "SL", "berths": 72, **fields} for fields in changed]


HOURLY = [
    {**station(1), "code": f"X{n}", "day": 1, "arrival": "10:00", "departure": "10:00"}
    for n in range(201)
]
TRAIN_FAULTS = {
    "trainNo blank inside": ({"trainNo": "12 345"}, "trainNo is 1 to 10 letters and digits"),
    "trainNo empty": ({"trainNo": " "}, "trainNo is a text that is not empty"),
    "trainNo too long": ({"trainNo": "12345678901"}, "trainNo is 1 to 10 letters and digits"),
    "trainNo with a slash": ({"trainNo": "12345/6"}, "trainNo is 1 to 10 letters and digits"),
    "trainNo a float": ({"trainNo": 12345.5}, "trainNo is"),
    "trainNo a list": ({"trainNo": ["12345"]}, "trainNo is"),
    "trainNo null": ({"trainNo": None}, "trainNo is"),
    "trainNo true": ({"trainNo": True}, "trainNo is"),
    "trainNo NaN": ({"trainNo": float("nan")}, "trainNo is"),
    "trainName null": ({"trainName": None}, "trainName is a text"),
    "startDate odd": ({"startDate": "23-11-2026"}, "startDate is a date like 2026-11-23"),
    "startDate none": ({"startDate": "2026-02-30"}, "startDate is a date like 2026-11-23"),
    "zone": ({"zone": "North Frontier"}, "zone is 1 to 8 letters and digits, like NFR"),
    "timezone": ({"timezone": "Mars/Base"}, "timezone is a name like Asia/Kolkata"),
    "timezone a path": ({"timezone": "../../etc/passwd"}, "timezone is a name"),
    "timezone absolute": ({"timezone": "/etc/localtime"}, "timezone is a name"),
    "timezone a folder": ({"timezone": "Asia"}, "timezone is a name"),
    "timezone of a station": (
        {"stations": stations(2, timezone="Mars/Base")},
        r"stations\[2\].timezone is a name like Asia/Kolkata",
    ),
    "timezone long": ({"timezone": "a" * 900}, "timezone is a name"),
    "policy": ({"policy": "LOTTERY"}, "policy is one of AUTO, OFFER, APPROVAL"),
    "boarding": ({"boarding": "never"}, "boarding is one of auto, verify"),
    "unknown field": ({"colour": "blue"}, "unknown field colour"),
    "no station": ({"stations": []}, "stations is a list of 2 to 200"),
    "one station": ({"stations": [station(0)]}, "stations is a list of 2 to 200"),
    "201 stations": ({"stations": HOURLY}, "stations is a list of 2 to 200"),
    "stations no list": ({"stations": {}}, "stations is a list, not an object"),
    "station no object": ({"stations": ["AAA", "BBB"]}, r"stations\[0\] is an object"),
    "station twice running": (
        {"stations": stations(2, code="BBB")},
        r"stations\[2\] is the station before it again",
    ),
    "no arrival": ({"stations": stations(2, arrival=None)}, r"stations\[2\].arrival is missing"),
    "no last arrival": ({"stations": stations(4, arrival=None)}, r"stations\[4\].arrival is miss"),
    "no departure": ({"stations": stations(0, departure=None)}, r"stations\[0\].departure is m"),
    "time 9:0": ({"stations": stations(2, arrival="9:0")}, r"stations\[2\].arrival is a time"),
    "time 24:00": ({"stations": stations(2, departure="24:00")}, r"\[2\].departure is a time"),
    "time 10:60": ({"stations": stations(2, arrival="10:60")}, r"stations\[2\].arrival is a time"),
    "time with seconds": ({"stations": stations(2, arrival="11:00:30")}, "is a time like 15:50"),
    "time in words": ({"stations": stations(2, arrival="11:00 am")}, "is a time like 15:50"),
    "time before": ({"stations": stations(2, arrival="10:05")}, r"stations\[2\].arrival is before"),
    "day 0": ({"stations": stations(0, day=0)}, r"stations\[0\].day is from 1, the day"),
    "day 11": ({"stations": stations(4, day=11)}, r"stations\[4\].day is from 1, the day"),
    "day back": (
        {"stations": [{**each, "day": 2 - (n > 2)} for n, each in enumerate(stations(0))]},
        r"stations\[3\].arrival is before the previous time of the chart: check day",
    ),
    "distance back": ({"stations": stations(2, distanceKm=99)}, r"\[2\].distanceKm is less"),
    "distance below 0": ({"stations": stations(0, distanceKm=-1)}, r"\[0\].distanceKm is less"),
    "coach with a dash": ({"coaches": coaches({"code": "S-1"})}, "a coach's code is 1 to 6"),
    "coach code long": ({"coaches": coaches({"code": "S123456"})}, "a coach's code is 1 to 6"),
    "coach twice": ({"coaches": coaches({}, {})}, "coach S1 is there twice"),
    "part twice": (
        {"coaches": coaches({"numbers": [1], "berths": 1}, {"numbers": [2], "berths": 1})},
        "coach S1 is there twice: give each coach its own code, or each part",
    ),
    "number twice": (
        {"coaches": coaches({"numbers": [5, 5], "berths": 2})},
        "coach S1 has berth 5 twice: number each berth once",
    ),
    "number in both parts": (
        {"coaches": coaches({"berths": 8}, {"class": "2A", "berths": 1, "numbers": [8]})},
        "coach S1 has berth 8 twice",
    ),
    "numbers short": (
        {"coaches": coaches({"numbers": [11, 12]})},
        "coach S1 has 72 berths and 2 numbers",
    ),
    "number 0": (
        {"coaches": coaches({"numbers": [0], "berths": 1})},
        "a berth's number is 1 to 999",
    ),
    "number 1000": (
        {"coaches": coaches({"numbers": [1000], "berths": 1})},
        "a berth's number is 1 to 999",
    ),
    "rac none": ({"coaches": coaches({"rac": [73]})}, "rac names berth 73, which is not there"),
    "class unknown": (
        {"coaches": coaches({"class": "Couchette"})},
        "class Couchette has no layout here: give each berth's type in layout, a type like SEATS, "
        "or a class of 1A, 2A, 3A, 3E, SL, FC, CC, EC, EA, 2S, GEN",
    ),
    "class without a type": (
        {"coaches": [{"code": "E1", "class": "3E", "type": "ICF"}]},
        "coach E1: a coach ICF of class 3E is unknown: give berths, or a class of 1A, 2A, 3A, SL",
    ),
    "no berths": ({"coaches": coaches({"berths": 0})}, "coach S1 has 1 to 150 berths"),
    "151 berths": ({"coaches": coaches({"berths": 151})}, "coach S1 has 1 to 150 berths"),
    "odd type": (
        {"coaches": [{"code": "S1", "class": "SL", "type": "TGV"}]},
        "type TGV is unknown; expected one of ICF, LHB, GARIB_RATH, HALF, RIC, SEATS",
    ),
    "layout short": ({"coaches": coaches({"layout": ["LOWER"]})}, "72 berths and a layout of 1"),
    "layout odd": ({"coaches": coaches({"berths": 1, "layout": ["BED"]})}, "'BED' is not a valid"),
    "coach no object": ({"coaches": ["S1"]}, r"coaches\[0\] is an object"),
    "coaches no list": ({"coaches": {"S1": "SL"}}, "coaches is not a list"),
    "coaches false": ({"coaches": False}, "coaches is not a list"),
    "passengers a number": ({"passengers": 5}, "passengers is a list of objects, or one text"),
    "passengers an object": ({"passengers": {"a": 1}}, "passengers is a list of objects"),
    "passengers no list": ({"passengers": {}}, "passengers is a list of objects"),
    "passengers 0": ({"passengers": 0}, "passengers is a list of objects"),
}


@pytest.mark.parametrize(("fields", "message"), TRAIN_FAULTS.values(), ids=TRAIN_FAULTS)
def test_a_fault_of_the_train_refuses_the_chart(fields, message):
    """A fault of the train refuses the whole chart, and the error says what is wrong."""
    with pytest.raises(BadMessage, match=message):
        read_chart(chart(**fields))


@pytest.mark.parametrize("name", ["trainNo", "trainName", "startDate", "stations"])
def test_a_chart_needs_its_train(name):
    """A chart needs a number, a name, a date and stations."""
    with pytest.raises(BadMessage, match=f"^{name} is missing$"):
        read_chart(without(chart(), name))


@pytest.mark.parametrize("data", [None, [], "chart", 5, [chart()]])
def test_a_chart_is_an_object(data):
    """A chart that is not an object is refused."""
    with pytest.raises(BadMessage, match=r"^a chart is an object"):
        read_chart(data)


@pytest.mark.parametrize("given", [12345, "12345", " 12345 "])
def test_a_train_number_has_one_form(given):
    """A train number given as 12345, "12345" or " 12345 " is the same train."""
    checked, *_ = read_chart(chart(trainNo=given))
    assert checked.train_no == "12345"
    assert checked.run == RUN


def test_a_train_of_two_stations_without_passengers_is_a_train():
    """Coaches, passengers and fields with a default may be missing or null."""
    short = {**without(chart(), "coaches", "passengers"), "stations": [station(0), station(4)]}
    checked, rejected, _ = read_chart(short)
    assert (checked.coaches, checked.passengers, rejected) == ((), (), ())
    assert (checked.timezone, checked.policy) == ("Asia/Kolkata", Policy.OFFER)
    assert checked.boarding is Boarding.VERIFY
    assert checked.min_upgrade_km == 70
    assert read_chart({**short, "coaches": None, "passengers": None}) == (checked, (), ())


@pytest.mark.parametrize(("kind", "berths"), [("ICF", 72), ("LHB", 80)])
def test_a_coach_may_name_its_type(kind, berths):
    """A coach with a type (ICF, LHB) has that type's berths, unless it has a number of berths."""
    coach = {"code": "S1", "class": "SL", "type": kind}
    checked, *_ = read_chart(chart(coaches=[coach]))
    assert checked.coaches[0].berths == berths
    checked, *_ = read_chart(chart(coaches=[{**coach, "berths": 40}]))
    assert checked.coaches[0].berths == 40


def loaded(*coaches, people=()):
    """The run of a chart that loads with all its passengers, and the chart."""
    data = {**chart(coaches=list(coaches)), "passengers": list(people)}
    checked, rejected, _ = read_chart(data)
    assert rejected == ()
    return registered(data), checked


def test_a_composite_coach_has_a_class_for_each_part():
    """HA1 is 1A and 2A: its second part is numbered on, and people of both classes load."""
    first = {"code": "HA1", "class": "1A", "type": "HALF"}
    second = {"code": "HA1", "class": "2A", "type": "HALF"}
    people = (
        person(1, coach="HA1", berth=10, **{"class": "1A"}),
        person(2, coach="HA1", berth=11, **{"class": "2A"}),
        rac(10, 1) | {"coach": "HA1", "berth": 15, "class": "2A"},
    )
    run, checked = loaded(first, second, people=people)
    assert [coach.berths for coach in checked.coaches] == [10, 20]
    assert checked.coaches[1].numbers == tuple(range(11, 31))
    assert run.occupancy.types["HA1-11"] == "LOWER"
    (fault,) = read_chart(
        {
            **chart(coaches=[first, second]),
            "passengers": [person(3, coach="HA1", berth=3, **{"class": "CC"})],
        }
    )[1]
    assert fault.reason == "berth HA1-3 is of class 1A: give that class, or one below it"


def test_a_coach_has_the_numbers_that_it_has():
    """A European sleeper has berths 11 to 16, 21 to 26 and so on up to 106: sixty of them."""
    run, checked = loaded({"code": "261", "class": "WL", "type": "RIC"})
    (coach,) = checked.coaches
    assert coach.berths == len(run.occupancy.types) == 60
    assert coach.numbers[:7] == (11, 12, 13, 14, 15, 16, 21)
    assert coach.numbers[-1] == 106
    assert [run.occupancy.types[f"261-{n}"] for n in (21, 22, 23)] == ["LOWER", "MIDDLE", "UPPER"]
    (fault,) = read_chart(
        {
            **chart(coaches=[{"code": "261", "class": "WL", "type": "RIC"}]),
            "passengers": [person(1, coach="261", berth=17, **{"class": "WL"})],
        }
    )[1]
    assert fault.reason == "there is no coach 261 with a berth 17"
    _, checked = loaded({"code": "S1", "class": "SL", "numbers": [11, 12, 21]})
    assert checked.coaches[0].berths == 3


def test_a_garib_rath_coach_has_side_middles():
    """Berths of a Garib Rath repeat by nine, with a side middle; so may a chart's own layout."""
    run, checked = loaded({"code": "G1", "class": "3A", "type": "GARIB_RATH"})
    assert checked.coaches[0].berths == 78
    assert [run.occupancy.types[f"G1-{n}"] for n in (7, 8, 9, 16)] == [
        "SIDE_LOWER",
        "SIDE_MIDDLE",
        "SIDE_UPPER",
        "SIDE_LOWER",
    ]
    bay = ["LOWER", "MIDDLE", "UPPER"] * 2 + ["SIDE_LOWER", "SIDE_MIDDLE", "SIDE_UPPER"]
    loaded({"code": "G1", "class": "3A", "berths": 9, "layout": bay})


def test_a_composition_loads_as_it_runs():
    """Unreserved and service coaches have no berths, and a code may come again."""
    rake = [("EOG", "EOG", 0), ("GS", "GEN", 90), ("GS", "GEN", 90), ("PC", "PC", 0)]
    run, checked = loaded(
        *({"code": code, "class": class_, "berths": berths} for code, class_, berths in rake),
        {"code": "SLR", "class": "SLR"},
        {"code": "S1", "class": "SL", "type": "ICF"},
        people=[person(1), person(2)],
    )
    assert [coach.berths for coach in checked.coaches] == [0, 0, 0, 0, 0, 72]
    assert {key.partition("-")[0] for key in run.occupancy.types} == {"S1"}
    figures_of = figures(run)
    assert [row["coach"] for row in figures_of["coaches"]] == ["S1"]
    assert [row["class"] for row in figures_of["classes"]] == ["SL"]


def test_a_chart_names_the_berths_that_two_on_rac_share():
    """Two on RAC share a berth in a cabin if the coach names it in `rac`."""
    pair = [rac(who, who) | {"coach": "A1", "berth": 1, "class": "2A"} for who in (1, 2)]
    coach = {"code": "A1", "class": "2A", "berths": 46}
    _, rejected, _ = read_chart(chart(*pair, coaches=[coach]))
    assert [fault.reason.partition(":")[0] for fault in rejected] == [
        "berth A1-1 is not a side lower"
    ] * 2
    run, _ = loaded({**coach, "rac": [1]}, people=pair)
    assert len(run.occupancy.at("A1-1", 0)) == 2


def test_seats_of_an_unknown_class_are_named():
    """A class that the railway's tables do not have loads with a layout or as SEATS."""
    run, _ = loaded({"code": "11", "class": "Coach", "type": "SEATS", "berths": 62})
    assert set(run.occupancy.types.values()) == {"SEAT"}
    run, _ = loaded({"code": "12", "class": "Roomette", "berths": 2, "layout": ["LOWER", "UPPER"]})
    assert list(run.occupancy.types.values()) == ["LOWER", "UPPER"]


def test_children_counter_tickets_and_upgraded_tickets_load():
    """NOSB has no berth, a counter ticket no user, and an upgraded ticket a higher class."""
    child = no_berth(2, status="NOSB", number=None, pnr="4512345601", index=2, age=7)
    counter = without(person(3), "irctcId")
    upgraded = person(4, coach="B1")
    state = registered(chart(
        person(1), child, counter, upgraded,
        coaches=[
            {"code": "S1", "class": "SL", "berths": 72},
            {"code": "B1", "class": "3A", "berths": 64},
        ],
    ))  # fmt: skip
    assert state.waiting == {}
    assert [(each.status, each.coach) for each in state.on_pnr("4512345601")] == [
        ("CNF", "S1"),
        ("NOSB", None),
    ]
    assert state.passengers["4512345603/1"].booking.irctc_id is None
    assert None not in state.by_user
    moved = state.passengers["4512345604/1"]
    assert (moved.booking.class_, state.occupancy.classes[moved.berth_key]) == ("SL", "3A")


def test_a_place_on_rac_that_comes_twice_is_a_warning():
    """Numbers run per quota, so two with one number load, with one warning for the number."""
    people = [rac(who, 1) | {"berth": 7 + 8 * (who // 3)} for who in range(1, 5)]
    checked, rejected, warnings = read_chart(chart(*people))
    assert (len(checked.passengers), rejected) == (4, ())
    assert [(each.line, each.reason) for each in warnings] == [
        (2, "RAC 1 of the class is there before: check the number")
    ]


@pytest.mark.parametrize("given", ["-", "--", " - ", ".", None])
def test_a_dash_is_no_user(given):
    """A table says none by a dash. The counter tickets of a train are no common user's."""
    run = registered(chart(person(1, irctcId=given), person(2, irctcId=given), person(3)))
    assert run.by_user == {"IR_3": ("4512345603/1",)}


def test_an_upgraded_ticket_is_a_warning():
    """A berth of a higher class than the ticket's may be a slip, so a warning names it."""
    both = [*coaches({}), {"code": "B1", "class": "3A", "berths": 64}]
    _, rejected, warnings = read_chart(chart(person(5, coach="B1"), coaches=both))
    assert rejected == ()
    assert [each.reason for each in warnings] == ["the ticket of class SL is upgraded to 3A"]


def test_fields_without_a_meaning_are_named_once():
    """A field that a passenger does not have is left out, and is named once for all lines."""
    people = [person(1, remarks="VIP"), person(2, remarks="", wing="LD"), person(3, **{"A B": 1})]
    checked, rejected, warnings = read_chart(chart(*people))
    assert (len(checked.passengers), rejected) == (3, ())
    assert [each.reason for each in warnings] == [
        "the column remarks is not used",
        "the column wing is not used",
        "the column a field without a plain name is not used",
    ]


# --- times -------------------------------------------------------------------------------------


def test_a_run_over_midnight_keeps_its_order():
    """After a halt from 23:55 to 00:05, the next stops are on day 2."""
    night = [
        {**station(0), "departure": "22:00"},
        {**station(1), "arrival": "23:55", "departure": "00:05"},
        {**station(2), "arrival": "00:40", "departure": "00:45", "day": 2},
        {**station(4), "arrival": "06:00", "day": 2},
    ]
    stops = registered(chart(person(1, "AAA", "CCC"), stations=night)).stops
    assert [stop.scheduled_arrival and stop.scheduled_arrival.isoformat() for stop in stops] == [
        None,
        "2026-11-23T23:55:00+05:30",
        "2026-11-24T00:40:00+05:30",
        "2026-11-24T06:00:00+05:30",
    ]
    assert stops[1].scheduled_departure.isoformat() == "2026-11-24T00:05:00+05:30"
    night[2]["day"] = 1
    with pytest.raises(BadMessage, match=r"stations\[2\].arrival is before"):
        read_chart(chart(stations=night))


def test_a_train_runs_through_time_zones():
    """Each stop has the clock of its own zone, and its moments say so."""
    west = [
        {**station(0), "departure": "14:00", "timezone": "America/Chicago"},
        {**station(1), "arrival": "14:30", "departure": "14:40", "timezone": "America/Denver"},
        {**station(4), "arrival": "14:35", "timezone": "America/Los_Angeles"},
    ]
    people = [person(1, "AAA", "BBB")]
    stops = registered(chart(*people, stations=west, timezone="America/Chicago")).stops
    assert [stop.scheduled_arrival and stop.scheduled_arrival.isoformat() for stop in stops] == [
        None,
        "2026-11-23T14:30:00-07:00",
        "2026-11-23T14:35:00-08:00",
    ]
    with pytest.raises(BadMessage, match=r"stations\[2\].arrival is before"):
        read_chart(chart(*people, stations=[{**each, "timezone": None} for each in west]))


def test_a_time_that_clocks_leave_out_is_a_warning():
    """On the night when clocks are set forward a train is late, and the answer says so."""
    night = [
        {**station(0), "departure": "01:50"},
        {**station(1), "arrival": "02:30", "departure": "02:35"},
        {**station(4), "arrival": "03:10"},
    ]
    data = chart(
        person(1, "AAA", "EEE"),
        stations=night,
        startDate="2026-03-29",
        timezone="Europe/Berlin",
    )
    _, _, warnings = read_chart(data)
    assert [each.reason for each in warnings] == [
        "stations[1].arrival 02:30 is read as 03:30, since clocks are set forward",
        "stations[1].departure 02:35 is read as 03:35, since clocks are set forward",
        "stations[2].arrival 03:10 is read as 04:10, since clocks are set forward",
    ]


@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-31", "9000-01-01", "9999-12-31"])
def test_a_year_that_no_train_runs_in_is_refused(day):
    """A start date must be in a year that the journal can read back."""
    with pytest.raises(BadMessage, match="startDate"):
        read_chart(chart(startDate=day))


# --- trains of every shape ---------------------------------------------------------------------


def test_every_train_of_a_timetable_makes_a_sound_chart():
    """A made-up chart has no rejected passengers, and its times rise along the line."""
    for train in TRAINS:
        data = make_chart(train, date(2026, 11, 23), seed=1, passengers=30)
        checked, rejected, _ = read_chart(data)
        assert (train["trainNo"], rejected) == (checked.train_no, ())
        assert len(checked.passengers) == 30
        stops = registered(make_chart(train, date(2026, 11, 23), seed=1, passengers=0)).stops
        times = [t for stop in stops for t in (stop.scheduled_arrival, stop.scheduled_departure)]
        assert all(one <= two for one, two in pairwise(times[1:-1]))
        assert times[0] is times[-1] is None


# --- limits ------------------------------------------------------------------------------------


def test_a_chart_of_just_the_most_text():
    """A chart with the most bytes of text loads, and one byte more is refused."""
    checked, rejected, _ = read_chart(largest_chart())
    assert (len(checked.passengers), rejected) == (MOST_PASSENGERS, ())
    with pytest.raises(BadMessage, match="texts have over 8388608 bytes"):
        read_chart(largest_chart(1))


@pytest.mark.parametrize("table", [False, True])
def test_a_chart_of_too_many_passengers(table):
    """A chart with too many passengers is refused before its lines are read."""
    people = [{}] * (MOST_PASSENGERS + 1)
    if table:
        header = "pnr,index,irctcId,name,from,to,class,status"
        people = "\n".join([header, *["x"] * (MOST_PASSENGERS + 1)])
    with pytest.raises(BadMessage, match="at most 10000 passengers, not 10001"):
        read_chart({**chart(), "passengers": people})


# --- the waiting list --------------------------------------------------------------------------


def on_wl(who, status="WL", **fields):
    return person(who, status=status, number=3, coach=None, berth=None, **fields)


@pytest.mark.parametrize("status", ["RLWL", "rlwl", " RLWL "])
def test_a_status_may_name_the_kind_of_waiting_list(status):
    """A status as reservation systems print it is the kind and WL."""
    checked, rejected, _ = read_chart(chart(on_wl(1, status), on_wl(2, status, waitingKind="tq")))
    assert rejected == ()
    assert [(each.status, each.waiting_kind) for each in checked.passengers] == [
        ("WL", "RL"),
        ("WL", "TQ"),
    ]


@pytest.mark.parametrize(
    ("status", "read"),
    [
        ("WL 12", ("WL", None, 12)),
        ("W/L 12", ("WL", None, 12)),
        ("GNWL/12", ("WL", "GN", 12)),
        ("rlwl12", ("WL", "RL", 12)),
        ("RAC 5", ("RAC", None, 5)),
        ("Rac/5", ("RAC", None, 5)),
    ],
)
def test_a_status_may_have_the_number(status, read):
    """A status as a ticket prints it is the list and the number; it has no other number."""
    row = person(2, status=status, coach=None, berth=None)
    checked, rejected, _ = read_chart(chart(row, {**row, "index": 2, "number": read[2]}))
    assert rejected == ()
    assert [(each.status, each.waiting_kind, each.number) for each in checked.passengers] == [
        read,
        read,
    ]
    _, (fault,), _ = read_chart(chart(person(1), {**row, "number": 99}))
    assert "give the number once" in fault.reason


@pytest.mark.parametrize("status", ["cnf", " Cnf ", "CONFIRMED"])
def test_a_status_may_be_in_small_letters(status):
    """A program's capitals and the long word make no difference, as with classes."""
    checked, rejected, _ = read_chart(chart(person(1, status=status)))
    assert (checked.passengers[0].status, rejected) == ("CNF", ())


@pytest.mark.parametrize("status", ["RAC 5/CNF", "GNWL12/WL8", "CNF/S1/23", "CAN"])
def test_a_status_that_says_more_is_a_fault(status):
    """Where two statuses or a berth are in one cell, the meaning is not certain."""
    _, (fault,), _ = read_chart(chart(person(1), person(2, status=status)))
    assert fault.reason.startswith("status is one of CNF, RAC, WL")


def test_a_need_may_be_in_small_letters():
    """A need is read in capitals, like a status."""
    checked, rejected, _ = read_chart(chart(person(1, need=" Pregnant ")))
    assert (checked.passengers[0].need, rejected) == ("PREGNANT", ())


def test_the_ladies_quota_may_be_named():
    """LADIES is the quota LD, which has its own turn."""
    checked, _, _ = read_chart(chart(person(1, quota="Ladies"), person(2, quota="tq")))
    assert [each.quota for each in checked.passengers] == ["LD", "TQ"]


def test_times_of_a_stop_as_programs_write_them():
    """Times may lack a zero or have seconds, and the ends have a dash or nothing for a time."""
    plain = chart(person(1))
    first, *middle, last = plain["stations"]
    stops = [
        {**first, "arrival": "--", "departure": f"{first['departure']}:00", "platform": ""},
        *middle,
        {**last, "departure": ""},
    ]
    checked, _, _ = read_chart({**plain, "stations": stops})
    assert [each.arrival for each in checked.stations[:1]] == [None]
    assert checked.stations[-1].departure is None
    assert checked.stations[0].departure == first["departure"]
    assert checked.stations[0].platform is None


@pytest.mark.parametrize(("given", "read"), [(" nfr ", "NFR"), (None, None)])
def test_the_zone_of_a_train_has_one_form(given, read):
    """The railway's code, in capitals; a train may have none."""
    checked, _, _ = read_chart(chart(zone=given))
    assert checked.zone == read


def test_a_kind_of_waiting_list_is_two_letters():
    """A passenger with another kind is left out, and a chart whose order names it is refused."""
    _, rejected, _ = read_chart(chart(person(2), on_wl(1, waitingKind="R1")))
    assert [each.reason for each in rejected] == ["waitingKind is two letters, like GN"]
    with pytest.raises(BadMessage, match="waitingKinds has kinds of two letters"):
        read_chart(chart(waitingKinds=["GN", "TATKAL"]))
    with pytest.raises(BadMessage, match="waitingKinds has at most 20 kinds"):
        read_chart(chart(waitingKinds=["GN"] * 21))


def test_a_number_may_come_once_on_each_kind_of_waiting_list():
    """Each kind has its own numbers."""
    _, _, warnings = read_chart(chart(on_wl(1, "GNWL"), on_wl(2, "TQWL"), on_wl(3, "TQWL")))
    assert [each.reason for each in warnings] == [
        "TQWL 3 of the class is there before: check the number"
    ]


@pytest.mark.parametrize("seconds", [0, -1, 86_401, 2**53 - 1])
def test_an_offer_is_open_for_a_time_that_there_is(seconds):
    """An offer is open from a second to a day."""
    with pytest.raises(BadMessage, match="offerSeconds is from 1 to 86400"):
        read_chart(chart(offerSeconds=seconds))


# --- anything at all ---------------------------------------------------------------------------

JUNK = [None, True, False, 0, -1, 7, 10**400, 1.5, float("nan"), "", " ", "x", "\0", "\ud800"]
JUNK += ["25:00", "00:00", "12345", "x" * 1_001, [], [None], {}, {"code": "S1"}, [[]], "é", "AAA"]


def paths(value, path=()):
    """The path of every value in a chart, apart from the chart itself."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in items:
        yield (*path, name)
        if isinstance(inner, dict | list):
            yield from paths(inner, (*path, name))


def replaced(value, path, junk):
    if not path:
        return junk
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], junk)
    return copy


EVERYWHERE = [path for path in paths(chart()) if path != ("startDate",)]


@given(st.sampled_from(EVERYWHERE), st.sampled_from(JUNK))
@settings(OFTEN, max_examples=300)
def test_a_chart_with_anything_anywhere_loads_or_is_refused(path, junk):
    """A chart with any values either loads or raises BadMessage."""
    with contextlib.suppress(BadMessage):
        assert registered(replaced(chart(), path, junk)).seq == 1


def test_codes_of_a_chart_have_one_form():
    """Codes get one form: " aaa " is AAA, and s1 is S1."""
    data = chart(person(1, " aaa ", "eee", coach=" s1 "), coaches=coaches({"code": "s1"}))
    checked, rejected, _ = read_chart(data)
    assert rejected == ()
    (booking,) = checked.passengers
    assert (booking.from_, booking.to, booking.coach) == ("AAA", "EEE", "S1")


@pytest.mark.parametrize(
    ("email", "usable"),
    [
        ("asha@example.org", True),
        (" asha@example.org ", True),
        ("a!b+c@example.org", True),
        ("\u0906\u0936\u093e@example.org", True),
        ("asha@\u0909\u0926\u093e.\u092d\u093e\u0930\u0924", True),
        ("a@x.example, b@x.example", False),
        ("asha@example.org.", False),
        ("asha.@example.org", False),
        ("a..b@example.org", False),
        ("asha", False),
        ("asha@localhost", False),
        ("Asha <asha@example.org>", False),
    ],
)
def test_an_address_that_no_mail_can_go_to_is_a_warning(email, usable):
    """A passenger with an unusable e-mail address loads, with a warning for the line."""
    checked, rejected, warnings = read_chart(chart(person(1), person(2, email=email)))
    assert (len(checked.passengers), rejected) == (2, ())
    assert [(each.line, each.pnr) for each in warnings] == ([] if usable else [(2, "4512345602")])
