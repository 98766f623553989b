"""trainhub/core/lineage.py: what journal and MongoDB make of each other when they meet."""

import pytest

from trainhub.core.lineage import (
    STARTS_KEPT,
    Beginning,
    Lineage,
    StorePlace,
    Verdict,
    compare,
    next_epoch,
    read_lineage,
)

SAME, BEHIND, FORKED = Verdict.SAME, Verdict.BEHIND, Verdict.FORKED
OLD, NOW, LATER = "h000001-aa", "h000002-bb", "h000003-cc"
# Two epochs and three starts: s1 began at 0, s2 at 10, s3 at 20.
LINEAGE = Lineage(
    (Beginning(OLD, 0), Beginning(NOW, 15)),
    (Beginning("s1", 0), Beginning("s2", 10), Beginning("s3", 20)),
)


@pytest.mark.parametrize(
    ("place", "flushed", "verdict"),
    [
        (StorePlace(NOW, "s3", 25), 25, SAME),
        (StorePlace(NOW, "s3", 25), 20, SAME),  # the journal notes it a moment later
        (StorePlace(NOW, "s2", 20), 20, SAME),
        (StorePlace(NOW, "s3", 24), 25, BEHIND),  # an older dump
        (StorePlace(NOW, "s1", 9), 25, BEHIND),
        (StorePlace(OLD, "s2", 99), 20, BEHIND),  # a dump from before the fork
        (None, 20, BEHIND),  # lost, or never written
        (None, 0, BEHIND),
        (StorePlace(NOW, "s4", 20), 20, FORKED),  # a start that this journal has lost
        (StorePlace(NOW, "s2", 21), 20, FORKED),  # it ended at 20 when it was opened again
        (StorePlace(LATER, "s9", 5), 20, FORKED),  # another log, whose epoch would win
        (StorePlace("h000002-xx", "s9", 5), 20, FORKED),  # neither comes after the other
        (StorePlace("h000001-xx", "s9", 5), 20, BEHIND),  # this log's epoch wins as it is
        (StorePlace("ffff0000ffff0000", "s9", 5), 20, BEHIND),  # from before epochs had numbers
    ],
)
def test_what_the_stores_make_of_each_other(place, flushed, verdict):
    """MongoDB may be as the journal left it, behind it, or of a history that it does not know."""
    assert compare(LINEAGE, flushed, place) is verdict


def test_epochs_without_a_number_fork_from_each_other():
    """Epochs without a number have no order, so the hub begins a numbered epoch."""
    lineage = Lineage((Beginning("0123456789abcdef", 0),))
    assert compare(lineage, 5, StorePlace("fedcba9876543210", "s", 3)) is FORKED


def test_a_new_epoch_comes_after_all_that_are_known():
    """In the order of texts, as MongoDB compares them; and no two are alike."""
    assert next_epoch() < next_epoch([OLD]) < next_epoch([LATER, OLD])
    assert next_epoch([LATER]) > LATER > "ffffffffffffffff"
    assert next_epoch(["h000009-aa"]) < next_epoch(["h000010-aa"])
    assert len({next_epoch() for _ in range(100)}) == 100


def test_a_record_was_made_in_the_epoch_of_its_position():
    """The entries of the audit trail are named by it, whatever begins later."""
    assert [LINEAGE.epoch_at(position) for position in (1, 15, 16, 99)] == [OLD, OLD, NOW, NOW]


def test_a_log_that_goes_on_from_another_has_that_one_as_its_past():
    """An empty journal takes up the runs of a lost one: MongoDB is behind it, and not forked."""
    lineage = Lineage((Beginning(OLD, 0),)).began(LATER, 0, after=NOW)
    assert lineage.epoch == LATER
    assert lineage.past == {OLD, NOW}
    assert compare(lineage, 0, StorePlace(NOW, "theirs", 7)) is BEHIND


def test_a_lineage_comes_back_from_its_text_and_does_not_grow_without_bound():
    """It stands in one row of the journal; the newest starts are what is kept."""
    lineage = LINEAGE
    for number in range(2 * STARTS_KEPT):
        lineage = lineage.started(f"t{number}", number)
    assert read_lineage(lineage.to_text()) == lineage
    assert len(lineage.starts) == STARTS_KEPT
    assert lineage.starts[-1] == Beginning(f"t{2 * STARTS_KEPT - 1}", 2 * STARTS_KEPT - 1)
