"""trainhub/hub/runs.py: the look-up of runs by key and by train number."""

from datetime import date, timedelta

import pytest
from callers import TTE
from railway import MORNING, RUN, chart, person, register_chart

from trainhub.domain import commands as c
from trainhub.domain.errors import UnknownTrain
from trainhub.domain.model import RunKey
from trainhub.domain.train import TrainState
from trainhub.hub.runs import Runs

OTHER_DAY = RunKey("12345/2026-11-24")


@pytest.fixture
def runs():
    runs = Runs()
    for run in (RUN, OTHER_DAY):
        runs.adopt(TrainState(run))
    return runs


def test_a_run_is_found_by_its_key_and_by_its_date(runs):
    """A date selects the run."""
    assert runs.state(RUN) is runs.present(RUN)
    found = runs.find("12345", date(2026, 11, 24), TTE, MORNING)
    assert (found.run, RUN in runs, len(runs)) == (OTHER_DAY, True, 2)


def test_a_run_that_is_not_here_is_unknown(runs):
    """For an unknown run `present` and `named` return None, and the other look-ups raise."""
    gone = RunKey("12345/2026-11-25")
    assert runs.present(gone) is None
    assert runs.named("54321", None, TTE, MORNING) is None
    with pytest.raises(UnknownTrain, match="no run 12345/2026-11-25"):
        runs.state(gone)
    with pytest.raises(UnknownTrain, match="no train 54321"):
        runs.find("54321", None, TTE, MORNING)


def test_a_retired_run_is_in_no_index(runs):
    """A retired run leaves only its key and a time."""
    runs.retire(RUN, 7.0)
    runs.retire(OTHER_DAY, 8.0)
    assert list(runs.all()) == []
    assert runs.retired == {RUN: 7.0, OTHER_DAY: 8.0}
    with pytest.raises(UnknownTrain, match="no train 12345"):
        runs.find("12345", None, TTE, MORNING)


def test_a_train_has_moved_if_another_run_may_be_meant():
    """The first call has every train; later ones those with a change, by a report or the clock."""
    runs = Runs()
    for day in ("2026-11-23", "2026-11-24"):
        whole = register_chart(chart(person(1), startDate=day))
        runs.adopt(state := TrainState(whole.chart.run))
        state.carry_out(whole, MORNING)
    assert [runs.moved(MORNING), runs.moved(MORNING)] == [{"12345"}, set()]
    state.carry_out(c.Announce(train_no="12345", text="x"), MORNING)
    assert runs.moved(MORNING) == set()
    runs.state(RUN).carry_out(c.CancelTrain(train_no="12345"), MORNING)
    assert [runs.moved(MORNING), runs.moved(MORNING)] == [{"12345"}, set()]
    assert runs.moved(MORNING + timedelta(hours=20)) == {"12345"}  # tomorrow's is due
    runs.retire(RUN, 7.0)
    assert runs.moved(MORNING + timedelta(hours=20)) == {"12345"}


def test_a_run_is_adopted_once(runs):
    """`adopt` does not replace a present run."""
    here = runs.state(RUN)
    runs.adopt(TrainState(RUN))
    assert runs.state(RUN) is here
