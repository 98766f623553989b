"""trainhub/adapters/undelivered.py: jobs that could not be sent are on disk, and bounded there."""

import asyncio
import stat
import time
from datetime import timedelta

import pytest
from railway import MORNING

from trainhub.adapters import undelivered
from trainhub.adapters.undelivered import (
    UNDELIVERED_DAYS,
    UNDELIVERED_FILE,
    UndeliveredFile,
    read_undelivered,
)
from trainhub.core.notifications import Channel, Notification, Undelivered


def waiting(name, since=None, given_up=None, **more):
    job = Notification(name, 7, Channel.EMAIL, "a@example.org", "é", "line\nline", **more)
    return Undelivered(job, since or time.time(), 3, "OSError(2, 'No such file')", given_up)


def note(file, jobs, sent=()):
    asyncio.run(file.note(jobs, sent))


def kept(folder):
    return {each.job.id: each for each in read_undelivered(folder)}


def test_what_is_noted_is_read_back(tmp_path):
    """All of it, by the next start too; for its owner only, as names stand in it."""
    jobs = [
        waiting("a", expires=MORNING + timedelta(minutes=5)),
        waiting("b"),
        waiting("c", given_up=time.time()),
    ]
    note(UndeliveredFile(tmp_path), jobs)
    assert read_undelivered(tmp_path) == jobs
    assert list(UndeliveredFile(tmp_path).jobs) == jobs
    assert stat.S_IMODE((tmp_path / UNDELIVERED_FILE).stat().st_mode) == 0o600


def test_the_newest_note_of_a_job_counts(tmp_path):
    """It waits, then it is given up; or it is sent, and gone."""
    file = UndeliveredFile(tmp_path)
    note(file, [waiting("a"), waiting("b")])
    dead = waiting("a", given_up=time.time())
    note(file, [dead], ["b"])
    assert kept(tmp_path) == {"a": dead}


def test_nothing_to_keep_is_no_file(tmp_path):
    """A hub whose mail works has no such file."""
    UndeliveredFile(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_a_crash_cut_short_costs_no_other(tmp_path):
    """At every place: those before it are there, and what is noted next is read too."""
    first = waiting("a")
    note(UndeliveredFile(tmp_path), [first])
    whole = (tmp_path / UNDELIVERED_FILE).read_bytes()
    note(UndeliveredFile(tmp_path), [waiting("b")])
    second = (tmp_path / UNDELIVERED_FILE).read_bytes()[len(whole) :]
    for cut in range(0, len(second), 7):
        (tmp_path / UNDELIVERED_FILE).write_bytes(whole + second[:cut])
        file = UndeliveredFile(tmp_path)
        third = waiting("c")
        note(file, [third])
        found = kept(tmp_path)
        assert (found["a"], found["c"]) == (first, third)


@pytest.mark.parametrize("line", ["[]", "7", "null", '{"id": "x"}', '{"sent": true}', "\x00"])
def test_a_line_that_is_something_else_is_left_out(tmp_path, line, caplog):
    """And said in the log."""
    note(UndeliveredFile(tmp_path), [waiting("a")])
    with (tmp_path / UNDELIVERED_FILE).open("a") as file:
        file.write(f"\n{line}\n")
    assert set(kept(tmp_path)) == {"a"}


def test_the_file_follows_what_it_holds(tmp_path, monkeypatch):
    """Jobs that come and go for long leave nothing behind."""
    monkeypatch.setattr(undelivered, "SPARE_LINES", 20)
    file = UndeliveredFile(tmp_path)
    stays = waiting("stays")
    note(file, [stays])
    size = (tmp_path / UNDELIVERED_FILE).stat().st_size
    for n in range(200):
        note(file, [waiting(f"j{n}")], [f"j{n - 1}"])
        assert (tmp_path / UNDELIVERED_FILE).stat().st_size < 30 * size
    assert set(kept(tmp_path)) == {"stays", "j199"}


def test_dead_letters_are_bounded_by_age_and_number(tmp_path, monkeypatch):
    """The oldest go; what is still tried stays however old it is."""
    monkeypatch.setattr(undelivered, "MOST_GIVEN_UP", 5)
    now, old = time.time(), time.time() - (UNDELIVERED_DAYS + 1) * 24 * 3600
    jobs = [waiting(f"d{n}", given_up=now - 100 + n) for n in range(8)]
    note(UndeliveredFile(tmp_path), [waiting("w", since=old), waiting("old", old, old), *jobs])
    UndeliveredFile(tmp_path)
    assert set(kept(tmp_path)) == {"w", "d3", "d4", "d5", "d6", "d7"}


def test_a_disk_that_fails_is_an_error(tmp_path):
    """The journal keeps the job then; once the disk is there again it is noted."""
    file = UndeliveredFile(tmp_path)
    (tmp_path / UNDELIVERED_FILE).mkdir()
    with pytest.raises(OSError, match="directory"):
        note(file, [waiting("a")])
    (tmp_path / UNDELIVERED_FILE).rmdir()
    note(file, [waiting("b")])
    assert "b" in kept(tmp_path)
