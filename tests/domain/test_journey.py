"""trainhub/domain/journey.py: a run's start, its stations in order, delays, its end."""

from datetime import datetime, timedelta

import pytest
from day import MINUTE, SECOND, at, departed, london, pnr, recovered, state_of, types, utc
from railway import (
    MORNING,
    PEOPLE,
    RUN,
    STATIONS,
    TRAIN,
    Driver,
    chart,
    person,
    rac,
    register,
    register_chart,
)

from trainhub.core.errors import BadMessage, Conflict, HubError
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.chart import read_amendment
from trainhub.domain.errors import UnknownPassenger, UnknownStation
from trainhub.domain.journey import CLOCK_SKEW
from trainhub.domain.train import TrainState

# --- a run begins ----------------------------------------------------------------------------


def test_a_run_begins_with_its_chart():
    """A run's first event is TRAIN_REGISTERED. The run is then SCHEDULED at its first station."""
    run = Driver()
    assert types(run.events) == ["TRAIN_REGISTERED"]
    assert (run.state.seq, run.state.status) == (1, "SCHEDULED")
    assert (run.state.current, run.state.departed, run.state.delay_minutes) == (0, False, 0)
    assert len(run.state.passengers) == len(PEOPLE)


def test_a_chart_replaces_one_with_which_nothing_has_happened():
    """The corrected chart counts, nothing of the first is left, and its seq goes on."""
    run = Driver(person(1), person(2), policy="AUTO")
    run.give(c.Announce(**TRAIN, text="The train starts from platform 9."))
    with pytest.raises(Conflict, match="registered already: with this same chart"):
        run.give(register_chart(chart(person(1), person(2), policy="AUTO")))
    (event,) = run.give(register_chart(chart(person(2), rac(3, 1), startDate="2026-11-23")))
    assert event.gone == ("4512345601/1",)
    assert set(event.persons) == {f"451234560{who}/1" for who in (1, 2, 3)}
    assert (run.state.seq, run.state.chart.policy) == (3, "OFFER")
    assert list(run.state.passengers) == ["4512345602/1", "4512345603/1"]
    assert list(run.state.waiting) == ["SL"]
    assert "IR_1" not in run.state.by_user
    assert not run.state.occupancy.holders("S1-1")


@pytest.mark.parametrize(
    "command",
    [
        c.StartJourney(**TRAIN),
        c.SetDelay(**TRAIN, delay_minutes=5),
        c.CancelJourney(**TRAIN, pnr="4512345601", index=1),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_chart_does_not_replace_one_with_which_something_has_happened(command):
    """After any other command the run keeps its chart, and AMEND_CHART corrects it."""
    run = Driver()
    run.give(command)
    with pytest.raises(Conflict, match="registered already: AMEND_CHART corrects its chart"):
        run.give(register(policy="AUTO"))


def test_a_run_that_was_cancelled_for_its_chart_is_taken_back_first():
    """The error says what to do, and that works; a chart of a run that has ended stays."""
    run = Driver(person(1))
    run.give(c.CancelTrain(**TRAIN, reason="the chart was wrong"))
    with pytest.raises(Conflict, match="REINSTATE_TRAIN takes that back, and then AMEND_CHART"):
        run.give(register())
    run.give(c.ReinstateTrain(**TRAIN))
    found, lines, rejected, _ = read_amendment({"source": "SECOND", "passengers": [person(9)]})
    run.give(c.AmendChart(**TRAIN, amendment=found, lines=lines, rejected=rejected, warnings=()))
    assert "4512345609/1" in run.state.passengers
    run.go_to("EEE")
    with pytest.raises(Conflict, match="it is COMPLETED, and its chart stays"):
        run.give(register())


def test_a_chart_of_which_no_line_loads_is_an_error():
    """The error has the first fault in words, and the first twenty in its details."""
    broken = [person(who, end="ZZZ") for who in range(1, 31)]
    with pytest.raises(BadMessage, match="no passenger loads; line 1: to: the train") as raised:
        TrainState(RUN).carry_out(register_chart(chart(*broken)), MORNING)
    assert len(raised.value.details["rejected"]) == 20
    run = TrainState(RUN)
    run.carry_out(register_chart(chart(*broken, person(1))), MORNING)
    assert list(run.passengers) == ["4512345601/1"]


def test_a_journey_starts_once():
    """A second start of a journey is a conflict."""
    run = Driver()
    (event,) = run.start()
    assert (event.station.code, event.next.code) == ("AAA", "BBB")
    assert event.next.expected == at(10)
    assert run.state.status == "RUNNING"
    with pytest.raises(Conflict, match="is RUNNING already"):
        run.start()


# --- stations in order -----------------------------------------------------------------------

ORDER = [
    # where the train is, the report, the next station in the conflict (None: accepted)
    ("at AAA", c.Depart, "AAA", None),
    ("at AAA", c.Arrive, "AAA", "AAA"),
    ("at AAA", c.Arrive, "BBB", None),
    ("at AAA", c.Arrive, "CCC", "AAA"),
    ("at AAA", c.Depart, "BBB", "AAA"),
    ("left AAA", c.Arrive, "BBB", None),
    ("left AAA", c.Arrive, "CCC", "BBB"),
    ("left AAA", c.Arrive, "EEE", "BBB"),
    ("left AAA", c.Arrive, "AAA", "BBB"),
    ("left AAA", c.Depart, "AAA", "BBB"),
    ("left AAA", c.Depart, "BBB", "BBB"),
    ("at BBB", c.Depart, "BBB", None),
    ("at BBB", c.Arrive, "BBB", "BBB"),
    ("at BBB", c.Arrive, "CCC", None),
    ("at BBB", c.Arrive, "DDD", "BBB"),
    ("at BBB", c.Depart, "AAA", "BBB"),
    ("left DDD", c.Arrive, "EEE", None),
    ("left DDD", c.Arrive, "AAA", "EEE"),
]


@pytest.mark.parametrize(("where", "kind", "code", "following"), ORDER)
def test_stations_are_taken_in_order(where, kind, code, following):
    """A report for a station that is not next is a conflict that names the next one."""
    place = where[-3:]
    run = Driver()
    run.go_to(place)
    if where.startswith("left"):
        run.depart(place)
    command = kind(**TRAIN, station_code=code)
    if following is None:
        run.give(command)
        assert run.state.current == STATIONS.index(code)
        assert run.state.departed is (kind is c.Depart)
        return
    with pytest.raises(Conflict) as raised:
        run.give(command)
    assert raised.value.details == {"next": following}
    assert following in raised.value.message


@pytest.mark.parametrize("kind", [c.Arrive, c.Depart])
def test_a_run_that_is_not_under_way_takes_no_station(kind):
    """A run has no arrivals before its start and after its end."""
    run = Driver()
    with pytest.raises(Conflict, match="is SCHEDULED, not RUNNING"):
        run.give(kind(**TRAIN, station_code="AAA"))
    run.go_to("EEE")
    for code in ("AAA", "EEE"):
        with pytest.raises(Conflict, match="is COMPLETED, not RUNNING"):
            run.give(kind(**TRAIN, station_code=code))


@pytest.mark.parametrize("kind", [c.Arrive, c.Depart])
def test_a_station_that_the_train_does_not_serve_is_unknown(kind):
    """The error for an unknown station has the train's stations."""
    run = Driver()
    run.start()
    for code in ("ZZZ", "aaa", "BBB "):
        with pytest.raises(UnknownStation) as raised:
            run.give(kind(**TRAIN, station_code=code))
        assert raised.value.details == {"stations": list(STATIONS)}


def test_of_many_who_ask_to_arrive_one_succeeds():
    """Of many reports of one arrival, one succeeds and the others are conflicts."""
    run = departed()
    arrive = c.Arrive(**TRAIN, station_code="BBB")
    assert types(run.give(arrive)) == ["STATION_ARRIVAL"]
    for _ in range(9):
        with pytest.raises(Conflict, match="BBB"):
            run.give(arrive)
    assert (run.state.current, run.state.seq) == (1, 4)


# --- scheduled, expected, actual -------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrived", "delay"),
    [
        (at(10), 0),
        (at(10, 12), 12),
        (at(9, 53), -7),
        (at(12, 30), 150),
        (at(10, 0, 29), 0),
        (at(10, 0, 31), 1),
        (at(9, 59, 29), -1),
    ],
)
def test_delay_is_in_whole_minutes_and_may_be_negative(arrived, delay):
    """A delay moves the expected time, and never the scheduled one."""
    run = departed()
    run.now = arrived
    (event,) = run.arrive("BBB")
    assert (event.scheduled, event.expected, event.actual) == (at(10), at(10), arrived)
    assert event.delay_minutes == run.state.delay_minutes == delay
    late = max(delay, 0)  # a train that is early waits for its booked departure
    assert event.next.expected == at(11) + late * MINUTE
    stop = run.state.stops[1]
    assert (stop.scheduled_arrival, stop.arrived) == (at(10), arrived)
    assert run.state.expected_departure(stop) == at(10, 10) + late * MINUTE


def test_an_early_train_leaves_on_time_and_is_on_time_from_there():
    """A train that is early does not leave before its booked time.

    Only a departure that is reported early makes the next arrival early.
    """
    run = departed()
    run.now = at(9, 41)
    run.arrive("BBB")
    bbb, ccc, ddd = run.state.stops[1:4]
    assert run.state.expected_departure(bbb) == bbb.scheduled_departure
    assert run.state.expected_arrival(ccc) == ccc.scheduled_arrival
    run.now = at(10, 5)
    (event, *_) = run.depart("BBB")
    assert event.delay_minutes == -5
    assert event.next.expected == run.state.expected_arrival(ccc) == at(10, 55)
    assert run.state.expected_departure(ccc) == ccc.scheduled_departure
    assert run.state.expected_arrival(ddd) == ddd.scheduled_arrival


def test_a_departure_has_its_own_delay():
    """After a late departure the next arrival is expected late, until the train arrives."""
    run = Driver()
    run.start()
    run.now = at(9, 25)
    (event,) = run.depart("AAA")
    assert (event.scheduled, event.actual, event.delay_minutes) == (at(9, 10), at(9, 25), 15)
    assert (event.next.code, event.next.expected) == ("BBB", at(10, 15))
    run.now = at(10, 5)
    (event,) = run.arrive("BBB")
    assert (event.scheduled, event.expected, event.delay_minutes) == (at(10), at(10, 15), 5)
    assert run.state.delay_minutes == 5


def test_times_are_told_where_the_run_runs():
    """Times have the offset of the run's zone, in whatever zone a station reports."""
    run = departed()
    run.now = at(10, 5)
    (event,) = run.give(c.Arrive(**TRAIN, station_code="BBB", at=at(10, 2)))
    for time in (event.at, event.scheduled, event.expected, event.actual, event.next.expected):
        assert time.utcoffset() == timedelta(hours=5.5)


def test_a_station_may_report_late():
    """`at` may be before the time of the report."""
    run = departed()
    run.now = at(10, 30)
    (event,) = run.give(c.Arrive(**TRAIN, station_code="BBB", at=at(10, 4)))
    assert (event.at, event.actual, event.delay_minutes) == (at(10, 30), at(10, 4), 4)


@pytest.mark.parametrize("kind", [c.Arrive, c.Depart])
def test_nothing_has_happened_in_the_future(kind):
    """`at` may be at most a minute ahead of the hub's clock."""
    run, code = (departed(), "BBB") if kind is c.Arrive else (Driver(), "AAA")
    if kind is c.Depart:
        run.start()
    run.now = at(10)
    late = run.now + CLOCK_SKEW
    with pytest.raises(BadMessage, match="at lies in the future"):
        run.give(kind(**TRAIN, station_code=code, at=late + SECOND))
    event = run.give(kind(**TRAIN, station_code=code, at=late))[0]
    assert event.actual == late
    assert CLOCK_SKEW == MINUTE


def test_no_report_is_before_the_last_one():
    """A train arrives after it left, and leaves after it arrived."""
    run = departed()
    run.now = at(10, 30)
    with pytest.raises(Conflict, match=r"last report: give 2026-11-23T09:10:00\+05"):
        run.give(c.Arrive(**TRAIN, station_code="BBB", at=at(9, 10) - SECOND))
    run.give(c.Arrive(**TRAIN, station_code="BBB", at=at(10, 2)))
    with pytest.raises(Conflict, match=r"last report: give 2026-11-23T10:02:00\+05"):
        run.give(c.Depart(**TRAIN, station_code="BBB", at=at(10, 1)))
    run.give(c.Depart(**TRAIN, station_code="BBB", at=at(10, 2)))


def test_a_report_without_a_time_is_not_before_the_last_one():
    """A report without a time is not before a report from a clock that is ahead."""
    run = Driver()
    run.start()
    run.now = at(9, 12)
    (left,) = run.give(c.Depart(**TRAIN, station_code="AAA", at=run.now + 50 * SECOND))
    (came,) = run.arrive("BBB")
    assert came.actual >= left.actual


@pytest.mark.parametrize("first", ["1971-01-01T00:00:00+05:30", "1971-06-01T00:00:00Z"])
def test_a_report_from_long_before_the_run_does_no_harm(first):
    """A report from long before the run is refused, or can be read back from the journal."""
    run = Driver(timezone="UTC")
    run.start()
    depart = c.Depart(**TRAIN, station_code="AAA", at=datetime.fromisoformat(first))
    try:
        run.give(depart)
    except HubError:
        return
    assert recovered(run).seq == run.state.seq


@pytest.mark.parametrize("reported", [None, at(10, 3)])
def test_a_last_report_by_a_clock_that_was_ahead_is_no_bound(reported):
    """Reports go on after the hub's clock was an hour ahead and is set right."""
    run = Driver()
    run.start()
    run.now = at(11, 5)
    run.depart("AAA")
    run.now = at(10, 4)
    event = run.give(c.Arrive(**TRAIN, station_code="BBB", at=reported))[0]
    assert event.actual == (reported or run.now)
    assert event.delay_minutes == (3 if reported else 4)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("1971-01-01T00:00:00+05:30", r"\d+ minutes early"),
        ("0001-01-02T00:00:00+05:30", r"\d+ minutes early"),
        ("2026-11-23T07:09:00+05:30", "121 minutes early"),
        ("2026-11-25T09:11:00+05:30", "2881 minutes late"),
    ],
)
def test_a_report_has_a_plausible_delay(when, said):
    """`at` is from two hours early to two days late, and the error has both times."""
    allowed = "so at is from 2026-11-23T07:10:00[+]05:30 to 2026-11-25T09:10:00[+]05:30"
    run = Driver()
    run.start()
    run.now = at(9) + timedelta(days=30)
    with pytest.raises(BadMessage, match=f"^at would be {said}: .*{allowed}$"):
        run.give(c.Depart(**TRAIN, station_code="AAA", at=datetime.fromisoformat(when)))
    run.give(c.Depart(**TRAIN, station_code="AAA", at=at(7, 10)))
    with pytest.raises(BadMessage, match="2881 minutes late"):
        run.give(c.Arrive(**TRAIN, station_code="BBB", at=at(10, 1) + timedelta(days=2)))
    run.give(c.Arrive(**TRAIN, station_code="BBB", at=at(10) + timedelta(days=2)))
    assert run.state.delay_minutes == 2880


@pytest.mark.parametrize("days", [-400, 400, 9000])
def test_a_clock_a_year_away_from_the_chart_reports_nothing(days):
    """A report without `at` is refused if the hub's time gives a delay of more than a year."""
    run = Driver()
    run.start()
    run.now += timedelta(days=days)
    with pytest.raises(Conflict, match="check the hub's clock and the chart's startDate"):
        run.depart("AAA")


def test_a_train_days_late_may_be_reported_without_a_time():
    """A report without `at` may be days late."""
    run = Driver()
    run.start()
    run.now = at(9, 10) + timedelta(days=4)
    (event,) = run.depart("AAA")
    assert event.delay_minutes == 4 * 24 * 60


# --- the hub's clock is set ------------------------------------------------------------------


@pytest.mark.parametrize("by", [3600, -3600, 800_000_000, -800_000_000])
def test_what_counts_down_keeps_its_time_when_the_clock_is_set(by):
    """When the clock is set, offers and the undo of NT keep the time that they have left."""
    run = Driver(person(1), rac(11, 1), undoMinutes=30)
    run.start()
    run.board(11)
    run.no_show(1)
    (offer,) = run.state.open_by_berth.values()
    run.now += 2 * MINUTE
    run.now += timedelta(seconds=by)
    (event,) = run.give(c.CorrectClock(**TRAIN, by_seconds=by))
    assert (event.at, event.moved, event.told) == (run.now, (offer.id,), {"bySeconds": by})
    assert offer.made.expires_at == run.now + 3 * MINUTE
    run.now += 3 * MINUTE - SECOND
    assert run.give(c.ExpireOffers(**TRAIN)) == []
    run.now += SECOND
    assert types(run.give(c.ExpireOffers(**TRAIN))) == ["UPGRADE_CLOSED"]
    run.now += 25 * MINUTE
    again = recovered(run)
    run.undo(1)
    for state in (run.state, again):
        state.passenger(pnr(1), 1).marked_nt_at = run.now - timedelta(minutes=30, seconds=1)
    with pytest.raises(Conflict, match="30 minutes"):
        again.carry_out(c.UndoNoShow(**TRAIN, pnr=pnr(1), index=1), run.now)


def test_a_run_that_has_ended_is_not_older_for_that_the_clock_was_set():
    """When the clock is set, the end of a run moves too."""
    run = Driver()
    run.start()
    run.give(c.CancelTrain(**TRAIN))
    run.now += timedelta(hours=8)
    run.give(c.CorrectClock(**TRAIN, by_seconds=8 * 3600))
    assert run.state.ended_at == run.now


def test_a_platform_is_the_one_reported_or_else_the_one_planned():
    """A reported platform replaces the planned one."""
    run = departed()
    (event,) = run.give(c.Arrive(**TRAIN, station_code="BBB", platform="9A"))
    assert (event.platform, run.state.stops[1].platform) == ("9A", "9A")
    (event,) = run.depart("BBB")
    assert event.platform == "9A"
    assert run.state.stops[1].platform_confirmed
    assert run.arrive("CCC")[0].platform == "3"
    assert not run.state.stops[2].platform_confirmed  # it is only planned
    run.give(c.SetPlatform(**TRAIN, station_code="DDD", platform="8"))
    (event,) = run.give(c.Depart(**TRAIN, station_code="CCC", platform="4"))
    assert (event.platform, run.state.stops[2].platform) == ("4", "4")
    assert (run.arrive("DDD")[0].platform, run.state.stops[3].platform_confirmed) == ("8", True)


# --- when the clocks change ------------------------------------------------------------------


def test_a_delay_is_real_time_when_the_clocks_change():
    """A delay over a change of clocks counts real minutes."""
    run = london()
    run.now = utc(2, 0)
    (event,) = run.depart("AAA")
    assert event.delay_minutes == 150
    assert event.next.expected == utc(6, 0)


# --- boarding and alighting ------------------------------------------------------------------


def test_everyone_aboard_for_a_station_alights_there():
    """On arrival, the passengers aboard with that destination alight, and no others."""
    people = [person(n, "AAA", "CCC") for n in (1, 2, 3, 4)] + [person(5), person(6, "AAA", "DDD")]
    run = Driver(*people)
    run.start()
    for number in (1, 2, 5):
        run.board(number)
    run.no_show(3)
    run.go_to("BBB")
    run.depart("BBB")
    events = run.arrive("CCC")
    assert types(events) == [
        *("STATION_ARRIVAL", "PASSENGER_ALIGHTED", "PASSENGER_ALIGHTED", "PASSENGER_UNCHECKED"),
        *["BERTH_VACATED"] * 3,
    ]
    assert events[0].alighted == 2
    assert [event.pnr for event in events[1:4]] == [pnr(1), pnr(2), pnr(4)]
    assert [state_of(run, n) for n in range(1, 7)] == [
        *("ALIGHTED", "ALIGHTED", "NT", "UNCHECKED", "ABOARD", "DUE")
    ]


def test_one_of_a_pnr_alights_and_the_others_stay():
    """One person of a PNR alights, and the others stay."""
    group = [
        person(1, end=end, index=n, berth=n) for n, end in ((1, "BBB"), (2, "CCC"), (3, "EEE"))
    ]
    run = Driver(*group)
    run.start()
    for index in (1, 2, 3):
        run.give(c.MarkBoarded(**TRAIN, pnr=pnr(1), index=index))
    run.go_to("BBB")
    assert [each.state for each in run.state.on_pnr(pnr(1))] == ["ALIGHTED", "ABOARD", "ABOARD"]
    with pytest.raises(Conflict, match="journey ended"):
        run.give(c.MarkNoShow(**TRAIN, pnr=pnr(1), index=1))
    assert [len(run.state.in_berth("S1", berth)) for berth in (1, 2, 3)] == [0, 1, 1]


def test_at_the_terminus_all_alight_and_the_run_completes():
    """At the terminus all passengers alight, and the run is completed."""
    run = Driver(person(1), person(11), rac(10, 1), person(20))
    run.start()
    for number in (1, 10, 20):
        run.board(number)
    run.go_to("DDD")
    run.depart("DDD")
    run.now = at(13, 7)
    events = run.arrive("EEE")
    assert types(events) == [
        *("STATION_ARRIVAL", "PASSENGER_ALIGHTED", "PASSENGER_UNCHECKED"),
        *("PASSENGER_ALIGHTED", "PASSENGER_ALIGHTED", "JOURNEY_COMPLETED"),
    ]
    assert (events[0].next, events[0].delay_minutes) == (None, 7)
    assert run.state.status == "COMPLETED"
    assert run.state.ended_at == at(13, 7)
    assert "ABOARD" not in {each.state for each in run.state.passengers.values()}
    assert (state_of(run, 1), state_of(run, 11)) == ("ALIGHTED", "UNCHECKED")


def test_boarding_verify_leaves_those_due_to_the_ttes():
    """With boarding `verify`, the default, passengers stay DUE until a TTE marks them."""
    run = Driver()
    run.start()
    assert types(run.depart("AAA")) == ["STATION_DEPARTURE"]
    assert {each.state for each in run.state.passengers.values()} == {"DUE"}


def test_boarding_auto_marks_those_due_on_departure():
    """With boarding `auto`, a departure marks the due passengers as boarded, but no NT."""
    people = [person(1), person(2), person(3), person(4, "BBB"), rac(10, 1)]
    run = Driver(*people, person(20, status="WL", coach=None, berth=None), boarding="auto")
    run.start()
    run.board(1)
    run.no_show(2)
    events = run.depart("AAA")
    assert types(events[:4]) == ["STATION_DEPARTURE", *["PASSENGER_BOARDED"] * 3]
    assert types(events[4:]) == ["UPGRADE_PENDING", "UPGRADE_OFFER"]  # S1-2, for who is aboard now
    assert [event.pnr for event in events[1:4]] == [pnr(3), pnr(10), pnr(20)]
    assert [state_of(run, n) for n in (1, 2, 3, 4)] == ["ABOARD", "NT", "ABOARD", "DUE"]
    run.arrive("BBB")
    assert [event.pnr for event in run.depart("BBB")[1:]] == [pnr(4)]


# --- announcements ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "user", "audience"),
    [
        (c.To.EVERYONE, None, e.EVERYONE),
        (c.To.STAFF, None, e.TO_STAFF),
        (c.To.USER, "IR_1", e.to_passenger("IR_1")),
    ],
)
def test_an_announcement_has_its_command_s_audience(to, user, audience):
    """An announcement has the audience of its command, and changes only the seq."""
    run = Driver()
    (event,) = run.give(c.Announce(**TRAIN, text="Tea is served", to=to, user=user))
    assert event.audience == audience
    assert (event.text, event.level) == ("Tea is served", "INFO")
    assert (run.state.seq, run.state.status) == (2, "SCHEDULED")


@pytest.mark.parametrize(
    ("to", "user"), [(c.To.EVERYONE, "IR_1"), (c.To.STAFF, "IR_1"), (c.To.USER, None)]
)
def test_a_user_is_named_with_to_user_and_only_then(to, user):
    """`user` is only valid with `to: USER`, so a message for one passenger never goes to all."""
    with pytest.raises(BadMessage, match="user goes with to: USER"):
        Driver().give(c.Announce(**TRAIN, text="x", to=to, user=user))


def test_an_announcement_to_an_unknown_user_is_refused():
    """An announcement to a user without a booking on the run is refused."""
    with pytest.raises(UnknownPassenger, match="has no passenger of that user"):
        Driver().give(c.Announce(**TRAIN, text="x", to=c.To.USER, user="IR_99"))


# --- skipped stations, delays, platforms, cancelled runs ---------------------------------------


def skip(run, code):
    return run.give(c.SkipStation(**TRAIN, station_code=code))


def test_a_skipped_station_is_not_served():
    """Passengers for a skipped station alight at the next one."""
    run = departed()
    run.board(2)
    assert skip(run, "BBB")[0].next.code == "CCC"
    assert skip(run, "CCC")[0].next.code == "DDD"
    assert skip(run, "CCC") == []
    with pytest.raises(Conflict) as raised:
        run.arrive("BBB")
    assert raised.value.details == {"next": "DDD"}
    assert types(run.arrive("DDD"))[:2] == ["STATION_ARRIVAL", "PASSENGER_ALIGHTED"]
    assert (run.state.current, state_of(run, 2)) == (3, "ALIGHTED")


@pytest.mark.parametrize("code", ["AAA", "BBB", "EEE"])
def test_a_station_is_skipped_before_the_train_is_there(code):
    """A station that the train has reached and the terminus cannot be skipped."""
    run = Driver()
    run.go_to("BBB")
    with pytest.raises(Conflict):
        skip(run, code)


def test_a_delay_moves_what_is_expected():
    """SET_DELAY moves the expected times, and the scheduled times stay."""
    run = Driver()
    run.start()
    run.depart("AAA")
    (event,) = run.give(c.SetDelay(**TRAIN, delay_minutes=-7, reason="tail wind"))
    assert (event.delay_minutes, event.reason) == (-7, "tail wind")
    assert event.next.expected == at(10) - 7 * MINUTE
    assert run.state.stops[1].scheduled_arrival == at(10)
    assert run.give(c.SetDelay(**TRAIN, delay_minutes=-7)) == []
    for minutes in (-121, 2881):
        with pytest.raises(BadMessage, match="from -120 to 2880"):
            run.give(c.SetDelay(**TRAIN, delay_minutes=minutes))


def test_a_platform_has_a_number_and_whether_it_is_confirmed():
    """A platform may be set for stops that the train has not left."""
    run = Driver()
    run.go_to("BBB")
    asked = {**TRAIN, "station_code": "CCC", "platform": "9"}
    (event,) = run.give(c.SetPlatform(**asked, confirmed=False))
    assert (event.station.code, event.platform, event.confirmed) == ("CCC", "9", False)
    assert (run.state.stops[2].platform, run.state.stops[2].platform_confirmed) == ("9", False)
    assert run.give(c.SetPlatform(**asked, confirmed=False)) == []
    assert types(run.give(c.SetPlatform(**asked))) == ["PLATFORM_CHANGE"]
    skip(run, "DDD")
    for code in ("AAA", "DDD"):
        with pytest.raises(Conflict):
            run.give(c.SetPlatform(**TRAIN, station_code=code, platform="1"))


def test_a_cancelled_run_ends_where_it_is():
    """When a run is cancelled, passengers aboard alight, and later commands are conflicts."""
    run = Driver()
    run.start()
    run.board(1)
    events = run.give(c.CancelTrain(**TRAIN, reason="flood"))
    assert types(events) == ["TRAIN_CANCELLED", "PASSENGER_ALIGHTED"]
    assert (run.state.status, run.state.ended_at) == ("CANCELLED", run.now)
    assert run.give(c.CancelTrain(**TRAIN)) == []
    for command in (
        c.StartJourney(**TRAIN),
        c.Depart(**TRAIN, station_code="AAA"),
        c.SkipStation(**TRAIN, station_code="BBB"),
        c.SetDelay(**TRAIN, delay_minutes=5),
        c.SetPlatform(**TRAIN, station_code="BBB", platform="1"),
        c.CancelJourney(**TRAIN, pnr=pnr(2), index=1),
    ):
        with pytest.raises(Conflict, match="is CANCELLED"):
            run.give(command)


def test_a_completed_run_is_not_cancelled():
    """A completed run cannot be cancelled."""
    run = Driver()
    run.go_to("EEE")
    with pytest.raises(Conflict, match="COMPLETED already"):
        run.give(c.CancelTrain(**TRAIN))
