"""trainhub/hub/retention.py: the snapshots that are due, and the trimming of the journal."""

import pytest
from railway import RUN, Driver

from trainhub.core.journal import Record
from trainhub.domain.model import RunKey
from trainhub.hub.retention import LEAST, RECORDS_KEPT, Retention

OTHER = RunKey("54321/2026-11-23")


class State:
    """The part of a run's state that retention reads."""

    def __init__(self, seq, passengers=0, run=RUN, offers=0):
        self.run, self.seq = run, seq
        self.passengers, self.offers = range(passengers), range(offers)


def kept(*positions, run=RUN):
    """A retention after a run's records at these positions."""
    retention = Retention()
    for seq, position in enumerate(positions, start=1):
        retention.add(Record(position, run, seq, Driver().events[0]))
    return retention


def test_nothing_is_trimmed_before_it_is_in_a_snapshot():
    """A record stays until it is in a snapshot."""
    retention = kept(1, 2, 3)
    assert retention.trimmable(10**6, 10**6) == 1
    retention.saved(RUN, 3)
    assert retention.trimmable(10**6, 10**6) == 10**6 - RECORDS_KEPT
    retention.add(Record(9, RUN, 4, Driver().events[0]))
    assert retention.trimmable(10**6, 10**6) == 8


def test_nothing_is_trimmed_before_every_reader_has_it():
    """A record stays until every reader has it, even if the disk fills up."""
    retention = kept(1)
    assert retention.trimmable(10**6, 17) == 17
    assert retention.trimmable(10**6, 17, 0) == 17


def test_the_last_records_are_kept_unless_the_disk_fills_up():
    """The newest records stay for reconnecting clients, unless the disk fills up."""
    retention = kept(1)
    assert retention.trimmable(RECORDS_KEPT + 5, RECORDS_KEPT + 5) == 5
    assert retention.trimmable(RECORDS_KEPT + 5, RECORDS_KEPT + 5, 0) == RECORDS_KEPT + 5


def test_a_run_with_its_first_record_alone_holds_up_nothing():
    """A run with only its first record does not block trimming."""
    retention = kept(3)
    assert not retention.due(State(1), 10**6)
    assert retention.trimmable(10**6, 10**6) == 10**6 - RECORDS_KEPT


@pytest.mark.parametrize(("passengers", "after"), [(10, LEAST), (1000, 1000)])
def test_a_snapshot_is_due_after_many_events(passengers, after):
    """A snapshot is due after LEAST events, or as many as there are passengers."""
    retention = kept(1, 2)
    assert not retention.due(State(after, passengers), 2)
    assert retention.due(State(after + 1, passengers), 2)
    retention.saved(RUN, after + 1)
    assert not retention.due(State(after + 1, passengers), 2)
    retention.add(Record(3, RUN, after + 2, Driver().events[0]))
    assert not retention.due(State(2 * after, passengers), 3)
    assert retention.due(State(2 * after + 1, passengers), 3)


def test_a_snapshot_is_due_less_often_when_a_long_day_has_made_it_large():
    """Each offer of a run counts as one more event before a snapshot is due."""
    retention = kept(1, 2)
    assert not retention.due(State(900, 400, offers=500), 2)
    assert retention.due(State(901, 400, offers=500), 2)


def test_a_snapshot_is_due_of_a_quiet_run_that_holds_up_trimming():
    """A snapshot is due if a run's old event blocks trimming."""
    retention = kept(1, 2)
    assert not retention.due(State(2), RECORDS_KEPT + 1)
    assert retention.due(State(2), RECORDS_KEPT + 2)
    assert retention.due(State(2), 2, 0)


def test_records_in_flight_while_the_snapshot_was_taken_are_in_it():
    """Records that become durable after a snapshot that has them do not block trimming."""
    retention = kept(1, 2)
    retention.saved(RUN, 4)
    for seq in (3, 4):
        retention.add(Record(seq, RUN, seq, Driver().events[0]))
    assert retention.trimmable(10**6, 10**6) == 10**6 - RECORDS_KEPT


def test_a_run_is_done_when_all_of_it_is_dealt_with():
    """A run is done when its last event is on disk and every reader is past it."""
    retention = kept(1, 5)
    assert not retention.is_done(State(3), 9)
    assert not retention.is_done(State(2), 4)
    assert retention.is_done(State(2), 5)
    assert retention.registered(RUN) == 1


def test_a_run_that_a_snapshot_brought_back_is_done_once_the_readers_are_past_the_start():
    """A run from a snapshot is done once every reader is past the head of the start."""
    retention = kept(1)
    retention.resumed(RUN, 7, 20)
    assert not retention.is_done(State(7), 19)
    assert retention.is_done(State(7), 20)
    retention.add(Record(25, RUN, 8, Driver().events[0]))
    assert not retention.is_done(State(8), 24)
    assert retention.is_done(State(8), 25)


def test_a_run_that_is_forgotten_holds_up_nothing():
    """A removed run does not block trimming."""
    retention = kept(1, 2)
    retention.add(Record(3, OTHER, 1, Driver().events[0]))
    retention.remove(RUN)
    assert not retention.due(State(2), 10**6)
    assert retention.trimmable(10**6, 10**6) == 10**6 - RECORDS_KEPT
    assert retention.registered(OTHER) == 3
