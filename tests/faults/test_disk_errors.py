"""The disk fails, is full or is slow under load: the hub stops, and its answers were true."""

import asyncio
import re
import sqlite3
import time
from random import Random
from urllib.error import HTTPError

import pytest
from hub_process import strace
from load import Fleet, asker, logs_of, seeded
from railway import register
from waiting import PATIENCE

from trainhub.access.identity import Identity
from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.core.errors import Unavailable
from trainhub.domain import commands as c
from trainhub.domain.model import Role
from trainhub.hub.vocabulary import RAILWAY

CREWS = 8
# Seconds after the failure in which answers of the previous commit may still come.
LAST_ANSWER_SECONDS = 1.0
CONNECTION_LOST = ("ConnectionRefusedError", "ConnectionResetError", "RemoteDisconnected")
# The disk may fail while a reader saves its place: then the test tries again.
MOST_ROUNDS = 3
SLOW_SECONDS = 0.05
OPERATOR = Identity("operator", Role.ADMIN, frozenset({"*"}))
# How many commands each client of the slow disk asks, one after the other.
EACH = 4


@pytest.fixture
def options(unused_port):
    """Options without a MongoDB, so that only the journal is on the disk."""
    return ("--mongodb-uri", f"mongodb://127.0.0.1:{unused_port}", "--new")


@pytest.fixture
def seed():
    return seeded()[0]


class Aside:
    """A client that announces over HTTP on a run of its own while the crews use their sockets."""

    def __init__(self, hub):
        self._fleet = Fleet(1, 0, "2026-11-24")
        self._fleet.begin(hub)
        self._crew = self._fleet.crews[0]
        self._ask = asker(hub)
        self.answered = 0

    def ask_until_refused(self):
        """Announce until refused; return the status, or the error's name if no hub listens."""
        path = f"/api/trains/{self._crew.train_no}/announcements?date={self._crew.start_date}"
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                self._ask(path, {"text": str(self.answered)})
            except HTTPError as error:
                error.close()
                return error.code
            except OSError as error:
                return type(getattr(error, "reason", error)).__name__
            self.answered += 1
        return "no refusal"

    def check(self, folder):
        """Check that all that was answered is in the journal, once and in order."""
        log = logs_of(folder)[self._crew.run]
        said = [data["text"] for kind, data in log.values() if kind == "ANNOUNCEMENT"]
        assert said[: self.answered] == [str(number) for number in range(self.answered)]
        assert len(said) <= self.answered + 1


def drive_until_it_fails(fleet, hub):
    """Drive the hub over sockets and HTTP until the journal fails and the hub stops.

    Returns the client that asked over HTTP, and how many sockets heard UNAVAILABLE.
    """
    aside = Aside(hub)
    refusals = []

    async def ask_aside(answered):
        await fleet.under_way()
        refusals.append(await asyncio.to_thread(aside.ask_until_refused))

    assert fleet.drive(hub, ask_aside, seconds=PATIENCE) == CREWS
    assert hub.wait() == 3
    assert "Traceback" not in "".join(hub.logged)
    assert {crew.closed for crew in fleet.crews} == {4503}
    assert all(crew.goodbye["retryAfterMs"] > 0 for crew in fleet.crews)
    # A client that connects after the hub has closed its port gets no UNAVAILABLE.
    assert refusals[0] in (503, *CONNECTION_LOST), refusals
    return aside, sum(crew.unavailable for crew in fleet.crews)


def failed_at(trace):
    """Return when the first call failed, in seconds since 1970."""
    return float(re.search(r"^\d+ +([\d.]+) .*\(INJECTED\)$", trace.read_text(), re.MULTILINE)[1])


@pytest.mark.parametrize(
    ("calls", "error", "first", "on"),
    [
        ("fsync,fdatasync", "EIO", (60, 120), "+"),
        ("fsync,fdatasync", "EIO", (60, 120), ""),
        ("fsync,fdatasync", "ENOSPC", (60, 120), "+"),
        ("pwrite64", "EIO", (400, 1200), "+"),
    ],
    ids=["fsync-EIO", "fsync-EIO-once", "fsync-ENOSPC", "write-EIO"],
)
def test_a_failing_disk_stops_the_hub(
    disks, start_hub, options, tmp_path, capsys, seed, calls, error, first, on
):
    """Commands get UNAVAILABLE or 503, sockets GOODBYE and 4503; the exit code is 3.

    All that was answered is on the disk. After a failed fsync Linux drops the pages that were not
    written, so one failure is enough, although the next call succeeds.
    """
    chance = Random(seed)
    trace = tmp_path / "trace"
    for _ in range(MOST_ROUNDS):
        fleet = Fleet(CREWS, chance.random())
        disk = disks.new()
        what = f"error={error}:when={chance.randrange(*first)}{on}"
        only = ("--seccomp-bpf", "-P", str(disk.folder / "data" / "journal.db-wal"))
        prefix = strace(trace, calls, what, *only)
        hub = start_hub(*options, folder=disk.folder / "data", prefix=prefix)
        fleet.begin(hub)
        aside, unavailable = drive_until_it_fails(fleet, hub)
        late = max(crew.answered_at for crew in fleet.crews) - failed_at(trace)
        assert late < LAST_ANSWER_SECONDS
        left = disks.after(disks.cut(disk))
        disk.remove()
        hub = start_hub(*options, folder=left.folder / "data")
        aside.check(hub.folder)
        fleet.finish(hub)
        answered, told = fleet.check(hub)
        with capsys.disabled():
            print(f"\n{calls} {what}, seed {seed}: {unavailable} of {CREWS} heard UNAVAILABLE,")
            print(f"the last answer {late * 1000:+.1f} ms from the failure; of {answered} answered")
            print(f"commands 0 missing, of {told} told events 0 not in the log")
        if unavailable:
            return
        # It fell on a reader's place, and no command was refused before the sockets closed.
    raise AssertionError("no command was told UNAVAILABLE")


def test_a_disk_that_fills_up_under_load_stops_the_hub_and_with_space_it_goes_on(
    tiny_disk, start_hub, options, capsys, seed
):
    """The hub stops as for a failing disk; with space again nothing is missing."""
    fleet = Fleet(CREWS, seed)
    hub = start_hub(*options, folder=tiny_disk.folder / "data")
    fleet.begin(hub)
    aside, unavailable = drive_until_it_fails(fleet, hub)
    tiny_disk.grow("16m")
    hub = start_hub(*options, folder=hub.folder)
    aside.check(hub.folder)
    fleet.finish(hub)
    answered, told = fleet.check(hub)
    with capsys.disabled():
        print(
            f"\ndisk full, seed {seed}: {unavailable} of {CREWS} heard UNAVAILABLE; of {answered}"
        )
        print(f"answered commands 0 missing, of {told} told events 0 not in the log")


@pytest.mark.parametrize("number", [1, 4])
def test_a_disk_that_fails_while_the_journal_is_made_stops_the_start(
    start_hub, options, tmp_path, number
):
    """The exit code is 3. Without WAL, SQLite would lose answered commands in a power cut."""
    prefix = strace(tmp_path / "trace", "fdatasync", f"error=EIO:when={number}")
    hub = start_hub(*options, prefix=prefix, wait=False)
    assert not hub.listens()
    assert hub.wait() == 3


class UnsureJournal(SqliteJournal):
    """A disk that fails after it has written a commit, as when only the fsync fails."""

    def _commit(self, *arguments):
        super()._commit(*arguments)
        raise sqlite3.OperationalError("disk I/O error")


@pytest.mark.gen_test
async def test_a_command_whose_commit_failed_is_not_said_not_to_have_happened(make_hub, tmp_path):
    """The next start may find it in the journal: the client must send it again under its key."""
    journal = await UnsureJournal.open(tmp_path / "journal.db", RAILWAY)
    with pytest.raises(Unavailable) as refused:
        await make_hub(journal).execute(register(), OPERATOR)
    assert len(await journal.read(0, 10)) == 1
    await journal.close()
    assert "did not happen" not in str(refused.value)


# --- slow -------------------------------------------------------------------------------------


class SlowJournal(SqliteJournal):
    """A disk whose commits take SLOW_SECONDS more, and are counted."""

    commits = 0

    def _commit(self, *arguments):
        self.commits += 1
        time.sleep(SLOW_SECONDS)
        super()._commit(*arguments)


@pytest.mark.gen_test
@pytest.mark.parametrize("clients", [1, 10, 100, 200, 1000])
async def test_a_slow_disk_is_shared_by_all_who_wait_for_it(make_hub, tmp_path, capsys, clients):
    """Each client waits for at most two commits: the current one and its own."""
    journal = await SlowJournal.open(tmp_path / "journal.db", RAILWAY)
    hub = make_hub(journal)
    await hub.execute(register(), OPERATOR)
    journal.commits = 0

    async def ask():
        for number in range(EACH):
            await hub.execute(c.Announce(train_no="12345", text=f"number {number}"), OPERATOR)

    start = time.monotonic()
    await asyncio.gather(*(ask() for _ in range(clients)))
    took = time.monotonic() - start
    await journal.close()
    with capsys.disabled():
        print(f"\n{clients} clients, a commit {SLOW_SECONDS * 1000:.0f} ms slower: ", end="")
        print(f"{clients * EACH} commands in {journal.commits} commits, ", end="")
        print(f"{clients * EACH / took:.0f} a second")
    assert journal.head == 1 + clients * EACH
    assert journal.commits <= 2 * EACH
