"""trainhub/domain/report.py: the captaincy report, as JSON and as CSV."""

import csv
import io
import json

import pytest
from day import state_of
from railway import TRAIN, Driver, person, rac

from trainhub.domain import commands as c
from trainhub.domain.model import AlightReason
from trainhub.domain.report import COLUMNS, captaincy_report, report_csv

SMALL = [{"code": "S1", "class": "SL", "berths": 8}]
NONE = {"coach": None, "berth": None}


def told(name="Person 1"):
    """A run with an NT, an upgrade, and an NT without a berth."""
    people = person(1, name=name), person(2, "AAA", "CCC"), person(3, "BBB"), rac(11, 4)
    run = Driver(*people, person(20, status="WL", number=1, **NONE), coaches=SMALL, policy="AUTO")
    run.start()
    for number in (2, 11):
        run.board(number)
    run.no_show(1)
    run.no_show(20)
    run.go_to("EEE")
    return captaincy_report(run.state)


def test_a_report_names_who_did_not_turn_up_by_coach():
    """The report has the NT passengers by coach, and those without a berth apart."""
    report = told()
    (coach,) = report["coaches"]
    assert [each["pnr"] for each in coach["noShows"]] == ["4512345601"]
    assert [each["pnr"] for each in report["notSeated"]] == ["4512345620"]
    assert (report["trainNo"], report["status"]) == ("12345", "COMPLETED")


def test_a_report_says_where_each_berth_was_vacant_and_why():
    """The report has each vacant stretch of a berth, with its cause."""
    (coach,) = told()["coaches"]
    found = {(row["berth"], row["from"], row["to"], row["cause"]) for row in coach["vacant"]}
    assert found == {
        (2, "CCC", "EEE", "ALIGHTED"),
        (3, "AAA", "BBB", "UNBOOKED"),
        (7, "AAA", "EEE", "UPGRADED"),
        *((berth, "AAA", "EEE", "UNBOOKED") for berth in (4, 5, 6, 8)),
    }


def test_a_report_has_each_upgrade_with_its_reason():
    """The report has each upgrade with its reason, and no irctcId."""
    report = told()
    (upgrade,) = report["coaches"][0]["upgrades"]
    assert (upgrade["berth"], upgrade["oldBerth"], upgrade["cause"]) == (1, 7, "NO_SHOW")
    assert [each["outcome"] for each in upgrade["reason"]] == ["chosen"]
    assert "IR_" not in json.dumps(report)


def test_a_report_names_those_whom_the_train_did_not_serve():
    """They are not unchecked: no TTE could check them. A vacancy ends where the train does."""
    people = person(1), person(2, "BBB"), person(3, "BBB", "CCC"), person(4, "BBB"), person(5)
    run = Driver(*people, person(6, "DDD"), coaches=SMALL)
    run.give(c.StartJourney(**TRAIN, station_code="BBB"))
    for number in (1, 2, 3):
        run.board(number)
    run.no_show(4)
    run.give(c.ShortTerminate(**TRAIN, station_code="CCC"))
    run.go_to("CCC")
    report = captaincy_report(run.state)
    assert (report["status"], report["terminus"]) == ("COMPLETED", "CCC")
    assert [each["pnr"][-2:] for each in report["notServed"]] == ["01", "02", "05", "06"]
    (coach,) = report["coaches"]
    assert (coach["unchecked"], len(coach["noShows"])) == ([], 1)
    assert {(row["from"], row["to"]) for row in coach["vacant"]} == {("BBB", "CCC")}
    kinds = [row["kind"] for row in csv.DictReader(io.StringIO(report_csv(report)[1:]))]
    assert kinds.count("NOT_SERVED") == 4


def test_a_report_lists_those_who_were_never_marked():
    """A passenger is unchecked once the train has left the station without a mark."""
    run = Driver(person(1), person(3, "BBB", "CCC"), person(20, status="WL", number=1, **NONE))
    run.start()

    def unchecked():
        report = captaincy_report(run.state)
        rows = *report["coaches"][0]["unchecked"], *report["uncheckedNotSeated"]
        return [row["pnr"][-2:] for row in rows]

    assert unchecked() == []
    run.depart("AAA")
    assert unchecked() == ["01", "20"]
    run.board(1)
    run.go_to("EEE")
    assert unchecked() == ["03", "20"]
    assert state_of(run, 3) == state_of(run, 20) == "UNCHECKED"


def test_a_report_lists_those_who_left_early():
    """A passenger who left before the destination is listed with the reason and the time."""
    run = Driver(person(1))
    run.start()
    run.board(1)
    run.give(c.Alight(**TRAIN, pnr="4512345601", index=1, reason=AlightReason.MEDICAL))
    report = captaincy_report(run.state)
    (row,) = report["coaches"][0]["leftEarly"]
    assert (row["pnr"], row["left"]) == ("4512345601", "MEDICAL")
    assert "MEDICAL 2026-11-23T08:00:00+05:30" in report_csv(report)


def test_a_berth_that_fell_free_twice_has_two_stretches():
    """An undone NT leaves one vacant stretch, and a later NT makes another."""
    run = Driver(person(1), coaches=SMALL)
    run.start()
    run.no_show(1)
    run.go_to("BBB")
    run.now = run.state.passenger("4512345601", 1).marked_nt_at
    run.undo(1)
    run.give(c.CancelJourney(**TRAIN, pnr="4512345601", index=1))
    rows = [row for row in captaincy_report(run.state)["coaches"][0]["vacant"] if row["berth"] == 1]
    assert [(row["from"], row["to"], row["cause"]) for row in rows] == [
        *(("AAA", "BBB", "NO_SHOW"), ("BBB", "EEE", "CANCELLED"))
    ]


def parse(text):
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True))


def test_the_csv_has_what_the_report_has():
    """The CSV has a header and one line for each row, and can be parsed back."""
    report = told('Sen, "Bo"\nJr')
    rows = parse(report_csv(report))
    (coach,) = report["coaches"]
    assert tuple(rows[0]) == COLUMNS
    kinds = ["NT", "UNCHECKED", *["VACANT"] * 7, "UPGRADE", "NT"]
    assert [row["kind"] for row in rows] == kinds
    assert rows[0]["detail"] == coach["noShows"][0]["markedAt"] == "2026-11-23T08:00:00+05:30"
    assert rows.pop(1)["pnr"] == "4512345603"
    assert rows[0]["name"] == 'Sen, "Bo"\nJr'
    assert [rows[0][name] for name in ("coach", "berth", "pnr", "index")] == [
        *("S1", "1", "4512345601", "1")
    ]
    assert [(row["berth"], row["from"], row["to"], row["detail"]) for row in rows[1:8]] == [
        (str(row["berth"]), row["from"], row["to"], row["cause"]) for row in coach["vacant"]
    ]
    assert rows[8]["detail"] == "from RAC 4; 0 passed over; the berth was free by NO_SHOW"
    assert (rows[9]["coach"], rows[9]["berth"]) == ("", "")


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        '=HYPERLINK("http://x")',
        "=1,2",
    ],
)
def test_no_cell_is_a_formula(name):
    """A cell that could be a formula becomes a text, and stays readable."""
    rows = parse(report_csv(told(name)))
    assert rows[0]["name"] == f"'{name}"
    for row in rows:
        assert not any(value[:1] in tuple("=+-@\t\r\n") and value for value in row.values())


@pytest.mark.parametrize("name", ["A=B", "O'Neil", "Anne-Marie", "संजय"])
def test_other_cells_stay_as_they_are(name):
    """Cells that cannot be formulas stay unchanged."""
    assert parse(report_csv(told(name)))[0]["name"] == name


def test_signs_of_other_scripts_make_no_formula():
    """Full-width signs, byte order marks and invisible marks do not hide a formula."""
    for sign in ("\uff1d", "\uff0b", "\uff0d", "\uff20", "\ufeff=", "\u200b=", "\xa0="):
        (row, *_) = parse(report_csv(told(f"{sign}1+1")))
        assert row["name"].startswith("'")
