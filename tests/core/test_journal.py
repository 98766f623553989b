"""trainhub/core/journal.py: what one commit makes durable."""

from railway import MORNING, RUN

from trainhub.core.journal import Commit, ReaderPlace, Record, Retired, StoredAnswer
from trainhub.domain.commands import To
from trainhub.domain.events import Announcement
from trainhub.domain.model import Level

RECORD = Record(
    1, RUN, 1, Announcement(at=MORNING, text="x", level=Level.INFO, audience_=To.EVERYONE)
)
ANSWER = StoredAnswer("u", "k", "c", "{}", 1.0)
PLACE, RETIRED = ReaderPlace("flushed", 1, {}), Retired(RUN, 1, 1.0)


def test_a_batch_with_anything_in_it_is_written():
    """Only an empty one needs no commit."""
    assert not Commit()
    for batch in (
        Commit([RECORD]),
        Commit(answers=[ANSWER]),
        Commit(snapshots={RUN: None}),
        Commit(places=[PLACE]),
        Commit(retired=[RETIRED]),
    ):
        assert batch


def test_batches_add_up_in_their_order():
    """One commit has all that gathered for it; of a run's snapshots the newest."""
    whole = Commit()
    whole.merge(Commit([RECORD], snapshots={RUN: "old"}))
    whole.merge(Commit(answers=[ANSWER], places=[PLACE]))
    whole.merge(Commit([RECORD], snapshots={RUN: "new"}, retired=[RETIRED]))
    assert whole == Commit(
        records=[RECORD, RECORD],
        answers=[ANSWER],
        snapshots={RUN: "new"},
        places=[PLACE],
        retired=[RETIRED],
    )
