"""trainhub/notifications.py: a queue that nobody waits for."""

import asyncio
import logging

import pytest
from fakes import MemoryJournal, Postbox, save
from railway import MORNING, RUN, TRAIN, register

from trainhub import notifications
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.model import Level, Role
from trainhub.identity import Identity
from trainhub.journal import Batch, Place, Record
from trainhub.letters import jobs
from trainhub.log import CATCH_UP, Log, Reader
from trainhub.notifications import AT_ONCE, TRIES, Channel, Job, Notifications

ADMIN = Identity("control", Role.ADMIN, frozenset({"*"}))


def records(first, last):
    event = e.Announcement(at=MORNING, text="x", level=Level.INFO, audience_=c.To.EVERYONE)
    return [Record(position, RUN, position, event) for position in range(first, last + 1)]


def job(position, channel=Channel.EMAIL):
    return Job(f"j{position}", position, channel, "a@example.org", "subject", "body")


def one_each(record):
    """A job for each record."""
    return [job(record.position)]


def make_queue(sender, make=one_each, **limits):
    return Notifications(sender, make, **limits)


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
    queue.take(records(1, 50))
    assert (queue.depth, queue.oldest) == (50, 1)
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
    queue.take(records(1, 3 * AT_ONCE + 1))
    draining = asyncio.ensure_future(queue.drain())
    await turns()
    assert sender.inside == AT_ONCE
    sender.gate.set()
    await draining
    assert sender.most == AT_ONCE
    assert queue.sent == 3 * AT_ONCE + 1


@pytest.mark.gen_test
async def test_enqueueing_never_waits_for_a_sender_that_hangs(make_hub):
    """A command is answered, and its job queued, while the sender brings nothing anywhere."""
    journal, sender = MemoryJournal(), Hanging()
    hub = make_hub(journal)
    queue = make_queue(sender, lambda record: list(jobs(hub.state(record.run), record)))
    reader = Reader("notifications", journal, queue)
    await reader.open()
    hub.follow(reader)
    await hub.execute(register(), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    await hub.execute(c.MarkNoShow(**TRAIN, pnr="4512345601", index=1), ADMIN)
    draining = asyncio.ensure_future(queue.drain())
    await turns()
    assert sender.inside == 2
    async with asyncio.timeout(2):
        await hub.execute(c.MarkNoShow(**TRAIN, pnr="4512345602", index=1), ADMIN)
        await queue.drain()
    assert not draining.done()
    assert queue.depth == 4
    assert reader.done == 2  # what comes after it waits for the jobs of the third record
    sender.gate.set()
    await draining
    await queue.drain()
    assert queue.sent == 4
    assert reader.done == journal.head


@pytest.mark.gen_test
async def test_a_send_that_hangs_is_broken_off(monkeypatch):
    """After SEND_SECONDS it counts as a failed try like any other."""
    monkeypatch.setattr(notifications, "SEND_SECONDS", 0.01)
    sender = Hanging()
    queue = make_queue(sender)
    queue.take(records(1, 2))
    await queue.drain()
    assert sender.inside == 0
    assert (queue.retried, queue.depth) == (2, 2)
    sender.gate.set()
    await queue.drain()
    assert (queue.sent, queue.depth) == (2, 0)


@pytest.mark.gen_test
async def test_a_drain_while_a_drain_runs_does_nothing():
    """The timer comes round again: no job is sent by two at once."""
    sender = Hanging()
    queue = make_queue(sender)
    queue.take(records(1, 3))
    first = asyncio.ensure_future(queue.drain())
    await turns()
    queue.take(records(4, 4))
    async with asyncio.timeout(1):
        await queue.drain()
    assert sender.inside == 3
    sender.gate.set()
    await first
    await queue.drain()
    assert sorted(each.position for each in sender.jobs) == [1, 2, 3, 4]


# --- tries ----------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_job_that_failed_waits_for_the_next_drain():
    """One try for each drain: a sender that is down is not asked five times in a row."""
    sender = Choosy("j2")
    queue = make_queue(sender)
    queue.take(records(1, 3))
    await queue.drain()
    assert sorted(sender.tried) == ["j1", "j2", "j3"]
    assert (queue.sent, queue.retried, queue.failed, queue.depth) == (2, 1, 0, 1)
    sender.refused.clear()
    await queue.drain()
    assert sender.tried[3:] == ["j2"]
    assert (queue.sent, queue.retried, queue.failed, queue.depth) == (3, 1, 0, 0)


@pytest.mark.gen_test
async def test_a_job_is_given_up_after_five_tries(caplog):
    """Counted as failed, told in the log by its id and nobody's address, and never tried again."""
    assert TRIES == 5
    sender = Choosy("j1")
    queue = make_queue(sender)
    queue.take(records(1, 2))
    for tries in range(1, 5):
        await queue.drain()
        assert (queue.retried, queue.failed, queue.oldest) == (tries, 0, 1)
    assert caplog.records == []
    for _ in range(3):
        await queue.drain()
    assert sender.tried.count("j1") == 5
    assert (queue.sent, queue.retried, queue.failed) == (1, 4, 1)
    assert (queue.depth, queue.oldest) == (0, None)
    (line,) = caplog.records
    assert line.levelno == logging.ERROR
    assert line.getMessage() == "job j1 is given up after 5 tries: OSError('not this one')"


@pytest.mark.gen_test
async def test_a_job_that_fails_holds_up_no_other():
    """The others go out in the same drain, however many stand behind it."""
    sender = Choosy("j1")
    queue = make_queue(sender)
    queue.take(records(1, 3 * AT_ONCE))
    await queue.drain()
    assert queue.sent == 3 * AT_ONCE - 1


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
        assert queue.depth < 10 + CATCH_UP
        await queue.drain()
    assert [each.position for each in sender.jobs] == list(range(1, 101))


@pytest.mark.gen_test
async def test_a_failed_job_still_counts_towards_the_capacity():
    """A sender that is down for long cannot make the queue grow past it."""
    sender = Choosy(*(f"j{n}" for n in range(1, 5)))
    queue = make_queue(sender, capacity=4)
    queue.take(records(1, 4))
    for _ in range(TRIES - 1):
        await queue.drain()
        assert queue.full
    await queue.drain()
    assert not queue.full
    assert queue.failed == 4


@pytest.mark.gen_test
async def test_oldest_is_the_first_that_is_not_done_with():
    """A job that is tried again keeps its place, though later ones have gone out meanwhile."""
    sender = Choosy("j3")
    queue = make_queue(sender)
    queue.take(records(1, 5))
    await queue.drain()
    assert queue.oldest == 3
    queue.take(records(6, 6))
    await queue.drain()
    assert queue.oldest == 3
    sender.refused.clear()
    await queue.drain()
    assert queue.oldest is None


@pytest.mark.gen_test
async def test_a_record_s_place_is_kept_until_all_its_jobs_are_done():
    """The mail is out and the push is not: after a restart the record comes again."""
    sender = Choosy("1-push")

    def two_each(record):
        for channel in Channel:
            name = f"{record.position}-{channel.lower()}"
            yield Job(name, record.position, channel, "x", "subject", "body")

    journal = MemoryJournal()
    queue = make_queue(sender, two_each)
    reader = Reader("notifications", journal, queue)
    await journal.commit(Batch(records(1, 2)))
    await reader.catch_up()
    await queue.drain()
    assert queue.sent == 3
    assert reader.done == 0
    sender.refused.clear()
    await queue.drain()
    assert reader.done == 2


@pytest.mark.gen_test
async def test_a_job_whose_success_was_recorded_is_not_sent_again():
    """An older one holds the place back; after a crash it comes again, and the younger do not."""
    journal, sender = MemoryJournal(), Choosy("j2")
    await journal.commit(Batch(records(1, 5)))
    queue, reader = await notifying(journal, sender)
    await queue.drain()
    assert queue.sent == 4
    await save(journal, reader)
    assert await journal.place("notified") == Place("notified", 1, {"j3": 3, "j4": 4, "j5": 5})
    sender = Choosy()
    queue, reader = await notifying(journal, sender)
    await queue.drain()
    assert [job.id for job in sender.jobs] == ["j2"]
    assert queue.ahead == {}
    await save(journal, reader)
    assert await journal.place("notified") == Place("notified", 5, {})


@pytest.mark.gen_test
async def test_a_job_is_sent_again_if_the_crash_came_before_its_success_was_recorded():
    """At least once: what the disk does not say was done is done."""
    journal, sender = MemoryJournal(), Choosy()
    await journal.commit(Batch(records(1, 3)))
    queue, _ = await notifying(journal, sender)
    await queue.drain()
    queue, _ = await notifying(journal, sender)
    await queue.drain()
    assert [job.id for job in sender.jobs] == ["j1", "j2", "j3"] * 2


async def notifying(journal, sender):
    """A queue as a hub starts it, with the reader that feeds it."""
    queue = make_queue(sender)
    reader = Reader("notified", journal, queue)
    queue.resume((await reader.open()).ahead)
    await reader.catch_up()
    return queue, reader


@pytest.mark.gen_test
async def test_a_drain_that_is_broken_off_keeps_the_place():
    """Cancelled at the hub's end: what the sender had in hand is not counted as done."""
    sender = Hanging()
    queue = make_queue(sender)
    queue.take(records(1, 3))
    draining = asyncio.ensure_future(queue.drain())
    await turns()
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    assert (queue.sent, queue.oldest) == (0, 1)
