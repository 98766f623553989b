"""trainhub/core/history.py: what a client missed, or plainly that it is no longer held."""

import pytest
from railway import MORNING, RUN

from trainhub.core.history import EVENTS_KEPT, History
from trainhub.core.journal import Record
from trainhub.domain.commands import To
from trainhub.domain.events import Announcement
from trainhub.domain.model import Level, RunKey

OTHER_RUN = RunKey("54321/2026-11-23")
EVENT = Announcement(at=MORNING, text="x", level=Level.INFO, audience_=To.EVERYONE)


def filled(seqs, kept=EVENTS_KEPT, run=RUN):
    history = History(kept)
    for seq in seqs:
        history.add(Record(100 + seq, run, seq, EVENT))
    return history


def seqs_since(history, seq, run=RUN):
    found = history.since(run, seq)
    return None if found is None else [record.seq for record in found]


@pytest.mark.parametrize("kept", [1, 2, 5, 10, 11])
def test_since_is_all_that_came_later_or_none(kept):
    """Every seq from 0 past the end: the records after it in order, or None if one is not held."""
    history = filled(range(1, 11), kept)
    for seq in range(-2, 14):
        later = list(range(seq + 1, 11))
        held = 0 <= seq <= 10 and len(later) <= kept
        assert seqs_since(history, seq) == (later if held else None), seq


def test_who_missed_nothing_is_not_told_to_start_anew():
    """The last seq itself is held: nothing came later, which is not the same as None."""
    assert seqs_since(filled(range(1, 4)), 3) == []


def test_a_seq_that_was_never_given_is_not_held():
    """A client that claims to have seen the future has another log in mind."""
    assert seqs_since(filled(range(1, 4)), 4) is None


def test_a_run_that_is_not_known_is_not_held():
    """No record of a run at all: None, also from seq 0."""
    assert History().since(RUN, 0) is None


def test_runs_are_kept_apart():
    """Each run has its own last records, and another's flood pushes none of them out."""
    history = filled(range(1, 4), kept=3)
    for seq in range(1, 100):
        history.add(Record(seq, OTHER_RUN, seq, EVENT))
    assert seqs_since(history, 0) == [1, 2, 3]
    assert seqs_since(history, 97, OTHER_RUN) == [98, 99]
    assert seqs_since(history, 95, OTHER_RUN) is None


def test_a_run_keeps_no_more_than_its_share():
    """512 events of a run are held; the one before them is gone."""
    history = filled(range(1, EVENTS_KEPT + 101))
    assert len(seqs_since(history, 100)) == EVENTS_KEPT
    assert seqs_since(history, 99) is None


def test_a_run_taken_up_in_the_middle():
    """Where the first record held is not the run's first, what came before it is not held."""
    history = filled(range(50, 60))
    assert seqs_since(history, 49) == list(range(50, 60))
    assert seqs_since(history, 48) is None


def test_what_was_handed_out_does_not_change():
    """A caller may keep what it got while more is added."""
    history = filled(range(1, 4))
    found = history.since(RUN, 1)
    history.add(Record(4, RUN, 4, EVENT))
    assert [record.seq for record in found] == [2, 3]


def test_a_forgotten_run_is_gone():
    """After forget nothing is held; a run that never was may be forgotten too."""
    history = filled(range(1, 4))
    history.drop(RUN)
    history.drop(OTHER_RUN)
    assert history.since(RUN, 3) is None
