"""trainhub/hub/audit.py: entries of commands that were done, and of refusals up to a limit."""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection

import pytest
from fakes import MemoryJournal
from load import Fleet, admin_token, asker, kill_later, seeded, settled, warnings
from mongods import Mongod, as_root
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from railway import MORNING, PEOPLE, RUN, TRAIN, chart, register
from waiting import wait_for

from trainhub.access.identity import ANONYMOUS, Identity
from trainhub.core.errors import Conflict, Forbidden, HubError, NotIdentified, Unavailable
from trainhub.core.journal import Deed
from trainhub.domain import commands as c
from trainhub.domain.model import Role
from trainhub.hub import audit
from trainhub.hub.audit import LONGEST_ABOUT, MOST_A_MINUTE, Audit, deed_of
from trainhub.hub.documents import AUDIT, DOCUMENT_SCHEMA, INDEXES

KILLS = int(os.environ.get("AUDIT_KILLS", "3"))
ADMIN = Identity("control", Role.ADMIN, frozenset({"*"}))
TTE = Identity("T1", Role.TTE, frozenset({"12345"}))
HERE = "10.1.2.3"
ONE = {"pnr": "4512345601", "index": 1}


def deed(command, about=None, user="control", role=Role.ADMIN, address=HERE):
    return Deed(user, role, address, command, about)


async def running(hub):
    await hub.execute(register(), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)


# --- entries ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (c.StartJourney(**TRAIN), deed("START_JOURNEY")),
        (c.SetDelay(**TRAIN, delay_minutes=5), deed("SET_DELAY")),
        (c.Arrive(**TRAIN, station_code="BBB"), deed("ARRIVE", "BBB")),
        (c.Depart(**TRAIN, station_code="BBB"), deed("DEPART", "BBB")),
        (c.SkipStation(**TRAIN, station_code="BBB"), deed("SKIP_STATION", "BBB")),
        (c.UndoReport(**TRAIN, station_code="BBB", report="ARRIVAL"), deed("UNDO_REPORT", "BBB")),
        (c.UndoSkip(**TRAIN, station_code="BBB"), deed("UNDO_SKIP", "BBB")),
        (
            c.AddHalt(**TRAIN, station_code="HHH", name="", after="BBB", arrival="", departure=""),
            deed("ADD_HALT", "HHH"),
        ),
        (c.ShortTerminate(**TRAIN, station_code="BBB"), deed("SHORT_TERMINATE", "BBB")),
        (c.SetPlatform(**TRAIN, station_code="BBB", platform="2"), deed("SET_PLATFORM", "BBB")),
        (c.MarkNoShow(**TRAIN, **ONE), deed("MARK_NO_SHOW", "4512345601/1")),
        (
            c.ChangeBoarding(**TRAIN, **ONE, station_code="BBB"),
            deed("CHANGE_BOARDING", "4512345601/1"),
        ),
        (c.AcceptOffer(**TRAIN, offer_id="12345.2026-11-23.7"),
         deed("ACCEPT_OFFER", "12345.2026-11-23.7")),
        (c.Announce(**TRAIN, text="hello"), deed("ANNOUNCE")),
        (c.Announce(**TRAIN, text="hello", to=c.To.USER, user="IR_1"), deed("ANNOUNCE", "IR_1")),
        (c.MarkBoarded(**TRAIN, pnr="9" * 500, index=1), deed("MARK_BOARDED", "9" * LONGEST_ABOUT)),
    ],
)  # fmt: skip
def test_what_a_command_is_about(command, expected):
    """`about` is the person, offer, station or user that a command names.

    It has no texts of the command, and is never longer than LONGEST_ABOUT.
    """
    assert deed_of(command, ADMIN, HERE) == expected


def test_a_command_without_a_token_has_no_entry():
    """A command without a token has no entry."""
    assert deed_of(c.StartJourney(**TRAIN), ANONYMOUS, HERE) is None


# --- commands done ------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_command_s_first_record_has_its_deed(make_hub):
    """Only a command's first record has an entry. The hub's timers have none."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await running(hub)
    await hub.execute(c.MarkNoShow(**TRAIN, **ONE), TTE, address=HERE)
    await hub.executor.expire_offers()
    assert [record.deed for record in journal.records][:3] == [
        deed("REGISTER_TRAIN", address=None),
        deed("START_JOURNEY", address=None),
        deed("MARK_NO_SHOW", "4512345601/1", "T1", Role.TTE),
    ]
    rest = journal.records[3:]
    assert rest
    assert all(record.deed is None for record in rest)


@pytest.mark.gen_test
async def test_each_mark_of_a_batch_is_a_deed(make_hub):
    """Each mark of a batch has an entry, and the batch itself has none."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await running(hub)
    marks = tuple(c.Mark(mark=c.MarkKind.BOARDED, pnr=p["pnr"], index=1) for p in PEOPLE[:2])
    await hub.execute(c.Batch(**TRAIN, marks=marks), TTE, "key", HERE)
    deeds = [record.deed for record in journal.records[2:]]
    assert deeds == [
        deed("MARK_BOARDED", f"{p['pnr']}/1", "T1", Role.TTE) for p in PEOPLE[:2]
    ]  # fmt: skip


@pytest.mark.gen_test
async def test_what_changes_nothing_is_no_deed(make_hub):
    """A repeat under a key, and a command that changes nothing, have no entry."""
    journal = MemoryJournal()
    hub = make_hub(journal)
    await running(hub)
    for key in ("k1", "k1", None):
        await hub.execute(c.MarkBoarded(**TRAIN, **ONE), TTE, key, HERE)
    assert len(journal.records) == 3


# --- refusals -----------------------------------------------------------------------------------


class Trail(Audit):
    """An audit whose refusals go to `entries`, while there is `room`."""

    def __init__(self):
        super().__init__("e1", audit.NoArchive())
        self.entries, self.room = [], True
        self.write_to(self._take)

    def _take(self, change):
        if self.room:
            self.entries.append(change.render())
        return self.room


@pytest.mark.gen_test
async def test_a_refusal_is_an_entry_of_its_own(make_hub):
    """A refusal has an entry with the error's code instead of DONE, and without a seq."""
    hub = make_hub()
    trail = hub.executor._audit = Trail()
    await running(hub)
    stranger = Identity("T2", Role.TTE, frozenset({"54321"}))
    with pytest.raises(Forbidden):
        await hub.execute(c.MarkNoShow(train_no="12345", **ONE), stranger, address=HERE)
    (entry,) = trail.entries
    assert entry.pop("_id").startswith("2026-11-23T")
    assert entry == {
        "epoch": "e1",
        "schema": DOCUMENT_SCHEMA,
        "at": MORNING,
        "user": "T2",
        "role": "TTE",
        "address": HERE,
        "command": "MARK_NO_SHOW",
        "run": RUN,
        "about": "4512345601/1",
        "seq": None,
        "result": "FORBIDDEN",
    }


@pytest.mark.gen_test
async def test_which_refusals_are_entries(make_hub):
    """Each refusal of a user has an entry, and each refused mark of a batch.

    For an unknown run, `run` is empty. Refusals without a token are only counted. UNAVAILABLE is
    not a refusal.
    """
    hub = make_hub()
    trail = hub.executor._audit = Trail()
    await running(hub)
    marks = tuple(c.Mark(mark=c.MarkKind.BOARDED, pnr="9" * 10, index=n) for n in (1, 2))
    await hub.execute(c.Batch(**TRAIN, marks=marks), TTE, None, HERE)
    for command, identity in (
        (c.StartJourney(train_no="99999"), ADMIN),
        (c.StartJourney(**TRAIN), ANONYMOUS),
        (register(), ADMIN),
    ):
        with pytest.raises(HubError):
            await hub.execute(command, identity, address=HERE)
    said = [(each["command"], each["run"], each["result"]) for each in trail.entries]
    assert said == [
        ("MARK_BOARDED", RUN, "UNKNOWN_PASSENGER"),
        ("MARK_BOARDED", RUN, "UNKNOWN_PASSENGER"),
        ("START_JOURNEY", None, "UNKNOWN_TRAIN"),
        ("REGISTER_TRAIN", RUN, "CONFLICT"),
    ]
    trail.refused(deed("START_JOURNEY"), None, Unavailable("not now"), MORNING)
    assert (trail.kept, trail.left_out, trail.unidentified) == (4, 0, 1)


def test_a_user_s_refusals_are_bounded():
    """A user has at most MOST_A_MINUTE refusals in a minute. The rest is counted."""
    trail, seconds = Trail(), [0.0]
    trail._clock = lambda: seconds[0]

    def refuse(user, times):
        for _ in range(times):
            trail.refused(deed("START_JOURNEY", user=user), RUN, Conflict("no"), MORNING)

    refuse("a", MOST_A_MINUTE + 7)
    assert (trail.kept, trail.left_out) == (MOST_A_MINUTE, 7)
    refuse("b", 3)
    assert (trail.kept, trail.left_out) == (MOST_A_MINUTE + 3, 7)
    seconds[0] = 60.0
    refuse("a", 2)
    assert (trail.kept, trail.left_out) == (MOST_A_MINUTE + 5, 7)
    trail.room = False
    seconds[0] = 120.0
    refuse("a", 2)
    assert (trail.kept, trail.left_out) == (MOST_A_MINUTE + 5, 9)
    trail.refused(None, RUN, NotIdentified("who are you"), MORNING)
    assert trail.unidentified == 1
    assert len({each["_id"] for each in trail.entries}) == trail.kept


# --- a whole hub --------------------------------------------------------------------------------


@pytest.fixture
def hub(start_hub, mongod_options):
    return start_hub(*mongod_options)


def http(hub, method, path, token=None, body=None):
    """Return status and JSON of one request."""
    head = {"Content-Type": "application/json"}
    if token is not None:
        head["Authorization"] = f"Bearer {token}"
    connection = HTTPConnection("127.0.0.1", hub.port, timeout=120)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, head)
        answer = connection.getresponse()
        return answer.status, json.load(answer)
    finally:
        connection.close()


def test_the_trail_of_a_morning(hub, database):
    """The trail has each command with its user, run, time, address and result.

    ADMIN reads it by pages, the newest first, filtered by run and user, for the runs of the token.
    """
    ask, admin = asker(hub), admin_token(hub)
    tte = hub.token(Role.TTE, "T1", "12345")
    began = datetime.now(UTC) - timedelta(seconds=1)
    ask("/api/trains", chart())
    ask("/api/trains", chart(trainNo="123456"))
    assert http(hub, "POST", "/api/trains/12345/start", tte, {})[0] == 200
    assert http(hub, "POST", "/api/trains/123456/start", tte, {})[0] == 403
    assert http(hub, "POST", "/api/trains", tte, {})[0] == 403
    mark = "/api/trains/12345/passengers/4512345601/1/no-show"
    assert http(hub, "POST", mark, tte, {})[0] == 200
    assert http(hub, "POST", "/api/trains/12345/start", None, {})[0] == 401
    wait_for(lambda: database[AUDIT].count_documents({}) == 6)

    entries = ask("/api/audit")
    told = [(e["user"], e["command"], e["run"], e["about"], e["result"]) for e in entries]
    other = RUN.replace("12345", "123456")
    assert set(told) == {
        ("T1", "MARK_NO_SHOW", RUN, "4512345601/1", "DONE"),
        ("T1", "REGISTER_TRAIN", None, None, "FORBIDDEN"),
        ("T1", "START_JOURNEY", other, None, "FORBIDDEN"),
        ("T1", "START_JOURNEY", RUN, None, "DONE"),
        ("control", "REGISTER_TRAIN", other, None, "DONE"),
        ("control", "REGISTER_TRAIN", RUN, None, "DONE"),
    }
    assert len(told) == 6
    assert {e["address"] for e in entries} == {"127.0.0.1"}
    times = [datetime.fromisoformat(e["at"]) for e in entries]
    assert times == sorted(times, reverse=True)
    assert began <= times[-1] <= times[0] <= datetime.now(UTC)

    assert ask(f"/api/audit?run={RUN}") == [e for e in entries if e["run"] == RUN]
    control = [e for e in entries if e["user"] == "control"]
    assert ask("/api/audit?user=control") == control
    assert ask(f"/api/audit?user=control&run={RUN}") == control[1:]
    pages, last = [], ""
    while page := ask(f"/api/audit?limit=4{last}"):
        pages += page
        last = f"&before={page[-1]['id']}"
    assert pages == entries
    noon = (began + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert ask(f"/api/audit?before={noon}") == entries
    assert ask(f"/api/audit?before={began.strftime('%Y-%m-%dT%H:%M:%SZ')}") == []

    for trains, seen in (
        (("12345",), [e for e in entries if e["run"] == RUN]),
        ((other,), [e for e in entries if e["run"] == other]),
        (("12345", "123456"), [e for e in entries if e["run"]]),
        (("1234",), []),
        ((), []),
    ):
        some = hub.token(Role.ADMIN, "control", *trains)
        assert http(hub, "GET", "/api/audit", some) == (200, {"result": seen})
    some = hub.token(Role.ADMIN, "control", "1234")
    assert http(hub, "GET", f"/api/audit?run={RUN}", some)[0] == 403
    for role in (Role.TTE, Role.SERVICE, Role.PASSENGER):
        assert http(hub, "GET", "/api/audit", hub.token(role, "x", "*"))[0] == 403
    assert http(hub, "GET", "/api/audit")[0] == 401
    figures = http(hub, "GET", "/api/monitor", admin)[1]["audit"]
    assert figures == {"refusals": 2, "leftOut": 0, "unidentified": 1}

    part = f"12345-2/{RUN.partition('/')[2]}"  # a token for the number covers its parts
    ask("/api/trains", chart(trainNo="12345-2"))
    number, exact = (hub.token(Role.ADMIN, "control", name) for name in ("12345", "12345-2"))

    def runs_read(token):
        found = http(hub, "GET", "/api/audit", token)[1]["result"]
        return {each["run"] for each in found}

    wait_for(lambda: runs_read(number) == {RUN, part})
    assert runs_read(exact) == {part}


def test_the_hub_only_ever_adds(start_hub, mongod_options, database):
    """The hub sends only inserts, reads and indexes for the audit's collection.

    That holds even if the hub does not know whether a write arrived. MongoDB's own profile is the
    witness.
    """
    # Large enough for the test: the collection that mongod makes drops its oldest entries.
    database.create_collection("system.profile", capped=True, size=1 << 28)
    database.command("profile", 2, slowms=0)
    hub = start_hub(*mongod_options)
    fleet = Fleet(2, 1)
    fleet.begin(hub)
    for _ in range(KILLS):
        fleet.drive(hub, kill_later(hub, 0.3))
        hub.wait()
        hub = start_hub(*mongod_options, folder=hub.folder)
    fleet.finish(hub)
    asyncio.run(settled(hub))
    asker(hub)("/api/audit")
    hub.stop()
    name = f"{database.name}.{AUDIT}"
    asked = database["system.profile"].find({"ns": name}, {"op": 1, "command": 1, "_id": 0})
    kinds = {next(iter(each.get("command", {"none": 0})), "none") for each in asked}
    assert kinds == {"insert", "find", "createIndexes"}
    ops = database["system.profile"].distinct("op", {"ns": name})
    assert set(ops) <= {"insert", "query", "command"}


@pytest.mark.sized
def test_once_and_only_once_over_kills(start_hub, tmp_path, capsys):
    """Each command that was carried out has exactly one entry.

    That holds over kill -9 of the hub and an absence of mongod, and no entry changes or goes.
    """
    seed, chance = seeded()
    mongod = Mongod().start()
    fleet = Fleet(4, seed)
    options = ("--mongodb-uri", mongod.uri)
    try:
        hub = start_hub(*options)
        fleet.begin(hub)
        seen = {}
        for number in range(KILLS):
            if number % 3 == 2:
                mongod.kill()
            fleet.drive(hub, kill_later(hub, chance.uniform(0.1, 0.6)))
            hub.wait()
            if mongod.process.poll() is not None:
                mongod.start()
            hub = start_hub(*options, folder=hub.folder)
            with MongoClient(mongod.uri) as client:
                now = {each["_id"]: each for each in client.trainhub[AUDIT].find()}
            assert seen.items() <= now.items()
            seen = now
        fleet.finish(hub)
        asyncio.run(settled(hub))
        with MongoClient(mongod.uri, tz_aware=True) as client:
            answered, _ = fleet.check(hub, client.trainhub)
            entries = client.trainhub[AUDIT].count_documents({})
    finally:
        mongod.remove()
    with capsys.disabled():
        print(
            f"\n{KILLS} times kill -9, seed {seed}: of {answered} answered commands and {entries}"
        )
        print("entries 0 missing, 0 twice, 0 changed")


def test_while_mongodb_is_away(start_hub, start_mongod):
    """While MongoDB is away, commands are answered, and later the trail has all entries."""
    mongod = start_mongod()
    hub = start_hub("--mongodb-uri", mongod.uri)
    ask, admin = asker(hub), admin_token(hub)
    ask("/api/trains", chart())
    mongod.kill()
    ask("/api/trains/12345/start", {})
    status, answer = http(hub, "GET", "/api/audit", admin)
    assert (status, answer["error"]["code"]) == (503, "UNAVAILABLE")
    assert "MongoDB, which does not answer now" in answer["error"]["message"]
    mongod.start()
    wait_for(lambda: http(hub, "GET", "/api/audit", admin)[0] == 200)
    wait_for(lambda: len(ask("/api/audit")) == 2)


def test_a_folder_that_was_put_back(start_hub, mongod_options, database):
    """A data folder restored from a copy reuses seqs, and replaces no entry."""
    hub = start_hub(*mongod_options)
    ask = asker(hub)
    ask("/api/trains", chart())
    hub.stop()
    journal = (hub.folder / "journal.db").read_bytes()
    hub = start_hub(*mongod_options, folder=hub.folder)
    asker(hub)("/api/trains/12345/start", {})
    hub.stop()
    (hub.folder / "journal.db").write_bytes(journal)
    hub = start_hub(*mongod_options, folder=hub.folder)
    asker(hub)("/api/trains/12345/cancel", {})
    hub.stop()
    entries = database[AUDIT].find().sort("_id", 1)
    assert [(each["command"], each["seq"]) for each in entries] == [
        ("REGISTER_TRAIN", 1),
        ("START_JOURNEY", 2),
        ("CANCEL_TRAIN", 2),
    ]


# As docs/how-to/use-your-own-mongodb.md has it.
RIGHTS = [
    *(
        {
            "resource": {"db": "trainhub", "collection": name},
            "actions": ["find", "insert", "update", "createIndex"],
        }
        for name in (
            "runs",
            "passengers",
            "offers",
            "events",
            "notifications",
            "meta",
            "dead_letters",
        )
    ),
    {
        "resource": {"db": "trainhub", "collection": AUDIT},
        "actions": ["find", "insert", "createIndex"],
    },
]


def test_a_user_who_may_only_add(start_hub, start_mongod):
    """The documented rights are enough for all writes of a hub, repeated ones too.

    With these rights no client can change or remove an entry.
    """
    mongod = start_mongod("--auth")
    with as_root(mongod) as root:
        root.trainhub.command("createRole", "hub", privileges=RIGHTS, roles=[])
        grant = [{"role": "hub", "db": "trainhub"}]
        root.admin.command("createUser", "hub", pwd="hub", roles=grant)
        uri = mongod.uri_for("hub:hub")
        hub = start_hub("--mongodb-uri", uri)
        fleet = Fleet(2, 1)
        fleet.begin(hub)
        for _ in range(2):
            fleet.drive(hub, kill_later(hub, 0.3))
            hub.wait()
            hub = start_hub("--mongodb-uri", uri, folder=hub.folder)
        fleet.finish(hub)
        asyncio.run(settled(hub))
        fleet.check(hub, root.trainhub)
        wait_for(lambda: hub.degraded() == [])
        assert not warnings(hub)
        indexes = root.trainhub[AUDIT].index_information()
        assert len(indexes) == 1 + len(INDEXES[AUDIT])
    with MongoClient(uri) as client:
        trail = client.trainhub[AUDIT]
        for forbidden in (
            lambda: trail.update_one({}, {"$set": {"user": "x"}}),
            lambda: trail.replace_one({}, {"user": "x"}),
            lambda: trail.delete_one({}),
            trail.drop,
        ):
            with pytest.raises(OperationFailure, match="not authorized"):
                forbidden()
