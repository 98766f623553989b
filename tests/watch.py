"""A program that reads MongoDB while a hub writes to it, and holds what it sees against the rules.

- What the hub has noted as written (its place in the log) is in MongoDB, and nothing older.
- A document that was seen does not go back to an older seq, and does not vanish. Only a mongod
  that stands alone may forget at its death what it had shown and not yet answered.
"""

import asyncio
import json
import threading

from load import MARKS, opened, saved_place, settled
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern
from waiting import PATIENCE

MARK_EVENTS = {event for event, _ in MARKS.values()}
# Seconds between two looks; and for one call, so that a frozen server is given up soon.
PAUSE, ANSWER_SECONDS = 0.05, 1.0


class Watch:
    """Looks again and again from `with` to its end; then `check` says what was wrong.

    `looks` counts those that MongoDB answered, `away` those that it did not, `compared` documents.
    """

    def __init__(self, folder, uri, database, replicated=False):
        self._folder, self._uri, self._name = folder, uri, database
        self._replicated = replicated
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="watch")
        self._seen: dict[str, int] = {}  # document → the newest seq that was seen
        self._promised: dict[str, int] = {}  # document → the seq that the hub has noted as written
        self._place = 0
        self._life = None
        self.looks = self.away = self.compared = 0
        self.faults: list[str] = []
        self._broken: BaseException | None = None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(PATIENCE)

    def check(self):
        assert self._broken is None, self._broken
        assert not self.faults, f"{len(self.faults)} faults, first {self.faults[:5]}"
        assert self.compared > 0, "nothing was looked at"

    def __str__(self):
        return (
            f"{self.looks} looks at MongoDB under load ({self.away} while it was away), "
            f"{self.compared} documents: 0 older than before or than the hub had noted"
        )

    def _look_on(self):
        try:
            while not self._stop.is_set():
                # A client of its own for each life of the server: what it asks is then causal.
                with MongoClient(self._uri, timeoutMS=ANSWER_SECONDS * 1000) as client:
                    self._look_with(client)
        except BaseException as error:
            self._broken = error

    def _look_with(self, client):
        concern = ReadConcern("majority") if self._replicated else None
        database = client.get_database(self._name, read_concern=concern)
        with client.start_session(causal_consistency=self._replicated) as session:
            while not self._stop.wait(PAUSE):
                try:
                    self._look(client, database, session)
                except PyMongoError:
                    self.away += 1
                    if not self._replicated:
                        return

    def _look(self, client, database, session):
        self._read_promises()
        promised = dict(self._promised)
        if self._replicated:
            self._pass_by(client, session)
        life = self._life_of(client)
        found = {
            each["_id"]: each["seq"]
            for name in ("runs", "passengers")
            for each in database[name].find({}, {"seq": 1}, session=session)
        }
        if not self._replicated and self._life_of(client) != life:
            return  # it died between two of these questions
        if life != self._life:
            self._life = life
            self._seen = {}
        for name, seq in promised.items():
            self._hold(name, found.get(name, 0), seq, "noted as written")
        for name, seq in self._seen.items():
            self._hold(name, found.get(name, 0), seq, "seen before")
        self._seen = found
        self.looks += 1
        self.compared += len(found)

    def _pass_by(self, client, session):
        """Write something that most take, so that what is read next is no older than it.

        A primary that is new does not know at once how much of what it has most had taken, and
        shows less meanwhile, though nothing of it is lost.
        """
        marks = client["watch"].get_collection("marks", write_concern=WriteConcern(w="majority"))
        marks.update_one({"_id": "mark"}, {"$inc": {"n": 1}}, upsert=True, session=session)

    def _hold(self, name, seq, least, why):
        if seq < least:
            self.faults.append(f"{name} has seq {seq}, {least} was {why}")

    def _life_of(self, client):
        """What names this life of the server; all of a replica set is one life."""
        if self._replicated:
            return "one"
        return client.admin.command("hello")["topologyVersion"]["processId"]

    def _read_promises(self):
        """What the hub's place in the log promises of the documents, since the last look."""
        place = saved_place(self._folder)
        with opened(self._folder) as journal:
            rows = journal.execute(
                "SELECT run, seq, type, event FROM records"
                " WHERE seq > 0 AND position > ? AND position <= ?",
                (self._place, place),
            )
            for run, seq, kind, text in rows:
                self._promised[run] = seq
                if kind in MARK_EVENTS:
                    person = json.loads(text)
                    self._promised[f"{run}/{person['pnr']}/{person['index']}"] = seq
        self._place = max(self._place, place)


def proven(hub, fleet, watch, database):
    """Hold all accounts, once MongoDB has everything; returns the answered commands' number."""
    fleet.finish(hub)
    asyncio.run(settled(hub))
    answered, _ = fleet.check(hub, database)
    watch.check()
    assert not [line for line in hub.logged if "ERROR" in line or "Traceback" in line]
    return answered
