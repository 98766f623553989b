"""trainhub/core/ledger.py: what became of notifications, as the log gets it."""

from datetime import timedelta

from notices import NOW, notice, push

from trainhub.core import ledger as ledgers
from trainhub.core.ledger import WAYS_AT_ONCE, Ledger
from trainhub.core.notifications import Outcome, Told

SECOND = timedelta(seconds=1)


def told(one, outcome=Outcome.SENT, attempts=1, at=NOW, detail=""):
    return Told(one, outcome, attempts, at, detail)


def news(ledger):
    return {way.id: way for way in ledger.take_news(NOW).ways}


def test_a_notification_that_is_only_queued_is_no_news():
    """Its event is in the log already, and queues it again after a crash."""
    ledger = Ledger()
    way = ledger.tell(told(notice(queued=NOW), Outcome.QUEUED, 0))
    assert (way.outcome, way.queued_at, way.attempts) == (Outcome.QUEUED, NOW, 0)
    assert not ledger


def test_the_way_has_each_time():
    """Queued, sent and seen, with the attempts and what the channel said."""
    ledger, one = Ledger(), push(queued=NOW)
    ledger.tell(told(one, Outcome.QUEUED, 0))
    assert ledger.tell(told(one, Outcome.QUEUED, 1, NOW + SECOND, "OSError")) is None
    assert ledger.tell(told(one, Outcome.SENT, 2, NOW + 2 * SECOND, "1 device")) is None
    ledger.saw(one.stream, one.seq, one.user, NOW + 3 * SECOND)
    ledger.saw(one.stream, one.seq, one.user, NOW + 9 * SECOND)
    (way,) = news(ledger).values()
    assert (way.outcome, way.attempts, way.detail) == (Outcome.SENT, 2, "1 device")
    assert way.queued_at == NOW
    assert (way.sent_at, way.seen_at) == (NOW + 2 * SECOND, NOW + 3 * SECOND)
    assert not ledger


def test_what_is_seen_is_seen_over_every_channel():
    """Of that event and user alone."""
    ledger = Ledger()
    mine = [notice(id="mail"), push(id="push")]
    others = [push(id="user", user="IR_2"), push(id="event", seq=18), push(id="run", stream="x")]
    for one in (*mine, *others):
        ledger.tell(told(one))
    news(ledger)
    ledger.saw(mine[0].stream, mine[0].seq, mine[0].user, NOW)
    assert set(news(ledger)) == {"mail", "push"}
    ledger.saw("unknown", 1, "IR_1", NOW)
    assert not ledger


def test_after_a_restart_a_way_goes_on():
    """An earlier process has sent it; the next one hears that it was seen."""
    before, after, one = Ledger(), Ledger(), push()
    before.tell(told(one, attempts=3, detail="1 device"))
    after.recall(before.take_news(NOW))
    assert not after
    after.saw(one.stream, one.seq, one.user, NOW + SECOND)
    (way,) = news(after).values()
    assert (way.sent_at, way.seen_at) == (NOW, NOW + SECOND)
    assert (way.outcome, way.attempts, way.detail) == (Outcome.SENT, 3, "1 device")


def test_a_dead_letter_that_is_tried_again_is_news():
    """Its entry says QUEUED again, and its attempts go on."""
    ledger, one = Ledger(), notice()
    ledger.tell(told(one, Outcome.FAILED, 4))
    news(ledger)
    ledger.tell(told(one, Outcome.QUEUED, 0))
    (way,) = news(ledger).values()
    assert (way.outcome, way.attempts) == (Outcome.QUEUED, 4)


def test_much_news_is_more_than_one_record():
    """Each notification is in one of them, once, as it is last."""
    ledger = Ledger()
    for number in range(WAYS_AT_ONCE + 1):
        ledger.tell(told(notice(id=f"n{number}"), Outcome.QUEUED, 1))
        ledger.tell(told(notice(id=f"n{number}")))
    first = news(ledger)
    assert len(first) == WAYS_AT_ONCE
    assert ledger
    assert len(first | news(ledger)) == WAYS_AT_ONCE + 1
    assert not ledger


def test_old_ways_leave_memory(monkeypatch):
    """What was sent so long ago is not marked as seen any more."""
    monkeypatch.setattr(ledgers, "MOST_WAYS", 2)
    ledger, sent = Ledger(), [push(id=f"n{seq}", seq=seq) for seq in (1, 2, 3)]
    for one in sent:
        ledger.tell(told(one))
    news(ledger)
    for one in sent:
        ledger.saw(one.stream, one.seq, one.user, NOW)
    assert set(news(ledger)) == {"n2", "n3"}
