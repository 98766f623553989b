"""trainhub/core/log.py: group commit, everything in one order, and readers that miss nothing."""

import asyncio
import gc
import os
import random
from collections import deque

import pytest
from fakes import MemoryJournal, save
from railway import MORNING, RUN

from trainhub.core import log as log_module
from trainhub.core.errors import Unavailable
from trainhub.core.journal import Commit, JournalFailed, ReaderPlace, Record
from trainhub.core.log import Log, Reader
from trainhub.domain.commands import To
from trainhub.domain.events import Announcement
from trainhub.domain.model import Level, RunKey

OTHER_RUN = RunKey("54321/2026-11-23")


def events(count):
    return [
        Announcement(at=MORNING, text=f"number {n}", level=Level.INFO, audience_=To.EVERYONE)
        for n in range(count)
    ]


def records(first, last):
    """Records of one run, whose positions are also their seqs."""
    return [
        Record(position, RUN, position, event)
        for position, event in enumerate(events(last - first + 1), start=first)
    ]


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)


class Told:
    """A log on a journal in memory; `lines` has each delivery's positions, and marks between."""

    def __init__(self, journal=None):
        self.journal = journal or MemoryJournal()
        self.lines = []
        self.failures = []
        self.log = Log(self.journal, self._deliver, self.failures.append)

    def _deliver(self, delivered, after):
        assert delivered[-1].position <= self.journal.head, "told before it was durable"
        self.lines.append([record.position for record in delivered])

    def append(self, count=0, mark=None):
        """Put `count` events of RUN in line, and what adds `mark` to the lines."""
        then = None if mark is None else lambda: self.lines.append(mark)
        return self.log.append(RUN, self.log.last + 1, events(count), then=then)


class Desk:
    """A log.Consumer that deals with what it took when it is told to."""

    def __init__(self, room=10**9):
        self.room = room
        self.ahead = {}
        self.taken = []
        self._undone = deque()

    @property
    def full(self):
        return len(self._undone) >= self.room

    @property
    def oldest(self):
        return self._undone[0] if self._undone else None

    def accept(self, taken):
        positions = [record.position for record in taken]
        self.taken += positions
        self._undone += positions

    def deal_with(self, count):
        """Finish the oldest `count`; returns their positions."""
        return [self._undone.popleft() for _ in range(min(count, len(self._undone)))]


class SlowToRead(MemoryJournal):
    """Hands out what it has read only once `read_gate` is set; `reads` and `saves` are counted."""

    def __init__(self):
        super().__init__()
        self.read_gate = asyncio.Event()
        self.read_gate.set()
        self.reads = 0
        self.saves = []

    async def read(self, after, limit):
        self.reads += 1
        found = await super().read(after, limit)
        await self.read_gate.wait()
        return found

    async def commit(self, batch):
        await super().commit(batch)
        self.saves += [place.position for place in batch.places]


# --- the log --------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_the_position_counts_all_runs_and_the_seq_its_own():
    """Positions go up by one over all runs; each run's seqs start where its caller says."""
    told = Told()
    await told.log.append(RUN, 1, events(2))
    await told.log.append(OTHER_RUN, 1, events(1))
    await told.log.append(RUN, 3, events(1))
    numbers = [(record.position, record.stream, record.seq) for record in told.journal.records]
    assert numbers == [(1, RUN, 1), (2, RUN, 2), (3, OTHER_RUN, 1), (4, RUN, 3)]
    assert told.log.last == 4


@pytest.mark.gen_test
async def test_a_log_goes_on_from_the_journal_s_head():
    """After a restart the next position follows the last one on disk."""
    first = Told()
    await first.append(3)
    again = Told(first.journal)
    await again.append(1)
    assert [record.position for record in again.journal.records] == [1, 2, 3, 4]


@pytest.mark.gen_test
async def test_nothing_is_delivered_or_answered_before_its_commit():
    """While the commit is in flight, no record is delivered and no future is done."""
    told = Told()
    told.journal.gate.clear()
    waiting = told.append(2)
    await turns()
    assert told.lines == []
    assert not waiting.done()
    told.journal.gate.set()
    await waiting
    assert told.lines == [[1, 2]]


@pytest.mark.gen_test
async def test_delivery_comes_before_the_answer():
    """Who is answered may count on every reader having been told."""
    seen = []
    log = Log(MemoryJournal(), lambda *_: seen.append(waiting.done()), seen.append)
    waiting = log.append(RUN, 1, events(1))
    await waiting
    assert seen == [False]


@pytest.mark.gen_test
async def test_group_commit():
    """What comes during a commit gathers for the next: one commit and one delivery for all."""
    told = Told()
    told.journal.gate.clear()
    first = told.append(1)
    await turns()
    rest = [told.append(2) for _ in range(9)]
    told.journal.gate.set()
    await asyncio.gather(first, *rest)
    assert told.journal.commits == [1, 18]
    assert told.lines == [[1], list(range(2, 20))]


@pytest.mark.gen_test
async def test_an_idle_log_answers_at_once_where_there_is_nothing_to_write():
    """An entry without events needs no commit of its own, and no turn of the loop."""
    told = Told()
    assert told.append(0, "here").done()
    assert told.lines == ["here"]
    await turns()
    assert told.journal.commits == []


@pytest.mark.gen_test
async def test_an_entry_without_events_waits_for_those_before_it():
    """So what was read is handed out only once the log has it."""
    told = Told()
    told.journal.gate.clear()
    told.append(1)
    reading = told.append(0)
    await turns()
    assert not reading.done()
    gathered = told.append(1)
    last = told.append(0)
    told.journal.gate.set()
    await reading
    await last
    assert gathered.done()
    assert told.journal.commits == [1, 1]


@pytest.mark.gen_test
async def test_then_is_called_at_its_place_in_the_line():
    """After the events before it were delivered, its own among them, and before any later one."""
    told = Told()
    told.journal.gate.clear()
    told.append(1)
    await turns()  # that one is in flight; the others gather
    told.append(0, "a")
    told.append(2)
    told.append(0, "b")
    told.append(0, "c")
    told.append(1, "d")
    last = told.append(1)
    told.journal.gate.set()
    await last
    assert told.lines == [[1], "a", [2, 3], "b", "c", [4], "d", [5]]


@pytest.mark.gen_test
async def test_what_then_puts_in_line_comes_later():
    """A `then` may append: its entry goes behind all that stood in line already."""
    told = Told()
    told.journal.gate.clear()
    told.append(1)
    later = []
    told.log.append(then=lambda: later.append(told.append(1, "from then")))
    last = told.append(1, "already there")
    told.journal.gate.set()
    await last
    await later[0]
    assert told.lines == [[1], [2], "already there", [3], "from then"]


@pytest.mark.gen_test
async def test_who_no_longer_waits_disturbs_nobody():
    """A caller that was cancelled: its events are delivered, and the others are answered."""
    told = Told()
    told.journal.gate.clear()
    gone, stays = told.append(1), told.append(1)
    gone.cancel()
    told.journal.gate.set()
    await stays
    assert told.lines == [[1, 2]]
    assert told.failures == []


@pytest.mark.gen_test
async def test_a_failed_commit_fails_everything_in_line():
    """Entries in the failed commit and those behind it get Unavailable. No record is delivered."""
    told = Told()
    told.journal.gate.clear()
    told.journal.broken = True
    in_line = [told.append(1), told.append(0, "mark")]
    await turns()
    in_line += [told.append(1), told.append(0, "mark"), told.append(2, "mark")]
    told.journal.gate.set()
    answers = await asyncio.gather(*in_line, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 5
    assert told.lines == []
    assert told.journal.records == []


@pytest.mark.gen_test
async def test_a_failure_is_told_once_and_is_final():
    """on_failure gets the reason once; check() and append() raise from then on, whatever comes."""
    told = Told()
    told.log.check()
    told.journal.broken = True
    with pytest.raises(Unavailable):
        await told.append(1)
    told.journal.broken = False
    for _ in range(3):
        with pytest.raises(Unavailable):
            told.log.check()
        with pytest.raises(Unavailable):
            told.append(1, "mark")
        with pytest.raises(Unavailable):
            told.append(0, "mark")
        await turns()
    (failure,) = told.failures
    assert isinstance(failure, JournalFailed)
    assert told.lines == []


@pytest.mark.gen_test
async def test_a_failure_that_nobody_waits_for_is_quiet():
    """No 'exception was never retrieved' for each of those who have gone."""
    complaints = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    told = Told()
    told.journal.broken = True
    for _ in range(3):
        told.append(1)
    await turns()
    assert len(told.failures) == 1
    del told  # and with the failure's traceback all that still holds the futures
    gc.collect()
    await turns()
    assert complaints == []


# --- a reader -------------------------------------------------------------------------------


async def reading(journal, desk):
    """A reader for the desk, opened at its saved place, and a log that feeds it."""
    reader = Reader("desk", journal, desk)
    await reader.open()
    return reader, Log(journal, reader.offer, print)


@pytest.mark.gen_test
async def test_a_delivery_that_fails_is_not_the_journal_s_failure():
    """The events are durable, and answered so; the hub stops, for the reason that it is."""
    told = Told()
    told.log = Log(told.journal, lambda *_: 1 / 0, told.failures.append)
    await told.append(1)
    (failure,) = told.failures
    assert isinstance(failure, ZeroDivisionError)
    with pytest.raises(Unavailable, match="error of its own"):
        told.log.check()


@pytest.mark.gen_test
async def test_what_follows_a_commit_fails_for_the_one_who_asked_alone():
    """The other entries of the commit are delivered and answered, and the log continues."""
    told = Told()
    before, after = told.append(1, "mine"), None
    bad = told.log.append(then=lambda: 1 / 0)
    after = told.append(1, "theirs")
    outcomes = await asyncio.gather(before, bad, after, return_exceptions=True)
    assert [type(each) for each in outcomes] == [type(None), ZeroDivisionError, type(None)]
    assert told.lines == [[1], "mine", [2], "theirs"]
    await told.append(1)
    assert told.failures == []


class Clumsy(Desk):
    """A consumer that cannot take what `breaks_at` names."""

    def __init__(self, *breaks_at):
        super().__init__()
        self.breaks_at = set(breaks_at)

    def accept(self, taken):
        for record in taken:
            if record.position in self.breaks_at:
                raise ValueError(f"record {record.position}")
        super().accept(taken)


@pytest.mark.gen_test
async def test_a_reader_that_fails_takes_nothing_from_the_others():
    """It reads again from the journal, passes over what it can never take, and says how many."""
    journal = MemoryJournal()
    readers = [Reader(name, journal, desk) for name, desk in (("a", Clumsy(2)), ("b", Desk()))]

    def deliver(records, after):
        for reader in readers:
            reader.offer(records, after)

    failures = []
    log = Log(journal, deliver, failures.append)
    await log.append(RUN, 1, events(3))
    await log.append(RUN, 4, events(1))
    clumsy, other = readers
    assert other._consumer.taken == [1, 2, 3, 4]
    assert other.complaints() == []
    await clumsy.catch_up()
    assert clumsy._consumer.taken == [1, 3, 4]
    assert clumsy.behind == 0
    assert clumsy.complaints() == ["1 events could not be a: the hub's log says why"]
    await log.append(RUN, 5, events(1))
    assert clumsy._consumer.taken == [1, 3, 4, 5]
    assert failures == []


@pytest.mark.gen_test
async def test_a_reader_that_never_catches_up_goes_on_with_what_comes():
    """A reader that does not catch up skips a failed record and gets the later ones."""
    journal = MemoryJournal()
    rooms = Reader("delivered", journal, Clumsy(2), catches_up=False)
    log = Log(journal, rooms.offer, print)
    for seq in range(1, 5):
        await log.append(RUN, seq, events(1))
    assert rooms._consumer.taken == [1, 3, 4]
    assert rooms.passed_over == 1


@pytest.mark.gen_test
async def test_a_reader_that_goes_back_reads_all_of_it_again():
    """And is not moved on by a place that was on its way to the disk meanwhile."""
    journal, desk = MemoryJournal(), Desk()
    reader = Reader("desk", journal, desk)
    await Log(journal, reader.offer, print).append(RUN, 1, events(3))
    desk.deal_with(3)
    place = reader.place()
    reader.rewind()
    reader.has_saved(place)
    assert (reader.saved, reader.done) == (0, 0)
    await reader.catch_up()
    assert desk.taken == [1, 2, 3, 1, 2, 3]


@pytest.mark.gen_test
async def test_a_reader_that_keeps_up_is_fed_by_each_commit():
    """It gets the records of each commit themselves, and the journal is not read."""
    journal, desk = SlowToRead(), Desk()
    reader, log = await reading(journal, desk)
    for seq in (1, 4, 7):
        await log.append(RUN, seq, events(3))
        assert desk.taken == list(range(1, seq + 3))
    await reader.catch_up()
    assert journal.reads == 0
    assert reader.behind == 0


@pytest.mark.gen_test
async def test_a_reader_whose_consumer_is_full_stays_where_it_is():
    """Nothing waits for it and nothing piles up: it is behind, by what the journal holds for it."""
    journal, desk = MemoryJournal(), Desk(room=2)
    reader, log = await reading(journal, desk)
    await log.append(RUN, 1, events(2))
    await log.append(RUN, 3, events(5))
    assert desk.taken == [1, 2]
    assert reader.behind == 5
    await reader.catch_up()
    assert desk.taken == [1, 2]


@pytest.mark.gen_test
async def test_a_reader_never_goes_past_a_record():
    """Room again, but older records still to come: a new commit has to wait its turn."""
    journal, desk = MemoryJournal(), Desk(room=1)
    reader, log = await reading(journal, desk)
    await log.append(RUN, 1, events(1))
    await log.append(RUN, 2, events(1))
    desk.deal_with(1)
    await log.append(RUN, 3, events(1))
    assert desk.taken == [1]
    desk.room = 10
    await reader.catch_up()
    assert desk.taken == [1, 2, 3]
    await log.append(RUN, 4, events(1))
    assert desk.taken == [1, 2, 3, 4]


@pytest.mark.gen_test
async def test_a_reader_catches_up_part_by_part_until_it_is_full(monkeypatch):
    """It takes CATCH_UP records at once and stops as soon as its consumer wants no more."""
    monkeypatch.setattr(log_module, "CATCH_UP", 3)
    journal, desk = SlowToRead(), Desk(room=7)
    await journal.commit(Commit(records(1, 20)))
    reader, _ = await reading(journal, desk)
    await reader.catch_up()
    assert desk.taken == list(range(1, 10))
    assert journal.reads == 3
    desk.deal_with(9)
    desk.room = 100
    await reader.catch_up()
    assert desk.taken == list(range(1, 21))
    assert reader.behind == 0


@pytest.mark.gen_test
async def test_a_commit_while_it_catches_up_is_taken_once():
    """What the journal handed over and what the commit brought may be the same records."""
    journal, desk = SlowToRead(), Desk(room=1)
    reader, log = await reading(journal, desk)
    await log.append(RUN, 1, events(1))
    await log.append(RUN, 2, events(2))
    desk.deal_with(1)
    desk.room = 100
    journal.read_gate.clear()
    catching_up = asyncio.ensure_future(reader.catch_up())
    await turns()
    await log.append(RUN, 4, events(2))
    journal.read_gate.set()
    await catching_up
    assert desk.taken == [1, 2, 3, 4, 5]


@pytest.mark.gen_test
async def test_records_that_came_while_the_journal_was_read_are_not_repeated():
    """A reader that was fed meanwhile drops what it had asked the journal for."""
    journal, desk = SlowToRead(), Desk()
    reader, _ = await reading(journal, desk)
    await journal.commit(Commit(records(1, 3)))
    journal.read_gate.clear()
    catching_up = asyncio.ensure_future(reader.catch_up())
    await turns()
    reader.offer(records(1, 3), 0)
    journal.read_gate.set()
    await catching_up
    assert desk.taken == [1, 2, 3]


@pytest.mark.gen_test
async def test_a_commit_of_which_it_has_a_part_already_is_not_repeated(monkeypatch):
    """The journal may have handed over a commit's first records: the rest come from there too."""
    monkeypatch.setattr(log_module, "CATCH_UP", 2)
    journal, desk = MemoryJournal(), Desk(room=1)
    reader, _ = await reading(journal, desk)
    await journal.commit(Commit(records(1, 3)))
    await reader.catch_up()
    desk.room = 100
    reader.offer(records(1, 3), 0)
    assert desk.taken == [1, 2]
    await reader.catch_up()
    assert desk.taken == [1, 2, 3]


@pytest.mark.gen_test
async def test_done_is_what_was_dealt_with_for_good():
    """All that was taken if nothing is open, else all before the oldest that is."""
    desk = Desk()
    reader, log = await reading(MemoryJournal(), desk)
    assert reader.done == 0
    await log.append(RUN, 1, events(5))
    assert reader.done == 0
    desk.deal_with(3)
    assert reader.done == 3
    desk.deal_with(2)
    assert reader.done == 5


@pytest.mark.gen_test
async def test_save_keeps_the_place_only_where_it_has_moved():
    """A reader that got no further writes nothing: an idle hub leaves its disk alone."""
    journal, desk = SlowToRead(), Desk()
    reader, log = await reading(journal, desk)
    await save(journal, reader)
    await log.append(RUN, 1, events(5))
    await save(journal, reader)
    assert journal.saves == []
    desk.deal_with(2)
    await save(journal, reader)
    await save(journal, reader)
    desk.deal_with(3)
    await save(journal, reader)
    assert journal.saves == [2, 5]


@pytest.mark.gen_test
async def test_a_restart_goes_on_from_the_saved_place():
    """What was taken and not dealt with comes again; what was done for good does not."""
    journal, desk = MemoryJournal(), Desk()
    reader, log = await reading(journal, desk)
    await log.append(RUN, 1, events(6))
    desk.deal_with(4)
    await save(journal, reader)
    desk.deal_with(1)  # and killed before the next save
    second = Desk()
    reader, log = await reading(journal, second)
    assert reader.behind == 2
    await log.append(RUN, 7, events(1))
    assert second.taken == []
    await reader.catch_up()
    assert second.taken == [5, 6, 7]
    assert reader.done == 4


@pytest.mark.gen_test
async def test_readers_keep_places_of_their_own():
    """A late reader does not delay another reader."""
    journal = MemoryJournal()
    await journal.commit(Commit(records(1, 5)))
    fast, slow = Desk(), Desk()
    ahead, behind = Reader("fast", journal, fast), Reader("slow", journal, slow)
    for reader in (ahead, behind):
        await reader.open()
    await ahead.catch_up()
    fast.deal_with(5)
    await save(journal, ahead)
    await save(journal, behind)
    assert (await journal.read_place("fast")).position == 5
    assert (await journal.read_place("slow")).position == 0
    assert (ahead.behind, behind.behind) == (0, 5)


async def append_with_gaps(log, *seqs):
    """Append an event for each seq, at positions 10, 20, …: others number records too."""
    for seq in seqs:
        log.last = seq * 10 - 1
        await log.append(RUN, seq, events(1))


@pytest.mark.gen_test
@pytest.mark.parametrize("catches_up", [True, False])
async def test_positions_may_have_gaps(catches_up):
    """A reader that keeps up is fed by each commit, whatever position the commit begins at."""
    journal, desk = MemoryJournal(), Desk()
    reader = Reader("desk", journal, desk, catches_up=catches_up)
    await append_with_gaps(Log(journal, reader.offer, print), 1, 2, 3, 4)
    assert desk.taken == [10, 20, 30, 40]
    assert reader.behind == 0


@pytest.mark.gen_test
async def test_a_reader_behind_a_gap_reads_on_from_the_journal():
    """It takes no commit while older records wait, and then all of them, each once."""
    journal, desk = MemoryJournal(), Desk(room=1)
    reader, log = await reading(journal, desk)
    await append_with_gaps(log, 1, 2, 3)
    assert desk.taken == [10]
    desk.room = 10
    await reader.catch_up()
    await append_with_gaps(log, 4)
    assert desk.taken == [10, 20, 30, 40]


@pytest.mark.gen_test
@pytest.mark.parametrize("place", [0, 3])
async def test_a_reader_that_is_new_on_an_old_journal_says_what_was_trimmed(place, caplog):
    """It reads what is left, and complains of the rest, whether new or long away."""
    journal, desk = MemoryJournal(), Desk()
    all_of_them = records(1, 9)
    await journal.commit(Commit(all_of_them, places=[ReaderPlace("desk", place, {})]))
    await journal.trim(6)
    journal.records = all_of_them[:1] + all_of_them[6:]
    reader, log = await reading(journal, desk)
    await reader.catch_up()
    await log.append(RUN, 10, events(1))
    assert desk.taken == ([1] if place == 0 else []) + [7, 8, 9, 10]
    assert reader.complaints() == [
        "events up to position 6 were trimmed from the journal before they were desk"
    ]
    assert (
        f"continues after position {place}, but the journal has been trimmed up to 6" in caplog.text
    )


@pytest.mark.gen_test
@pytest.mark.parametrize(("place", "refilled"), [(6, False), (9, False), (0, True)])
async def test_a_reader_that_missed_nothing_has_no_complaint(place, refilled, caplog):
    """Trimming goes no further than each reader's place; MongoDB is refilled from elsewhere."""
    journal = MemoryJournal()
    await journal.commit(Commit(records(1, 9), places=[ReaderPlace("desk", place, {})]))
    await journal.trim(6)
    reader = Reader("desk", journal, Desk(), refilled=refilled)
    await reader.open()
    assert reader.complaints() == []
    assert caplog.text == ""


class Lives:
    """A reader's lives on one journal, moved along by chance, and what each life must hold."""

    def __init__(self, chance):
        self._chance = chance
        self.journal = SlowToRead()
        self._log = Log(self.journal, lambda *told: self.reader.offer(*told), print)
        self._catching_up = []
        self.dealt_with = set()
        self.lives = []

    async def begin(self):
        """Start again as after a kill: unsaved state is lost."""
        for task in self._catching_up:
            task.cancel()
        await asyncio.gather(*self._catching_up, return_exceptions=True)
        self._catching_up = []
        saved = (await self.journal.read_place("desk")).position
        assert set(range(1, saved + 1)) <= self.dealt_with, "saved past a record that was lost"
        self.desk = Desk(room=self._chance.randrange(1, 30))
        self.reader = Reader("desk", self.journal, self.desk)
        await self.reader.open()
        self.lives.append((saved, self.desk))

    async def step(self):
        name = self._chance.choice(
            ["commit"] * 4 + ["catch up", "deal"] * 2 + ["room", "gates", "save", "turn", "restart"]
        )
        if name == "commit":
            count = self._chance.randrange(1, 8)
            self._log.append(RUN, self._log.last + 1, events(count))
        elif name == "catch up":
            self._catching_up.append(asyncio.ensure_future(self.reader.catch_up()))
        elif name == "deal":
            self.dealt_with.update(self.desk.deal_with(self._chance.randrange(20)))
        elif name == "room":
            self.desk.room = self._chance.choice([0, 5, 1000])
        elif name == "gates":
            for gate in (self.journal.gate, self.journal.read_gate):
                self._chance.choice([gate.set, gate.clear])()
        elif name == "save":
            await save(self.journal, self.reader)
        elif name == "turn":
            await turns(self._chance.randrange(10))
        elif self._chance.random() < 0.5:
            await self.begin()

    async def finish(self):
        """Open every gate, and let the last life take and deal with all there is."""
        self.journal.gate.set()
        self.journal.read_gate.set()
        await self._log.append()
        await asyncio.gather(*self._catching_up)
        self.desk.room = 10**9
        await self.reader.catch_up()
        self.dealt_with.update(self.desk.deal_with(10**9))
        await save(self.journal, self.reader)


@pytest.mark.gen_test
async def test_by_chance_no_reader_loses_or_repeats_a_record(monkeypatch):
    """Commits, full desks and restarts at random: each life is one row of positions without a gap.

    Set SEED to see one failure again.
    """
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    for _ in range(150):
        monkeypatch.setattr(log_module, "CATCH_UP", chance.randrange(1, 12))
        lives = Lives(chance)
        await lives.begin()
        for _ in range(chance.randrange(20, 120)):
            await lives.step()
        await lives.finish()
        head = lives.journal.head
        for saved, desk in lives.lives:
            assert desk.taken == list(range(saved + 1, saved + 1 + len(desk.taken)))
        assert lives.dealt_with == set(range(1, head + 1))
        assert (await lives.journal.read_place("desk")).position == head
