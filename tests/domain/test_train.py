"""trainhub/domain/train.py: the table of commands, and the events that follow a command."""

import pytest
from day import departed, pnr, types
from railway import MORNING, RUN, TRAIN, Driver, person, rac

from trainhub.core.errors import Conflict
from trainhub.domain import commands as c
from trainhub.domain.train import _DECIDE, TrainState


def test_nothing_can_be_asked_of_a_run_without_a_chart():
    """A command on a run without a chart is a fault of the program."""
    with pytest.raises(TypeError, match="begins with RegisterTrain"):
        TrainState(RUN).decide(c.StartJourney(**TRAIN), MORNING)


def test_events_are_numbered_from_one_without_gaps():
    """A run's events are numbered from 1 without gaps."""
    run = Driver()
    for number in (1, 2):
        run.start() if number == 1 else run.board(2)
        assert run.state.seq == len(run.events)


def test_deciding_changes_nothing():
    """`decide` changes nothing, and `evolve` changes the state."""
    run = departed()
    command = c.Arrive(**TRAIN, station_code="BBB")
    assert run.state.decide(command, run.now) == run.state.decide(command, run.now)
    assert (run.state.seq, run.state.current) == (3, 0)


def test_every_command_of_a_run_has_its_rule():
    """Each command has a rule, except BATCH, which is several commands."""
    own = {c.ExpireOffers, c.CloseRun, c.AcknowledgeOffer, c.CorrectClock}
    assert set(_DECIDE) == {*c.COMMANDS.values(), *own} - {c.Batch}


def test_what_follows_is_carried_out_with_the_command():
    """`carry_out` returns a mark and then the offer that follows, in order."""
    run = Driver(person(1), rac(11, 1))
    run.start()
    run.board(11)
    command = c.MarkNoShow(**TRAIN, pnr=pnr(1), index=1)
    decided = run.state.decide(command, run.now)
    assert types(decided) == ["NO_SHOW", "BERTH_VACATED"]
    done = run.give(command)
    assert done[:2] == decided
    assert types(done[2:]) == ["UPGRADE_PENDING", "UPGRADE_OFFER"]
    assert run.state.seq == len(run.events)


def test_what_is_refused_is_not_carried_out():
    """A refused command changes nothing."""
    run = departed()
    with pytest.raises(Conflict):
        run.depart("AAA")
    assert run.state.seq == len(run.events)
