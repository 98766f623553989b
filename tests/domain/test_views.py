"""trainhub/domain/views.py: what may be read of a run, and by which roles."""

from datetime import datetime

import pytest
from railway import Driver, chart, person, rac, station

from trainhub.domain import commands as c
from trainhub.domain.errors import UnknownCoach, UnknownPassenger
from trainhub.domain.model import Role
from trainhub.domain.report import captaincy_report
from trainhub.domain.views import (
    berth_plan,
    figures,
    offer_view,
    person_view,
    public_figures,
    rac_view,
    run_view,
    sees,
    summary,
    vacancies_view,
    visible_offers,
    visible_on_pnr,
)

NONE = {"coach": None, "berth": None}


def at(day_time):
    return f"2026-11-23T{day_time}:00+05:30"


def test_a_summary_says_where_the_train_is():
    """A summary has the run in a few fields, for everyone."""
    run = Driver()
    run.go_to("BBB")
    assert summary(run.state) == {
        "trainNo": "12345",
        "trainName": "TEST EXP",
        "startDate": "2026-11-23",
        "status": "RUNNING",
        "seq": 4,
        "zone": None,
        "stations": 5,
        "index": 1,
        "departed": False,
        "station": {"code": "BBB", "name": "STATION BBB"},
        "next": {"code": "CCC", "name": "STATION CCC", "index": 2, "expected": at("11:00")},
        "delayMinutes": 0,
    }


def test_a_summary_has_the_zone_of_the_railway():
    assert summary(Driver(zone="NFR").state)["zone"] == "NFR"


def test_a_summary_of_a_run_before_and_after():
    """Before its start a run is at its first station. At the terminus there is no next station."""
    run = Driver()
    before = summary(run.state)
    assert (before["status"], before["index"], before["next"]["code"]) == ("SCHEDULED", 0, "BBB")
    run.go_to("EEE")
    after = summary(run.state)
    assert (after["status"], after["station"]["code"], after["next"]) == ("COMPLETED", "EEE", None)


def test_the_expected_times_move_with_the_clock():
    """A train that is not reported is overdue: it comes later each minute, everywhere."""
    run = Driver()
    run.start()

    def seen(now):
        view = run_view(run.state, None, None, datetime.fromisoformat(at(now)))
        times = [view["stations"][0]["expectedDeparture"], view["next"]["expected"]]
        return view["overdueMinutes"], *times, view["stations"][4]["expectedArrival"]

    assert seen("09:09") == (0, at("09:10"), at("10:00"), at("13:00"))
    assert seen("09:32") == (22, at("09:32"), at("10:22"), at("13:22"))
    run.now = datetime.fromisoformat(at("09:00"))
    run.give(c.Depart(train_no="12345", station_code="AAA"))  # ten minutes early
    assert seen("09:49") == (0, at("09:00"), at("09:50"), at("13:00"))
    assert seen("09:55") == (5, at("09:00"), at("09:55"), at("13:00"))
    assert seen("10:20") == (30, at("09:00"), at("10:20"), at("13:20"))
    assert seen("21:51") == (721, at("09:00"), at("09:50"), at("13:00"))
    run.give(c.CancelTrain(train_no="12345"))
    assert seen("10:20")[0] == 0


def test_an_overdue_train_that_was_to_start_later_is_overdue_there():
    """A run whose first station is skipped is due at the next one."""
    run = Driver()
    run.give(c.SkipStation(train_no="12345", station_code="AAA"))
    assert run.state.overdue_minutes(datetime.fromisoformat(at("10:15"))) == 5


def test_three_times_are_kept_apart_at_each_stop():
    """A stop has scheduled, expected and actual times, and the actual one is then expected."""
    run = Driver()
    run.start()
    late = run.state.stops[0].scheduled_departure
    run.now = late.replace(minute=25)
    run.depart("AAA")
    first, second = run_view(run.state, None, None)["stations"][:2]
    assert first["scheduledDeparture"] == at("09:10")
    assert first["expectedDeparture"] == first["actualDeparture"] == at("09:25")
    assert second["scheduledArrival"] == at("10:00")
    assert second["expectedArrival"] == at("10:15")
    assert second["actualArrival"] is None
    run.now = run.now.replace(hour=10, minute=4)
    run.give(c.Arrive(train_no="12345", station_code="BBB", platform="9"))
    first, second = run_view(run.state, None, None)["stations"][:2]
    assert first["actualDeparture"] == at("09:25")
    assert second["scheduledArrival"] == at("10:00")
    assert second["expectedArrival"] == second["actualArrival"] == at("10:04")
    assert second["expectedDeparture"] == at("10:14")
    assert second["actualDeparture"] is None
    assert (first["platform"], second["platform"]) == ("1", "9")


def test_the_ends_of_a_run_have_one_time_each():
    """The first station has no arrival, and the last one no departure."""
    ends = [station(n) for n in range(5)]
    ends[0]["arrival"], ends[4]["departure"] = "08:50", "13:20"
    stations = run_view(Driver(stations=ends).state, None, None)["stations"]
    assert [stations[0][f"{kind}Arrival"] for kind in ("scheduled", "expected")] == [None, None]
    assert [stations[4][f"{kind}Departure"] for kind in ("scheduled", "expected")] == [None, None]
    assert [each["index"] for each in stations] == [0, 1, 2, 3, 4]
    assert [each["distanceKm"] for each in stations] == [0, 100, 200, 300, 400]


@pytest.mark.parametrize(
    ("role", "user", "seen"),
    [
        (Role.TTE, "T1", ["IR_1", "IR_2", "IR_10"]),
        (Role.ADMIN, "control", ["IR_1", "IR_2", "IR_10"]),
        (Role.PASSENGER, "IR_2", ["IR_2"]),
        (Role.PASSENGER, "IR_99", []),
        (Role.PASSENGER, None, None),
        (Role.SERVICE, "IR_2", None),
        (None, None, None),
    ],
)
def test_people_are_read_by_the_staff_and_by_themselves(role, user, seen):
    """Only the staff and the passenger read a passenger's data."""
    run = Driver(person(1), person(2), rac(10, 1))
    people = run_view(run.state, role, user).get("passengers")
    assert (people and [each["irctcId"] for each in people]) == seen


def test_the_public_view_names_no_person():
    """The public view has no name, PNR, irctcId or e-mail address."""
    text = repr(run_view(Driver().state, None, None))
    for row in chart()["passengers"]:
        assert not any(row[field] in text for field in ("pnr", "irctcId", "name", "email"))


def test_a_user_reads_all_people_of_their_bookings():
    """A passenger reads all people with the same irctcId, on every PNR."""
    run = Driver(person(1), person(1, index=2, berth=2), person(3, irctcId="IR_1"), person(4))
    people = run_view(run.state, Role.PASSENGER, "IR_1")["passengers"]
    assert [(each["pnr"], each["index"]) for each in people] == [
        *(("4512345601", 1), ("4512345601", 2), ("4512345603", 1))
    ]


def test_a_person_is_the_chart_s_fields_and_how_things_stand():
    """A person has the chart's fields, with status, state, coach and berth as they are now."""
    run = Driver(person(1), rac(10, 4))
    run.start()
    run.board(10)
    view = person_view(run.state.passenger("4512345610", 1))
    known = {name: value for name, value in view.items() if value is not None}
    marked = {"state": "ABOARD", "markedAt": "2026-11-23T08:00:00+05:30", "assumed": False}
    assert known == {**rac(10, 4), **marked}
    assert set(view) - set(known) == {"age", "gender", "phone", "upgradedFrom", "left", "need"} | {
        *("quota", "waitingKind")
    }


def row(booked, aboard, due, nt, rac, vacant, upgraded=0):
    counts = {"booked": booked, "aboard": aboard, "due": due, "nt": nt, "rac": rac}
    return {**counts, "upgraded": upgraded, "vacant": vacant}


def test_figures_count_people_and_berths_by_class_and_coach():
    """Figures count people by state and vacant berths; a shared side lower is one berth."""
    coaches = [
        {"code": "S1", "class": "SL", "berths": 72},
        {"code": "S2", "class": "SL", "berths": 8},
        {"code": "A1", "class": "2A", "berths": 46},
    ]
    people = [
        *(person(1), person(2, "AAA", "CCC"), person(3, "BBB"), rac(10, 1), rac(11, 2)),
        *(person(4, coach="S2"), person(6, coach="S2")),
        *(person(who, coach="A1", **{"class": "2A"}) for who in (5, 7)),
        person(20, status="WL", number=1, coach=None, berth=None),
        person(21, status="WL", number=1, coach=None, berth=None, **{"class": "1A"}),
        person(22, status="WL", number=2, coach=None, berth=None, **{"class": "1A"}),
    ]
    run = Driver(*people, coaches=coaches)
    run.start()
    for number in (1, 2, 10, 20):
        run.board(number)
    run.no_show(4)
    assert figures(run.state) == {
        "classes": [
            {"class": "SL", **row(8, 4, 3, 1, 2, 76)},
            {"class": "2A", **row(2, 0, 2, 0, 0, 44)},
            {"class": "1A", **row(2, 0, 2, 0, 0, 0)},
        ],
        "coaches": [
            {"coach": "S1", **row(5, 3, 2, 0, 2, 69)},
            {"coach": "S2", **row(2, 0, 1, 1, 0, 7)},
            {"coach": "A1", **row(2, 0, 2, 0, 0, 44)},
        ],
    }
    run.go_to("BBB")  # berth 3 is held from this station
    assert figures(run.state)["coaches"][0]["vacant"] == 68
    run.go_to("CCC")  # berth 2 is free from this station
    first = figures(run.state)["coaches"][0]
    assert first == {"coach": "S1", **row(5, 2, 2, 0, 2, 69)}
    run.go_to("EEE")
    assert [row["aboard"] for row in figures(run.state)["classes"]] == [0, 0, 0]
    assert [row["vacant"] for row in figures(run.state)["coaches"]] == [72, 8, 46]


@pytest.mark.parametrize(
    ("booked", "shown"),
    [
        ({"S1": 1}, []),
        ({"S1": 2, "S2": 1}, []),  # the class is public: what is left of it would be S2
        ({"S1": 3, "S2": 1, "S3": 2}, ["S1"]),
        ({"S1": 3, "S2": 1, "S3": 1}, ["S1"]),
        ({"S1": 2, "S2": 2}, ["S1", "S2"]),
    ],
)
def test_no_figure_is_about_one_passenger(booked, shown):
    """Neither a coach's row, nor the difference of a class and the rows that are left.

    The staff get all rows.
    """
    people = [
        person(10 * place + berth, coach=coach, berth=berth)
        for place, (coach, count) in enumerate(booked.items())
        for berth in range(1, count + 1)
    ]
    coaches = [{"code": coach, "class": "SL", "berths": 8} for coach in booked]
    state = Driver(*people, coaches=coaches).state
    whole = figures(state)
    assert {each["coach"]: each["booked"] for each in whole["coaches"]} == booked
    found = public_figures(state, whole)
    assert (found is whole) is (len(shown) == len(booked))
    assert [each["coach"] for each in found["coaches"]] == shown
    for role, read in ((None, found), (Role.PASSENGER, found), (Role.TTE, whole)):
        assert run_view(state, role, "IR_1")["figures"] == read
    assert [each["booked"] for each in found["classes"] if each["booked"] == 1] == []


def test_figures_are_computed_at_each_call():
    """Figures are computed at each call, so a caller may change them."""
    run = Driver()
    figures(run.state)["classes"].clear()
    assert figures(run.state)["classes"]


def test_figures_of_an_upgrade():
    """An upgraded passenger no longer counts on RAC, and counts in the new coach."""
    coaches = [{"code": code, "class": "SL", "berths": 8} for code in ("S1", "S2")]
    more = person(2), person(3), person(4, coach="S2")
    run = Driver(person(1, coach="S2"), rac(10, 1), *more, coaches=coaches, policy="AUTO")
    run.start()
    run.board(10)
    assert figures(run.state)["coaches"][0] == {"coach": "S1", **row(3, 1, 2, 0, 1, 5)}
    run.no_show(1)
    first, second = figures(run.state)["coaches"]
    assert first == {"coach": "S1", **row(2, 0, 2, 0, 0, 6)}
    assert second == {"coach": "S2", **row(3, 1, 1, 1, 0, 6, upgraded=1)}
    assert person_view(run.state.passenger("4512345610", 1))["upgradedFrom"] == "RAC 1"
    assert person_view(run.state.passenger("4512345610", 1))["status"] == "CNF"


def test_an_offer_names_others_to_the_staff_only():
    """Passengers read their own offers without the reason."""
    run = Driver(person(1), rac(10, 1), rac(11, 2), checkMinutes=None)
    run.start()
    run.board(11)
    run.no_show(1)
    (offer,) = run.state.offers.values()
    assert [each["outcome"] for each in offer_view(offer, Role.TTE)["reason"]] == [
        *("is DUE, not aboard", "chosen")
    ]
    assert list(visible_offers(run.state, Role.PASSENGER, "IR_11")) == [offer]
    assert list(visible_offers(run.state, Role.TTE, "T1")) == [offer]
    for role, user in ((Role.PASSENGER, "IR_10"), (Role.SERVICE, "IR_11"), (None, None)):
        assert list(visible_offers(run.state, role, user)) == []
    text = repr(offer_view(offer, Role.PASSENGER))
    assert "4512345611" in text
    assert "4512345610" not in text
    assert "Person" not in text


def test_those_who_wait_are_read_in_their_turn():
    """The waiting list has RAC by number, then WL, each with the open offer."""
    run = Driver(person(1), rac(10, 10), rac(11, 9), person(20, status="WL", number=1, **NONE))
    run.start()
    run.board(11)
    run.no_show(1)
    assert [(row["pnr"][-2:], row["offerId"]) for row in rac_view(run.state)] == [
        *(("11", "12345.2026-11-23.6"), ("10", None), ("20", None))
    ]


def test_a_vacancy_has_its_end_cause_and_offer():
    """A vacancy has its end, its cause and its offer; UNBOOKED if no passenger left it."""
    coaches = [{"code": "S1", "class": "SL", "berths": 8}]
    people = person(1), person(2), person(3, "CCC"), person(4, "AAA", "BBB"), rac(10, 1)
    run = Driver(*people, coaches=coaches)
    run.start()
    run.board(10)
    run.no_show(1)
    found = {row["berth"]: row for row in vacancies_view(run.state)}
    assert sorted(found) == [1, 3, 5, 6, 7, 8]
    assert (found[1]["cause"], found[1]["offerId"]) == ("NO_SHOW", "12345.2026-11-23.6")
    assert (found[3]["cause"], found[3]["to"], found[3]["offerId"]) == ("UNBOOKED", "CCC", None)
    assert (found[7]["half"], found[8]["half"]) == (True, False)
    run.board(4)
    run.go_to("BBB")
    found = {row["berth"]: row for row in vacancies_view(run.state)}
    assert (found[4]["cause"], found[4]["from"], found[4]["to"]) == ("ALIGHTED", "BBB", "EEE")
    run.go_to("EEE")
    assert vacancies_view(run.state) == []


def test_a_coach_is_read_berth_by_berth():
    """A coach's plan has each berth with its holders and their stations."""
    run = Driver(person(1, "AAA", "BBB"), person(3, "BBB", berth=1), rac(10, 1), rac(11, 2))
    plan = {
        row["berth"]: row["holders"] for row in berth_plan(run.state, run.state.chart.coaches[:1])
    }
    assert [(h["name"], h["from"], h["to"], h["half"]) for h in plan[1]] == [
        *(("Person 1", "AAA", "BBB", False), ("Person 3", "BBB", "EEE", False))
    ]
    assert [(h["name"], h["half"]) for h in plan[7]] == [("Person 10", True), ("Person 11", True)]
    assert not plan[2]


def test_the_waiting_list_has_those_who_still_wait():
    """NT and cancelled passengers are not on the waiting list."""
    run = Driver(person(1), rac(12, 2), rac(11, 1), rac(13, 3) | {"berth": 15})
    run.start()
    run.board(12)
    run.no_show(13)
    assert [each["pnr"] for each in rac_view(run.state)] == ["4512345611", "4512345612"]
    run.no_show(11)
    waiting = rac_view(run.state)
    assert [each["pnr"] for each in waiting] == ["4512345612"]
    assert waiting[0]["offerId"] == next(iter(run.state.offers))


@pytest.mark.parametrize(
    ("role", "user", "seen"),
    [
        (Role.ADMIN, "control", True),
        (Role.TTE, "T1", True),
        (Role.PASSENGER, "IR_1", True),
        (Role.PASSENGER, "IR_2", False),
        (Role.PASSENGER, None, False),
        (Role.SERVICE, "IR_1", False),
        (None, None, False),
    ],
)
def test_staff_see_all_and_passengers_their_own(role, user, seen):
    """A passenger gets the same error for another user's PNR and for an unknown one."""
    run = Driver(person(1))
    (found,) = run.state.passengers.values()
    assert sees("IR_1", role, user) is seen
    if seen:
        assert visible_on_pnr(run.state, found.booking.pnr, role, user) == [found]
    else:
        with pytest.raises(UnknownPassenger, match="no passenger on that PNR"):
            visible_on_pnr(run.state, found.booking.pnr, role, user)
    with pytest.raises(UnknownPassenger):
        visible_on_pnr(run.state, "4599999999", role, user)


def test_a_coach_is_found_by_its_code():
    """The error for an unknown coach names the train's coaches."""
    state = Driver().state
    assert [coach.code for coach in state.coach("S1")] == ["S1"]
    with pytest.raises(UnknownCoach, match="expected one of S1"):
        state.coach("S99")


def test_a_composite_coach_is_shown_by_its_parts():
    """Figures, vacancies, the plan and the report have the class of each berth."""
    parts = [
        {"code": "HA1", "class": "1A", "berths": 2},
        {"code": "HA1", "class": "2A", "berths": 3, "numbers": [11, 12, 21]},
        {"code": "GS", "class": "GEN"},
    ]
    people = [
        person(1, coach="HA1", berth=1, **{"class": "1A"}),
        person(2, coach="HA1", berth=12, **{"class": "2A"}),
    ]
    run = Driver(*people, coaches=parts)
    run.start()
    run.no_show(2)
    shown = figures(run.state)
    assert [(row["coach"], row["booked"], row["vacant"]) for row in shown["coaches"]] == [
        ("HA1", 2, 4)
    ]
    assert [row["booked"] for row in shown["classes"]] == [1, 1]
    assert public_figures(run.state, shown)["classes"] == []  # each class has one passenger
    free = [(row["berth"], row["class"]) for row in vacancies_view(run.state)]
    assert free == [(2, "1A"), (11, "2A"), (12, "2A"), (21, "2A")]
    plan = berth_plan(run.state, run.state.coach("HA1"))
    assert [(row["berth"], row["class"], len(row["holders"])) for row in plan] == [
        (1, "1A", 1),
        (2, "1A", 0),
        (11, "2A", 0),
        (12, "2A", 0),
        (21, "2A", 0),
    ]
    coaches = captaincy_report(run.state)["coaches"]
    assert [(row["coach"], row["class"], len(row["noShows"])) for row in coaches] == [
        ("HA1", "1A", 0),
        ("HA1", "2A", 1),
    ]
    assert [row["berth"] for row in coaches[1]["vacant"]] == [11, 12, 21]
