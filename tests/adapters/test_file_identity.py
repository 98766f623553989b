"""trainhub/adapters/file_identity.py: real files are told from their copies and replacements."""

import os
import shutil
from pathlib import Path

import pytest

from trainhub.adapters.file_identity import OpenFile, identity, is_copy


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "journal.db"
    path.write_bytes(b"database")
    path.with_name("journal.db-wal").write_bytes(b"log")
    return path


def test_a_file_that_is_written_to_or_moved_is_the_same(file, tmp_path):
    """Neither a write nor another name makes it another file."""
    before = identity(file)
    file.write_bytes(b"more")
    assert not is_copy(before, identity(file))
    moved = file.rename(tmp_path / "elsewhere.db")
    assert not is_copy(before, identity(moved))


def test_a_copy_in_its_place_is_another_file(file, tmp_path):
    """A copy is another file even if it gets the removed file's inode."""
    before, copy = identity(file), tmp_path / "copy.db"
    shutil.copy2(file, copy)
    file.unlink()
    shutil.copy2(copy, file)
    assert is_copy(before, identity(file))


def test_a_time_that_is_not_known_is_not_compared():
    """A file system may not keep the time, or the next kernel may show it."""
    assert not is_copy("7:0", "7:1.5")
    assert not is_copy("7:1.5", "7:0")
    assert is_copy("7:1.5", "7:1.6")
    assert is_copy("7:0", "8:0")


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal"])
def test_a_file_that_is_removed_or_replaced_is_noticed(file, name):
    """Both the database and its write-ahead log are watched."""
    opened, victim = OpenFile(file), file.with_name(name)
    assert opened.check() is None
    with victim.open("rb") as held:  # as SQLite does: its inode is not given away
        victim.unlink()
        assert "removed" in opened.check()
        victim.write_bytes(held.read())
        assert "another file" in opened.written()


def test_a_file_that_is_written_over_in_place_is_noticed(file):
    """`cp` onto the open file is noticed; the hub's own writes are not."""
    opened = OpenFile(file)
    file.write_bytes(b"by the hub itself")
    assert opened.written() is None
    assert opened.check() is None
    file.write_bytes(b"by another program")
    os.utime(file, (1, 1))
    assert "another program wrote" in opened.check()


def test_a_folder_that_is_gone_is_noticed(file):
    """A removed folder is noticed like a removed file."""
    opened = OpenFile(file)
    shutil.rmtree(Path(file).parent)
    assert "removed" in opened.check()
