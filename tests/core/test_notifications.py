"""trainhub/core/notifications.py: a queue that no one waits for."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace

import pytest
from fakes import KeptJobs, MemoryJournal, Postbox, save
from railway import MORNING, RUN, TRAIN, register
from waiting import PATIENCE, until

from trainhub.access.identity import Identity
from trainhub.core import notifications
from trainhub.core.journal import Commit, ReaderPlace, Record
from trainhub.core.log import Log, Reader
from trainhub.core.notifications import (
    AGAIN_AT_ONCE,
    ASIDE_SECONDS,
    DOWN_AFTER,
    FIRST_WAIT_SECONDS,
    LAST_PROBE_SECONDS,
    LAST_WAIT_SECONDS,
    LIFETIME_SECONDS,
    MADE_AT_ONCE,
    NEWS_SECONDS,
    SENDS_AT_ONCE,
    WAIT_SHARE,
    Channel,
    Notification,
    Notifications,
    Outcome,
    Plan,
    TryLater,
    Undeliverable,
)
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.model import Level, Role
from trainhub.hub.letters import Letters

ADMIN = Identity("control", Role.ADMIN, frozenset({"*"}))


def records(first, last):
    event = e.Announcement(at=MORNING, text="x", level=Level.INFO, audience_=c.To.EVERYONE)
    return [Record(position, RUN, position, event) for position in range(first, last + 1)]


def job(position, channel=Channel.EMAIL, to="a@example.org", **more):
    return Notification(f"j{position}", position, channel, to, "subject", "body", **more)


def one_each(record):
    """A job for each record."""
    return [job(record.position)]


def make_queue(sender, make=one_each, kept=None, **limits):
    return Notifications(
        sender,
        lambda record: Plan(list(make(record))),
        kept or KeptJobs(),
        lambda: MORNING,
        **limits,
    )


@pytest.fixture
def clock(monkeypatch):
    """The module's time, which stands still until a test moves it on."""
    clock = SimpleNamespace(now=1000.0)
    times = SimpleNamespace(monotonic=lambda: clock.now, time=lambda: 1_700_000_000 + clock.now)
    monkeypatch.setattr(notifications, "time", times)
    return clock


async def pass_time(queue, clock, seconds, step=0.2):
    """Drain on the hub's timer for so long, by the clock."""
    end = clock.now + seconds
    while clock.now < end:
        clock.now += step
        queue.begin_drain()
        await turns(6)


class Choosy(Postbox):
    """Refuses the jobs that are named; `tried` has the id of each that came."""

    def __init__(self, *refused):
        super().__init__()
        self.refused = set(refused)
        self.tried = []

    async def send(self, job):
        self.tried.append(job.id)
        if job.id in self.refused:
            raise OSError("not this one")
        await super().send(job)


class Hanging(Postbox):
    """Brings nothing anywhere until `gate` is set; `inside` is how many jobs it has in hand."""

    def __init__(self):
        super().__init__()
        self.inside = self.most = 0
        self.gate = asyncio.Event()

    async def send(self, job):
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.gate.wait()
        finally:
            self.inside -= 1
        await super().send(job)


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)


# --- the queue ------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_drain_sends_all_that_waits():
    """Each job once; afterwards nothing is open."""
    post = Postbox()
    queue = make_queue(post)
    queue.accept(records(1, 50))
    assert queue.oldest == 1
    await queue.drain()
    assert sorted(each.position for each in post.jobs) == list(range(1, 51))
    assert (queue.depth, queue.oldest) == (0, None)
    assert (queue.sent, queue.retried, queue.failed) == (50, 0, 0)
    await queue.drain()
    assert len(post.jobs) == 50


@pytest.mark.gen_test
async def test_a_sender_has_few_jobs_at_once():
    """At most AT_ONCE: a thousand jobs are not a thousand connections."""
    sender = Hanging()
    queue = make_queue(sender)
    queue.accept(records(1, 3 * SENDS_AT_ONCE + 1))
    draining = asyncio.ensure_future(queue.drain())
    await turns()
    assert sender.inside == SENDS_AT_ONCE
    sender.gate.set()
    await draining
    assert sender.most == SENDS_AT_ONCE
    assert queue.sent == 3 * SENDS_AT_ONCE + 1


@pytest.mark.gen_test
async def test_enqueueing_never_waits_for_a_sender_that_hangs(make_hub):
    """A command is answered, and its job queued, while the sender brings nothing anywhere."""
    journal, sender = MemoryJournal(), Hanging()
    hub = make_hub(journal)
    queue = make_queue(
        sender, lambda record: Letters().plan(hub.state(record.stream), record).notifications
    )
    reader = Reader("notifications", journal, queue)
    await reader.open()
    hub.follow(reader)
    await hub.execute(register(), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    await hub.execute(c.MarkNoShow(**TRAIN, pnr="4512345601", index=1), ADMIN)
    draining = asyncio.ensure_future(queue.drain())
    await turns()
    await until(lambda: sender.inside == 2)
    async with asyncio.timeout(PATIENCE):
        await hub.execute(c.MarkNoShow(**TRAIN, pnr="4512345602", index=1), ADMIN)
        queue.begin_drain()
    assert not draining.done()
    assert queue.depth == 4
    assert reader.done == 2  # what comes after it waits for the jobs of the third record
    sender.gate.set()
    await draining
    await queue.drain()
    assert queue.sent == 4
    assert reader.done == journal.head


@pytest.mark.gen_test
async def test_a_send_that_hangs_is_broken_off(monkeypatch, clock):
    """After SEND_SECONDS it counts as a failed try like any other."""
    monkeypatch.setattr(notifications, "SEND_SECONDS", 0.01)
    sender = Hanging()
    queue = make_queue(sender)
    queue.accept(records(1, 2))
    await queue.drain()
    assert sender.inside == 0
    assert (queue.retried, queue.depth) == (2, 2)
    sender.gate.set()
    clock.now += FIRST_WAIT_SECONDS
    await queue.drain()
    assert (queue.sent, queue.depth) == (2, 0)


@pytest.mark.gen_test
async def test_jobs_that_hang_hold_up_no_other(clock, monkeypatch):
    """The others use what places are left, and the timer waits for none of them."""
    monkeypatch.setattr(notifications, "SEND_SECONDS", 10 * PATIENCE)  # none is broken off

    class HalfHanging(Hanging):
        async def send(self, job):
            kind = Hanging if job.position <= 3 else Postbox
            await kind.send(self, job)

    sender = HalfHanging()
    queue = make_queue(sender)
    queue.accept(records(1, 200))
    await until(lambda: queue.begin_drain() or queue.sent == 197)
    assert (queue.oldest, sender.inside) == (1, 3)
    await queue.close()


@pytest.mark.gen_test
async def test_no_job_is_sent_by_two_at_once():
    """The timer comes round again while jobs are in hand."""
    sender = Hanging()
    queue = make_queue(sender)
    queue.accept(records(1, 3))
    queue.begin_drain()
    await turns()
    queue.accept(records(4, 4))
    queue.begin_drain()
    await turns()
    assert sender.inside == 4
    sender.gate.set()
    await queue.drain()
    assert sorted(each.position for each in sender.jobs) == [1, 2, 3, 4]


# --- tries ----------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_job_that_failed_waits_for_its_time(clock):
    """The next try comes after half a second to a second, however often the queue is drained."""
    sender = Choosy("j2")
    queue = make_queue(sender)
    queue.accept(records(1, 3))
    await queue.drain()
    assert sorted(sender.tried) == ["j1", "j2", "j3"]
    assert (queue.sent, queue.retried, queue.failed, queue.depth) == (2, 1, 0, 1)
    sender.refused.clear()
    clock.now += FIRST_WAIT_SECONDS / 2 - 0.01
    await queue.drain()
    assert sender.tried[3:] == []
    clock.now += FIRST_WAIT_SECONDS / 2 + 0.02
    await queue.drain()
    assert sender.tried[3:] == ["j2"]
    assert (queue.sent, queue.retried, queue.failed, queue.depth) == (3, 1, 0, 0)


@pytest.mark.gen_test
@pytest.mark.parametrize("outage", [3, 60, 3600, LIFETIME_SECONDS - 3600])
@pytest.mark.parametrize("count", [1, 40, 3000])
async def test_an_outage_of_the_outside_loses_nothing(clock, outage, count):
    """All is sent soon after the outside is back, however long it was away within a day.

    Nothing is given up meanwhile. Few tries are made, however many jobs wait.
    """
    sender, kept = Postbox(), KeptJobs()
    sender.refuse = 10**9
    queue = make_queue(sender, kept=kept)
    queue.accept(records(1, count))
    await pass_time(queue, clock, outage, step=max(0.2, outage / 2000))
    assert (queue.sent, queue.failed) == (0, 0)
    assert 3 <= queue.retried <= 3 * DOWN_AFTER + 60 + 2 * outage / LAST_PROBE_SECONDS
    sender.refuse = 0
    longest = LAST_WAIT_SECONDS if count == 1 else LAST_PROBE_SECONDS
    await pass_time(queue, clock, 2 + min(outage * WAIT_SHARE, longest))
    await queue.drain()
    assert sorted(each.position for each in sender.jobs) == list(range(1, count + 1))
    assert (queue.depth, queue.set_aside, queue.failed) == (0, 0, 0)
    assert kept.jobs == {}


@pytest.mark.gen_test
async def test_many_bad_jobs_do_not_keep_new_ones_waiting(clock):
    """The sender seems to be down, as only they are tried: a new job is the next to probe it."""
    sender = Choosy(*(f"j{n}" for n in range(1, 101)))
    queue = make_queue(sender)
    queue.accept(records(1, 100))
    await pass_time(queue, clock, 3600, step=5)
    tried = len(sender.tried)
    for n in range(101, 111):
        queue.accept(records(n, n))
        await pass_time(queue, clock, LAST_PROBE_SECONDS + 1)
        assert queue.sent == n - 100
    assert len(sender.tried) - tried < 10 * 3 * DOWN_AFTER


@pytest.mark.gen_test
async def test_a_job_is_given_up_after_a_day(clock, caplog):
    """Kept as a dead letter, counted, told in the log by its id, without an address."""
    sender, kept = Choosy("j1"), KeptJobs()
    queue = make_queue(sender, kept=kept)
    queue.accept(records(1, 2))
    await pass_time(queue, clock, LIFETIME_SECONDS - 100, step=20)
    assert queue.failed == 0
    assert kept.jobs["j1"].given_up is None
    await pass_time(queue, clock, 2 * LAST_WAIT_SECONDS, step=20)
    tries = sender.tried.count("j1")
    await pass_time(queue, clock, 2 * LAST_WAIT_SECONDS, step=20)
    assert sender.tried.count("j1") == tries
    assert (queue.sent, queue.failed, queue.depth, queue.set_aside) == (1, 1, 0, 0)
    letter = kept.jobs["j1"]
    assert letter.job == job(1)
    assert letter.tries == tries
    assert letter.given_up - letter.since == pytest.approx(LIFETIME_SECONDS, abs=300)
    assert "not this one" in letter.reason
    (line,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert line.getMessage().startswith(f"job j1 is given up after {tries} tries: ")
    assert "example.org" not in caplog.text


@pytest.mark.gen_test
async def test_what_can_never_be_sent_is_given_up_at_once(clock):
    """A sender that knows so says it: no try is wasted, and no record kept for it."""

    class Strict(Postbox):
        async def send(self, job):
            if job.position == 1:
                raise Undeliverable("no address")
            await super().send(job)

    kept = KeptJobs()
    queue = make_queue(Strict(), kept=kept)
    queue.accept(records(1, 2))
    await queue.drain()
    assert (queue.sent, queue.failed, queue.retried, queue.oldest) == (1, 1, 0, None)
    assert kept.jobs["j1"].reason == "no address"
    assert kept.jobs["j1"].given_up is not None


@pytest.mark.gen_test
async def test_an_expired_offer_is_not_sent(clock):
    """The words are true until a moment: after it the job is a dead letter."""
    now = SimpleNamespace(value=MORNING)
    sender, kept = Postbox(), KeptJobs()
    sender.refuse = 1
    later = MORNING + timedelta(minutes=10)
    queue = Notifications(
        sender,
        lambda record: Plan([job(record.position, expires=later)]),
        kept,
        lambda: now.value,
    )
    queue.accept(records(1, 1))
    await queue.drain()
    now.value = later
    clock.now += 600
    await queue.drain()
    assert sender.jobs == []
    assert (queue.expired, queue.failed, queue.depth) == (1, 0, 0)
    assert queue.complaints() == []
    assert "expired" in kept.jobs["j1"].reason


@pytest.mark.gen_test
async def test_a_job_that_fails_holds_up_no_other():
    """The others go out in the same drain, however many stand behind it."""
    sender = Choosy("j1")
    queue = make_queue(sender)
    queue.accept(records(1, 3 * SENDS_AT_ONCE))
    await queue.drain()
    assert queue.sent == 3 * SENDS_AT_ONCE - 1


@pytest.mark.gen_test
async def test_those_that_keep_hanging_leave_places_for_new_ones(monkeypatch, clock):
    """Of what is with the sender, only AGAIN_AT_ONCE were tried before."""
    monkeypatch.setattr(notifications, "SEND_SECONDS", 0.01)
    sender = Hanging()
    queue = make_queue(sender)
    queue.accept(records(1, DOWN_AFTER - 1))
    await queue.drain()
    monkeypatch.setattr(notifications, "SEND_SECONDS", 60)
    clock.now += LAST_WAIT_SECONDS
    queue.begin_drain()
    await turns()
    assert sender.inside == AGAIN_AT_ONCE
    queue.accept(records(101, 200))
    queue.begin_drain()
    await turns()
    assert sender.inside == SENDS_AT_ONCE
    sender.gate.set()
    await queue.drain()
    assert queue.sent == DOWN_AFTER - 1 + 100


# --- what is kept of those that are not sent ------------------------------------------------


@pytest.mark.gen_test
async def test_a_job_that_never_succeeds_does_not_hold_the_journal(clock):
    """After ASIDE_SECONDS it is in a file, and the reader's place moves on; it is tried on."""
    journal, sender, kept = MemoryJournal(), Choosy("j2"), KeptJobs()
    await journal.commit(Commit(records(1, 5)))
    queue, reader = await notifying(journal, sender, kept)
    await queue.drain()
    await pass_time(queue, clock, ASIDE_SECONDS - 1)
    assert reader.done == 1
    assert kept.jobs == {}
    await pass_time(queue, clock, 2)
    assert reader.done == 5
    assert (queue.depth, queue.set_aside, queue.ahead) == (0, 1, {})
    assert kept.jobs["j2"].job == job(2)
    tried = len(sender.tried)
    await pass_time(queue, clock, LAST_WAIT_SECONDS)
    assert len(sender.tried) > tried
    sender.refused.clear()
    await pass_time(queue, clock, LAST_WAIT_SECONDS)
    assert (queue.sent, queue.set_aside, kept.jobs) == (5, 0, {})


@pytest.mark.gen_test
async def test_what_is_set_aside_or_given_up_is_there_after_a_restart(clock):
    """It is tried on, not sent twice, and not taken from the journal again."""
    journal, sender, kept = MemoryJournal(), Choosy("j1", "j2"), KeptJobs()
    await journal.commit(Commit(records(1, 3)))
    queue, reader = await notifying(journal, sender, kept)
    await pass_time(queue, clock, ASIDE_SECONDS + 5)
    assert set(kept.jobs) == {"j1", "j2"}
    # The hub is killed before the reader's place is saved: all records come again.
    sender = Choosy()
    queue, reader = await notifying(journal, sender, kept)
    await pass_time(queue, clock, 5)
    assert sorted(sender.tried) == ["j1", "j2", "j3"]
    assert kept.jobs == {}
    assert reader.done == 3
    await save(journal, reader)
    queue, _ = await notifying(journal, sender, kept)
    await pass_time(queue, clock, 5)
    assert len(sender.tried) == 3


@pytest.mark.gen_test
async def test_a_job_keeps_its_age_over_a_restart(clock):
    """A hub that is started every hour gives a job up after a day all the same."""
    journal, kept = MemoryJournal(), KeptJobs()
    await journal.commit(Commit(records(1, 1)))
    for _ in range(26):
        queue, reader = await notifying(journal, Choosy("j1"), kept)
        await pass_time(queue, clock, 3600, step=20)
        await save(journal, reader)
    assert kept.jobs["j1"].given_up is not None
    assert queue.set_aside == 0


@pytest.mark.gen_test
async def test_where_nothing_can_be_kept_the_journal_keeps_it(clock):
    """The file cannot be written: the place stays, and later it is set aside all the same."""
    journal, sender, kept = MemoryJournal(), Choosy("j1"), KeptJobs()
    kept.broken = True
    await journal.commit(Commit(records(1, 3)))
    queue, reader = await notifying(journal, sender, kept)
    await pass_time(queue, clock, 3 * ASIDE_SECONDS)
    assert reader.done == 0
    assert queue.depth == 1
    kept.broken = False
    await pass_time(queue, clock, ASIDE_SECONDS)
    assert reader.done == 3


@pytest.mark.gen_test
async def test_what_is_set_aside_is_bounded(monkeypatch, clock):
    """Above that the newest are refused: dead letters, so that the journal is not held for ever."""
    monkeypatch.setattr(notifications, "MOST_ASIDE", 6)
    journal, sender = MemoryJournal(), Postbox()
    sender.refuse = 10**9
    await journal.commit(Commit(records(1, 40)))
    kept = KeptJobs()
    queue = make_queue(sender, kept=kept, capacity=10)
    reader = Reader("notified", journal, queue)
    for _ in range(4):
        await reader.catch_up()
        await pass_time(queue, clock, ASIDE_SECONDS)
    assert queue.set_aside == 6
    assert queue.refused > 0
    sender.refuse = 0
    while reader.behind or queue.depth or queue.set_aside:
        await reader.catch_up()
        await pass_time(queue, clock, 30)
    sent = {each.id for each in sender.jobs}
    refused = {each.job.id for each in kept.jobs.values() if each.given_up is not None}
    assert len(refused) == queue.refused
    assert sent | refused == {f"j{n}" for n in range(1, 41)}
    assert not sent & refused


@pytest.mark.gen_test
async def test_what_was_set_aside_or_given_up_is_complained_of(clock):
    """How many cannot be sent and since when; a dead letter for a day."""
    sender, kept = Choosy("j1"), KeptJobs()
    queue = make_queue(sender, kept=kept)
    queue.accept(records(1, 2))
    await queue.drain()
    assert queue.complaints() == []
    await pass_time(queue, clock, ASIDE_SECONDS + 20)
    assert queue.complaints() == ["1 notifications cannot be sent, the oldest for 50 s"]
    await pass_time(queue, clock, LIFETIME_SECONDS + 200, step=20)
    told = ["1 notifications of the last 24 hours were given up"]
    assert queue.complaints() == told
    again = make_queue(sender, kept=kept)
    again.resume({}, kept.jobs.values())
    assert again.complaints() == told
    clock.now += NEWS_SECONDS
    assert queue.complaints() == again.complaints() == []


# --- limits and the place in the log --------------------------------------------------------


@pytest.mark.gen_test
async def test_the_queue_is_bounded():
    """Full at its capacity, whether jobs wait or are being sent; the rest is in the journal."""
    journal, sender = MemoryJournal(), Hanging()
    queue = make_queue(sender, capacity=10)
    reader = Reader("notifications", journal, queue)
    await reader.open()
    log = Log(journal, reader.offer, print)
    for seq in range(1, 6):
        await log.append(RUN, seq, [records(1, 1)[0].event])
    assert not queue.full
    draining = asyncio.ensure_future(queue.drain())
    await turns()
    for seq in range(6, 101):
        await log.append(RUN, seq, [records(1, 1)[0].event])
        await reader.catch_up()
    assert queue.full
    assert (queue.depth, reader.behind) == (10, 90)
    sender.gate.set()
    await draining
    await queue.drain()
    while reader.behind:
        await reader.catch_up()
        assert queue.depth <= 10
        await queue.drain()
    assert [each.position for each in sender.jobs] == list(range(1, 101))


@pytest.mark.gen_test
async def test_a_failed_job_still_counts_towards_the_capacity(clock):
    """A sender that is down cannot make the queue grow past it."""
    sender = Choosy(*(f"j{n}" for n in range(1, 5)))
    queue = make_queue(sender, capacity=4)
    queue.accept(records(1, 4))
    for _ in range(4):
        await queue.drain()
        assert queue.full
        clock.now += 1


@pytest.mark.gen_test
async def test_oldest_is_the_first_that_is_not_done_with(clock):
    """A job that is tried again keeps its place, though later ones have gone out meanwhile."""
    sender = Choosy("j3")
    queue = make_queue(sender)
    queue.accept(records(1, 5))
    await queue.drain()
    assert queue.oldest == 3
    queue.accept(records(6, 6))
    await queue.drain()
    assert queue.oldest == 3
    sender.refused.clear()
    clock.now += 1
    await queue.drain()
    assert queue.oldest is None


@pytest.mark.gen_test
async def test_a_record_s_place_is_kept_until_all_its_jobs_are_done(clock):
    """The mail is out and the push is not: after a restart the record comes again."""
    sender = Choosy("1-push")

    def two_each(record):
        for channel in Channel:
            name = f"{record.position}-{channel.lower()}"
            yield Notification(name, record.position, channel, "x", "subject", "body")

    journal = MemoryJournal()
    queue = make_queue(sender, two_each)
    reader = Reader("notifications", journal, queue)
    await journal.commit(Commit(records(1, 2)))
    await reader.catch_up()
    await queue.drain()
    assert queue.sent == 3
    assert reader.done == 0
    sender.refused.clear()
    clock.now += 1
    await queue.drain()
    assert reader.done == 2


@pytest.mark.gen_test
async def test_a_job_whose_success_was_recorded_is_not_sent_again():
    """An older one holds the place back; after a crash it comes again, and the younger do not."""
    journal, sender = MemoryJournal(), Choosy("j2")
    await journal.commit(Commit(records(1, 5)))
    queue, reader = await notifying(journal, sender)
    await queue.drain()
    assert queue.sent == 4
    await save(journal, reader)
    assert await journal.read_place("notified") == ReaderPlace(
        "notified", 1, {"j3": 3, "j4": 4, "j5": 5}
    )
    sender = Choosy()
    queue, reader = await notifying(journal, sender)
    await queue.drain()
    assert [job.id for job in sender.jobs] == ["j2"]
    assert queue.ahead == {}
    await save(journal, reader)
    assert await journal.read_place("notified") == ReaderPlace("notified", 5, {})


@pytest.mark.gen_test
async def test_a_job_is_sent_again_if_the_crash_came_before_its_success_was_recorded():
    """At least once: what the disk does not say was done is done."""
    journal, sender = MemoryJournal(), Choosy()
    await journal.commit(Commit(records(1, 3)))
    queue, _ = await notifying(journal, sender)
    await queue.drain()
    queue, _ = await notifying(journal, sender)
    await queue.drain()
    assert [job.id for job in sender.jobs] == ["j1", "j2", "j3"] * 2


async def notifying(journal, sender, kept=None):
    """A queue as a hub starts it, with the reader that feeds it."""
    queue = make_queue(sender, kept=kept)
    reader = Reader("notified", journal, queue)
    queue.resume((await reader.open()).ahead, list(kept.jobs.values()) if kept else ())
    await reader.catch_up()
    return queue, reader


@pytest.mark.gen_test
async def test_a_drain_that_is_broken_off_keeps_the_place():
    """Cancelled at the hub's end: what the sender had in hand is not counted as done."""
    sender = Hanging()
    queue = make_queue(sender)
    queue.accept(records(1, 3))
    draining = asyncio.ensure_future(queue.drain())
    await turns()
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    await queue.close()
    await turns()
    assert sender.inside == 0
    assert (queue.sent, queue.oldest) == (0, 1)


# --- due times, and what need not be sent any more ----------------------------------------------


def due(position, seconds, topic="offer-1", **fields):
    return job(
        position,
        due=MORNING + timedelta(seconds=seconds),
        topic=topic,
        user="IR_1",
        stream=RUN,
        seq=position,
        **fields,
    )


def planned(*plans):
    """Return a queue whose records have these plans, and its sender."""
    sender, told = Postbox(), []
    queue = Notifications(
        sender,
        lambda record: plans[record.position - 1],
        KeptJobs(),
        lambda: MORNING,
        told=told.append,
    )
    queue.accept(records(1, len(plans)))
    return queue, sender, told


@pytest.mark.gen_test
async def test_nothing_is_sent_before_it_is_due(clock):
    """An escalation waits for its time, and the others do not wait for it."""
    queue, sender, _ = planned(Plan([due(1, 30, "a")]), Plan([due(2, 5, "b"), due(3, 0, "c")]))
    await pass_time(queue, clock, 1)
    assert [each.id for each in sender.jobs] == ["j3"]
    await pass_time(queue, clock, 5)
    assert [each.id for each in sender.jobs] == ["j3", "j2"]
    await pass_time(queue, clock, 30)
    assert [each.id for each in sender.jobs] == ["j3", "j2", "j1"]


@pytest.mark.gen_test
async def test_an_answer_cancels_what_is_not_sent_yet(clock):
    """Of its topic and user: another user's and another topic's are sent."""
    other = due(4, 5, topic="offer-2")
    queue, sender, told = planned(
        Plan([due(1, 5), due(2, 30, to="b@example.org")]),
        Plan([other]),
        Plan(settled=[("offer-1", "IR_1")]),
    )
    assert (queue.depth, queue.cancelled) == (1, 2)
    await pass_time(queue, clock, 60)
    assert [each.id for each in sender.jobs] == ["j4"]
    outcomes = [(each.notification.id, each.outcome.value) for each in told]
    assert outcomes == [
        *(("j1", "QUEUED"), ("j2", "QUEUED"), ("j4", "QUEUED")),
        *(("j1", "CANCELLED"), ("j2", "CANCELLED"), ("j4", "SENT")),
    ]


@pytest.mark.gen_test
async def test_a_newer_one_of_the_topic_replaces_what_is_not_sent_yet(clock):
    """At the same address: an agent's other addresses and other topics are told as before."""
    queue, sender, told = planned(
        Plan([due(1, 30, "delay"), due(2, 30, "delay", to="b@example.org"), due(3, 30, "stop")]),
        Plan([due(4, 30, "delay")]),
        Plan([due(5, 30, ""), due(6, 30, "")]),
    )
    await pass_time(queue, clock, 60)
    assert [each.id for each in sender.jobs] == ["j2", "j3", "j4", "j5", "j6"]
    (gone,) = [each for each in told if each.outcome is Outcome.CANCELLED]
    assert (gone.notification.id, gone.detail) == ("j1", "a newer one takes its place")


class Partly(Postbox):
    """Reaches one of two devices until it is `whole`."""

    whole = False

    async def send(self, notification):
        await super().send(notification)
        if not self.whole:
            raise TryLater("no answer", 0.0, "1 of 2 devices")
        return "2 devices"


@pytest.mark.parametrize("end", ["whole", "expired", "settled"])
@pytest.mark.gen_test
async def test_what_some_devices_have_is_sent_and_the_others_are_tried_again(clock, end):
    """It counts once, and is no dead letter when the others never get it."""
    sender, told, began = Partly(), [], clock.now
    expires = MORNING + timedelta(seconds=60)
    queue = Notifications(
        sender,
        lambda record: Plan([due(1, 0, expires=expires)]),
        KeptJobs(),
        lambda: MORNING + timedelta(seconds=clock.now - began),
        told=told.append,
    )
    queue.accept(records(1, 1))
    await pass_time(queue, clock, 5)
    assert (told[-1].outcome, told[-1].detail) == (Outcome.SENT, "1 of 2 devices")
    assert (queue.sent, queue.depth) == (0, 1)
    assert len(sender.jobs) > 1
    sender.whole = end == "whole"
    if end == "settled":
        queue.settle("offer-1", "IR_1")
    await pass_time(queue, clock, 120)
    assert (told[-1].outcome, told[-1].detail) == (
        Outcome.SENT,
        "2 devices" if end == "whole" else "1 of 2 devices",
    )
    assert {each.outcome for each in told} == {Outcome.QUEUED, Outcome.SENT}
    assert (queue.sent, queue.failed, queue.depth, queue.set_aside) == (1, 0, 0, 0)


@pytest.mark.gen_test
async def test_a_full_train_is_planned_in_slices(clock):
    """No turn of the loop makes more than a slice, and what is settled meanwhile is cancelled.

    Until all are made the record counts as not done, so a crash loses none.
    """
    made = []

    def letters(number):
        for place in range(number):
            made.append(place)
            yield replace(due(1, 0, f"t{place}"), id=f"j{place}", seq=place)

    sender, told = Postbox(), []
    queue = Notifications(
        sender, lambda _: Plan(letters(3_400)), KeptJobs(), lambda: MORNING, told=told.append
    )
    queue.accept(records(1, 1))
    assert queue.depth == MADE_AT_ONCE
    queue.settle("t3399", "IR_1")
    sizes = [len(made)]
    while len(made) < 3_400:
        await asyncio.sleep(0)
        sizes.append(len(made))
        assert queue.oldest == 1
    turns_that_made = [b - a for a, b in pairwise(sizes) if b > a]
    assert max(turns_that_made) <= MADE_AT_ONCE
    await queue.drain()
    assert (queue.sent, queue.cancelled, queue.oldest) == (3_399, 1, None)
    assert len({each.id for each in sender.jobs}) == 3_399


@pytest.mark.gen_test
async def test_what_is_settled_is_no_newer_than_the_settling(clock):
    """A later letter of the same topic is sent, though an older plan is still not made."""
    sender = Postbox()
    many = {1: MADE_AT_ONCE, 2: 1, 3: 1}

    def letters(record):
        for place in range(many[record.position]):
            topic = f"t{place}" if record.position == 1 else "delay"
            yield replace(due(record.position, 0, topic), id=f"j{record.position}-{place}")

    queue = Notifications(sender, lambda record: Plan(letters(record)), KeptJobs(), lambda: MORNING)
    queue.accept(records(1, 2))
    queue.settle("delay", "IR_1")
    queue.accept(records(3, 3))
    await queue.drain()
    assert "j2-0" not in {each.id for each in sender.jobs}
    assert "j3-0" in {each.id for each in sender.jobs}
    assert queue.cancelled == 1


@pytest.mark.gen_test
async def test_what_cannot_be_made_is_passed_over_and_said(clock, caplog):
    """The record's other letters and later records are not held up."""

    def letters(record):
        yield due(record.position, 0, f"t{record.position}")
        if record.position == 1:
            raise ValueError

    sender = Postbox()
    queue = Notifications(sender, lambda record: Plan(letters(record)), KeptJobs(), lambda: MORNING)
    queue.accept(records(1, 2))
    await queue.drain()
    assert [each.id for each in sender.jobs] == ["j1", "j2"]
    assert queue.complaints() == [
        "the notifications of 1 events could not be made: the hub's log says why"
    ]
    assert "the notifications of record 1 cannot be made" in caplog.text


@pytest.mark.gen_test
async def test_what_has_expired_before_it_is_read_is_told(clock):
    """The ledger says so: an earlier process may have noted that it was queued."""
    queue, sender, told = planned(Plan([due(1, 0, expires=MORNING)]))
    await pass_time(queue, clock, 1)
    assert not sender.jobs
    assert [each.outcome for each in told] == [Outcome.EXPIRED]
    assert (queue.expired, queue.depth) == (1, 0)


@pytest.mark.gen_test
async def test_an_acknowledged_event_needs_no_push(clock):
    """A device says by run and seq which event has arrived; it says nothing of another user."""
    queue, sender, _ = planned(Plan([due(1, 5)]), Plan([due(2, 5, topic="delay")]))
    queue.settle(f"{RUN}/1", "IR_2")
    queue.settle(f"{RUN}/2", "IR_1")
    await pass_time(queue, clock, 10)
    assert [each.id for each in sender.jobs] == ["j1"]


@pytest.mark.gen_test
async def test_a_cancelled_notification_lets_the_journal_go(clock):
    """The reader's place moves past it; what is due later holds it until then."""
    queue, _, _ = planned(Plan([due(1, 20)]), Plan([due(2, 20, topic="b")]))
    assert queue.oldest == 1
    queue.settle("offer-1", "IR_1")
    assert queue.oldest == 2


@pytest.mark.gen_test
async def test_the_other_side_says_when_to_try_again(clock):
    """Retry-After is honoured, up to an hour."""

    class Busy(Postbox):
        async def send(self, notification):
            self.jobs.append(clock.now)
            if len(self.jobs) == 1:
                raise TryLater("busy", 90)
            return "at last"

    sender = Busy()
    queue = make_queue(sender)
    queue.accept(records(1, 1))
    await pass_time(queue, clock, 200)
    first, second = sender.jobs
    assert 90 <= second - first < 95
    assert queue.sent == 1


@pytest.mark.gen_test
async def test_a_record_of_the_past_asks_for_nothing(clock):
    """Read again after a long stop, its words are no longer true."""
    queue, sender, _ = planned(Plan([due(1, 0, expires=MORNING)]))
    await pass_time(queue, clock, 5)
    assert (queue.depth, queue.expired, sender.jobs) == (0, 1, [])


@pytest.mark.gen_test
async def test_what_is_acknowledged_while_a_sender_has_it_is_not_tried_again(clock):
    """A hanging server is exactly when people answer first."""

    class Failing(Hanging):
        async def send(self, notification):
            self.jobs.append(notification)
            await self.gate.wait()
            raise OSError("broken off")

    sender = Failing()
    queue = make_queue(sender, lambda record: [due(record.position, 0)])
    queue.accept(records(1, 1))
    queue.begin_drain()
    await turns()
    queue.settle("offer-1", "IR_1")
    sender.gate.set()
    await pass_time(queue, clock, 200)
    assert len(sender.jobs) == 1
    assert (queue.cancelled, queue.retried, queue.depth) == (1, 0, 0)


@pytest.mark.gen_test
async def test_what_is_not_due_is_no_complaint(clock):
    """Quiet hours hold a letter back for hours: nothing is wrong with it."""
    queue, _, _ = planned(Plan([due(1, 3600)]))
    await pass_time(queue, clock, 2 * ASIDE_SECONDS)
    assert queue.complaints() == []
    assert queue.oldest_seconds == 0
    assert queue.oldest is None  # it is set aside: the journal may drop its record


@pytest.mark.gen_test
async def test_a_sender_says_how_many_it_takes_at_once(clock):
    """One SMTP connection sends one message at a time: the others must not use up their time."""
    sender = Hanging()
    sender.at_once = 2
    queue = make_queue(sender)
    queue.accept(records(1, 9))
    queue.begin_drain()
    await turns()
    assert sender.inside == 2
    sender.gate.set()
    await pass_time(queue, clock, 5)
    assert (sender.most, queue.sent) == (2, 9)


@pytest.mark.gen_test
async def test_what_other_libraries_say_is_not_shown(clock):
    """It may quote an address; the page and the ledger have its kind."""
    told = []
    sender = Choosy("j1")
    queue = Notifications(
        sender, lambda record: Plan([job(1)]), KeptJobs(), lambda: MORNING, told=told.append
    )
    queue.accept(records(1, 1))
    await queue.drain()
    assert queue.last_error == "OSError"
    assert [each.detail for each in told] == ["", "OSError"]


@pytest.mark.gen_test
async def test_dead_letters_are_tried_again_on_demand(clock):
    """As far as they are still true; until they are sent they are kept."""
    kept = KeptJobs()

    class Final(Postbox):
        broken = True

        async def send(self, notification):
            if self.broken:
                raise Undeliverable("no mailbox")
            return await super().send(notification)

    sender = Final()
    queue = make_queue(
        sender,
        lambda record: [
            job(record.position, expires=MORNING + timedelta(days=record.position - 1))
        ],
        kept=kept,
    )
    queue.accept(records(2, 3))
    await queue.drain()
    assert queue.failed == 2
    sender.broken = False
    stale = replace(kept.jobs["j2"], job=replace(kept.jobs["j2"].job, expires=MORNING))
    assert await queue.retry([stale, kept.jobs["j3"]]) == 1
    await queue.drain()
    assert [each.id for each in sender.jobs] == ["j3"]
    assert "j3" not in kept.jobs


class Refusing(Postbox):
    """Refuses all jobs for good until `broken` is cleared. `gate` holds them before that."""

    def __init__(self):
        super().__init__()
        self.broken = True
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, notification):
        await self.gate.wait()
        if self.broken:
            raise Undeliverable("no mailbox")
        return await super().send(notification)


def about(position, topic):
    return job(position, topic=topic, user="IR_1", stream=RUN, seq=position)


@pytest.mark.gen_test
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("how", ["answer", "acknowledgement", "newer"])
async def test_a_dead_letter_that_was_settled_is_not_tried_again(clock, how, restarted):
    """An offer that was answered, or a mark that was taken back, is told to no one afterwards."""
    kept, sender = KeptJobs(), Refusing()

    def make(record):
        if record.position == 2:
            return Plan([about(2, "offer")] if how == "newer" else [])
        return Plan([about(1, "offer")])

    def start():
        return Notifications(sender, make, kept, lambda: MORNING)

    queue = start()
    queue.accept(records(1, 1))
    await queue.drain()
    assert queue.failed == 1
    if restarted:
        queue = start()
        queue.resume({}, kept.jobs.values())
    sender.broken = False
    if how == "newer":
        queue.accept(records(2, 2))
    else:
        queue.settle("offer" if how == "answer" else f"{RUN}/1", "IR_1")
    assert await queue.retry(list(kept.jobs.values())) == 0
    await queue.drain()
    assert "j1" in kept.jobs  # it stays in the list
    queue = start()
    queue.resume({}, kept.jobs.values())
    assert await queue.retry(list(kept.jobs.values())) == 0
    await queue.drain()
    assert "j1" not in [each.id for each in sender.jobs]


@pytest.mark.gen_test
async def test_two_requests_to_try_again_send_one_letter(clock):
    """Two people may press the button at once; a file that cannot be written loses no letter."""
    kept, sender = KeptJobs(), Refusing()
    queue = make_queue(sender, kept=kept)
    queue.accept(records(1, 1))
    await queue.drain()
    sender.broken, kept.broken = False, True
    dead = list(kept.jobs.values())
    with pytest.raises(OSError, match="no disk"):
        await queue.retry(dead)
    kept.broken = False
    assert sum(await asyncio.gather(queue.retry(dead), queue.retry(dead))) == 1
    await queue.drain()
    assert [each.id for each in sender.jobs] == ["j1"]


@pytest.mark.gen_test
async def test_what_was_answered_in_the_sender_s_hand_is_no_dead_letter(clock):
    """The refusal comes after the answer: nothing was missed."""
    told, sender = [], Refusing()
    queue = Notifications(
        sender,
        lambda record: Plan([about(1, "offer")]),
        KeptJobs(),
        lambda: MORNING,
        told=told.append,
    )
    sender.gate.clear()
    queue.accept(records(1, 1))
    queue.begin_drain()
    await turns()
    queue.settle("offer", "IR_1")
    sender.gate.set()
    await queue.drain()
    assert [each.outcome for each in told] == [Outcome.QUEUED, Outcome.CANCELLED]
    assert queue.failed == 0
