"""trainhub/web/connections.py: an ADMIN of all trains lists sockets and rooms; closes a socket."""

import pytest
from waiting import until

from trainhub.web import connections
from trainhub.web.frames import text_frame

PATH = "/api/connections"
HERE = {"trainNo": "12345", "startDate": "2026-11-23"}
pytestmark = pytest.mark.gen_test


@pytest.fixture
def opened(io_loop, site, connect):
    """Return sockets by role: a TTE and a passenger in the room of 12345, and one of no user."""

    async def start():
        await site.register()
        clients = {who: await connect(who) for who in ("TTE", "PASSENGER", None)}
        for who in ("TTE", "PASSENGER"):
            await clients[who].ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)
        await clients[None].ask("FLEET_SUBSCRIBED", "SUBSCRIBE_FLEET")
        return clients

    return io_loop.run_sync(start)


def name_of(client):
    return client.heard[0]["clientId"]


async def test_open_sockets_are_listed(call, opened):
    """Each with its user, its runs, since when, and what waits for it."""
    answer = await call("GET", PATH, who="ADMIN")
    found = {each["clientId"]: each for each in answer.result}
    assert answer.json["total"] == 3
    tte = found[name_of(opened["TTE"])]
    assert tte.pop("since").endswith("+00:00")
    assert tte == {
        "clientId": name_of(opened["TTE"]),
        "role": "TTE",
        "user": "T1",
        "address": "127.0.0.1",
        "runs": ["12345/2026-11-23"],
        "fleet": False,
        "behind": 0,
    }
    public = found[name_of(opened[None])]
    assert (public["role"], public["user"], public["runs"], public["fleet"]) == (
        *(None, None),
        *([], True),
    )


@pytest.mark.parametrize(
    ("sought", "count"), [("t1", 1), ("passenger", 1), ("12345/", 2), ("127.0", 3), ("none", 0)]
)
async def test_they_are_searched(call, opened, sought, count):
    """By a part of the user, the role, the run or the address."""
    answer = await call("GET", f"{PATH}?q={sought}", who="ADMIN")
    assert (len(answer.result), answer.json["total"]) == (count, count)


async def test_a_list_has_a_limit(call, opened, monkeypatch):
    """The total counts all. A search has a bounded length."""
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 2)
    answer = await call("GET", PATH, who="ADMIN")
    assert (len(answer.result), answer.json["total"]) == (2, 3)
    assert (await call("GET", f"{PATH}?q={'x' * 101}", who="ADMIN")).status == 400


async def test_rooms_are_listed(call, site, opened, raw, monkeypatch):
    """The slowest first, with the bytes that wait for their sockets; the total counts all."""
    await site.register(trainNo="54321")
    socket, _ = await raw()
    socket.say("SUBSCRIBE_TRAIN", **HERE | {"trainNo": "54321"})
    await until(lambda: len(connections.TrainSocket.rooms) == 2)
    two, one = (
        {"run": "12345/2026-11-23", "sockets": 2, "slow": 0, "behind": 0},
        {"run": "54321/2026-11-23", "sockets": 1, "slow": 0, "behind": 0},
    )
    answer = await call("GET", "/api/rooms", who="ADMIN")
    assert (answer.result, answer.json["total"]) == ([two, one], 2)
    socket.writer.transport.pause_reading()
    (stalled,) = connections.TrainSocket.rooms[one["run"]].listeners
    stalled.send(text_frame(b"x" * 8_000_000))
    monkeypatch.setattr(connections, "MOST_ROOMS", 1)
    answer = await call("GET", "/api/rooms", who="ADMIN")
    (slowest,) = answer.result
    assert slowest.pop("behind") > 1_000_000
    assert slowest == {"run": one["run"], "sockets": 1, "slow": 1}
    assert answer.json["total"] == 2


async def test_one_is_closed(call, site, opened):
    """The client is told, the audit trail has it, and a second request finds nothing."""
    name = name_of(opened["TTE"])
    path = f"{PATH}/{name}"
    assert (await call("DELETE", path, who="ADMIN")).result == {"closed": True}
    assert await opened["TTE"].closed() == (4410, "the control room closed this connection")
    await until(lambda: len(connections.TrainSocket.sockets) == 2)
    assert (await call("DELETE", path, who="ADMIN")).result == {"closed": False}
    store = site.parts.write_buffer
    await store.flush_now()
    (entry,) = [
        each
        for (kind, _), each in store._store.documents.items()
        if kind == "audit" and each["command"] == "CLOSE_CONNECTION"
    ]
    assert (entry["user"], entry["about"], entry["result"]) == ("control", f"T1 ({name})", "DONE")
    assert (entry["run"], entry["seq"]) == (None, None)


async def test_without_an_entry_nothing_is_closed(call, site, opened):
    """If the audit trail has no room, the hub closes nothing and says so."""
    site.hub.audit.write_to(lambda _: False)
    answer = await call("DELETE", f"{PATH}/{name_of(opened['TTE'])}", who="ADMIN")
    assert (answer.status, answer.code) == (503, "UNAVAILABLE")
    assert await opened["TTE"].all_told()


@pytest.mark.parametrize(
    ("who", "status"),
    [(None, 401), ("PASSENGER", 403), ("TTE", 403), ("SERVICE", 403), ("OTHER_ADMIN", 403)],
)
async def test_others_may_neither_list_nor_close(call, opened, who, status):
    """Connections are not of one train, so an ADMIN needs a token of all trains."""
    assert (await call("GET", PATH, who=who)).status == status
    assert (await call("GET", "/api/rooms", who=who)).status == status
    path = f"{PATH}/{name_of(opened['TTE'])}"
    assert (await call("DELETE", path, who=who)).status == status
    assert await opened["TTE"].all_told()
