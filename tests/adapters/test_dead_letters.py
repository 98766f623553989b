"""trainhub/adapters/dead_letters.py: refused documents are stored, and delay no other document."""

import asyncio
import json
import os
import threading
import time
from datetime import UTC, datetime
from random import Random

import pytest
from fakes import MemoryStore
from mongods import PatientStore
from poison import POISON
from railway import RUN
from waiting import PATIENCE

from trainhub.adapters import dead_letters
from trainhub.adapters.dead_letters import COLLECTION, DeadLettersFile, as_text
from trainhub.core.write_buffer import Change, DeadLetter, Refused
from trainhub.hub.documents import DOCUMENT_SCHEMA, INDEXES

WHO = f"{RUN}/4512345601/1"


def letter(value="x", seq=5, name=WHO, **fields):
    document = {"_id": name, "epoch": "e1", "seq": seq, "value": value, **fields}
    return DeadLetter(Change("passengers", name, lambda: document), document, "error 121")


def lines(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "dead_letters.jsonl"


@pytest.fixture
def store(io_loop, mongodb_uri, database_name):
    store = PatientStore(mongodb_uri, database_name, INDEXES)
    yield store
    store.close()


# --- what is kept ---------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_letter_is_in_the_file_and_in_the_collection(store, path, database):
    """Both have the reason, time, collection, id, epoch, seq and document."""
    before = datetime.now(UTC)
    await DeadLettersFile(path, store).store([letter(2**70)])
    (line,) = lines(path)
    (found,) = database[COLLECTION].find()
    assert before <= datetime.fromisoformat(line["at"]).replace(microsecond=999999)
    assert abs((found.pop("at") - datetime.fromisoformat(line.pop("at"))).total_seconds()) < 0.01
    assert found == line
    assert json.loads(line.pop("document")) == letter(2**70).document
    assert line.pop("characters") > 50
    assert line == {
        "_id": f"passengers/{WHO}",
        "epoch": "e1",
        "seq": 5,
        "schema": DOCUMENT_SCHEMA,
        "collection": "passengers",
        "documentId": WHO,
        "reason": "error 121",
    }


@pytest.mark.gen_test
async def test_the_collection_has_the_newest_letter_of_a_document(store, path, database):
    """The collection has one letter of a document, the file has all."""
    letters = DeadLettersFile(path, store)
    for seq in (5, 9, 7, 9):
        await letters.store([letter(seq=seq)])
    assert [each["seq"] for each in database[COLLECTION].find()] == [9]
    assert [each["seq"] for each in lines(path)] == [5, 9, 7, 9]


@pytest.mark.gen_test
@pytest.mark.parametrize("value", POISON.values(), ids=POISON)
@pytest.mark.parametrize("field", ["value", "seq", "epoch"])
async def test_every_poison_makes_a_letter(store, path, database, value, field):
    """Every document that BSON cannot hold becomes a letter that both can store."""
    await DeadLettersFile(path, store).store([letter(**{field: value}), letter(name="next")])
    for found in (lines(path), list(database[COLLECTION].find())):
        assert sorted(each["documentId"] for each in found) == sorted([WHO, "next"])


@pytest.mark.gen_test
async def test_ids_that_cannot_be_stored(store, path, database):
    """A lone surrogate and a very long text become ids that can be stored."""
    names = ["half \ud800", "long " * 1_000, "NUL \0"]
    await DeadLettersFile(path, store).store([letter(name=name) for name in names])
    found = [each["documentId"] for each in lines(path)]
    assert found == ["half ?", ("long " * 1_000)[:1_000], "NUL \0"]
    assert {each["documentId"] for each in database[COLLECTION].find()} == set(found)


@pytest.mark.gen_test
async def test_a_document_that_could_not_be_made(store, path, database):
    """A letter without a document names the change; a letter with more replaces it."""
    change = Change("runs", RUN, dict)
    await DeadLettersFile(path, store).store([DeadLetter(change, None, "KeyError")])
    (found,) = database[COLLECTION].find()
    assert (found["collection"], found["documentId"], found["reason"]) == ("runs", RUN, "KeyError")
    assert found["document"] == "null"


def test_text_of_what_json_can_hold_is_that_json():
    """Large integers, NUL and lone surrogates are kept, all in ASCII."""
    document = {"a": 2**200, "b": "\ud800 NUL \0 गाड़ी", "c": [None, True, 1.5, {"d\0": {}}]}
    assert json.loads(as_text(document)) == document
    assert as_text(document).isascii()


def test_text_of_what_json_cannot_hold():
    """Other values appear as Python shows them or by their type; other fields are whole."""
    day = datetime(2026, 11, 23, tzinfo=UTC)
    assert json.loads(as_text({"at": day, "set": {1}}))["at"] == day.isoformat()
    found = json.loads(as_text({"a": 10**5_000, (1, 2): POISON["endless"], "\ud800": "whole"}))
    assert found == {"a": "<int>", "[1, 2]": "<dict>", "?": "whole"}
    assert json.loads(as_text(POISON["endless"])) == {"itself": "<dict>"}


def test_text_of_anything_is_json():
    """Every random document made of poison has a text in JSON."""
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    chance, values = Random(seed), [each for each in POISON.values() if each != POISON["17 MB"]]

    def value(levels):
        kind = chance.random()
        if kind < 0.3 and levels:
            return [value(levels - 1) for _ in range(3)]
        if kind < 0.6 and levels:
            return {key(): value(levels - 1) for _ in range(3)}
        return chance.choice(values)

    def key():
        return chance.choice(["a", "\ud800", "b\0", 7, None, (1, 2)])

    for _ in range(500):
        json.loads(as_text(value(4)))


# --- limits ---------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_the_file_is_turned_over(path, monkeypatch):
    """A large file becomes the one older file, and no letter is split between two files."""
    monkeypatch.setattr(dead_letters, "MOST_FILE_BYTES", 2_000)
    letters, older = DeadLettersFile(path, MemoryStore()), path.with_name("dead_letters.jsonl.1")
    for seq in range(30):
        await letters.store([letter(seq=seq)])
        assert path.stat().st_size <= 2_000
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, older.name]
    kept = [each["seq"] for each in lines(older) + lines(path)]
    assert kept == list(range(30 - len(kept), 30))
    assert older.stat().st_size + path.stat().st_size > 2_000


@pytest.mark.gen_test
async def test_what_is_large_is_cut(store, path, database, monkeypatch):
    """Collection and file both cut a long document, the file at a higher limit."""
    await DeadLettersFile(path, store).store([letter("x" * 17_000_000)])
    (found,), (line,) = database[COLLECTION].find(), lines(path)
    assert len(found["document"]) == dead_letters.MOST_IN_COLLECTION
    assert len(line["document"]) == line["characters"] == found["characters"] > 17_000_000
    assert line["document"].startswith(found["document"])
    path.unlink()
    monkeypatch.setattr(dead_letters, "MOST_IN_FILE", 1_000)
    await DeadLettersFile(path, store).store([letter("x" * 17_000_000)])
    (line,) = lines(path)
    assert (len(line["document"]), line["characters"]) == (1_000, found["characters"])


@pytest.mark.gen_test
async def test_only_the_owner_reads_it(path, monkeypatch):
    """Only the owner can read both files, for every umask: they have names and PNRs."""
    monkeypatch.setattr(dead_letters, "MOST_FILE_BYTES", 500)
    letters = DeadLettersFile(path, MemoryStore())
    for _ in range(3):
        await letters.store([letter()])
    for each in path.parent.iterdir():
        assert each.stat().st_mode & 0o777 == 0o600


@pytest.mark.gen_test
async def test_a_line_that_a_crash_cut_short_spoils_no_other(path):
    """After an incomplete line the next letter begins on a new line."""
    path.write_bytes(b'{"at": "2026-11-23T')
    await DeadLettersFile(path, MemoryStore()).store([letter()])
    cut, whole = path.read_bytes().splitlines()
    assert json.loads(whole)["documentId"] == WHO
    assert cut == b'{"at": "2026-11-23T'


@pytest.mark.gen_test
async def test_old_files_are_dropped(path):
    """A file without a new letter for LETTER_DAYS is deleted; a newer file stays."""
    letters, older = DeadLettersFile(path, MemoryStore()), path.with_name("dead_letters.jsonl.1")
    await letters.store([letter(seq=1)])
    older.write_bytes(b"{}\n")
    long_ago = time.time() - dead_letters.LETTER_DAYS * 24 * 3600
    os.utime(older, (long_ago - 60, long_ago - 60))
    os.utime(path, (long_ago + 60, long_ago + 60))
    await letters.store([letter(seq=2)])
    assert [each["seq"] for each in lines(path)] == [1, 2]
    assert not older.exists()
    os.utime(path, (long_ago - 60, long_ago - 60))
    await letters.store([letter(seq=3)])
    assert [each["seq"] for each in lines(path)] == [3]


# --- where it cannot be kept ------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize("how", ["away", "refuses"])
async def test_without_mongodb_the_file_has_it(path, caplog, how):
    """If MongoDB is away or refuses the letter, the file has it and a log line says so."""

    class Store(MemoryStore):
        async def write(self, collection, documents):
            if how == "refuses":
                raise Refused({documents[0]["_id"]: "error 121"})
            await super().write(collection, documents)

    store = Store()
    store.away = True
    await DeadLettersFile(path, store).store([letter()])
    assert [each["documentId"] for each in lines(path)] == [WHO]
    (said,) = caplog.records
    assert said.getMessage().startswith("1 letters are in dead_letters.jsonl and not in MongoDB")
    assert "4512345601" not in caplog.text


@pytest.mark.gen_test
async def test_without_a_disk_mongodb_has_it(tmp_path, caplog):
    """If the file cannot be written, the collection has the letter and a line says why."""
    store = MemoryStore()
    await DeadLettersFile(tmp_path / "nowhere" / "file", store).store([letter()])
    assert list(store.documents) == [(COLLECTION, f"passengers/{WHO}")]
    assert "No such file" in caplog.text


@pytest.mark.gen_test
async def test_a_slow_disk_does_not_hold_the_loop(path, monkeypatch):
    """The loop goes on while the file is written."""
    letters, turns, going = DeadLettersFile(path, MemoryStore()), 0, asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(file):
        loop.call_soon_threadsafe(going.set)
        asyncio.run_coroutine_threadsafe(passes.wait(), loop).result(5)

    passes = asyncio.Event()
    monkeypatch.setattr(dead_letters.os, "fsync", slow)
    keeping = asyncio.ensure_future(letters.store([letter()]))
    await going.wait()
    while turns < 10:
        await asyncio.sleep(0)
        turns += 1
    assert not keeping.done()
    passes.set()
    await keeping


@pytest.mark.gen_test
async def test_a_disk_that_hangs_holds_up_nothing(path, monkeypatch, caplog):
    """If the disk hangs, the collection has the letters, and later ones do not wait."""
    monkeypatch.setattr(dead_letters, "FILE_SECONDS", 0.05)
    thawed = threading.Event()

    class Frozen(DeadLettersFile):
        def _append(self, line):
            assert thawed.wait(PATIENCE)
            super()._append(line)

    store = MemoryStore()
    letters = Frozen(path, store)
    try:
        async with asyncio.timeout(20):
            for n in range(3):
                await letters.store([letter(name=f"p{n}")])
    finally:
        thawed.set()
    assert len(store.documents) == 3
    assert caplog.text.count("no answer") == 3
    letters._writing.result(10)
    await letters.store([letter(name="p3")])
    assert [each["documentId"] for each in lines(path)] == ["p0", "p3"]
