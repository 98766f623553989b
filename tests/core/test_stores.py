"""trainhub/core/stores.py: journal and MongoDB compare notes when they meet.

First on real hubs and mongods, then in this process.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from urllib.error import HTTPError

import pytest
from built import build_of_fakes
from callers import ADMIN
from fakes import MemoryLease, MemoryStore
from hub_process import ROOT
from load import asker, behind, opened
from mongods import embedded, embedded_uri
from pymongo import MongoClient
from railway import RUN, chart, person, register
from waiting import PATIENCE, wait_for
from witness import WITNESS, connect

from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.core.lease import DEAD_SECONDS, Held, LeaseHolder, RivalHub
from trainhub.core.lineage import StorePlace
from trainhub.core.stores import REFILL_FILE, Stores
from trainhub.core.write_buffer import StoreAway
from trainhub.domain.commands import Announce, StartJourney
from trainhub.hub.vocabulary import RAILWAY

PEOPLE = [person(who) for who in range(1, 40)]
CARDS = [f"45123456{who:02}" for who in range(1, 40)]


@pytest.fixture
def away(tmp_path, start_mongod):
    """A mongod of the test's own, which it may stop, and the options that name it."""
    mongod = start_mongod()
    return mongod, ("--mongodb-uri", mongod.uri)


def begun(hub, boarded=3):
    """The hub's control room, after a run was started and some have boarded."""
    ask = asker(hub)
    ask("/api/trains", chart(*PEOPLE))
    ask("/api/trains/12345/start", {})
    mark(ask, "board", range(boarded))
    return ask


def mark(ask, what, people):
    for who in people:
        ask(f"/api/trains/12345/passengers/{CARDS[who]}/1/{what}", {})


def flushed(hub):
    wait_for(lambda: not behind(hub.folder))


def joined(hub, since=None):
    """SUBSCRIBED, and all that comes right after it."""
    with connect(hub.url.replace("http", "ws") + "/ws") as socket:
        asked = {"type": "SUBSCRIBE_TRAIN", "trainNo": "12345", "id": "1"}
        socket.send(json.dumps(asked | ({"since": since} if since else {})))
        heard = [json.loads(socket.recv(PATIENCE)) for _ in range(3)]
        socket.send('{"type": "PING"}')
        while (message := json.loads(socket.recv(PATIENCE)))["type"] != "PONG":
            heard.append(message)
    for message in heard:
        WITNESS.sent(message)
    return next(each for each in heard if each["type"] == "SUBSCRIBED"), heard


def agree(ask, database):
    """Whether MongoDB has just what the hub says: each person, the run, and every event."""
    people = ask("/api/trains/12345/passengers")
    run = ask("/api/trains/12345")
    epoch = ask("/api/monitor")["epoch"]
    events = list(database.events.find({"run": RUN, "epoch": epoch}).sort("seq"))
    documents = {each["pnr"]: each for each in database.passengers.find({"run": RUN})}
    return (
        [each["seq"] for each in events] == list(range(1, run["seq"] + 1))
        and {each["epoch"] for each in documents.values()} == {epoch}
        and {each["pnr"]: each["state"] for each in people}
        == {pnr: each["state"] for pnr, each in documents.items()}
        and database.runs.find_one({"_id": RUN})["seq"] == run["seq"]
    )


def check(folder, *options):
    command = [sys.executable, str(ROOT / "run.py"), "check", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def over(source, target):
    """Copy a folder over another, in place: what is there keeps its inodes."""
    for extra in target.glob("journal.db-*"):
        extra.unlink()
    shutil.copytree(source, target, dirs_exist_ok=True, copy_function=shutil.copyfile)


def instead(source, target):
    """Put a copy in the place of a folder that is lost."""
    shutil.rmtree(target)
    shutil.copytree(source, target)


# --- a data folder that went back -----------------------------------------------------------


@pytest.mark.parametrize("restore", [instead, over])
def test_a_folder_restored_from_a_copy_begins_a_new_epoch(
    start_hub, mongod_options, database, tmp_path, restore
):
    """Clients learn that they missed events, and MongoDB gets only the continued history."""
    hub = start_hub(*mongod_options)
    begun(hub)
    flushed(hub)
    assert hub.stop() == 0
    shutil.copytree(hub.folder, tmp_path / "copy")
    hub = start_hub(*mongod_options, folder=hub.folder)
    mark(asker(hub), "board", range(3, 13))
    before, _ = joined(hub)
    flushed(hub)
    assert hub.stop() == 0
    restore(tmp_path / "copy", hub.folder)
    hub = start_hub(*mongod_options, folder=hub.folder)
    ask = asker(hub)
    mark(ask, "no-show", range(3, 13))
    since = {"epoch": before["epoch"], "seq": before["seq"]}
    answer, heard = joined(hub, since)
    assert answer["seq"] > before["seq"]
    assert not answer["recovered"]
    assert "SNAPSHOT" in [each["type"] for each in heard]
    assert answer["epoch"] > before["epoch"]
    wait_for(lambda: agree(ask, database))
    wait_for(lambda: hub.degraded() == [])
    hub.kill()
    hub = start_hub(*mongod_options, folder=hub.folder)
    again, _ = joined(hub, {"epoch": answer["epoch"], "seq": answer["seq"]})
    assert again["recovered"], "the new history goes on over a kill -9"


@pytest.mark.parametrize("restore", [instead, over])
@pytest.mark.parametrize("with_database", [True, False])
def test_so_does_one_with_the_embedded_database(start_hub, tmp_path, with_database, restore):
    """After a copy is restored, with or without its database, the stores agree again."""
    hub = start_hub()
    begun(hub)
    flushed(hub)
    assert hub.stop() == 0
    shutil.copytree(hub.folder, tmp_path / "copy")
    hub = start_hub(folder=hub.folder)
    mark(asker(hub), "board", range(3, 13))
    before, _ = joined(hub)
    hub.kill()
    wait_for(lambda: embedded(hub.folder) is None)  # it ends with its hub, a moment later
    if restore is over:  # a mongod's files are only good as a whole
        shutil.rmtree(hub.folder / "mongodb")
    restore(tmp_path / "copy", hub.folder)
    if not with_database:
        shutil.rmtree(hub.folder / "mongodb")
    hub = start_hub(folder=hub.folder)
    ask = asker(hub)
    mark(ask, "no-show", range(3, 13))
    answer, _ = joined(hub, {"epoch": before["epoch"], "seq": before["seq"]})
    assert not answer["recovered"]
    with MongoClient(embedded_uri(hub.folder)) as client:
        wait_for(lambda: agree(ask, client.trainhub))


def test_a_copy_that_was_taken_under_the_running_hub(start_hub, mongod_options, database, tmp_path):
    """By SQLite's own backup. The hub was killed later on; the copy ends before MongoDB does."""
    hub = start_hub(*mongod_options)
    ask = begun(hub)
    flushed(hub)
    with (
        closing(sqlite3.connect(f"file:{hub.folder}/journal.db?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(tmp_path / "copy.db")) as target,
    ):
        source.backup(target)
    mark(ask, "board", range(3, 13))
    before, _ = joined(hub)
    flushed(hub)
    hub.kill()
    for extra in hub.folder.glob("journal.db-*"):
        extra.unlink()
    shutil.copyfile(tmp_path / "copy.db", hub.folder / "journal.db")  # the same inode
    hub = start_hub(*mongod_options, folder=hub.folder)
    ask = asker(hub)
    mark(ask, "no-show", range(3, 13))
    answer, _ = joined(hub, {"epoch": before["epoch"], "seq": before["seq"]})
    assert not answer["recovered"]
    wait_for(lambda: agree(ask, database))


def test_a_fork_that_shows_only_when_mongodb_is_back(start_hub, away, tmp_path):
    """The hub has gone on meanwhile, past what its clients saw: they are sent for a snapshot."""
    mongod, options = away
    hub = start_hub(*options)
    begun(hub)
    flushed(hub)
    assert hub.stop() == 0
    shutil.copytree(hub.folder, tmp_path / "copy")
    hub = start_hub(*options, folder=hub.folder)
    mark(asker(hub), "board", range(3, 8))
    flushed(hub)
    assert hub.stop() == 0
    mongod.stop()
    for sign in hub.folder.glob("started.*"):  # as `rsync --inplace --delete` does
        sign.unlink()
    over(tmp_path / "copy", hub.folder)
    hub = start_hub(*options, folder=hub.folder)
    ask = asker(hub)
    mark(ask, "no-show", range(3, 13))
    before, _ = joined(hub)
    with connect(hub.url.replace("http", "ws") + "/ws") as socket:
        socket.send(json.dumps({"type": "SUBSCRIBE_TRAIN", "trainNo": "12345", "id": "1"}))
        mongod.start()
        kinds = []
        while "GOODBYE" not in kinds:
            kinds.append(json.loads(socket.recv(60))["type"])
    answer, _ = joined(hub, {"epoch": before["epoch"], "seq": before["seq"]})
    assert answer["epoch"] > before["epoch"]
    assert not answer["recovered"]
    with MongoClient(mongod.uri) as client:
        wait_for(lambda: agree(ask, client.trainhub))
    assert hub.process.poll() is None


# --- two hubs on one database -----------------------------------------------------------------


@pytest.mark.parametrize("copied", [False, True])
def test_a_second_hub_on_a_live_database_is_refused(
    start_hub, mongod_options, database, tmp_path, copied
):
    """A second hub ends with exit code 2 and says what to do. The first hub does not notice."""
    hub = start_hub(*mongod_options)
    ask = begun(hub)
    flushed(hub)
    folder = tmp_path / "second"
    if copied:
        shutil.copytree(hub.folder, folder, ignore=shutil.ignore_patterns("*.lock", "*.sock"))
    second = start_hub(*mongod_options, folder=folder, wait=False)
    assert second.wait(PATIENCE) == 2
    (line,) = [line for line in second.logged if line.startswith("trainhub: ")]
    assert f"process {hub.process.pid}" in line
    assert "--database" in line
    assert "Traceback" not in "".join(second.logged)
    mark(ask, "board", range(3, 5))
    wait_for(lambda: agree(ask, database))
    wait_for(lambda: hub.degraded() == [])


def test_a_dead_hub_s_lease_is_taken_over(start_hub, mongod_options, database, tmp_path):
    """After a hub is killed and its folder lost, the next hub takes over the expired lease."""
    hub = start_hub(*mongod_options)
    ask = begun(hub)
    flushed(hub)
    before = ask("/api/trains/12345/passengers")
    hub.kill()
    began = time.monotonic()
    hub = start_hub(*mongod_options, folder=tmp_path / "other")
    assert time.monotonic() - began >= DEAD_SECONDS
    ask = asker(hub)
    assert ask("/api/trains/12345/passengers") == before
    mark(ask, "board", range(3, 5))
    wait_for(lambda: agree(ask, database))
    assert any("took over the database" in line for line in hub.logged)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_same_folder_has_its_lease_back_at_once(start_hub, mongod_options, end):
    """Only one hub can hold the folder: a start after kill -9 looks at no clock and never waits."""
    hub = start_hub(*mongod_options)
    begun(hub)
    flushed(hub)
    before, _ = joined(hub)
    hub.stop(end)
    hub = start_hub(*mongod_options, folder=hub.folder)
    wait_for(lambda: hub.degraded() == [])
    answer, _ = joined(hub, {"epoch": before["epoch"], "seq": before["seq"]})
    assert answer["recovered"]
    assert not [line for line in hub.logged if "trainhub.stores" in line]


def test_a_hub_that_was_frozen_notices_its_rival(start_hub, mongod_options, database, tmp_path):
    """It writes nothing into MongoDB any more, and says so; the other hub's history stands."""
    frozen = start_hub(*mongod_options)
    asked = begun(frozen)
    flushed(frozen)
    frozen.freeze()
    rival = start_hub(*mongod_options, folder=tmp_path / "rival")
    ask = asker(rival)
    mark(ask, "no-show", range(3, 6))
    wait_for(lambda: agree(ask, database))
    frozen.thaw()
    mark(asked, "board", range(3, 10))
    wait_for(lambda: "another hub owns the database" in str(frozen.degraded()))
    mark(ask, "board", range(10, 12))
    wait_for(lambda: agree(ask, database))
    epoch = ask("/api/monitor")["epoch"]
    assert {each["epoch"] for each in database.events.find({"run": RUN})} == {epoch}
    wait_for(lambda: rival.degraded() == [])
    assert frozen.stop() == 0
    assert rival.process.poll() is None


# --- an empty folder before its MongoDB ----------------------------------------------------------


def refused(hub, path, body=None):
    """The status and code with which the hub refuses a request."""
    try:
        asker(hub, patient=False)(path, body)
    except HTTPError as error:
        return error.code, json.load(error)["error"]
    raise AssertionError(f"{path} was answered")


def is_ready(hub):
    try:
        return asker(hub, patient=False)("/readyz")["ready"]
    except HTTPError:
        return False


def test_an_empty_folder_waits_for_its_mongodb(start_hub, away, tmp_path):
    """An empty folder accepts no command before MongoDB answers, so no run is overwritten."""
    mongod, options = away
    hub = start_hub(*options)
    before = begun(hub)("/api/trains/12345/passengers")
    flushed(hub)
    hub.kill()
    mongod.stop()
    hub = start_hub(*options, folder=tmp_path / "new")
    for path, body in (("/readyz", None), ("/api/trains", chart(*PEOPLE)), ("/api/trains", None)):
        status, error = refused(hub, path, body)
        assert (status, error["code"]) == (503, "UNAVAILABLE")
        assert "empty" in error["message"]
        assert "MongoDB" in error["message"]
    mongod.start()
    wait_for(lambda: any("1 runs taken from MongoDB" in line for line in hub.logged))
    wait_for(lambda: is_ready(hub))
    ask = asker(hub)
    assert ask("/api/trains/12345/passengers") == before
    with MongoClient(mongod.uri) as client:
        wait_for(lambda: agree(ask, client.trainhub))


def test_an_empty_folder_that_is_told_so_waits_for_nothing(start_hub, away):
    """--new: the hub begins without MongoDB, which gets it all once it is there."""
    mongod, options = away
    mongod.stop()
    hub = start_hub(*options, "--new")
    ask = begun(hub)
    mongod.start()
    with MongoClient(mongod.uri) as client:
        wait_for(lambda: agree(ask, client.trainhub))
    wait_for(lambda: hub.degraded() == [])


def test_new_takes_no_runs_and_its_documents_win(start_hub, mongod_options, database, tmp_path):
    """MongoDB has a run of another log: the chart that is registered here takes its place."""
    hub = start_hub(*mongod_options)
    begun(hub)
    flushed(hub)
    assert hub.stop() == 0
    hub = start_hub(*mongod_options, "--new", folder=tmp_path / "new")
    ask = asker(hub)
    assert ask("/api/trains") == []
    ask("/api/trains", chart(*PEOPLE))
    wait_for(lambda: agree(ask, database))
    assert database.runs.find_one({"_id": RUN})["status"] == "SCHEDULED"
    assert {each["state"] for each in database.passengers.find()} == {"DUE"}


# --- MongoDB that lost something ------------------------------------------------------------------


@pytest.mark.parametrize("running", [True, False])
def test_a_database_that_is_lost_is_refilled(
    start_hub, mongod_options, database, mongodb_uri, tmp_path, running
):
    """A dropped database is written again with its indexes, and the hub counts the refill."""
    hub = start_hub(*mongod_options)
    ask = begun(hub)
    flushed(hub)
    if not running:
        assert hub.stop() == 0
    with MongoClient(mongodb_uri) as client:
        client.drop_database(database.name)
    if not running:
        hub = start_hub(*mongod_options, folder=hub.folder)
        ask = asker(hub)
    wait_for(lambda: agree(ask, database))
    wait_for(lambda: hub.degraded() == [])
    wait_for(lambda: ask("/api/monitor")["writeBuffer"]["refills"] == 1)
    flushed(hub)
    assert "run_1_seq_1" in database.events.index_information()
    assert database.meta.find_one({"_id": "schema"})
    assert database.audit.count_documents({}) == 5
    assert hub.stop() == 0
    hub = start_hub(*mongod_options, folder=tmp_path / "new")
    assert len(asker(hub)("/api/trains")) == 1


@pytest.mark.parametrize("running", [True, False])
def test_a_database_from_an_older_dump_is_refilled(start_hub, away, tmp_path, running):
    """Its files are put back to what they were some commands ago, with the hub up or down."""
    mongod, options = away
    hub = start_hub(*options)
    ask = begun(hub)
    flushed(hub)
    mongod.stop()
    shutil.copytree(mongod.folder, tmp_path / "dump")
    mongod.start()
    mark(ask, "board", range(3, 13))
    flushed(hub)
    if not running:
        assert hub.stop() == 0
    mongod.stop()
    shutil.rmtree(mongod.folder)
    shutil.copytree(tmp_path / "dump", mongod.folder)
    mongod.start()
    if not running:
        hub = start_hub(*options, folder=hub.folder)
    ask = asker(hub)
    with MongoClient(mongod.uri) as client:
        wait_for(lambda: agree(ask, client.trainhub))
        flushed(hub)
        assert client.trainhub.audit.count_documents({}) == 15
    wait_for(lambda: ask("/api/monitor")["writeBuffer"]["refills"] == 1)


def test_a_refill_by_hand(start_hub, mongod_options, database):
    """An operator can ask for a refill, with a running hub or before a start."""
    hub = start_hub(*mongod_options)
    ask = begun(hub)
    flushed(hub)
    command = [sys.executable, str(ROOT / "run.py"), "refill", "--data-dir", str(hub.folder)]

    def lose_and_refill():
        database.passengers.delete_many({})
        database.events.delete_many({"seq": 2})
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "refill" in done.stdout

    lose_and_refill()
    wait_for(lambda: agree(ask, database))
    assert hub.stop() == 0
    lose_and_refill()
    hub = start_hub(*mongod_options, folder=hub.folder)
    again = asker(hub)
    wait_for(lambda: agree(again, database))
    wait_for(lambda: not (hub.folder / "refill").exists())


def trimmed(hub):
    """Up to where the journal has dropped its records."""
    with opened(hub.folder) as journal:
        found = journal.execute("SELECT value FROM meta WHERE name = 'trimmed'").fetchone()
        return int(found[0]) if found else 0


def test_what_was_trimmed_is_rendered_again_or_said_to_be_lost(
    start_hub, mongod_options, database, mongodb_uri
):
    """Events that neither store has are counted in the log and in the complaints."""
    hub = start_hub(*mongod_options, "--journal-limit", "1")  # so that it trims all that it may
    ask = begun(hub)
    while not trimmed(hub):
        ask("/api/trains/12345/announcements", {"text": "x" * 400})
    flushed(hub)
    with MongoClient(mongodb_uri) as client:
        client.drop_database(database.name)
    wait_for(lambda: "neither in MongoDB nor in the journal" in str(hub.degraded()))
    mark(ask, "board", range(3, 5))
    seq = ask("/api/trains/12345")["seq"]
    wait_for(lambda: database.events.find_one({"seq": seq}))
    wait_for(lambda: not behind(hub.folder))
    states = {each["pnr"]: each["state"] for each in ask("/api/trains/12345/passengers")}
    assert states == {each["pnr"]: each["state"] for each in database.passengers.find()}
    found = sorted(each["seq"] for each in database.events.find({"run": RUN}))
    missing = seq - len(found)
    assert missing > 0
    assert f"{missing} events are neither" in str(hub.degraded())
    assert [line for line in hub.logged if f"{missing} events are neither" in line]


# --- the journal's file ---------------------------------------------------------------------------


def remove(path, _):
    path.unlink()


def remove_folder(path, _):
    shutil.rmtree(path.parent)


def replace(path, copy):
    os.replace(copy, path)


def write_over(path, copy):
    shutil.copyfile(copy, path)


def move_folder(path, _):
    aside = path.parent.with_name("aside")
    path.parent.rename(aside)
    shutil.copytree(aside, path.parent, ignore=shutil.ignore_patterns("*.sock"))


@pytest.mark.parametrize("loss", [remove, remove_folder, replace, write_over, move_folder])
@pytest.mark.parametrize("waits", [True, False])
def test_a_journal_that_is_replaced_under_the_hub_stops_it(
    start_hub, mongod_options, tmp_path, loss, waits
):
    """The hub answers no command that a restart would lose: it ends with exit code 3."""
    hub = start_hub(*mongod_options)
    ask = begun(hub)
    path = hub.folder / "journal.db"
    shutil.copyfile(path, tmp_path / "copy.db")
    loss(path, tmp_path / "copy.db")
    if not waits:
        with pytest.raises((HTTPError, OSError)):
            mark(ask, "board", range(3, 4))
    assert hub.wait(PATIENCE) == 3
    assert any("is not the file that the hub opened" in line for line in hub.logged)
    assert "Traceback" not in "".join(hub.logged)


# --- check ----------------------------------------------------------------------------------------


def test_check_compares_the_stores(start_hub, mongod_options, database, mongodb_uri, tmp_path):
    """Each relation of journal and MongoDB is reported, and only an older journal is a fault."""
    hub = start_hub(*mongod_options)
    begun(hub)
    flushed(hub)
    done = check(hub.folder, *mongod_options)
    assert done.returncode == 0, done.stdout
    assert f"MongoDB is held by process {hub.process.pid}" in done.stdout
    assert "up to 5" in done.stdout
    assert hub.stop() == 0
    shutil.copytree(hub.folder, tmp_path / "copy")
    done = check(hub.folder, *mongod_options)
    assert "was last held" in done.stdout
    done = check(hub.folder, "--mongodb-uri", "mongodb://127.0.0.1:1")
    assert (done.returncode, "not compared" in done.stdout) == (0, True)
    hub = start_hub(*mongod_options, folder=hub.folder)
    mark(asker(hub), "board", range(3, 5))
    flushed(hub)
    assert hub.stop() == 0
    done = check(tmp_path / "copy", *mongod_options)
    assert done.returncode == 3
    assert "FAULT: MongoDB has a history that this journal does not know" in done.stdout
    with MongoClient(mongodb_uri) as client:
        client.drop_database(database.name)
    done = check(hub.folder, *mongod_options)
    assert (done.returncode, "MongoDB is behind" in done.stdout) == (0, True)


def test_check_compares_the_embedded_database_while_it_runs(start_hub):
    """A check asks the mongod of a running hub. Without a hub, the stores are not compared."""
    hub = start_hub()
    begun(hub)
    flushed(hub)
    assert "up to 5" in check(hub.folder).stdout
    assert hub.stop() == 0
    done = check(hub.folder)
    assert (done.returncode, "not compared" in done.stdout) == (0, True)


# --- the same without a process: a real journal, and fakes for MongoDB and its lease ------------


class Database(MemoryStore):
    """Has the documents of a MongoDB; `lost` events are in it no more."""

    lost = 0

    def look_round(self):
        pass

    async def adopt_events(self, stream, past, epoch, below):
        return self.lost


class Two:
    """Starts hubs on one journal or several, over one database and its lease."""

    def __init__(self):
        self.database, self.lease = Database(), MemoryLease()
        self.epochs = []

    def stray(self, holder=None):
        """Have the database say that it has another history, under the same or a new holder."""
        self.lease.held = Held(holder or self.lease.held.holder, StorePlace("h000009-zz", "x", 7))

    async def start(self, folder, meet=True, **options):
        folder.mkdir(exist_ok=True)
        journal = await SqliteJournal.open(folder / "journal.db", RAILWAY)
        stores = Stores(journal, self.database, self.lease, folder, **options)
        await stores.open()
        built = build_of_fakes(journal=journal, store=stores)

        async def begun():
            self.epochs.append(journal.epoch)

        stores.follow(built.hub.log, built.write_buffer, built.flushed, begun)
        await built.hub.upkeep.load()
        await built.open()
        if meet:
            await stores.meet()
        built.follow()
        return built, stores, journal


async def written(built):
    """Have all that the journal holds written, and keep that place."""
    await built.flushed.catch_up()
    await built.write_buffer.flush_now()
    await built.hub.save_places()


@pytest.mark.gen_test
async def test_what_this_hub_left_is_as_it_left_it(io_loop, tmp_path):
    """A second start on the folder owns the database, begins no epoch and refills nothing."""
    two = Two()
    built, stores, journal = await two.start(tmp_path)
    await built.hub.execute(register(), ADMIN)
    await written(built)
    assert await stores.holds_all()
    assert two.lease.held.place.position == 1
    await stores.release()
    assert two.lease.held.holder.released
    await journal.close()
    again, stores, journal = await two.start(tmp_path)
    assert (two.epochs, again.flushed.behind, stores.complaints()) == ([], 0, [])
    await journal.close()


@pytest.mark.gen_test
async def test_a_hub_waits_for_a_database_that_is_away(io_loop, tmp_path):
    """It says why, writes nothing meanwhile, and has all of it written afterwards."""
    two, said = Two(), []
    two.lease.away = True
    built, stores, journal = await two.start(tmp_path, meet=False)
    await stores.renew()
    await built.hub.execute(register(), ADMIN)
    with pytest.raises(StoreAway):
        await stores.write("runs", [])

    def say(reason):
        said.append(reason)
        two.lease.away = False

    await stores.wait(say)
    assert said == ["no database"]
    await written(built)
    assert two.lease.held.place.position == 1
    await journal.close()


@pytest.mark.gen_test
async def test_a_second_hub_is_a_rival(io_loop, tmp_path):
    """It writes nothing once the first one has been seen to live, and says so."""
    two = Two()
    _, first, one = await two.start(tmp_path / "a")
    _, second, other = await two.start(tmp_path / "b", meet=False)
    await second.renew()
    assert second.complaints() == [
        "another hub holds the database: whether it lives is not known yet"
    ]
    await first.renew()
    with pytest.raises(RivalHub):
        await second.meet()
    await second.renew()
    assert "stop one of the two" in second.complaints()[0]
    with pytest.raises(StoreAway, match="another hub owns"):
        await second.write("runs", [])
    await one.close()
    await other.close()


@pytest.mark.gen_test
async def test_another_history_is_replaced_under_a_new_epoch(io_loop, tmp_path):
    """MongoDB has what this journal never wrote: an epoch begins, and it is refilled."""
    two = Two()
    _, first, one = await two.start(tmp_path / "a")
    await first.release()
    await one.close()
    built, stores, journal = await two.start(tmp_path / "b", meet=False)
    await built.hub.execute(register(), ADMIN)
    two.stray()
    await stores.meet()
    assert two.epochs == [journal.epoch]
    assert journal.epoch.startswith("h000010-")
    assert stores.complaints() == ["MongoDB is refilled from the journal: 1 records to go"]
    await written(built)
    assert stores.complaints() == []
    await journal.close()


@pytest.mark.gen_test
async def test_an_empty_journal_goes_on_from_what_mongodb_has(io_loop, tmp_path):
    """Its epoch comes after MongoDB's, of which it knows."""
    two = Two()
    _, stores, journal = await two.start(tmp_path, meet=False)
    two.stray(LeaseHolder("x", "h000009-zz", "there", 1, released=True))
    await stores.meet()
    await stores.succeed()
    assert journal.epoch.startswith("h000010-")
    assert "h000009-zz" in journal.lineage.past
    await journal.close()


@pytest.mark.gen_test
async def test_a_refill_that_was_asked_for_counts_what_is_lost(io_loop, tmp_path):
    """Each event is written again; those that neither store has are counted and complained of."""
    two = Two()
    built, stores, journal = await two.start(tmp_path)
    await built.hub.execute(register(), ADMIN)
    await built.hub.execute(StartJourney(train_no="12345"), ADMIN)
    await built.hub.execute(Announce(train_no="12345", text="x"), ADMIN)
    await written(built)
    await journal.trim(2)
    two.database.lost = 1
    two.database.documents.clear()
    (tmp_path / REFILL_FILE).touch()
    await stores.renew()
    assert not (tmp_path / REFILL_FILE).exists()
    await written(built)
    assert stores.complaints() == ["1 events are neither in MongoDB nor in the journal any more"]
    assert two.database.documents
    await journal.close()


@pytest.mark.gen_test
async def test_a_place_that_another_has_moved_is_noticed(io_loop, tmp_path):
    """What stands in MongoDB is not what this hub wrote: it compares before it writes again."""
    two = Two()
    built, stores, journal = await two.start(tmp_path)
    await built.hub.execute(register(), ADMIN)
    await written(built)
    two.stray()
    with pytest.raises(StoreAway, match="not as this hub left it"):
        await stores.reached(1)
    assert not await stores.holds_all(), "it is refilled"
    await written(built)
    assert await stores.holds_all()
    two.database.away = True
    with pytest.raises(StoreAway):
        await stores.write("runs", [])
    await journal.close()
