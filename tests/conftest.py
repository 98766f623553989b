"""Fixtures that many tests share: an event loop, a real mongod, hubs."""

import asyncio
import shutil
import uuid

import pytest
from built import build_of_fakes
from chromium import launch, new_page
from disks import Disks, TinyDisk
from fakes import MemoryJournal
from hub_process import HubProcess
from hypothesis import settings
from load import asker
from mongods import Mongod
from playwright.sync_api import sync_playwright
from ports import free_ports
from pymongo import MongoClient
from railway import MORNING, chart
from tornado.platform.asyncio import AsyncIOMainLoop
from waiting import PATIENCE
from witness import WITNESS

# No random test may fail because the machine is busy.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# Fixtures that start a process or mount a disk.
SLOW_FIXTURES = {"start_hub", "start_mongod", "mongodb_uri", "browser", "tiny_disk", "disks"}


def pytest_collection_modifyitems(items):
    """Mark tests as slow that use such a fixture, or that a variable can make longer."""
    for item in items:
        if SLOW_FIXTURES & set(item.fixturenames) or item.get_closest_marker("sized"):
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def within_the_contract(request):
    """Check all messages of a test against docs/asyncapi.yaml and docs/openapi.yaml.

    A test that is marked as `made_up` is left out: it sends what no hub sends.
    """
    WITNESS.faults.clear()
    yield
    faults, WITNESS.faults[:] = WITNESS.faults[:3], []
    if request.node.get_closest_marker("made_up") is None:
        assert not faults, "\n".join(faults)


@pytest.fixture
def io_loop():
    """Replace pytest-tornado's fixture, which uses calls that tornado has deprecated."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    loop = AsyncIOMainLoop(make_current=False)
    yield loop
    # What a test left under way may hold a turn that the next test waits for (core/cost.py).
    left = asyncio.all_tasks(loop.asyncio_loop)
    for task in left:
        task.cancel()
    if left:
        loop.asyncio_loop.run_until_complete(asyncio.wait(left, timeout=PATIENCE))
    loop.close(all_fds=True)
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def mongodb_uri():
    """Run a real mongod for the whole session, on a unix socket of its own."""
    mongod = Mongod().start()
    yield mongod.uri
    mongod.remove()


@pytest.fixture
def database_name(mongodb_uri):
    """Return the name of a database of this test, and drop that database afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    with MongoClient(mongodb_uri) as client:
        client.drop_database(name)


@pytest.fixture
def database(mongodb_uri, database_name):
    """Return that database, for a test that reads it."""
    with MongoClient(mongodb_uri, tz_aware=True) as client:
        yield client[database_name]


@pytest.fixture
def start_mongod():
    """Return a function that starts mongods that the test may kill; remove them afterwards."""
    started = []

    def start(*options):
        started.append(Mongod(*options))
        return started[-1].start()

    yield start
    for mongod in started:
        mongod.remove()


@pytest.fixture
def make_hub(io_loop):
    """Return a function that makes hubs with a journal in memory and a clock at MORNING."""

    def make(journal=None, clock=lambda: MORNING, failures=None):
        told = failures if failures is not None else []
        journal = journal or MemoryJournal()
        return build_of_fakes(journal=journal, clock=clock, on_failure=told.append).hub

    return make


@pytest.fixture
def start_hub(tmp_path):
    """Return a function that starts hubs as processes; end them after the test."""
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
def mongod_options(mongodb_uri, database_name):
    """Return a hub's options for that database, which spare the start of a mongod of its own."""
    return ("--mongodb-uri", mongodb_uri, "--database", database_name)


@pytest.fixture
def restart(start_hub, unused_port, mongod_options):
    """Return a function that starts the hub, or starts it again at the same address."""
    return lambda: start_hub("--port", str(unused_port), *mongod_options)


@pytest.fixture
def start_again(restart):
    """Return a function that does so with a hub whose train stands at AAA."""

    def start():
        hub = restart()
        hub.ask = asker(hub)
        if not hub.ask("/api/trains"):
            hub.ask("/api/trains", chart())
            hub.ask("/api/trains/12345/start", {})
        return hub

    return start


@pytest.fixture
def unused_port():
    """Return a port on which no process listens now."""
    return free_ports(1)[0]


@pytest.fixture
def tiny_disk(tmp_path):
    """A disks.TinyDisk of 1.5 MB. Name this fixture before `start_hub`, and `disks` too."""
    disk = TinyDisk(tmp_path / "tiny", "1500k")
    yield disk
    disk.unmount()


@pytest.fixture
def disks(tmp_path):
    """A disks.Disks: disks whose power can be cut."""
    disks = Disks(tmp_path / "disks")
    yield disks
    disks.remove()


@pytest.fixture(scope="module")
def browser():
    """The machine's own Chromium, without windows and notifications."""
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, "chromium-headless-shell")
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A page; `page.complaints` has the console's errors and uncaught exceptions."""
    with new_page(browser) as page:
        yield page
