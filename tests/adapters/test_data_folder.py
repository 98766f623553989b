"""trainhub/adapters/data_folder.py: one hub at a time holds a folder, closed to other users."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from trainhub.adapters.data_folder import BadDataFolder, DataFolder

HOLDER = """
import sys
from pathlib import Path
from trainhub.adapters.data_folder import DataFolder

DataFolder(Path(sys.argv[1])).hold()
print("held", flush=True)
sys.stdin.read()
"""

NOBODY = """
import os, sys
from pathlib import Path
from trainhub.adapters.data_folder import DataFolder

if os.geteuid() == 0:  # no mode holds root back
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    DataFolder(Path(sys.argv[1])).hold()
    print("held")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "data"


@pytest.fixture
def held():
    """Hold folders in processes of their own, and end these."""
    holders = []

    def hold(path):
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        holders.append(holder)
        assert holder.stdout.readline() == "held\n"
        return holder

    yield hold
    for holder in holders:
        holder.kill()
        holder.communicate()


def refused(path):
    """Return the message that refuses a folder: one line with its name and what to do."""
    with pytest.raises(BadDataFolder) as caught:
        DataFolder(path).hold()
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "name another" in message
    assert "--data-dir" in message
    return message


def test_the_folder_is_made_for_its_owner_only(path):
    """The mode is 0700 for every umask: the folder has passengers' data and keys."""
    before = os.umask(0)
    try:
        folder = DataFolder(path)
        folder.hold()
        folder.release()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((path / "hub.lock").stat().st_mode) == 0o600


def test_a_folder_that_is_there_is_used_as_it_is(path):
    """An existing folder is not changed, and `make` may be called twice."""
    path.mkdir(parents=True)
    (path / "journal.db").write_text("kept")
    folder = DataFolder(path)
    folder.make()
    folder.hold()
    folder.release()
    assert (path / "journal.db").read_text() == "kept"


def test_a_relative_path_is_made_whole(path, monkeypatch):
    """A later change of the working directory does not change the folder."""
    monkeypatch.chdir(path.parents[1])
    folder = DataFolder(Path("data"))
    monkeypatch.chdir("/")
    folder.make()
    assert folder.path == path.parents[1] / "data"
    assert folder.path.is_dir()


def test_a_second_hub_is_refused(path, held):
    """A second hub learns which process holds the folder and what to do; the first goes on."""
    holder = held(path)
    for _ in range(2):
        message = refused(path)
        assert f"another hub (process {holder.pid}) runs on" in message
        assert "stop it, or name another folder with --data-dir" in message
    assert holder.poll() is None
    assert (path / "hub.lock").read_text() == str(holder.pid)


def test_a_second_hub_in_the_same_process_is_refused(path):
    """The lock also excludes a second holder in the same process."""
    folder = DataFolder(path)
    folder.hold()
    assert f"(process {os.getpid()})" in refused(path)
    folder.release()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_hub_that_is_killed_leaves_the_folder_free(path, held, number):
    """A killed hub's folder is free: no one has to remove a lock file."""
    holder = held(path)
    holder.send_signal(number)
    holder.wait()
    folder = DataFolder(path)
    folder.hold()
    assert (path / "hub.lock").read_text() == str(os.getpid())
    folder.release()


def test_a_child_of_the_hub_does_not_keep_the_folder(path):
    """A child that outlives the hub, such as mongod, does not hold the lock."""
    folder = DataFolder(path)
    folder.hold()
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        close_fds=False,
    )
    try:
        assert child.stdout.readline() == "up\n"
        folder.release()
        again = DataFolder(path)
        again.hold()
        again.release()
    finally:
        child.communicate()


def test_a_folder_that_was_released_is_free(path, held):
    """Another hub can hold a released folder; a second release does nothing."""
    folder = DataFolder(path)
    folder.release()
    folder.hold()
    folder.release()
    folder.release()
    holder = held(path)
    assert f"(process {holder.pid})" in refused(path)


def test_two_folders_are_held_at_once(tmp_path):
    """Two hubs on one machine can hold two folders."""
    folders = [DataFolder(tmp_path / name) for name in ("a", "b")]
    for folder in folders:
        folder.hold()
    for folder in folders:
        folder.release()


def test_a_shorter_process_id_leaves_no_rest(path):
    """A shorter process id replaces a longer one completely."""
    path.mkdir(parents=True)
    (path / "hub.lock").write_text("9" * 20)
    folder = DataFolder(path)
    folder.hold()
    assert (path / "hub.lock").read_text() == str(os.getpid())
    folder.release()


def test_a_file_in_the_folder_s_place(path):
    """A file in the folder's place is reported and left unchanged."""
    path.parent.mkdir()
    path.write_text("a letter")
    assert "(File exists)" in refused(path)
    assert path.read_text() == "a letter"


def test_a_folder_below_a_file(path):
    """A path below a file is refused."""
    path.parent.write_text("a letter")
    assert "cannot be used (Not a directory)" in refused(path)


def test_a_folder_in_the_lock_s_place(path):
    """A folder in the lock's place is refused in one line, without a traceback."""
    (path / "hub.lock").mkdir(parents=True)
    assert "cannot be used (Is a directory)" in refused(path)


@pytest.mark.parametrize("below", ["", "data"])
def test_a_folder_that_cannot_be_written(below):
    """A folder that cannot be written or made is refused with what to change."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name) / below
        Path(name).chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", NOBODY, str(path)], capture_output=True, text=True, check=True
        )
        Path(name).chmod(0o755)
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"BadDataFolder the data folder {path} cannot be ")
    assert line.endswith("change its owner or mode, or name another with --data-dir")
