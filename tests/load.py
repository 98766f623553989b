"""Load for a real hub: clients that drive runs over sockets and keep account of what was answered.

Each `Crew` is one TTE with one socket and one run of its own. It asks one command after the other,
each under an idempotency key, and applies to its own model what was answered. When the socket
breaks, the command in flight is asked again under the same key on the next one: so afterwards the
model is exactly what the hub must hold. Nothing here uses the hub's rules.
"""

import asyncio
import contextlib
import json
import os
import sqlite3
import time
from collections import defaultdict
from contextlib import closing
from random import Random
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from hub_process import tokens_of
from railway import chart, person
from waiting import PATIENCE, wait_for
from websockets.exceptions import ConnectionClosed, WebSocketException
from witness import WITNESS
from witness import connect_async as connect

from trainhub.domain.model import Role

DAY = "2026-11-23"
PEOPLE = 60
# Command → the event that it makes, and the state that the person is in then.
MARKS = {
    "MARK_BOARDED": ("PASSENGER_BOARDED", "ABOARD"),
    "MARK_NO_SHOW": ("NO_SHOW", "NT"),
    "UNDO_NO_SHOW": ("NO_SHOW_UNDONE", "DUE"),
}
FROM = {"DUE": ("MARK_BOARDED", "MARK_NO_SHOW"), "NT": ("UNDO_NO_SHOW",), "ABOARD": ()}
# These people never board, so they can be marked for as long as the load lasts.
NEVER_BOARD = range(1, PEOPLE + 1, 2)
MOST_DELAY = 2_880
# Commands a second during a fault: many, and two cores have time left for the fault.
RATE = 300


class Refused(Exception):
    """The hub answered with an ERROR; its code is the first argument."""


class Crew:
    """A TTE on a run: `answered` has (seq, event type, fields) of each answer, `told` the events.

    A command is answered with the seq of its last event; a no-show's is that of BERTH_VACATED.
    Of the last drive it keeps how the hub took its leave: `unavailable` says whether the command in
    flight was refused so, `goodbye` is the GOODBYE, `closed` the close code; `answered_at` is when
    the last answer came, in seconds since 1970.
    """

    def __init__(self, number, seed, start_date=DAY):
        self.train_no = str(30000 + number)
        self.start_date = start_date
        self.run = f"{self.train_no}/{start_date}"
        self.chance = Random(f"{seed}/{number}")
        self.states = {f"45123456{who:02}": "DUE" for who in range(1, PEOPLE + 1)}
        self.delay = 0
        self.answered = []
        self.told = {}
        self.refused = []
        self._forget_the_leave()
        self._number = 0
        self._pending = None

    @property
    def chart(self):
        people = [person(who) for who in range(1, PEOPLE + 1)]
        return chart(*people, trainNo=self.train_no, startDate=self.start_date)

    async def drive(self, url, token, seconds=None, commands=None, goes_on=lambda: True, pause=0):
        """Ask until the socket breaks, or the time or the number of commands is over.

        After each answer it pauses for that many seconds. Returns why it ended: "broken", or
        "done".
        """
        self._forget_the_leave()
        clock = asyncio.get_running_loop().time
        end = None if seconds is None else clock() + seconds
        last = None if commands is None else len(self.answered) + commands
        try:
            async with connect(url, compression=None, max_size=None, ping_interval=None) as socket:
                await self._enter(socket, token)
                while goes_on():
                    if end is not None and clock() >= end:
                        break
                    if last is not None and len(self.answered) >= last:
                        break
                    await self._command(socket)
                    await asyncio.sleep(pause)
            return "done"
        except ConnectionClosed as error:
            self.closed = None if error.rcvd is None else error.rcvd.code
            return "broken"
        except (OSError, WebSocketException, TimeoutError):
            return "broken"

    def _forget_the_leave(self):
        self.unavailable = False
        self.goodbye = self.closed = None
        self.answered_at = 0.0

    async def _enter(self, socket, token):
        await self._say(socket, {"type": "IDENTIFY", "token": token})
        train = {"trainNo": self.train_no, "startDate": self.start_date}
        await self._say(socket, {"type": "SUBSCRIBE_TRAIN", **train})

    async def _command(self, socket):
        if self._pending is None:
            self._pending = self._next()
        command, event, fields = self._pending
        await self._say(socket, {**command, "id": command["key"]})
        while (heard := await self._hear(socket)).get("id") != command["key"]:
            pass
        if heard["type"] == "ERROR":
            if heard["code"] == "UNAVAILABLE":
                self.unavailable = True
                await self._hear_out(socket)
            if heard["code"] in ("UNAVAILABLE", "RATE_LIMITED"):
                raise TimeoutError(heard["code"])  # it is asked again later
            self._pending = None
            self.refused.append((command, heard))
            raise Refused(heard["code"], heard["message"])
        self._pending = None
        self.answered.append((heard["result"]["seq"], event, fields))
        self.answered_at = time.time()
        if command["type"] in MARKS:
            self.states[command["pnr"]] = MARKS[command["type"]][1]
        elif command["type"] == "SET_DELAY":
            self.delay = command["delayMinutes"]

    @staticmethod
    async def _say(socket, message):
        with contextlib.suppress(ConnectionClosed):  # what came before is still to be heard
            await socket.send(json.dumps(message))

    async def _hear(self, socket):
        heard = json.loads(await socket.recv())
        if "seq" in heard and "data" in heard:
            self.told[heard["seq"]] = heard["type"], heard["data"]
        elif heard["type"] == "GOODBYE":
            self.goodbye = heard
        return heard

    async def _hear_out(self, socket):
        """Listen until the hub closes the socket; a hub that stops does so at once."""
        async with asyncio.timeout(PATIENCE):
            while True:
                await self._hear(socket)

    def _next(self):
        """Return a command that the rules allow in the model's state, with its event and fields."""
        self._number += 1
        head = {"trainNo": self.train_no, "startDate": self.start_date}
        head["key"] = f"{self.run}#{self._number}"
        kind = self.chance.random()
        pnr = self.chance.choice(list(self.states))
        marks = FROM[self.states[pnr]]
        if int(pnr[-2:]) in NEVER_BOARD:
            marks = [mark for mark in marks if mark != "MARK_BOARDED"]
        if kind < 0.6 and marks:
            mark = self.chance.choice(marks)
            fields = {"pnr": pnr, "index": 1}
            return {"type": mark, **head, **fields}, MARKS[mark][0], fields
        if kind < 0.8:
            fields = {"delayMinutes": self._number % MOST_DELAY}
            return {"type": "SET_DELAY", **head, **fields}, "DELAY_UPDATE", fields
        fields = {"text": f"number {self._number} of {self.run}"}
        return {"type": "ANNOUNCE", **head, **fields}, "ANNOUNCEMENT", fields

    def check(self, log, train, people):
        """Compare what was answered and told with the run's log and the hub's state.

        `log` maps seq to (type, data); `train` and `people` are what the API reads. Returns the
        numbers of answered commands and of told events that were looked for.
        """
        assert sorted(log) == list(range(1, len(log) + 1)), f"{self.run}: the log has gaps"
        missing = self.missing(log)
        assert not missing, f"{self.run}: answered, and not in the log: {missing[:3]}"
        untrue = [seq for seq, event in self.told.items() if not _is_in(log.get(seq), *event)]
        assert not untrue, f"{self.run}: told, and not in the log: {untrue[:3]}"
        seqs = [seq for seq, _, _ in self.answered]
        assert len(set(seqs)) == len(seqs), f"{self.run}: one event answers two commands"
        done = [event for event, _ in log.values() if event not in FIRST]
        assert len(done) == len(self.answered) + self._vacated(log), f"{self.run}: done twice"
        assert train["seq"] == len(log), self.run
        assert train["delayMinutes"] == self.delay, self.run
        assert {p["pnr"]: p["state"] for p in people} == self.states, self.run
        return len(self.answered), len(self.told)

    def missing(self, log):
        """Return the answers whose events are not in the run's log."""
        return [
            (seq, event, fields)
            for seq, event, fields in self.answered
            if not _is_in(log.get(seq - (event == "NO_SHOW")), event, fields)
        ]

    @staticmethod
    def _vacated(log):
        return sum(event == "BERTH_VACATED" for event, _ in log.values())


FIRST = ("TRAIN_REGISTERED", "JOURNEY_STARTED")


def _is_in(found, event, fields):
    return found is not None and found[0] == event and fields.items() <= found[1].items()


class Fleet:
    """Crews on a hub process. `drive` lets them give commands, `check` compares the results."""

    def __init__(self, size, seed, start_date=DAY):
        print(f"load seed {seed}")
        self.crews = [Crew(number, seed, start_date) for number in range(size)]

    def begin(self, hub, crews=None):
        """Register and start each run, or those of some crews; `drive` then drives them."""
        ask = asker(hub)
        for crew in self.crews if crews is None else crews:
            ask("/api/trains", crew.chart)
            ask(f"/api/trains/{crew.train_no}/start?date={crew.start_date}", {})

    def drive(self, hub, meanwhile=None, **limits):
        """Let all crews ask, while `meanwhile(answered)`, a coroutine function, runs.

        `limits` are those of Crew.drive, for each crew. Returns how many sockets broke.
        """
        url, token = f"ws://127.0.0.1:{hub.port}/ws", admin_token(hub)

        async def all_of_them():
            faults = [] if meanwhile is None else [meanwhile(self.answered)]
            driving = [crew.drive(url, token, **limits) for crew in self.crews]
            ends = await asyncio.gather(*driving, *faults)
            return ends.count("broken")

        return asyncio.run(all_of_them())

    def drive_while(self, hub, fault, rate=RATE):
        """Let all crews ask while the function `fault` runs on a thread of its own.

        They ask `rate` times a second, or as often as the hub can answer. No socket may break
        meanwhile, and no command be refused. Returns what `fault` gave.
        """
        over, given = False, None

        async def meanwhile(_):
            nonlocal over, given
            try:
                given = await asyncio.to_thread(fault)
            finally:
                over = True

        pause = len(self.crews) / rate
        assert self.drive(hub, meanwhile, goes_on=lambda: not over, pause=pause) == 0
        return given

    async def under_way(self):
        """Wait until each crew of the current drive has had an answer, or was told to leave."""
        async with asyncio.timeout(PATIENCE):
            while not all(crew.answered_at or crew.closed for crew in self.crews):
                await asyncio.sleep(0.001)

    def wait_for_answers(self, more):
        """Wait until `more` commands are answered, for as long as answers come."""
        least = self.answered() + more
        while (found := self.answered()) < least:
            wait_for(lambda: self.answered() > found)

    def finish(self, hub):
        """Repeat the commands that were in flight when a socket broke: then the model is exact."""
        assert self.drive(hub, commands=1) == 0

    def answered(self):
        return sum(len(crew.answered) for crew in self.crews)

    def missing(self, folder):
        """Return how many answered commands are not in the journal of a data folder."""
        logs = logs_of(folder)
        return sum(len(crew.missing(logs[crew.run])) for crew in self.crews)

    def check(self, hub, database=None):
        """Compare every crew's account with the log, the hub's state and, if given, MongoDB.

        Returns the numbers of answered commands and told events that were looked for.
        """
        ask = asker(hub)
        logs = logs_of(hub.folder, database)
        answered = told = 0
        for crew in self.crews:
            path, day = f"/api/trains/{crew.train_no}", f"?date={crew.start_date}"
            train, people = ask(f"{path}{day}"), ask(f"{path}/passengers{day}")
            found = crew.check(logs[crew.run], train, people)
            answered, told = answered + found[0], told + found[1]
            if database is not None:
                self._check_documents(crew, database, train, people)
        return answered, told

    @staticmethod
    def _check_documents(crew, database, train, people):
        """Check that MongoDB has the same state, and every event and audit entry once."""
        run = database.runs.find_one({"_id": crew.run})
        assert (run["seq"], run["delayMinutes"]) == (train["seq"], train["delayMinutes"]), crew.run
        found = {p["pnr"]: p for p in database.passengers.find({"run": crew.run})}
        shown = {pnr: {field: p[field] for field in people[0]} for pnr, p in found.items()}
        assert shown == {p["pnr"]: p for p in people}, crew.run
        kinds = {event["seq"]: event["type"] for event in database.events.find({"run": crew.run})}
        assert sorted(kinds) == list(range(1, train["seq"] + 1)), crew.run
        given = [seq for seq, kind in sorted(kinds.items()) if kind != "BERTH_VACATED"]
        deeds = database.audit.find({"run": crew.run, "result": "DONE"})
        assert sorted(deed["seq"] for deed in deeds) == given, crew.run


def logs_of(folder, database=None):
    """Return each run's log, seq → (type, data), from the journal, and from MongoDB if given."""
    logs = defaultdict(dict)
    with opened(folder) as journal:
        rows = journal.execute("SELECT run, seq, type, event FROM records WHERE seq > 0")
        for run, seq, kind, text in rows:
            logs[run][seq] = kind, json.loads(text)
    if database is not None:
        for event in database.events.find():
            of_run, seq = logs[event["run"]], event["seq"]
            assert of_run.setdefault(seq, (event["type"], event["data"]))[0] == event["type"]
    return logs


def admin_token(hub):
    return tokens_of(hub.folder).issue("control", Role.ADMIN, ["*"])


def answered(request, patient=True):
    """Open the request. A hub that still waits for MongoDB is asked again, as it says."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return urlopen(request, timeout=PATIENCE)
        except HTTPError as error:
            waits = patient and error.code == 503 and b"it waits for MongoDB" in error.read()
            if not waits or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def asker(hub, patient=True):
    """Return a function that asks the hub over HTTP as the control room and returns the result."""
    token = admin_token(hub)

    def ask(path, body=None, method=None):
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        method = method or ("GET" if data is None else "POST")
        with answered(Request(hub.url + path, data, headers, method=method), patient) as answer:
            content = json.load(answer)
        WITNESS.answered(method, path.partition("?")[0], answer.status, content)
        return content.get("result", content)

    return ask


@contextlib.contextmanager
def opened(folder):
    """Open a hub's journal for reading while the hub runs."""
    path = f"file:{folder}/journal.db?mode=ro"
    with closing(sqlite3.connect(path, uri=True)) as journal:
        yield journal


def saved_place(folder):
    """Return the position up to which MongoDB has everything, as the hub has noted it."""
    with opened(folder) as journal:
        found = journal.execute("SELECT position FROM places WHERE reader = 'flushed'")
        return next(found, (0,))[0]


def journal_size(folder):
    """Return how many records there ever were, and the bytes of the pages in use."""
    with opened(folder) as journal:
        (head,) = journal.execute("SELECT coalesce(max(position), 0) FROM records").fetchone()
        (pages,) = journal.execute("PRAGMA page_count").fetchone()
        (free,) = journal.execute("PRAGMA freelist_count").fetchone()
        (size,) = journal.execute("PRAGMA page_size").fetchone()
    return head, (pages - free) * size


def behind(folder):
    """Return how many records MongoDB is not known to have."""
    head, _ = journal_size(folder)
    return head - saved_place(folder)


async def settled(hub, seconds=PATIENCE):
    """Wait until the hub has noted that MongoDB has all that the journal has."""
    async with asyncio.timeout(seconds):
        while behind(hub.folder):
            await asyncio.sleep(0.02)


def wait_for_a_write(hub):
    """Wait until the hub has noted again how much MongoDB holds."""
    before = saved_place(hub.folder)
    wait_for(lambda: saved_place(hub.folder) > before)


def warnings(hub):
    """Return the warnings in a hub's log, without those about a busy machine."""
    return [line for line in hub.logged if " WARNING " in line and "trainhub.loop:" not in line]


def seeded():
    """Return a seed, from the environment or new, and its random generator."""
    seed = int(os.environ.get("SEED", Random().randrange(2**32)))
    return seed, Random(seed)


async def more_answers(answered, count, seconds=300):
    """Wait until `count` more commands were answered than now."""
    enough = answered() + count
    async with asyncio.timeout(seconds):
        while answered() < enough:
            await asyncio.sleep(0.001)


def kill_later(hub, seconds):
    """Return a function for `meanwhile` that kills the hub (kill -9) after `seconds`."""

    async def kill(answered):
        with contextlib.suppress(ProcessLookupError):
            await asyncio.sleep(seconds)
            hub.process.kill()

    return kill
