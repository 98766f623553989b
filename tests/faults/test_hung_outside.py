"""What stands outside hangs, is full, or has gone: the hub works on, and ends in time."""

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest
from hub_process import ROOT
from load import asker
from railway import RUN, chart, person
from waiting import PATIENCE, wait_for

# Seconds until the next try of a notification, at most, after some seconds of failures.
NEXT_TRY = 15
PEOPLE = 30
# Seconds for a job that waits for no other: less than a hanging try takes.
SOON = 8


def full_train(ask):
    """Register and start a run whose passengers can all be marked as NT."""
    ask("/api/trains", chart(*(person(n, pnr=f"45{n:08}") for n in range(1, PEOPLE + 1))))
    ask("/api/trains/12345/start", {})


def no_shows(ask, first, last):
    """Mark these people as NT, in order: each gets an e-mail and a push."""
    for n in range(first, last + 1):
        ask(f"/api/trains/12345/passengers/45{n:08}/1/no-show", {})


def hang(folder, last):
    """Make the pushes of the first people hang, by FIFOs without a reader."""
    for n in range(1, last + 1):  # a no-show is two events, after those of the start
        user = hashlib.sha256(f"IR_{n}".encode()).hexdigest()[:16]
        os.mkfifo(folder / f".{RUN.replace('/', '_')}_{2 * n + 1}-{user}-push.json.part")


def written(folder):
    """Return how many e-mails and pushes are in an outbox."""
    return len([file for file in folder.iterdir() if not file.name.startswith(".")])


@contextlib.contextmanager
def full_pipe():
    """Yield the writing end of a full pipe that is not read."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 512)
    os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


class SilentHub:
    """A hub with unusual standard files, so that it cannot print its address."""

    def __init__(self, folder, port, *options, files="", **pipes):
        """Start the hub; `files` are redirections of the shell."""
        shell = ["bash", "-c", f'exec "$0" "$@" {files}', sys.executable, str(ROOT / "run.py")]
        options = ("--data-dir", str(folder), "--port", str(port), *options)
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen([*shell, *options], **pipes)
        wait_for(self._is_ready)

    def _is_ready(self):
        assert self.process.poll() is None
        with contextlib.suppress(OSError):
            return self.get("/readyz")["ready"]

    def get(self, path):
        with urlopen(self.url + path, timeout=120) as answer:
            return json.load(answer)

    def stop(self):
        """Send SIGTERM; return the exit code and the seconds until the end."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE), time.monotonic() - start


@pytest.fixture
def silent_hub(tmp_path, unused_port, mongod_options):
    started = []

    def start(*options, **files):
        options = options or mongod_options
        hub = SilentHub(tmp_path / "data", unused_port, *options, **files)
        started.append(hub)
        return hub

    yield start
    for hub in started:
        hub.process.kill()
        hub.process.wait()


# --- the outbox ---------------------------------------------------------------------------------


def test_an_outbox_that_is_away_loses_nothing(start_hub, mongod_options):
    """While the outbox is renamed, also over a restart, no e-mail or push is lost or doubled."""
    hub = start_hub(*mongod_options)
    ask = asker(hub)
    full_train(ask)
    outbox, away = hub.folder / "outbox", hub.folder / "away"
    outbox.rename(away)
    no_shows(ask, 1, 20)
    wait_for(lambda: ask("/api/monitor")["notifications"]["retried"] > 20)
    wait_for(lambda: "oldest notification by" in "".join(hub.degraded()))
    assert ask("/api/monitor")["notifications"]["failed"] == 0
    away.rename(outbox)
    wait_for(lambda: written(outbox) == 40, NEXT_TRY)
    wait_for(lambda: hub.degraded() == [])
    for file in outbox.iterdir():
        file.unlink()

    outbox.rename(away)
    no_shows(ask, 21, 30)
    assert hub.stop() == 0
    outbox.write_text("something else in its place")
    hub = start_hub(*mongod_options, folder=hub.folder)
    ask = asker(hub)
    wait_for(lambda: "oldest notification by" in "".join(hub.degraded()))
    outbox.unlink()
    away.rename(outbox)
    wait_for(lambda: written(outbox) == 20, NEXT_TRY)
    assert ask("/api/monitor")["notifications"]["sent"] == 20


def test_files_that_hang_hold_up_no_other(start_hub, mongod_options):
    """While the files of eight pushes hang, all others go out, and the hub ends in time."""
    hub = start_hub(*mongod_options)
    ask = asker(hub)
    full_train(ask)
    outbox = hub.folder / "outbox"
    hang(outbox, 8)
    no_shows(ask, 1, 20)
    wait_for(lambda: written(outbox) == 40 - 8, SOON)
    wait_for(lambda: "oldest notification by" in "".join(hub.degraded()))
    no_shows(ask, 21, 30)  # later jobs, while the first still hang
    wait_for(lambda: written(outbox) == 60 - 8, SOON)
    assert hub.stop(signal.SIGTERM, 60) == 0


# --- stdout and stderr --------------------------------------------------------------------------


def test_a_hub_whose_lines_are_not_read_works_on(silent_hub):
    """With full pipes from the first line on it starts, answers, says so, and ends in time."""
    with full_pipe() as stuck:
        hub = silent_hub(stdout=stuck, stderr=stuck)
        full_train(asker(hub))
        wait_for(
            lambda: any("stderr is not read" in each for each in hub.get("/readyz")["degraded"])
        )
        code, _ = hub.stop()
    assert code == 0  # a hub that the end hangs in has another one
    assert not (hub.folder / "journal.db-wal").exists()  # the journal was closed


@pytest.mark.parametrize(
    "files", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full", "> >(true) 2>&1"]
)
def test_standard_files_that_are_closed_full_or_gone(silent_hub, files):
    """The hub starts and works, and writes no printed line into its own files."""
    hub = silent_hub(files=files)
    full_train(asker(hub))
    for number in range(3):
        target = os.readlink(f"/proc/{hub.process.pid}/fd/{number}")
        assert not target.startswith(("socket:", "anon_inode:", str(hub.folder)))
    assert hub.stop()[0] == 0


def test_the_end_comes_in_time_whatever_hangs(silent_hub, start_mongod, unused_port):
    """MongoDB is frozen, the outbox hangs, stderr is not read: all at the same time."""
    mongod = start_mongod()
    with full_pipe() as stuck:
        hub = silent_hub("--mongodb-uri", mongod.uri, stdout=stuck, stderr=stuck)
        ask = asker(hub)
        full_train(ask)
        hang(hub.folder / "outbox", PEOPLE)
        mongod.freeze()
        no_shows(ask, 1, PEOPLE)
        wait_for(lambda: len(hub.get("/readyz")["degraded"]) >= 3)
        code, _ = hub.stop()
    assert code == 0  # a hub that the end hangs in has another one
    assert not (hub.folder / "journal.db-wal").exists()
