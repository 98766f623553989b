"""trainhub/process/clock.py: the hub's time jumps only when the hub follows a step."""

import json
import stat
from datetime import UTC, datetime

import pytest
from clocks import NOON, Machine
from hypothesis import given
from hypothesis import strategies as st

from trainhub.process.clock import MOST_STEPS, STEP_COMPLAIN_SECONDS, STEP_SECONDS

DAY = 24 * 3600.0


@pytest.fixture
def machine():
    return Machine()


def settle(clock):
    """What the hub does on its timer."""
    by = clock.look()
    if by is not None:
        clock.follow(by)
    return by


def test_it_is_the_wall_clock_s_time(machine):
    """In UTC, and going on as time does."""
    clock = machine.clock()
    assert clock() == datetime(2026, 11, 27, 12, tzinfo=UTC)
    machine.pass_(90)
    assert clock.now() == NOON + 90
    assert clock.look() is None


@pytest.mark.parametrize("by", [STEP_SECONDS, -STEP_SECONDS, 3600, -3600, 9e8, -9e8])
def test_a_step_is_told_and_followed_only_when_the_hub_says_so(machine, caplog, by):
    """Until then time goes on as it was, so that nothing is decided by a time that has jumped."""
    clock = machine.clock()
    machine.set(by)
    machine.pass_(1)
    assert clock.now() == NOON + 1
    assert clock.look() == pytest.approx(by)
    clock.follow(by)
    assert clock.now() == machine.wall() == pytest.approx(NOON + 1 + by)
    assert clock.look() is None
    how = f"{'forward' if by > 0 else 'back'} by {abs(by):.0f} s"
    assert [how in record.message for record in caplog.records] == [True]
    machine.pass_(5)
    assert [how in each and " 5 s ago" in each for each in clock.complaints()] == [True]
    machine.pass_(STEP_COMPLAIN_SECONDS)
    assert clock.complaints() == []


def test_slewing_is_followed_without_a_word(machine, caplog):
    """Small corrections are what a time service does all day; time never goes back for them."""
    clock = machine.clock()
    for slewed in (1.9, 1.9, -1.9, -1.9):
        before = clock.now()
        machine.set(slewed)
        assert settle(clock) is None
        assert clock.now() == max(before, machine.wall())
    machine.pass_(5)
    assert clock.now() == machine.wall()
    assert caplog.records == []


def test_steps_are_remembered_up_to_a_bound(machine):
    """The newest; a clock that jumps about fills no memory."""
    clock = machine.clock()
    for number in range(MOST_STEPS + 10):
        machine.set(10 if number % 2 else -10)
        settle(clock)
    assert len(clock.steps) == MOST_STEPS


# --- how old something is ---------------------------------------------------------------------


@pytest.mark.parametrize("by", [0, 3600, -3600, 400 * DAY, -400 * DAY])
def test_nothing_is_taken_for_older_than_it_is(machine, by):
    """What was made a while ago is not before `before`, whichever way the clock was set since."""
    clock = machine.clock()
    made = clock.now()
    machine.pass_(DAY / 2)
    machine.set(by)
    settle(clock)
    again = clock.now()
    machine.pass_(DAY / 2 - 1)
    assert clock.before(DAY) <= min(made, again)
    machine.pass_(2)
    assert made < clock.before(DAY) or again < made
    machine.pass_(DAY)
    assert again < clock.before(DAY)


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 2 * DAY), st.sampled_from([0, -DAY, -60, 60, DAY, 400 * DAY])),
        max_size=6,
    )
)
def test_no_history_of_steps_makes_anything_older(steps):
    """After any steps what was made less than a day ago is kept for a day."""
    machine = Machine()
    clock, made = machine.clock(), []
    for seconds, by in steps:
        machine.pass_(seconds)
        machine.set(by)
        settle(clock)
        made.append((machine.steady, clock.now()))
        cut = clock.before(DAY)
        assert all(shown >= cut - 1e-3 for at, shown in made if machine.steady - at < DAY)


def test_the_latest_time_shown_is_known_after_a_step_back(machine):
    """A token that was made before bears a time that is still to come."""
    clock = machine.clock()
    machine.set(-3600)
    settle(clock)
    machine.pass_(60)
    assert clock.latest() == NOON
    machine.pass_(3600)
    assert clock.latest() == clock.now()


def test_a_time_of_before_a_step_is_corrected(machine):
    """Forward: what this clock showed since it was last set. Back: what is still to come."""
    clock = machine.clock()
    machine.pass_(100)
    machine.set(DAY)
    settle(clock)
    assert clock.correction(NOON + 50) == DAY
    assert clock.correction(NOON - 2_000) == 0  # before the machine was started
    assert clock.correction(NOON + 200) == 0  # another's clock, which was right
    assert clock.correction(clock.now()) == 0
    machine.pass_(100)
    machine.set(-3600)
    settle(clock)
    assert clock.correction(NOON + DAY + 150) == -3600
    assert clock.correction(NOON + 50) == DAY
    machine.pass_(3600)
    assert clock.correction(NOON + DAY + 150) == 0  # it is shown for the second time


# --- over a restart ---------------------------------------------------------------------------


@pytest.mark.parametrize("by", [3600, -3600])
def test_a_step_while_the_hub_was_down_is_seen_after_it(machine, tmp_path, by):
    """The machine has run on, so its steady clock tells how long it was."""
    path = tmp_path / "clock.json"
    machine.clock(path).save()
    machine.pass_(60)
    machine.set(by)
    clock = machine.clock(path)
    assert clock.now() == NOON + 60
    assert settle(clock) == by
    assert clock.unsaved
    clock.save()
    again = machine.clock(path)
    assert again.look() is None
    assert again.steps == clock.steps
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_after_a_start_of_the_machine_the_steady_clock_says_nothing(machine, tmp_path):
    """Then the wall clock is believed, unless a record bears a later time."""
    path = tmp_path / "clock.json"
    machine.clock(path).save()
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "another"}))
    machine.set(-3600)
    clock = machine.clock(path)
    assert clock.now() == NOON - 3600
    clock.go_on_from(NOON - 7200)
    assert clock.look() is None
    clock.go_on_from(NOON)
    assert clock.now() == NOON
    assert clock.look() == -3600


def test_slow_slewing_is_no_step_after_a_restart(machine, tmp_path):
    """The file is written again when the wall clock has drifted from what it says."""
    path = tmp_path / "clock.json"
    clock = machine.clock(path)
    for _ in range(100):
        machine.set(0.1)
        settle(clock)
        if clock.unsaved:
            clock.save()
    assert machine.clock(path).look() is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "7", '{"boot": 1}', '{"boot": "", "offset": "x"}', "[" * 100_000]
    + [
        json.dumps({"boot": "b", "offset": 1, "since": 1, "steps": steps})
        for steps in (None, 7, [[1]], [["a", "b", "c"]])
    ],
    ids=lambda text: text[:20],
)
def test_a_broken_file_is_as_good_as_none(machine, tmp_path, content):
    """The clock starts from the wall clock, and the file is written again."""
    path = tmp_path / "clock.json"
    path.write_text(content)
    clock = machine.clock(path)
    assert (clock.now(), clock.steps) == (NOON, ())
    clock.save()
    assert json.loads(path.read_text())["steps"] == []


def test_a_file_that_cannot_be_written_is_logged(machine, tmp_path, caplog):
    """The hub goes on, and does not try again at each look."""
    clock = machine.clock(tmp_path / "none" / "clock.json")
    clock.save()
    assert "cannot be written" in caplog.text
    assert not clock.unsaved
