"""Fixtures that many tests share: an event loop, a real mongod, hubs."""

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pytest
from disks import Disks, TinyDisk
from fakes import MemoryJournal, line
from hub_process import HubProcess
from mongods import Mongod
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from railway import MORNING
from tornado.platform.asyncio import AsyncIOMainLoop

from trainhub.adapters.embedded_mongod import find_mongod
from trainhub.hub import Hub
from trainhub.rooms import Rooms


@pytest.fixture
def io_loop():
    """In place of pytest-tornado's own, which uses calls that tornado has deprecated."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    loop = AsyncIOMainLoop(make_current=False)
    yield loop
    loop.close(all_fds=True)
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory):
    """A real mongod for the whole session, on a unix socket of its own."""
    folder = tmp_path_factory.mktemp("mongod")
    process = subprocess.Popen(
        [
            *(str(find_mongod()), "--dbpath", ".", "--bind_ip", "./m.sock", "--nounixsocket"),
            *("--wiredTigerCacheSizeGB", "0.25"),
        ],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    uri = f"mongodb://{str(folder / 'm.sock').replace('/', '%2F')}"
    deadline = time.monotonic() + 60
    while True:
        try:
            with MongoClient(uri, serverSelectionTimeoutMS=500) as client:
                client.admin.command("ping")
            break
        except PyMongoError:
            assert process.poll() is None, "mongod has ended"
            assert time.monotonic() < deadline, "mongod does not answer"
    yield uri
    process.terminate()
    process.wait(30)


@pytest.fixture
def own_mongod():
    """A mongod that a test may stop and kill; starts it (again) when called, gives its process."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as name:
        place, processes = Path(name), []

        def start():
            (place / "m.sock").unlink(missing_ok=True)
            command = [str(find_mongod()), "--dbpath", ".", "--bind_ip", "./m.sock"]
            command += ["--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
            processes.append(subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL))
            return processes[-1]

        start.uri = f"mongodb://{str(place / 'm.sock').replace('/', '%2F')}"
        yield start
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def database_name(mongodb_uri):
    """The name of a database that is this test's own, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    with MongoClient(mongodb_uri) as client:
        client.drop_database(name)


@pytest.fixture
def database(mongodb_uri, database_name):
    """That database, to look into."""
    with MongoClient(mongodb_uri, tz_aware=True) as client:
        yield client[database_name]


@pytest.fixture
def start_mongod():
    """Starts mongods that the test may kill, each with its options, and leaves nothing of them."""
    started = []

    def start(*options):
        started.append(Mongod(*options))
        return started[-1].start()

    yield start
    for mongod in started:
        mongod.remove()


@pytest.fixture
def make_hub(io_loop):
    """Makes hubs on a journal in memory, whose clock stands at MORNING."""

    def make(journal=None, clock=lambda: MORNING, failures=None):
        told = failures if failures is not None else []
        hub = Hub(journal or MemoryJournal(), Rooms({}, line), clock, told.append)
        hub.loaded = True
        return hub

    return make


@pytest.fixture
def start_hub(tmp_path):
    """Starts hubs as processes, each with its options, and leaves none running."""
    started = []

    def start(*options, folder=tmp_path / "data", environment=None, prefix=(), wait=True):
        if prefix and shutil.which(prefix[0]) is None:
            pytest.skip(f"{prefix[0]} is not installed here")
        hub = HubProcess(folder, *options, environment=environment, prefix=prefix)
        started.append(hub)
        return hub.wait_until_listening() if wait else hub

    yield start
    for hub in started:
        if hub.process.poll() is None:
            hub.kill()
        hub.wait()


@pytest.fixture
def unused_port():
    """A port that nothing listens on for now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture
def tiny_disk(tmp_path):
    """A disks.TinyDisk of 1.5 MB. To be asked for before `start_hub`, as `disks` too."""
    disk = TinyDisk(tmp_path / "tiny", "1500k")
    yield disk
    disk.unmount()


@pytest.fixture
def disks(tmp_path):
    """A disks.Disks: disks whose power can be cut."""
    disks = Disks(tmp_path / "disks")
    yield disks
    disks.remove()
