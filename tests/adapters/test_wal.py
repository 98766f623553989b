"""trainhub/adapters/wal.py: what SQLite would drop silently is told apart: a torn tail, or damage.

Each judgement is held against what SQLite itself makes of the same bytes.
"""

import sqlite3
from contextlib import closing
from random import Random

import pytest

from trainhub.adapters.wal import Wal, inspect

HEADER, FRAME, PAGE = 32, 24, 512
COMMITS = 12


@pytest.fixture
def files(tmp_path):
    """Make a database with a write-ahead log of twelve commits, each of one row and some pages."""
    return make(tmp_path, COMMITS)


def make(folder, commits, rounds=1):
    """Return the two files of a database that was not closed, after `rounds` rounds of its log."""
    path = folder / "live.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size={PAGE}")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
        for number in range(rounds):
            db.execute("PRAGMA wal_checkpoint(RESTART)")
            for commit in range(commits if number == rounds - 1 else 3 * commits):
                text = str(commit) * (3000 if commit % 2 else 9)
                db.execute("INSERT INTO t (text) VALUES (?)", (text,))
        return path.read_bytes(), path.with_name("live.db-wal").read_bytes()


def judge(folder, wal):
    path = folder / "copy.db-wal"
    path.write_bytes(wal)
    return inspect(path)


def rows(folder, base, wal):
    """Return how many commits SQLite finds in a copy."""
    path = folder / "copy.db"
    for name in ("copy.db-shm", "copy.db-wal"):
        (folder / name).unlink(missing_ok=True)
    path.write_bytes(base)
    (folder / "copy.db-wal").write_bytes(wal)
    with closing(sqlite3.connect(path)) as db:
        (count,) = db.execute("SELECT count(*) FROM t").fetchone()
    return count


def test_a_whole_log(files, tmp_path):
    """All commits of a whole log are counted, and no byte is torn."""
    assert judge(tmp_path, files[1]) == Wal(commits=COMMITS)
    assert rows(tmp_path, *files) == COMMITS


def test_no_log_at_all(tmp_path):
    """A missing log is not a fault."""
    assert inspect(tmp_path / "nothing") == Wal()
    assert judge(tmp_path, b"") == Wal()


@pytest.mark.slow
def test_a_log_cut_at_every_byte_of_its_end(files, tmp_path):
    """The commits before the cut are counted, and the dropped bytes too."""
    base, wal = files
    for length in range(len(wal) - 3 * (FRAME + PAGE), len(wal)):
        found = judge(tmp_path, wal[:length])
        assert (found.damage, found.torn) == (None, length - _end(wal, length))
        if length % 97 == 0:
            assert rows(tmp_path, base, wal[:length]) == found.commits


def _end(wal, length):
    """Return the end of the last whole commit before `length`."""
    end = HEADER + (length - HEADER) // (FRAME + PAGE) * (FRAME + PAGE)
    while not any(wal[end - FRAME - PAGE + 4 : end - FRAME - PAGE + 8]):
        end -= FRAME + PAGE
    return end


def test_a_flipped_bit_is_never_overlooked(files, tmp_path):
    """A changed bit is damage, or its last commit is reported as dropped."""
    seed = Random().randrange(2**32)
    print("seed", seed)
    chance, (base, wal) = Random(seed), files
    last = _end(wal, len(wal) - 1)  # where the last commit begins
    for _ in range(300):
        place = chance.randrange(len(wal))
        broken = bytearray(wal)
        broken[place] ^= 1 << chance.randrange(8)
        found = judge(tmp_path, bytes(broken))
        assert found.damage is not None or found.torn, (seed, place)
        if found.damage is None:
            assert place >= last, (seed, place)
            assert rows(tmp_path, base, bytes(broken)) == found.commits == COMMITS - 1


def test_frames_of_an_earlier_round_are_no_fault(tmp_path):
    """Frames of an earlier round behind the new frames are not a fault."""
    base, wal = make(tmp_path, 4, rounds=2)
    assert len(wal) > HEADER + 12 * (FRAME + PAGE)
    assert judge(tmp_path, wal) == Wal(commits=4)
    assert rows(tmp_path, base, wal) == 3 * 4 + 4


@pytest.mark.parametrize("length", [1, HEADER - 1])
def test_a_header_that_was_begun(files, tmp_path, length):
    """An incomplete header has no frames after it: its bytes are dropped."""
    assert judge(tmp_path, files[1][:length]) == Wal(torn=length)


def test_a_log_that_is_not_one(tmp_path):
    """A log that was overwritten is damage."""
    assert judge(tmp_path, b"a letter to a friend " * 400).damage is not None
