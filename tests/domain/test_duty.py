"""trainhub/domain/duty.py: which TTE is responsible for which coach, and remarks."""

from railway import RUN, TRAIN, Driver, person, rac

from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.model import Role
from trainhub.domain.report import captaincy_report, report_csv
from trainhub.domain.snapshot import resume, snapshot_of
from trainhub.domain.train import fold
from trainhub.domain.views import run_view
from trainhub.hub.protocol import read_command

COACHES = [{"code": code, "class": "SL", "berths": 72} for code in ("S1", "S2", "S3")]


def begin(*people):
    run = Driver(*people or (person(1), rac(10, 1)), coaches=COACHES)
    run.start()
    return run


def sign_on(run, tte, *coaches):
    return run.give(c.SignOn(**TRAIN, coaches=coaches), tte)


def duty(run):
    """Return who is responsible for each coach, as the staff read it."""
    lines = run_view(run.state, Role.TTE, "T1")["duty"]
    return {each["coach"]: each["tte"] for each in lines}


def test_a_tte_is_responsible_for_the_coaches_named_last():
    """SIGN_ON names all coaches of the caller, and once more the same changes nothing."""
    run = begin()
    (event,) = sign_on(run, "T1", "S1", "S2")
    assert (event.tte, event.coaches, event.audience) == ("T1", ("S1", "S2"), e.TO_STAFF)
    assert sign_on(run, "T1", "S2", "S1", "S2") == []
    assert duty(run) == {"S1": "T1", "S2": "T1", "S3": None}
    sign_on(run, "T1", "S3")
    assert duty(run) == {"S1": None, "S2": None, "S3": "T1"}


def test_a_coach_passes_to_the_tte_who_signs_on_next():
    """A coach has one TTE at most; a reliever takes it over."""
    run = begin()
    sign_on(run, "T1", "S1", "S2")
    sign_on(run, "T2", "S2")
    assert duty(run) == {"S1": "T1", "S2": "T2", "S3": None}


def test_a_duty_ends_by_sign_off_also_after_the_journey():
    """SIGN_OFF tells the coaches, and a second one changes nothing."""
    run = begin()
    sign_on(run, "T1", "S1")
    run.go_to("EEE")
    assert duty(run)["S1"] == "T1"
    (event,) = run.give(c.SignOff(**TRAIN), "T1")
    assert (event.tte, event.coaches, event.station.code) == ("T1", ("S1",), "EEE")
    assert run.give(c.SignOff(**TRAIN), "T1") == []
    assert set(duty(run).values()) == {None}


def test_the_control_room_signs_a_tte_on_and_off():
    """The staff may name another TTE, who has no device at hand."""
    run = begin()
    run.give(c.SignOn(**TRAIN, coaches=("S1",), tte="T9"), "control")
    assert duty(run)["S1"] == "T9"
    run.give(c.SignOff(**TRAIN, tte="T9"), "control")
    assert duty(run)["S1"] is None


def test_the_staff_read_who_checked_which_coach_where():
    """The line of a coach says since when it has its TTE, and where its round was closed."""
    run = begin()
    sign_on(run, "T1", "S1")
    run.give(c.CheckCoach(**TRAIN, coach="S1"), "T1")
    first, second, _ = run_view(run.state, Role.ADMIN, "control")["duty"]
    assert first == {
        "coach": "S1",
        "tte": "T1",
        "since": "2026-11-23T08:00:00+05:30",
        "checked": "AAA",
    }
    assert second == {"coach": "S2", "tte": None, "since": None, "checked": None}


def test_passengers_and_the_public_do_not_read_the_duty():
    """Only the staff read which TTE has which coach."""
    run = begin()
    sign_on(run, "T1", "S1")
    assert "duty" not in run_view(run.state, Role.PASSENGER, "IR_1")
    assert "duty" not in run_view(run.state, None, None)


def test_a_coach_that_is_taken_off_has_no_duty():
    """An amendment that removes a coach ends the duty there."""
    run = begin()
    sign_on(run, "T1", "S1", "S3")
    change = {"trainNo": "12345", "source": "CORRECTION", "removeCoaches": ["S3"]}
    run.give(read_command(c.AmendChart, change))
    assert duty(run) == {"S1": "T1", "S2": None}
    assert run.state.coaches_of("T1") == ("S1",)


def test_a_remark_is_in_the_report_with_its_author():
    """A remark has its time, station and user, which no client can give."""
    run = begin()
    run.give(c.Remark(**TRAIN, text="no water", coach="S1"), "T1")
    run.go_to("EEE")
    run.give(c.Remark(**TRAIN, text="=late by fog"), "T2")
    report = captaincy_report(run.state)
    assert [(each["tte"], each["station"], each["coach"]) for each in report["remarks"]] == [
        ("T1", "AAA", "S1"),
        ("T2", "EEE", None),
    ]
    rows = report_csv(report).splitlines()[-2:]
    assert rows == ["S1,REMARK,,AAA,,,,,no water", ",REMARK,,EEE,,,,,'=late by fog"]


def test_a_start_restores_duty_and_remarks():
    """A snapshot has them, and so has a replay of the log."""
    run = begin()
    sign_on(run, "T1", "S1")
    run.give(c.Remark(**TRAIN, text="no water"), "T1")
    for again in (resume(RUN, run.events[0], snapshot_of(run.state)), fold(RUN, run.events)):
        assert (again.duty, again.remarks) == (run.state.duty, run.state.remarks)
