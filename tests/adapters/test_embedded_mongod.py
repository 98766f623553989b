"""trainhub/adapters/embedded_mongod.py: starts, stops, deaths and faults of a real mongod."""

import asyncio
import mmap
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from freezing import freeze
from pymongo import MongoClient
from waiting import until

from trainhub.adapters import embedded_mongod
from trainhub.adapters.embedded_mongod import (
    EmbeddedMongod,
    MongodFailed,
    MongodMissing,
    find_mongod,
)
from trainhub.adapters.mongo import MongoStore
from trainhub.core.write_buffer import Refused

pytestmark = pytest.mark.slow

HUB = """
import asyncio, sys
from pathlib import Path
from trainhub.adapters.embedded_mongod import EmbeddedMongod

async def main():
    await EmbeddedMongod(Path(sys.argv[1])).start()
    print("started", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def data() -> Iterator[Path]:
    """Make a data folder with a short path, as a socket's path has a limit."""
    with tempfile.TemporaryDirectory(prefix="hub", dir="/tmp", ignore_cleanup_errors=True) as name:
        yield Path(name)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[EmbeddedMongod]:
    mongod = EmbeddedMongod(folder)
    await mongod.start()
    try:
        yield mongod
    finally:
        await mongod.stop()


def pid_of(folder: Path) -> int:
    return int((folder / "mongod.lock").read_text())


def alive(pid: int) -> bool:
    """Return whether a process runs. A process that was not reaped has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the hub's warnings on its mongod, without those of asyncio on a slow machine."""
    said = [record for record in caplog.records if record.name == "trainhub.mongod"]
    assert {record.levelname for record in said} <= {"WARNING"}
    return [record.getMessage() for record in said]


def script(folder: Path, text: str) -> Path:
    path = folder / "mongod"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def insert(uri: str, text: str) -> None:
    """Insert, and return when mongod's journal has it: kill -9 loses what is only in memory."""
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=5000, journal=True) as client:
        client.trains.notes.insert_one({"text": text})


def texts(uri: str) -> list[str]:
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=5000) as client:
        return [note["text"] for note in client.trains.notes.find()]


def listening(pid: int) -> list[str]:
    """Return the addresses on which a process listens: unix paths, and TCP in the kernel's hex."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # mongod closed it meanwhile
            inodes.add(os.readlink(fd).removeprefix("socket:[").removesuffix("]"))
    found = []
    for family in ("tcp", "tcp6"):
        for row in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]:
            words = row.split()
            if words[9] in inodes:
                found.append(words[1])
    for row in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
        words = row.split(maxsplit=7)
        if words[6] in inodes and words[3] == "00010000":
            found.append(words[7])
    return found


@pytest.fixture
def hub(data: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Start processes of a hub with a mongod in `data`, and end what is left of them."""
    hubs: list[subprocess.Popen[str]] = []
    pids: list[int] = []

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", HUB, str(data)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        hubs.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        pids.append(pid_of(data))
        return child

    yield start
    for child in hubs:
        child.kill()
        child.communicate()
    for pid in filter(alive, pids):
        os.kill(pid, signal.SIGKILL)


def test_answers_as_soon_as_it_is_started(data: Path) -> None:
    """A driver's commands succeed after start(), with any characters in the path."""

    async def story() -> None:
        async with running(data / "a, b+c %2F é" / "mongodb") as mongod:
            insert(mongod.uri, "hello")
            assert texts(mongod.uri) == ["hello"]

    asyncio.run(story())


def test_opens_one_unix_socket_and_no_port(data: Path) -> None:
    """Only the folder's owner can reach mongod: no TCP, no file in /tmp, no open mode."""

    async def story() -> None:
        async with running(data / "mongodb"):
            assert listening(pid_of(data / "mongodb")) == ["./mongod.sock"]
            assert stat.S_IMODE((data / "mongodb").stat().st_mode) == 0o700
            assert stat.S_IMODE((data / "mongodb/mongod.sock").stat().st_mode) == 0o600

    asyncio.run(story())


def test_runs_in_a_session_of_its_own(data: Path) -> None:
    """Ctrl-C in the hub's terminal does not end mongod before the hub's flush."""

    async def story() -> None:
        async with running(data):
            assert os.getsid(pid_of(data)) == pid_of(data)

    asyncio.run(story())


def test_stops_cleanly_and_keeps_the_data(data: Path) -> None:
    """stop() leaves no process and no socket; the next start has the data and one old log."""

    async def story() -> None:
        async with running(data) as mongod:
            insert(mongod.uri, "kept")
            pid = pid_of(data)
        assert not alive(pid)
        assert not (data / "mongod.sock").exists()
        assert (data / "mongod.lock").read_text() == ""
        async with running(data) as mongod:
            assert texts(mongod.uri) == ["kept"]
        async with running(data):
            pass

    asyncio.run(story())
    assert {file.name for file in data.glob("mongod.log*")} == {"mongod.log", "mongod.log.1"}


def test_start_and_stop_may_be_called_twice(data: Path) -> None:
    """A second start() or stop(), or a stop() before any start, changes nothing."""

    async def story() -> None:
        mongod = EmbeddedMongod(data)
        await mongod.stop()
        await mongod.start()
        pid = pid_of(data)
        await mongod.start()
        assert pid_of(data) == pid
        await mongod.stop()
        await mongod.stop()
        assert not alive(pid)

    asyncio.run(story())


def test_stop_uses_force_at_the_timeout(data: Path) -> None:
    """A mongod that does not react is killed at the timeout, and its socket removed."""

    async def story() -> None:
        mongod = EmbeddedMongod(data)
        await mongod.start()
        pid = pid_of(data)
        freeze(pid)
        await mongod.stop(timeout=0.2)
        assert not alive(pid)
        assert not (data / "mongod.sock").exists()

    asyncio.run(story())


def test_starts_again_after_dying_by_itself(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A mongod that dies is started again with one warning, and has the acknowledged data."""

    async def story() -> None:
        async with running(data) as mongod:
            insert(mongod.uri, "before")
            os.kill(pid_of(data), signal.SIGKILL)
            await until(lambda: mongod.restarts == 1)
            insert(mongod.uri, "after")
            assert texts(mongod.uri) == ["before", "after"]

    asyncio.run(story())
    said = "mongod died (exit status -9); starting it again in 0.5 s"
    assert warnings(caplog) == [said]


def test_tries_again_until_it_starts(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While it cannot start again, each try logs one line with the reason and waits longer."""
    monkeypatch.setattr(embedded_mongod, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(embedded_mongod, "_LAST_PAUSE", 0.2)

    async def story() -> None:
        async with running(data) as mongod:
            (data / "mongod.out").unlink()
            (data / "mongod.out").mkdir()
            os.kill(pid_of(data), signal.SIGKILL)
            await until(lambda: len(warnings(caplog)) == 4)
            (data / "mongod.out").rmdir()
            await until(lambda: mongod.restarts == 1)

    asyncio.run(story())
    lines = warnings(caplog)
    assert [line.rpartition(" in ")[2] for line in lines[1:4]] == ["0.1 s", "0.2 s", "0.2 s"]
    assert all("Is a directory" in line and "\n" not in line for line in lines[1:])


def test_stop_ends_the_tries(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """stop() while it waits to start mongod again leaves nothing running, now or later."""

    async def story() -> None:
        async with running(data) as mongod:
            os.kill(pid_of(data), signal.SIGKILL)
            await until(lambda: warnings(caplog))
            await mongod.stop()
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(story())
    assert not (data / "mongod.sock").exists()


def test_log_is_turned_over_while_it_runs(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log over its limit becomes the old log, and mongod goes on in a new one."""
    monkeypatch.setattr(embedded_mongod, "_LOG_CHECK", 0.1)
    monkeypatch.setattr(embedded_mongod, "_LOG_BYTES", 1000)

    async def story() -> None:
        async with running(data) as mongod:
            await until((data / "mongod.log.1").exists)
            await until((data / "mongod.log").exists)
            insert(mongod.uri, "still there")

    asyncio.run(story())


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_ends_with_its_hub(
    data: Path, hub: Callable[[], "subprocess.Popen[str]"], signum: signal.Signals
) -> None:
    """When a hub is killed, its mongod stops cleanly."""
    parent = hub()
    pid = pid_of(data)
    parent.send_signal(signum)
    parent.wait()
    asyncio.run(until(lambda: not alive(pid)))
    assert (data / "mongod.lock").read_text() == ""


def test_starts_at_once_after_its_hub_was_killed(
    data: Path, hub: Callable[[], "subprocess.Popen[str]"]
) -> None:
    """After kill -9 the next hub waits for the old mongod's end, then works."""
    parent = hub()
    pid = pid_of(data)

    async def story() -> None:
        parent.kill()
        async with running(data) as mongod:
            assert not alive(pid)
            insert(mongod.uri, "new")
            assert texts(mongod.uri) == ["new"]

    asyncio.run(story())


def test_ends_an_orphan_by_force(
    data: Path, hub: Callable[[], "subprocess.Popen[str]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old mongod that does not react to the request to stop is killed after a while."""
    monkeypatch.setattr(embedded_mongod, "_GRACE", 0.2)
    parent = hub()
    pid = pid_of(data)
    freeze(pid)
    parent.kill()

    async def story() -> None:
        async with running(data):
            assert not alive(pid)

    asyncio.run(story())


def test_does_not_outlive_a_hub_that_died_first() -> None:
    """If the hub dies before its mongod starts, mongod does not start."""
    stranger = str(os.getppid())
    command = [sys.executable, "-I", "-S", "-c", embedded_mongod._EXEC, stranger, "/bin/echo", "on"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "died before" in done.stderr


def test_leaves_an_operators_mongod_alone(data: Path) -> None:
    """An operator's mongod on the folder goes on: the message says that the folder is in use."""
    command = [str(find_mongod()), "--dbpath", str(data), "--nounixsocket", "--bind_ip"]
    theirs = subprocess.Popen([*command, f"{data}/theirs.sock"], stdout=subprocess.DEVNULL)
    try:
        asyncio.run(until((data / "theirs.sock").exists))
        with pytest.raises(MongodFailed, match="Another mongod instance is already running"):
            asyncio.run(EmbeddedMongod(data).start())
        assert theirs.poll() is None
    finally:
        theirs.kill()
        theirs.wait()


def test_too_long_a_path(data: Path) -> None:
    """A path over 107 bytes, counted in bytes, is refused before anything is made."""
    folder = data / ("é" * 50)
    with pytest.raises(MongodFailed, match=r"107 bytes .* shorter --data-dir, or .*--mongodb-uri"):
        asyncio.run(EmbeddedMongod(folder).start())
    assert not folder.exists()


def test_longest_path(data: Path) -> None:
    """A path of just 107 bytes works."""
    folder = data / ("x" * (107 - len(f"{data}//mongod.sock")))

    async def story() -> None:
        async with running(folder) as mongod:
            assert texts(mongod.uri) == []

    asyncio.run(story())


def test_no_mongod_on_this_machine(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel the message names the two ways to give a server."""
    monkeypatch.setattr(sys, "path", [str(data)])
    with pytest.raises(MongodMissing, match="--mongodb-uri or TRAINHUB_MONGODB_URI"):
        asyncio.run(EmbeddedMongod(data).start())


def test_missing_library(data: Path) -> None:
    """A library that the machine lacks is named, and the package that has it."""
    binary = Path(shutil.copy(find_mongod(), data / "mongod"))
    with binary.open("r+b") as file, mmap.mmap(file.fileno(), 0) as image:
        place = image.find(b"libcurl.so.4\0")
        image[place : place + 12] = b"libcurk.so.4"
    with pytest.raises(MongodMissing, match=r"libcurk\.so\.4: install it .*apt install libcurk4\)"):
        asyncio.run(EmbeddedMongod(data / "db", binary).start())


def test_binary_that_cannot_be_run(data: Path) -> None:
    """A file that is no program gives the system's reason in one line."""
    (data / "mongod").write_text("not a program")
    (data / "mongod").chmod(0o755)
    with pytest.raises(MongodFailed, match="Exec format error"):
        asyncio.run(EmbeddedMongod(data / "db", data / "mongod").start())


def test_folder_that_cannot_be_made(data: Path) -> None:
    """A folder that cannot be made or written to gives the system's reason in one line."""
    (data / "file").write_text("")
    with pytest.raises(MongodFailed, match="Not a directory") as caught:
        asyncio.run(EmbeddedMongod(data / "file" / "mongodb").start())
    assert "\n" not in str(caught.value)


def test_corrupt_data(data: Path) -> None:
    """Data that mongod cannot read gives its own first reason in one line, and nothing runs."""

    async def story() -> None:
        async with running(data):
            pass
        (data / "WiredTiger.turtle").write_text("no turtle\n")
        await EmbeddedMongod(data).start()

    with pytest.raises(MongodFailed, match=r"database corruption detected; see .*mongod\.log") as e:
        asyncio.run(story())
    assert "\n" not in str(e.value)
    assert not (data / "mongod.sock").exists()


def test_no_answer_within_the_timeout(data: Path) -> None:
    """A start that takes longer than its timeout is given up, and nothing is left running."""
    silent = script(data, "echo $$ > pid; exec sleep 600")
    with pytest.raises(MongodFailed, match=r"no answer within 1 s"):
        asyncio.run(EmbeddedMongod(data / "db", silent).start(timeout=1))
    assert not alive(int((data / "db/pid").read_text()))


def test_start_that_is_cancelled(data: Path) -> None:
    """A start that is cancelled leaves nothing running."""
    silent = script(data, "echo $$ > pid; exec sleep 600")
    pid = data / "db/pid"

    async def story() -> None:
        start = asyncio.create_task(EmbeddedMongod(data / "db", silent).start())
        await until(lambda: pid.exists() and pid.read_text())
        start.cancel()
        await asyncio.wait([start])
        assert start.cancelled()

    asyncio.run(story())
    assert not alive(int(pid.read_text()))


def test_processor_that_is_too_old(data: Path) -> None:
    """A mongod that dies of an illegal instruction says what the processor lacks."""
    with pytest.raises(MongodMissing, match="AVX"):
        asyncio.run(EmbeddedMongod(data / "db", script(data, "kill -ILL $$")).start())


# --- what its log holds -----------------------------------------------------------------------

MARK = "Zarathustra"
FIND_STOP = "waitInFindBeforeMakingBatch"


@pytest.fixture
def testing_mongod(data: Path) -> Path:
    """Return a mongod with the commands that make its operations slow."""
    script = data / "mongod"
    exe = shlex.quote(str(find_mongod()))
    script.write_text(f'#!/bin/sh\nexec {exe} "$@" --setParameter enableTestCommands=1\n')
    script.chmod(0o700)
    return script


async def slowly(client: MongoClient[Any], stop: str, call: Awaitable[Any]) -> None:
    """Hold a call at that place in mongod for over 100 ms, which mongod calls slow."""
    client.admin.command("configureFailPoint", stop, mode="alwaysOn")
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0.2)
    client.admin.command("configureFailPoint", stop, mode="off")
    await task


async def write_and_read(client: MongoClient[Any], store: MongoStore, number: int) -> None:
    """Make each kind of call of a hub, and calls that mongod refuses."""
    person = {"_id": f"{MARK}{number}", "epoch": "e1", "seq": number, "name": MARK, "user": MARK}
    deep: dict[str, Any] = {"name": MARK}
    for _ in range(178):
        deep = {"a": deep}
    await slowly(client, "hangDuringBatchUpdate", store.write("passengers", [person]))
    await slowly(client, "hangDuringBatchInsert", store.write("audit", [person]))
    await store.write("audit", [person])
    for bad in ({**person, "seq": -1}, {**person, "deep": deep}, {**person, "big": MARK * 1525201}):
        with suppress(Refused):
            await store.write("forbidding", [{**bad, "_id": f"{MARK}bad"}])
    asking = store.entries(None, None, MARK, None, 10)
    await slowly(client, FIND_STOP, asking)


def everything_logged(mongod: EmbeddedMongod) -> str:
    """Return the log without the line of FIND_STOP about itself."""
    files = mongod._folder.glob("mongod.[lo]*")
    lines = "".join(file.read_text(errors="replace") for file in files).splitlines()
    return "\n".join(line for line in lines if '"id":20908,' not in line)


@pytest.mark.gen_test
async def test_its_log_holds_nobody(data: Path, testing_mongod: Path) -> None:
    """Slow or refused operations leave no document or query in the log; mongod's default would."""
    mongod = EmbeddedMongod(data / "mongodb", testing_mongod)
    await mongod.start()
    indexes, lasting = {"audit": [("user", "_id")]}, {"events", "audit"}
    store = MongoStore(mongod.uri, "t", indexes, lasting, {"audit"})
    try:
        with MongoClient(mongod.uri) as client:
            client.t.create_collection("forbidding", validator={"seq": {"$gte": 0}})
            await write_and_read(client, store, 1)
            assert MARK not in everything_logged(mongod)
            client.t.command("profile", 0, slowms=100)
            await write_and_read(client, store, 5)
    finally:
        store.close()
        await mongod.stop()
    told = [line for line in everything_logged(mongod).splitlines() if MARK in line]
    assert any('"find"' in line for line in told)
    assert any('"update"' in line for line in told)
