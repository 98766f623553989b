"""trainhub/adapters/mongo.py: what a real mongod stores and gives back."""

import asyncio
import gc
import logging
import os
import socket
import time
import traceback
from functools import partial
from random import Random

import bson
import pytest
from fakes import Letters
from mongods import PatientStore
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from notices import notice
from poison import POISON
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from pymongo.monitoring import CommandListener
from railway import RUN, Driver, chart, person
from slow_line import SlowLine
from voyage import voyages
from waiting import PATIENCE

from trainhub.adapters import mongo, pace
from trainhub.adapters.mongo import BadUri, MongoStore
from trainhub.core.journal import Record
from trainhub.core.ledger import Ledger
from trainhub.core.notifications import Outcome, Told
from trainhub.core.write_buffer import Change, Refused, StoreAway, WriteBuffer
from trainhub.domain import commands as c
from trainhub.domain.chart import read_chart
from trainhub.domain.model import RunKey
from trainhub.domain.train import TrainState, fold
from trainhub.hub.documents import INDEXES, LASTING, LIVE, NOTIFICATIONS, UNIQUE, changes, told
from trainhub.hub.vocabulary import RAILWAY

PASSWORD = "s3cret"
# The databases that a mongod has of its own.
OWN = {"admin", "config", "local"}


@pytest.fixture
def make_store(io_loop, database_name):
    """Make stores on the test's own database, and close them."""
    made = []

    def make(uri, indexes=INDEXES, kind=MongoStore):
        store = kind(uri, database_name, indexes, LASTING, UNIQUE, RAILWAY)
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(make_store, mongodb_uri):
    return make_store(mongodb_uri, kind=PatientStore)


class Spy(CommandListener):
    """A listener that records the writes that were sent to the server."""

    def __init__(self):
        self.writes = []

    def started(self, event):
        if event.command_name in ("insert", "update", "delete", "findAndModify"):
            self.writes.append(event)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


async def taken(store, bulk):
    """Write a bulk, and return the reasons of the refused documents."""
    try:
        await store.write("runs", bulk)
    except Refused as error:
        return error.reasons
    return {}


def run(seq, epoch="e1", name=RUN, **fields):
    return {"_id": name, "epoch": epoch, "seq": seq, **fields}


# --- what is written ------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_document_is_made_and_then_replaced(store, database):
    """A new document is inserted, and a later one replaces it whole."""
    await store.write("runs", [run(1, status="SCHEDULED", old=True), run(1, name="other")])
    assert list(database.runs.find({"_id": RUN})) == [run(1, status="SCHEDULED", old=True)]
    await store.write("runs", [run(2, status="RUNNING")])
    assert list(database.runs.find({"_id": RUN})) == [run(2, status="RUNNING")]
    assert database.runs.count_documents({}) == 2


@pytest.mark.gen_test
async def test_an_older_seq_never_replaces_a_newer(store, database):
    """Written as 5, 3, 7, 7, the stored document only gets newer, and no write fails."""
    expected = {5: 5, 3: 5, 7: 7}
    for seq in (5, 3, 7, 7):
        await store.write("runs", [run(seq, value=seq)])
        assert database.runs.find_one({"_id": RUN}) == run(expected[seq], value=expected[seq])


@pytest.mark.gen_test
async def test_an_older_seq_holds_up_nothing_in_its_bulk(store, database):
    """A bulk with stale and new documents succeeds, and the new ones are stored."""
    await store.write("runs", [run(5, name=f"r{n}") for n in range(3)])
    bulk = [run(9 if n in (1, 4) else 3, name=f"r{n}") for n in range(5)]
    await store.write("runs", bulk)
    seqs = {each["_id"]: each["seq"] for each in database.runs.find()}
    assert seqs == {"r0": 5, "r1": 9, "r2": 5, "r3": 3, "r4": 9}


@pytest.mark.gen_test
async def test_writing_all_of_it_again_is_a_success(store, database):
    """After a restart all may be written again: the effect is exactly once."""
    driver = Driver()
    driver.go_to("CCC")
    await write_run(store, driver.state, driver.events)
    before = {name: list(database[name].find().sort("_id")) for name in INDEXES}
    await write_run(store, driver.state, driver.events)
    assert {name: list(database[name].find().sort("_id")) for name in INDEXES} == before
    assert len(before["events"]) == len(driver.events)


@pytest.mark.gen_test
async def test_another_log_s_documents_are_replaced(store, database):
    """Seqs of two logs cannot be compared, so the writing epoch wins."""
    await store.write("runs", [run(7, epoch="e1")])
    await store.write("runs", [run(2, epoch="e2")])
    assert database.runs.find_one({"_id": RUN}) == run(2, epoch="e2")
    await store.write("runs", [run(1, epoch="e2")])
    assert database.runs.find_one({"_id": RUN}) == run(2, epoch="e2")


@pytest.mark.gen_test
async def test_a_document_without_regard_to_its_words(store, database):
    """Field values that look like MongoDB's operators are stored as they are."""
    odd = run(1, text="$status", other="$$ROOT", nested={"a": ["$b", None]})
    await store.write("runs", [odd])
    await store.write("runs", [{**odd, "seq": 2}])
    assert database.runs.find_one({"_id": RUN}) == {**odd, "seq": 2}


@pytest.mark.gen_test
@pytest.mark.parametrize("options", ["", "&w=0&retryWrites=false", "&w=1&journal=false"])
async def test_an_answer_means_on_the_disks_of_most(make_store, mongodb_uri, monkeypatch, options):
    """Every write asks for majority and journal, whatever the URI says."""
    spy = Spy()
    with_spy = partial(AsyncIOMotorClient, event_listeners=[spy])
    monkeypatch.setattr(mongo, "AsyncIOMotorClient", with_spy)
    store = make_store(f"{mongodb_uri}{options}")
    await store.write("runs", [run(1)])
    concerns = [each.command["writeConcern"] for each in spy.writes]
    assert concerns == [{"w": "majority", "j": True}] * len(concerns) != []


@pytest.mark.gen_test
async def test_the_indexes_are_there_after_the_first_write(store, database):
    """documents.py's indexes exist, with their order of fields, and no others."""
    await store.write("runs", [run(1)])
    for collection, indexes in INDEXES.items():
        found = [
            tuple(field for field, _ in index["key"])
            for index in database[collection].index_information().values()
        ]
        assert sorted(found) == sorted([("_id",), *indexes])


# --- what is read back ----------------------------------------------------------------------


async def write_run(store, state, events, epoch="e1"):
    """Write a run's documents as the write buffer does, a bulk for each collection."""
    bulks = {}
    for seq, event in enumerate(events, start=1):
        for change in changes(state, Record(seq, state.run, seq, event), epoch):
            bulks.setdefault(change.collection, {})[change.id] = change
    for collection, those in bulks.items():
        await store.write(collection, [change.render() for change in those.values()])


def registered(start_date, *people):
    """Return a run of train 12345 on another day, and its one event."""
    checked, *_ = read_chart(chart(*people, startDate=start_date))
    state = TrainState(checked.run)
    (event,) = state.decide(c.RegisterTrain(train_no="12345", chart=checked), Driver().now)
    state.evolve(event)
    return state, [event]


async def live_runs(store):
    return {name: events async for name, events in store.runs(LIVE)}


@pytest.mark.gen_test
async def test_live_runs_come_back_event_by_event(store):
    """SCHEDULED and RUNNING runs come back with exactly their events."""
    driver = Driver()
    driver.start()
    driver.board(2)
    driver.no_show(1)
    driver.undo(1)
    driver.give(c.Announce(train_no="12345", text="गाड़ी", to=c.To.USER, user="IR_1"))
    driver.go_to("DDD")
    waiting, its_events = registered("2026-11-24")
    await write_run(store, driver.state, driver.events)
    await write_run(store, waiting, its_events)
    found = await live_runs(store)
    assert found == {RUN: driver.events, "12345/2026-11-24": its_events}
    state = fold(RunKey(RUN), found[RUN])
    assert (state.seq, state.passengers) == (driver.state.seq, driver.state.passengers)


@pytest.mark.gen_test
async def test_every_type_of_event_comes_back(store, database):
    """Events that end a run come back too, if its document is older."""
    for epoch, driver in enumerate(voyages()):
        await write_run(store, driver.state, driver.events, f"e{epoch}")
        database.runs.update_one({"_id": RUN}, {"$set": {"status": "RUNNING"}})
        assert await live_runs(store) == {RUN: driver.events}


@pytest.mark.gen_test
async def test_runs_that_have_ended_are_left_out(store, database):
    """COMPLETED and CANCELLED runs are not loaded into a new journal."""
    driver = Driver()
    driver.go_to("EEE")
    await write_run(store, driver.state, driver.events)
    assert await live_runs(store) == {}
    database.runs.update_one({"_id": RUN}, {"$set": {"status": "CANCELLED"}})
    assert await live_runs(store) == {}


@pytest.mark.gen_test
async def test_a_run_comes_back_up_to_the_first_gap(store, database):
    """Events after a missing event are not loaded."""
    driver = Driver()
    driver.go_to("CCC")
    await write_run(store, driver.state, driver.events)
    database.events.delete_one({"_id": f"{RUN}/4"})
    assert await live_runs(store) == {RUN: driver.events[:3]}
    database.events.delete_one({"_id": f"{RUN}/1"})
    assert await live_runs(store) == {}


@pytest.mark.gen_test
async def test_events_of_another_log_are_left_out(store):
    """The run's document names its epoch; a rest of an earlier log is not mixed in."""
    driver = Driver()
    driver.go_to("CCC")
    await write_run(store, driver.state, driver.events, "e1")
    again, its_events = registered("2026-11-23")
    await write_run(store, again, its_events, "e2")
    assert await live_runs(store) == {RUN: its_events}


@pytest.mark.gen_test
async def test_the_events_come_in_their_order(make_store, mongodb_uri, database):
    """By their seq, not as they happen to lie on the disk or in an index, and 10 comes after 9."""
    store = make_store(mongodb_uri, indexes={})
    driver = Driver()
    driver.start()
    for _ in range(12):
        driver.no_show(1)
        driver.undo(1)
    await write_run(store, driver.state, driver.events)
    documents = list(database.events.find())
    database.events.delete_many({})
    database.events.insert_many(sorted(documents, key=lambda each: each["_id"], reverse=True))
    assert await live_runs(store) == {RUN: driver.events}


@pytest.mark.gen_test
async def test_large_numbers_come_back(store):
    """A number beyond 32 bits, which the codec lets in, does not keep a hub from starting."""
    driver = Driver(person(1, age=2**40))
    await write_run(store, driver.state, driver.events)
    assert await live_runs(store) == {RUN: driver.events}


@pytest.mark.gen_test
async def test_an_empty_database_has_no_live_runs(store):
    """A first start finds nothing, which is no error."""
    assert await live_runs(store) == {}


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_document_that_mongodb_refuses(store, database):
    """It is Refused by its id and the code, which quote nothing, and the others are stored."""
    database.create_collection("runs", validator={"value": {"$lt": 10}})
    bulk = [run(1, name=f"r{n}", value=11 if n == 1 else n) for n in range(4)]
    with pytest.raises(Refused) as caught:
        await store.write("runs", bulk)
    assert caught.value.reasons == {"r1": "error 121"}
    assert str(caught.value) == "r1: error 121"
    assert {each["_id"] for each in database.runs.find()} == {"r0", "r2", "r3"}


@pytest.mark.gen_test
async def test_a_refusal_among_stale_documents(store, database):
    """Duplicate keys in a bulk do not hide a refusal."""
    await store.write("runs", [run(5, name="stale", value=1)])
    database.command("collMod", "runs", validator={"value": {"$lt": 10}})
    with pytest.raises(Refused) as caught:
        await store.write("runs", [run(3, name="stale", value=1), run(1, name="bad", value=11)])
    assert caught.value.reasons == {"bad": "error 121"}


@pytest.mark.gen_test
async def test_a_duplicate_in_another_index_is_no_success(store, database):
    """Only a duplicate `_id` means that the stored document is as new."""
    database.runs.create_index("trainNo", unique=True)
    await store.write("runs", [run(1, name="a", trainNo="1")])
    with pytest.raises(Refused, match="11000"):
        await store.write("runs", [run(1, name="b", trainNo="1")])
    assert database.runs.find_one({"_id": "b"}) is None


@pytest.mark.gen_test
@pytest.mark.parametrize("value", POISON.values(), ids=POISON)
async def test_a_value_that_cannot_be_stored(store, database, value):
    """A value that would fail the whole bulk is Refused, and the others are stored."""
    with pytest.raises(Refused) as caught:
        await store.write("runs", [run(1, name="bad", value=value), run(1, name="good")])
    assert list(caught.value.reasons) == ["bad"]
    assert [each["_id"] for each in database.runs.find()] == ["good"]


@pytest.mark.gen_test
async def test_a_document_of_just_the_most_bytes_is_stored(store, database):
    """MongoDB stores 16 MB, and one byte more is Refused: the server's limit."""
    empty = len(bson.encode(run(1, value="")))
    for more, stored in ((0, 1), (1, 0)):
        value = "x" * (mongo.MOST_DOCUMENT_BYTES - empty + more)
        bulk = [run(1, name=RUN, value=value), run(1, name=f"good{more}")]
        await taken(store, bulk)
        assert database.runs.count_documents({"_id": f"good{more}"}) == 1
        assert database.runs.delete_many({"_id": RUN}).deleted_count == stored


@pytest.mark.gen_test
async def test_a_bulk_is_cut_at_its_bytes(store, database, monkeypatch):
    """A bulk is bounded in bytes; a larger document goes alone."""
    monkeypatch.setattr(pace, "BULK_SECONDS", 1_000 / pace.FULL_RATE)
    bulks = []

    class Spy(MongoStore):
        async def _write(self, collection, bulk, inserts):
            bulks.append([len(each.bson) for each in bulk])
            return await super()._write(collection, bulk, inserts)

    store.__class__ = Spy
    sizes = (200, 400, 400, 200, 5_000, 750, 10, 10)
    await store.write(
        "events", [run(1, name=f"r{n}", v="x" * size) for n, size in enumerate(sizes)]
    )
    assert [len(each) for each in bulks] == [2, 2, 1, 3]
    assert all(sum(each) <= 1_000 or len(each) == 1 for each in bulks)
    assert database.events.count_documents({}) == len(sizes)


@pytest.mark.gen_test
async def test_what_got_through_before_the_line_failed_is_told(
    start_mongod, make_store, monkeypatch
):
    """StoreAway names what was written, and a slow line gets smaller bulks."""
    monkeypatch.setattr(pace, "BASE_SECONDS", 0.5)
    mongod = start_mongod()
    documents = [run(1, name=f"r{n:03}", v="x" * 1_000) for n in range(200)]
    with SlowLine(mongod, 10**8) as line:
        store = make_store(line.uri)
        await written(store, run(1))
        line.rate = 60_000
        failures, waiting = 0, documents
        while waiting:
            try:
                await store.write("events", waiting)
                break
            except StoreAway as error:
                failures += 1
                waiting = [each for each in waiting if each["_id"] not in error.written]
        assert 0 < failures < 10
        line.rate = 10**8
        with MongoClient(mongod.uri) as client:
            (database,) = [n for n in client.list_database_names() if n not in OWN]
            assert client[database].events.count_documents({}) == 200
        store.close()


@pytest.mark.gen_test
async def test_a_failure_of_the_whole_call_is_no_refusal(store, database, monkeypatch):
    """A server error about the call itself makes no dead letters."""
    await store.write("runs", [run(1)])
    answer = AsyncIOMotorDatabase.command
    for code in (2, 9, 13, 11600):

        async def fail(database, command, *args, code=code):
            if "update" in command:
                raise OperationFailure("no", code)
            return await answer(database, command, *args)

        with monkeypatch.context() as patch:
            patch.setattr(AsyncIOMotorDatabase, "command", fail)
            with pytest.raises(StoreAway) as caught:
                await store.write("runs", [run(2)])
        assert not isinstance(caught.value, Refused)


@pytest.mark.gen_test
async def test_two_calls_that_insert_a_document_at_once(store, database, monkeypatch):
    """A duplicate may be the newer document: it is written again."""
    await store.write("runs", [run(3)])

    async def too_late(database, command, *args):
        monkeypatch.undo()
        return {"ok": 1, "writeErrors": [{"index": 0, "code": 11000, "keyPattern": {"_id": 1}}]}

    monkeypatch.setattr(AsyncIOMotorDatabase, "command", too_late)
    with pytest.raises(StoreAway, match="11000"):
        await store.write("runs", [run(5)])
    await store.write("runs", [run(5)])
    assert database.runs.find_one()["seq"] == 5


@pytest.mark.gen_test
async def test_documents_that_last_are_inserted(store, database):
    """If a document is there already, it is written as an update."""
    await store.write("events", [run(1, name=f"e{n}", value=1) for n in range(4)])
    again = [run(1, value=2, name="e0"), run(2, value=2, name="e1")]
    again += [run(1, value=2, name="e2", epoch="e2"), run(1, value=2, name="e9")]
    await store.write("events", again)
    found = {each["_id"]: each["value"] for each in database.events.find()}
    assert found == {"e0": 1, "e1": 2, "e2": 2, "e3": 1, "e9": 2}


@pytest.mark.gen_test
async def test_an_entry_of_the_audit_is_never_written_again(
    make_store, mongodb_uri, database, monkeypatch
):
    """Inserting an entry again changes nothing and needs no right to update."""
    spy = Spy()
    with_spy = partial(AsyncIOMotorClient, event_listeners=[spy])
    monkeypatch.setattr(mongo, "AsyncIOMotorClient", with_spy)
    store = make_store(mongodb_uri)
    await store.write("audit", [run(1, name=f"a{n}", value=1) for n in range(3)])
    await store.write("audit", [run(1, name=f"a{n}", value=2) for n in range(1, 5)])
    found = {each["_id"]: each["value"] for each in database.audit.find()}
    assert found == {"a0": 1, "a1": 1, "a2": 1, "a3": 2, "a4": 2}
    to_it = [e.command_name for e in spy.writes if e.command[e.command_name] == "audit"]
    assert to_it == ["insert", "insert"]


@pytest.mark.gen_test
@pytest.mark.parametrize("collection", ["runs", "events"])
async def test_flushes_in_any_order_end_with_the_newest(
    make_store, mongodb_uri, database, collection
):
    """Concurrent stores in any order end with the newest version of each document."""
    seed = int(os.environ.get("SEED", Random().randrange(2**32)))
    print(f"seed {seed}")
    chance = Random(seed)
    newest = {f"r{n}": chance.randint(5, 30) for n in range(40)}
    versions = [run(seq, name=name, value=seq) for name, last in newest.items()
                for seq in range(1, last + 1)] * 2  # fmt: skip
    chance.shuffle(versions)
    stores = [make_store(mongodb_uri, kind=PatientStore) for _ in range(4)]

    async def flush(store, those):
        while those:
            most = chance.randint(1, 60)
            await store.write(collection, those[:most])
            del those[:most]

    seen, done = {}, asyncio.Event()

    async def watch():
        while not done.is_set():
            for each in database[collection].find():
                assert each["value"] == each["seq"] >= seen.get(each["_id"], 0)
                seen[each["_id"]] = each["seq"]
            await asyncio.sleep(0)

    watching = asyncio.ensure_future(watch())
    await asyncio.gather(*(flush(s, versions[n::4]) for n, s in enumerate(stores)))
    done.set()
    await watching
    assert {each["_id"]: each["value"] for each in database[collection].find()} == newest


@pytest.mark.gen_test
async def test_a_document_that_is_never_taken_holds_up_no_other(store, database, monkeypatch):
    """One refused document of 1,500 delays no other."""
    monkeypatch.setattr("trainhub.core.write_buffer.BACKOFF", (0.0, 0.0))
    database.create_collection("runs", validator={"value": {"$ne": 7}})

    async def settled():
        pass

    def one_each(record):
        fields = run(1, name=f"r{record.position}", value=record.position)
        return [Change("runs", fields["_id"], lambda: fields)]

    buffer = WriteBuffer(store, one_each, settled, Letters())
    event = Driver().events[0]
    buffer.accept([Record(n, RUN, n, event) for n in range(1, 1501)])
    for _ in range(10):
        await buffer.flush()
    assert database.runs.count_documents({}) == 1499
    assert (buffer.refused, buffer.failing, buffer.depth) == (1, None, 0)


# --- a server that is away ------------------------------------------------------------------


def closed_port():
    """Return a port on which no process listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.gen_test
async def test_a_server_that_is_not_there(make_store, monkeypatch):
    """StoreAway comes within a few seconds, in one line without the password."""
    monkeypatch.setattr(mongo, "ANSWER_SECONDS", 0.3)
    store = make_store(f"mongodb://hub:{PASSWORD}@127.0.0.1:{closed_port()}")
    start = time.monotonic()
    for attempt in (lambda: store.write("runs", [run(1)]), lambda: live_runs(store)):
        with pytest.raises(StoreAway, match="Connection refused") as caught:
            await attempt()
        assert "\n" not in str(caught.value)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert time.monotonic() - start < 25  # pymongo itself waits 30 s


async def written(store, document):
    """Write a document as soon as the server takes it, and return the number of failed tries."""
    deadline, refused = time.monotonic() + PATIENCE, 0
    while True:
        try:
            await store.write("runs", [document])
            return refused
        except StoreAway:
            assert time.monotonic() < deadline, "the server does not come back"
            refused += 1


@pytest.mark.gen_test
async def test_a_server_that_freezes_and_one_that_dies(start_mongod, make_store, monkeypatch):
    """StoreAway comes in bounded time, and the store writes after the server's return."""
    monkeypatch.setattr(mongo, "TIMEOUT_MS", 400)
    monkeypatch.setattr(mongo, "ANSWER_SECONDS", 0.4)
    monkeypatch.setattr(pace, "BASE_SECONDS", 0.4)
    mongod = start_mongod()
    store = make_store(mongod.uri)
    await written(store, run(1))

    mongod.freeze()
    start = time.monotonic()
    with pytest.raises(StoreAway):
        await store.write("runs", [run(2)])
    assert time.monotonic() - start < 25
    mongod.thaw()
    await written(store, run(3))

    mongod.kill()
    start = time.monotonic()
    with pytest.raises(StoreAway):
        await store.write("runs", [run(4)])
    assert time.monotonic() - start < 25
    mongod.start()
    await written(store, run(5))
    await store.write("runs", [run(4)])


@pytest.mark.gen_test
async def test_closing_does_not_wait_for_a_server_that_is_away(start_mongod, make_store):
    """The hub's end does not wait for a server that is away."""
    mongod = start_mongod()
    store = make_store(f"{mongod.uri}&serverSelectionTimeoutMS=60000")
    await written(store, run(1))
    mongod.kill()
    start = time.monotonic()
    store.close()
    assert time.monotonic() - start < 25


@pytest.mark.gen_test
async def test_the_loop_goes_on_while_the_server_is_away(make_store, monkeypatch):
    """The hub's other work goes on while the driver looks for a server."""
    monkeypatch.setattr(mongo, "ANSWER_SECONDS", 0.3)
    store = make_store(f"mongodb://127.0.0.1:{closed_port()}")
    write = asyncio.ensure_future(store.write("runs", [run(1)]))
    turns = 0
    while not write.done():
        await asyncio.sleep(0.001)
        turns += 1
    with pytest.raises(StoreAway):
        await write
    assert turns > 5  # a driver that holds the loop lets one or two turns pass


# --- the URI --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "mongodb://",
        f"http://hub:{PASSWORD}@db",
        f"mongodb://hub:{PASSWORD}@@db",
        f"mongodb://hub:{PASSWORD}/x@db",
        f"mongodb://hub:{PASSWORD}%zz@db",
        f"mongodb://hub:{PASSWORD}@db:99999",
        f"mongodb://hub:{PASSWORD}@db:port",
        f"mongodb://:{PASSWORD}@db",
        f"mongodb://hub:{PASSWORD}@[::1",
        f"mongodb://hub:{PASSWORD}@a,b/?directConnection=true",
    ],
)
def test_a_uri_that_cannot_be_used(uri):
    """The refusal is one line with a good URI; no traceback has the password."""
    with pytest.raises(BadUri) as caught:
        MongoStore(uri, "trainhub", INDEXES)
    message = str(caught.value)
    assert "\n" not in message
    assert "a URI looks like mongodb://host:27017" in message
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a$b", "a/b"])
def test_a_database_name_that_cannot_be_used(name):
    """The refusal is one line at the start, and no client is left."""
    with pytest.raises(BadUri) as caught:
        MongoStore("mongodb://127.0.0.1:9", name, INDEXES)
    assert "database name" in str(caught.value)
    del caught
    gc.collect()  # a client that was left open would complain here


def test_the_driver_does_not_log_the_password(caplog, io_loop):
    """No log of any level has a URI's password."""
    caplog.set_level(logging.DEBUG)
    MongoStore(f"mongodb://hub:{PASSWORD}@127.0.0.1:{closed_port()}", "trainhub", INDEXES).close()
    assert PASSWORD not in caplog.text


@pytest.mark.gen_test
async def test_letters_are_found_by_run_and_by_person(store):
    """A person's are those about the person, and those to the user that are about no one."""
    ledger, letters = Ledger(), []
    for name, about, user in (
        ("mine", "4512345601/1", "IR_1"),
        ("other", "4512345602/1", "IR_1"),
        ("all", None, "IR_1"),
        ("stranger", None, "IR_2"),
    ):
        one = notice(id=name, stream=RUN, user=user, about=about)
        way = ledger.tell(Told(one, Outcome.QUEUED, 0, one.queued))
        letters.append(told(way, 1, "e1").render())
    await store.write(NOTIFICATIONS, letters)
    found = await store.letters(RUN, "4512345601/1", "IR_1", 10)
    assert {each["_id"] for each in found} == {"mine", "all"}
    assert len(await store.letters(RUN, None, None, 10)) == 4
    assert len(await store.letters(RUN, None, None, 3)) == 3
    assert await store.letters("another", None, None, 10) == []
