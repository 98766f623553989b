"""trainhub/domain/schedule.py: printed times as moments, also on nights when clocks change."""

from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainhub.core.errors import BadMessage
from trainhub.domain.model import Station
from trainhub.domain.schedule import due_times, since_midnight

BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")
AUTUMN, SPRING = date(2026, 10, 24), date(2027, 3, 27)  # the evening before the clocks change


def stations(*stops):
    """Stations of (arrival, departure, day)."""
    return [
        Station(code=f"A{place}", name="x", arrival=came, departure=goes, day=day)
        for place, (came, goes, day) in enumerate(stops)
    ]


def due(start, zone, *stops, strict=True):
    """The moments of all times in running order."""
    pairs = due_times(start, stations(*stops), zone, strict=strict)
    return [moment for pair in pairs for moment in pair if moment is not None]


def shown(moments):
    return [moment.isoformat(timespec="minutes")[8:] for moment in moments]


@pytest.mark.parametrize(
    ("arrival", "departure", "day", "times"),
    [
        ("09:00", "09:10", 1, ["23T09:00+05:30", "23T09:10+05:30"]),
        ("23:55", "00:05", 1, ["23T23:55+05:30", "24T00:05+05:30"]),
        ("23:55", "00:05", 3, ["25T23:55+05:30", "26T00:05+05:30"]),
        ("00:00", "00:00", 2, ["24T00:00+05:30", "24T00:00+05:30"]),
        (None, "23:59", 1, ["23T23:59+05:30"]),
        ("00:10", None, 2, ["24T00:10+05:30"]),
    ],
)
def test_a_halt_over_midnight_departs_on_the_next_day(arrival, departure, day, times):
    """A departure earlier than the arrival is on the next day."""
    assert shown(due(date(2026, 11, 23), KOLKATA, (arrival, departure, day))) == times


def test_a_time_counts_from_the_midnight_before_day_1():
    """Day 1 is the day on which the train starts."""
    assert since_midnight("09:05", 1) == timedelta(hours=9, minutes=5)
    assert since_midnight("00:10", 3) == timedelta(days=2, minutes=10)


def test_leap_day_is_a_day():
    """29 February has 24 hours like other days."""
    moments = due(
        date(2028, 2, 28),
        KOLKATA,
        (None, "23:30", 1),
        ("01:00", "01:10", 2),
        ("01:00", "01:10", 3),
        ("09:00", None, 4),
    )
    assert [each[:2] for each in shown(moments)] == ["28", "29", "29", "01", "01", "02"]
    hours = [(after - before) / timedelta(hours=1) for before, after in pairwise(moments)]
    assert hours == pytest.approx([1.5, 1 / 6, 23 + 5 / 6, 1 / 6, 31 + 5 / 6])


def test_times_of_the_hour_that_comes_twice_are_in_order():
    """In an hour that occurs twice, the first time counts if it is after the previous stop."""
    assert shown(
        due(AUTUMN, BERLIN, (None, "23:30", 1), ("02:20", "02:55", 2), ("02:10", "02:40", 2))
    ) == ["24T23:30+02:00", "25T02:20+02:00", "25T02:55+02:00", "25T02:10+01:00", "25T02:40+01:00"]


def test_a_halt_over_the_change_departs_an_hour_back():
    """When clocks are set back, a halt from 02:50 to 02:10 takes twenty minutes."""
    moments = due(AUTUMN, BERLIN, (None, "23:30", 1), ("02:50", "02:10", 2), ("05:00", None, 2))
    assert shown(moments)[1:3] == ["25T02:50+02:00", "25T02:10+01:00"]
    assert moments[2] - moments[1] == timedelta(minutes=20)


@pytest.mark.parametrize(
    ("zone", "start", "stops", "said"),
    [
        (
            *("Europe/Berlin", AUTUMN),  # both occurrences are past
            [(None, "02:50", 2), ("02:40", "02:45", 2), ("02:30", None, 2)],
            r"stations\[2\].arrival is before the previous time of the chart",
        ),
        (
            *("Asia/Kolkata", AUTUMN),
            [(None, "10:00", 1), ("09:00", None, 1)],
            r"stations\[1\].arrival is before the previous time of .* timezone$",
        ),
        (
            *("Asia/Kolkata", AUTUMN),  # with the day of the departure, as timetables print it
            [(None, "22:00", 1), ("23:58", "00:03", 2), ("01:00", None, 2)],
            r"stations\[2\].arrival .*; stations\[1\] is read as leaving at 00:03 on day 3",
        ),
        (
            *("Asia/Kolkata", AUTUMN),  # the halt over midnight is right
            [(None, "22:00", 1), ("23:58", "00:03", 1), ("01:00", "01:05", 2), ("00:30", None, 2)],
            r"stations\[3\].arrival is before the previous time of .* timezone$",
        ),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(zone, start, stops, said):
    """A time before the previous one is refused."""
    with pytest.raises(BadMessage, match=said):
        due(start, ZoneInfo(zone), *stops)


@pytest.mark.parametrize(
    ("stops", "times"),
    [
        (  # late until the printed time is in order again
            [(None, "01:50", 2), ("02:30", "02:35", 2), ("03:10", "03:15", 2), ("05:00", None, 2)],
            [
                "01:50+01:00",
                "03:30+02:00",
                "03:35+02:00",
                "04:10+02:00",
                "04:15+02:00",
                "05:00+02:00",
            ],
        ),
        (
            [(None, "01:50", 2), ("02:20", "03:05", 2), ("04:10", None, 2)],
            ["01:50+01:00", "03:20+02:00", "04:05+02:00", "04:10+02:00"],
        ),
        (
            [(None, "01:50", 2), ("01:55", "02:05", 2), ("03:05", None, 2)],
            ["01:50+01:00", "01:55+01:00", "03:05+02:00", "03:05+02:00"],
        ),
    ],
)
def test_a_train_is_late_when_clocks_are_set_forward(stops, times):
    """Over a time that clocks leave out the train comes an hour later, and so it does after it."""
    moments = due(SPRING, BERLIN, *stops)
    assert [each[3:] for each in shown(moments)] == times
    assert moments == sorted(moments)


def test_each_station_has_its_own_clock():
    """Times are those of the station's zone, and may run backwards on the way to the west."""
    paris, london = "Europe/Paris", "Europe/London"
    line = [
        Station(code="PAR", name="x", departure="13:10"),
        Station(code="EBB", name="x", arrival="14:01", departure="14:05", timezone=london),
        Station(code="LIL", name="x", arrival="15:40", timezone=paris),
    ]
    pairs = due_times(date(2026, 11, 28), line, ZoneInfo(paris), strict=True)
    moments = [each for pair in pairs for each in pair if each is not None]
    assert [each[3:] for each in shown(moments)] == [
        "13:10+01:00",
        "14:01+00:00",
        "14:05+00:00",
        "15:40+01:00",
    ]


def test_a_day_that_does_not_exist_is_a_day_later():
    """Apia had no 30 December 2011."""
    moments = due(
        date(2011, 12, 29), ZoneInfo("Pacific/Apia"), (None, "23:30", 1), ("12:00", None, 2)
    )
    assert shown(moments) == ["29T23:30-10:00", "31T12:00+14:00"]


ZONES = sorted(available_timezones() - {"Factory", "localtime", "posixrules"})


@given(
    zone=st.sampled_from(ZONES),
    start=st.dates(date(1971, 1, 1), date(2040, 12, 31)),
    minutes=st.lists(st.integers(0, 400), min_size=2, max_size=12),
)
def test_what_is_accepted_is_in_order(zone, start, minutes):
    """In every zone and on every day, accepted times are in order, and as printed or later."""
    stops, clock = [], timedelta(hours=20)
    for wait in minutes:
        clock += timedelta(minutes=wait)
        if clock >= timedelta(days=10):
            break
        when = datetime.combine(date(2000, 1, 1), datetime.min.time()) + clock
        stops.append((f"{when:%H:%M}", f"{when:%H:%M}", clock.days + 1))
    try:
        moments = due(start, ZoneInfo(zone), *stops)
    except BadMessage:
        return
    assert all(before <= after for before, after in pairwise(moments))
    midnight = datetime.combine(start, datetime.min.time())
    printed = [midnight + since_midnight(text, stop[2]) for stop in stops for text in stop[:2]]
    clocks = [moment.replace(tzinfo=None) for moment in moments]
    assert all(clock >= text for clock, text in zip(clocks, printed, strict=True))
    assert (
        clocks == printed
        or len({moment.utcoffset() for moment in moments}) > 1
        or (clocks[0] > printed[0])
    )
