"""trainhub/adapters/schema.py: the schema of the documents, and how an old database is migrated."""

import asyncio
import time

import pytest
from load import asker
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import MongoClient
from railway import RUN, chart
from waiting import PATIENCE

from trainhub.adapters import schema
from trainhub.adapters.mongo import MongoStore
from trainhub.adapters.mongo_lease import MongoLease
from trainhub.core.write_buffer import TooNew
from trainhub.hub.documents import DOCUMENT_SCHEMA, INDEXES, LIVE

OURS = ("runs", "passengers", "offers", "events")


def meta(database):
    found = database.meta.find_one({"_id": "schema"})
    return found and found["version"]


def old(database, count=5):
    """Fill a database with documents as version 1 wrote them, next to someone else's."""
    for name in OURS:
        documents = [{"_id": f"{RUN}/{n}", "epoch": "e1", "seq": n} for n in range(count)]
        database[name].insert_many(documents)
    database.theirs.insert_one({"_id": 1})


def schemas(database):
    """Return all values of `schema` of each collection, None where it is missing."""
    return {name: {each.get("schema") for each in database[name].find()} for name in OURS}


ALL_NEW = {name: {DOCUMENT_SCHEMA} for name in OURS}


@pytest.fixture
def motor(io_loop, mongodb_uri, database_name):
    client = AsyncIOMotorClient(mongodb_uri, tz_aware=True)
    yield client[database_name]
    client.close()


@pytest.fixture
def store(io_loop, mongodb_uri, database_name):
    store = MongoStore(mongodb_uri, database_name, INDEXES)
    yield store
    store.close()


def document(seq=1):
    return {"_id": RUN, "epoch": "e1", "seq": seq, "schema": DOCUMENT_SCHEMA}


# --- migrations -----------------------------------------------------------------------------


def test_what_is_written_is_what_migrations_lead_to():
    """Each change of the documents has a migration."""
    assert schema.SCHEMA_VERSION == DOCUMENT_SCHEMA
    assert list(schema.MIGRATIONS) == list(range(2, DOCUMENT_SCHEMA + 1))


@pytest.mark.gen_test
async def test_a_new_database_has_the_newest_version(store, database):
    """`meta` has the version before the first document is written."""
    await store.write("runs", [document()])
    assert meta(database) == DOCUMENT_SCHEMA
    assert set(database.list_collection_names()) == {*OURS, "audit", "notifications", "meta"}


@pytest.mark.gen_test
async def test_an_old_database_is_migrated_before_the_first_write(store, database, monkeypatch):
    """Each document gets its version, and its other fields stay."""
    monkeypatch.setattr(schema, "DOCUMENTS_A_CALL", 2)
    old(database)
    before = list(database.events.find())
    await store.write("runs", [])
    assert schemas(database) == ALL_NEW
    assert meta(database) == DOCUMENT_SCHEMA
    assert list(database.events.find()) == [{**each, "schema": DOCUMENT_SCHEMA} for each in before]
    assert database.theirs.find_one() == {"_id": 1}


@pytest.mark.gen_test
async def test_a_migration_may_be_taken_twice(motor, database):
    """A second migration changes nothing, so a crash before `meta` is written is harmless."""
    old(database)
    await schema.MIGRATIONS[2](motor)
    once = {name: list(database[name].find().sort("_id")) for name in OURS}
    await schema.MIGRATIONS[2](motor)
    assert {name: list(database[name].find().sort("_id")) for name in OURS} == once


@pytest.mark.gen_test
async def test_a_migration_that_is_broken_off_goes_on(motor, database, monkeypatch):
    """A migration cut off after any call resumes; `meta` changes only at the end."""
    monkeypatch.setattr(schema, "DOCUMENTS_A_CALL", 2)
    old(database)
    update_many, calls = type(motor.runs).update_many, 0

    async def cut(collection, *args):
        nonlocal calls
        calls += 1
        if calls > most:
            raise ConnectionError
        return await update_many(collection, *args)

    monkeypatch.setattr(type(motor.runs), "update_many", cut)
    step = 12  # three batches of each collection
    for most in range(step):  # noqa: B007 (`cut` looks at it)
        calls = 0
        with pytest.raises(ConnectionError):
            await schema.migrate(motor)
        assert meta(database) is None
    calls, most = 0, 100
    await schema.migrate(motor)
    assert calls == step * len(schema.MIGRATIONS)
    assert schemas(database) == ALL_NEW
    assert meta(database) == DOCUMENT_SCHEMA


@pytest.mark.gen_test
async def test_a_hub_that_is_killed_while_it_migrates(start_hub, mongod_options, database):
    """The next start completes the migration, and the hub writes."""
    old(database, 60_000)
    hub = await asyncio.to_thread(start_hub, *mongod_options, wait=False)
    deadline = time.monotonic() + PATIENCE
    while not database.runs.count_documents({"schema": DOCUMENT_SCHEMA}, limit=1):
        assert time.monotonic() < deadline
    hub.kill()
    assert meta(database) == DOCUMENT_SCHEMA - 1
    assert schemas(database) != ALL_NEW
    hub = await asyncio.to_thread(start_hub, *mongod_options, folder=hub.folder)
    while meta(database) != DOCUMENT_SCHEMA:
        assert time.monotonic() < deadline
    assert schemas(database) == ALL_NEW


# --- a database of a newer schema -------------------------------------------------------------


def make_newer(database, version=DOCUMENT_SCHEMA + 1):
    database.meta.replace_one({"_id": "schema"}, {"_id": "schema", "version": version}, upsert=True)


@pytest.mark.gen_test
@pytest.mark.parametrize("version", [DOCUMENT_SCHEMA + 1, 1_000, "3", None, 2.5])
async def test_a_newer_database_is_let_be(store, database, version):
    """A newer database is not changed; the message says what is there and what to do."""
    make_newer(database, version)
    for attempt in (
        lambda: store.write("runs", [document()]),
        MongoLease(store).read,
        lambda: anext(store.runs(LIVE)),
    ):
        with pytest.raises(TooNew) as caught:
            await attempt()
        for part in (
            f"schema {version!r}",
            f"up to {DOCUMENT_SCHEMA}",
            "newer trainhub",
            "--database",
        ):
            assert part in str(caught.value)
    assert database.list_collection_names() == ["meta"]


@pytest.mark.gen_test
async def test_it_is_looked_at_again_after_a_failure(store, database):
    """A hub notices that the database was migrated while it was away."""
    await store.write("runs", [document(1)])
    make_newer(database)
    store._met = False  # as after any failure
    with pytest.raises(TooNew):
        await store.write("runs", [document(2)])
    assert database.runs.find_one()["seq"] == 1


@pytest.mark.parametrize("fresh", [True, False])
def test_a_hub_does_not_start_on_a_newer_database(start_hub, mongod_options, database, fresh):
    """A hub exits with one line and code 2, with or without a journal."""
    hub = start_hub(*mongod_options)
    if not fresh:
        asker(hub)("/api/trains", chart())
    assert hub.stop() == 0
    make_newer(database)
    count = database.command("dbstats")["objects"]
    hub = start_hub(*mongod_options, folder=hub.folder, wait=False)
    assert hub.wait(PATIENCE) == 2
    (line,) = (line for line in hub.logged if line.startswith("trainhub: "))
    assert f"schema {DOCUMENT_SCHEMA + 1}, and this hub knows up to {DOCUMENT_SCHEMA}" in line
    assert not any("Traceback" in line for line in hub.logged)
    assert database.command("dbstats")["objects"] == count


def test_a_newer_database_that_comes_later(start_hub, start_mongod):
    """If a newer database comes back after the start, the hub writes nothing and says so."""
    mongod = start_mongod()
    with MongoClient(mongod.uri) as client:
        make_newer(client["trainhub"])
    mongod.stop()
    hub = start_hub("--mongodb-uri", mongod.uri, "--new")
    ask = asker(hub)
    ask("/api/trains", chart())
    mongod.start()
    with MongoClient(mongod.uri) as client:
        database = client["trainhub"]
        deadline = time.monotonic() + PATIENCE
        while "schema" not in str(degraded := ask("/readyz")["degraded"]):
            assert time.monotonic() < deadline, degraded
            time.sleep(0.05)
        told = f"schema {DOCUMENT_SCHEMA + 1}, and this hub knows up to {DOCUMENT_SCHEMA}"
        assert told in str(degraded)
        ask("/api/trains/12345/start", {})
        assert database.list_collection_names() == ["meta"]
        said = [line for line in hub.logged if "schema" in line]
        make_newer(database, DOCUMENT_SCHEMA)
        while ask("/readyz")["degraded"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        while database.events.count_documents({}) != 2:
            assert time.monotonic() < deadline
    assert len(said) == 1
