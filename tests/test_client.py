"""trainhub_client: it reconnects by itself, misses nothing and repeats nothing."""

import asyncio
import contextlib
import json
from datetime import UTC, date, datetime, timedelta
from random import Random

import jwt
import pytest
from false_hub import RUN, FalseHub, event, goodbye, next_run
from faulty_link import FaultyLink
from load import admin_token
from railway import chart
from waiting import until
from witness import connect_async as plain_connect

from trainhub.access.keys import load_keys
from trainhub.domain.model import Role
from trainhub_client import HubError, connect, following

QUICK = 0.01, 0.1
MARK = {"pnr": "4512345601", "index": 1}


def address(hub):
    return f"{hub.url.replace('http', 'ws')}/ws"


def token_of(hub, user, role):
    return hub.token(role, user, "12345")


def expired(hub):
    ((kid, key),) = load_keys(hub.folder / "keys.json").items()
    claims = {
        "sub": "T1",
        "role": "TTE",
        "trains": ["12345"],
        "exp": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return jwt.encode(claims, key, "HS256", {"kid": kid})


def log_of(hub, kind):
    return [e for e in hub.ask("/api/trains/12345/events?after=0") if e["type"] == kind]


def texts(events):
    return [each["data"]["text"] for each in events if each["type"] == "ANNOUNCEMENT"]


@pytest.mark.gen_test
async def test_kill_9_of_the_hub_loses_and_doubles_nothing(start_again):
    """Each event comes once and in order, and each command happens once, over kill -9."""
    hub = start_again()
    heard = []
    async with (
        connect(address(hub), backoff=QUICK) as listener,
        connect(address(hub), token=token_of(hub, "T1", Role.TTE), backoff=QUICK) as tte,
    ):
        listens = listener.subscribe("12345", on_event=heard.append)
        await until(lambda: listens.figures)
        train = tte.subscribe("12345")
        asked = [
            asyncio.create_task(train.command("ANNOUNCE", text=str(number)))
            for number in range(120)
        ]
        for enough in (30, 70):
            await until(lambda enough=enough: len(heard) >= enough)
            hub.kill()
            hub = start_again()
        results = await asyncio.gather(*asked)
        await until(lambda: len(texts(heard)) >= 120)
        logged = log_of(hub, "ANNOUNCEMENT")
    assert texts(heard) == texts(logged) == [str(number) for number in range(120)]
    assert [each["seq"] for each in heard] == [each["seq"] for each in logged]
    assert [each["seq"] for each in results] == [each["seq"] for each in logged]


@pytest.mark.soak
@pytest.mark.gen_test(timeout=120)
async def test_the_shipped_defaults_notice_a_dead_link_and_leave_a_healthy_one(start_again):
    """On a quiet train a link that falls silent, in either direction, is replaced within 40 s."""
    hub = await asyncio.to_thread(start_again)
    loop = asyncio.get_running_loop()
    links, clients, lost = {}, {}, {}
    async with contextlib.AsyncExitStack() as stack:
        for way in ("up", "down", "both", "none"):

            def note(state, way=way):
                if state == "waiting":
                    lost.setdefault(way, loop.time())

            links[way] = stack.enter_context(FaultyLink(hub.port))
            client = connect(links[way].url, on_state=note)
            clients[way] = await stack.enter_async_context(client)
            clients[way].subscribe("12345", on_event=print)
        await until(lambda: all(each.state == "live" for each in clients.values()))
        await asyncio.sleep(1)
        for way, link in links.items():
            link.silent_up, link.silent_down = way in ("up", "both"), way in ("down", "both")
        began = loop.time()
        await until(lambda: len(lost) == 3, 100)
        await asyncio.sleep(max(0.0, began + 45 - loop.time()))
    assert lost.keys() == {"up", "down", "both"}
    assert max(lost.values()) - began < 40 + 10  # the machine may be busy


@pytest.mark.gen_test
async def test_a_snapshot_that_is_cut_on_its_way_is_asked_for_again(start_again):
    """The client asks for the SNAPSHOT again, since a TTE needs it for the list of passengers."""
    hub = await asyncio.to_thread(start_again)
    token = token_of(hub, "T1", Role.TTE)
    with FaultyLink(hub.port, cut_in='"recovered":false') as link:
        async with connect(link.url, token=token, backoff=QUICK) as client:
            first = await anext(aiter(client.subscribe("12345")))
        assert link.has_cut
    assert first["type"] == "SNAPSHOT"
    assert first["run"]["passengers"]


@pytest.mark.gen_test
async def test_a_train_that_is_registered_later(start_again):
    """A client that subscribes earlier gets an error, and the train once it is registered."""
    hub = await asyncio.to_thread(start_again)
    told = []
    async with connect(address(hub), backoff=QUICK) as client:
        train = client.subscribe("54321", on_error=told.append)
        await until(lambda: told)
        await asyncio.to_thread(hub.ask, "/api/trains", chart(trainNo="54321"))
        assert (await anext(aiter(train)))["trainNo"] == "54321"
    assert [(each.code, each.final) for each in told] == [("UNKNOWN_TRAIN", False)]


@pytest.mark.gen_test
async def test_the_next_run_takes_over(start_again):
    """A client that named no date is told of the next run; a client with a date is not."""
    hub = await asyncio.to_thread(start_again)
    first, second = (str(date.today() + timedelta(days=days)) for days in (1, 2))
    await asyncio.to_thread(hub.ask, "/api/trains", chart(trainNo="54321", startDate=first))
    told, other = [], []
    async with connect(address(hub), backoff=QUICK) as client:
        train = client.subscribe("54321", on_next_run=told.append)
        client.subscribe("54321", first, on_next_run=other.append)
        await until(lambda: train.figures)
        await asyncio.to_thread(hub.ask, "/api/trains", chart(trainNo="54321", startDate=second))
        await asyncio.to_thread(hub.ask, f"/api/trains/54321/cancel?date={first}", {})
        await until(lambda: told)
    assert [each["startDate"] for each in told] == [first]
    assert [each["data"] for each in told] == [{"trainNo": "54321", "startDate": second}]


@pytest.mark.gen_test
async def test_a_number_that_runs_twice_on_a_date(start_again):
    """Each of the two runs has its room, address and journal, also after kill -9."""
    hub = await asyncio.to_thread(start_again)
    for number in ("54321", "54321-2"):
        await asyncio.to_thread(hub.ask, "/api/trains", chart(trainNo=number))
    heard, known = {"54321": [], "54321-2": []}, []
    async with connect(address(hub), backoff=QUICK) as client:
        for number, told in heard.items():
            day = RUN["startDate"]
            client.subscribe(number, day, on_snapshot=known.append, on_event=told.append)
        # What comes next is new to both then, and in no SNAPSHOT.
        await until(lambda: client.state == "live" and len(known) == 2)
        hub.kill()
        hub.wait()
        hub = await asyncio.to_thread(start_again)
        path = "/api/trains/54321-2/announcements"
        await asyncio.to_thread(hub.ask, path, {"text": "second"})
        await until(lambda: texts(heard["54321-2"]) == ["second"])
    assert texts(heard["54321"]) == []
    assert [each["trainNo"] for each in hub.ask("/api/trains")].count("54321-2") == 1


@pytest.mark.gen_test
async def test_a_link_that_is_cut_again_and_again(start_again):
    """With a real hub each event comes once and in order, and each command happens once."""
    hub = await asyncio.to_thread(start_again)
    heard, chance = [], Random(1)
    token = token_of(hub, "T1", Role.TTE)
    with FaultyLink(hub.port) as link:
        async with connect(link.url, token=token, backoff=QUICK) as client:
            train = client.subscribe("12345", on_event=heard.append)
            asked = []
            for number in range(150):
                asked.append(asyncio.create_task(train.command("ANNOUNCE", text=str(number))))
                await asyncio.sleep(0.02)
                if chance.random() < 0.15:
                    link.cut()
            results = await asyncio.gather(*asked)
            await until(lambda: texts(heard)[-1:] == ["149"])
    logged = log_of(hub, "ANNOUNCEMENT")
    assert texts(logged) == [str(number) for number in range(150)]
    assert [each["seq"] for each in results] == [each["seq"] for each in logged]
    seqs = [each["seq"] for each in heard if each["type"] == "ANNOUNCEMENT"]
    assert seqs == [each["seq"] for each in logged if each["seq"] >= seqs[0]]


@pytest.mark.gen_test
async def test_marks_asked_while_the_hub_is_away_happen_once(start_again):
    """If the program ends, the next one sends the marks that the storage holds."""
    hub, storage, states = start_again(), {}, []
    token = token_of(hub, "T1", Role.TTE)
    options = {"token": token, "storage": storage, "backoff": QUICK}
    async with connect(address(hub), **options, on_state=states.append) as client:
        train = client.subscribe("12345", on_event=lambda _: None)
        await train.command("MARK_NO_SHOW", **MARK)
        hub.kill()
        await until(lambda: states[-1] == "waiting")
        asked = [
            asyncio.create_task(train.command(mark, **MARK))
            for mark in ("UNDO_NO_SHOW", "MARK_NO_SHOW", "MARK_BOARDED")
        ]
        await until(lambda: len(storage) == 3)
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert [end.code for end in ends] == ["CLOSED"] * 3
    hub = start_again()
    async with connect(address(hub), **options) as client:
        left = [each.message["type"] for each in client.waiting]
        assert left == ["UNDO_NO_SHOW", "MARK_NO_SHOW", "MARK_BOARDED"]
        await asyncio.gather(*(each.answer for each in client.waiting))
        assert not client.waiting
    assert not storage
    kinds = ("NO_SHOW", "NO_SHOW_UNDONE", "PASSENGER_BOARDED")
    assert [len(log_of(hub, kind)) for kind in kinds] == [2, 2, 1]  # boarding undoes an NT too


@pytest.mark.gen_test
async def test_an_offer_on_two_devices(start_again):
    """It arrives on both, which staff can see; an answer on one device closes it on the other."""
    hub = await asyncio.to_thread(start_again)
    train, token = "/api/trains/12345", token_of(hub, "IR_10", Role.PASSENGER)
    heard = {"phone": [], "tablet": []}
    async with (
        connect(address(hub), token=token) as phone,
        connect(address(hub), token=token) as tablet,
    ):
        trains = [
            client.subscribe("12345", on_event=those.append)
            for client, those in zip((phone, tablet), heard.values(), strict=True)
        ]
        # A device that subscribes after the offer hears of it in its snapshot.
        await until(lambda: all(train.figures for train in trains))
        for pnr, mark in ((10, "board"), (1, "no-show")):
            path = f"{train}/passengers/45123456{pnr:02}/1/{mark}"
            await asyncio.to_thread(hub.ask, path, {})

        def of(device, kind):
            return [each for each in heard[device] if each["type"] == kind]

        await until(lambda: all(of(device, "UPGRADE_OFFER") for device in heard))
        await until(lambda: hub.ask(f"{train}/offers")[0]["delivered"] == 2)
        offer = of("phone", "UPGRADE_OFFER")[0]["data"]["offerId"]
        await phone.command("ACCEPT_OFFER", offerId=offer)
        await until(lambda: of("tablet", "UPGRADE_CONFIRMED"))
        with pytest.raises(HubError, match="OFFER_CLOSED"):
            await tablet.command("DENY_OFFER", offerId=offer)


@pytest.mark.gen_test
async def test_tokens(start_again):
    """The client fetches a fresh token by its function; without a function it raises an error."""
    hub = start_again()
    good, stale = token_of(hub, "T1", Role.TTE), expired(hub)
    fetched = [stale, good]

    async def fetch():
        return fetched.pop(0)

    async with connect(address(hub), token=fetch, backoff=QUICK) as client:
        assert (await client.subscribe("12345").command("MARK_BOARDED", **MARK))["seq"] > 2
    states = []
    async with connect(address(hub), token=stale, on_state=states.append) as client:
        train = client.subscribe("12345")
        asked = asyncio.create_task(client.command("MARK_BOARDED", **RUN, **MARK))
        with pytest.raises(HubError, match="BAD_TOKEN"):
            await anext(aiter(train))
        assert states[-1] == "refused"
        assert not asked.done()
        assert (await client.identify(good))["user"] == "T1"
        assert client.identity is not None
        assert client.identity.keys() == {"user", "role", "trains", "expiresAt"}
        now = client.now()
        assert now is not None
        assert now < datetime.fromisoformat(client.identity["expiresAt"])
        assert (await asked)["unchanged"] is True
        assert (await anext(aiter(train)))["type"] == "SNAPSHOT"
        with pytest.raises(HubError, match="BAD_TOKEN"):
            await client.identify(stale)
        assert (await client.command("MARK_BOARDED", **RUN, **MARK))["unchanged"] is True
        assert (await client.identify(None))["type"] == "LOGGED_OUT"
        assert client.identity is None
        while (message := await anext(aiter(train)))["type"] != "SNAPSHOT":
            pass
        assert "passengers" not in message["run"]
        with pytest.raises(HubError, match="NOT_IDENTIFIED"):
            await client.command("MARK_BOARDED", **RUN, **MARK)


@pytest.mark.gen_test
async def test_what_the_hub_refuses_is_an_error_with_its_code(start_again):
    """Commands and subscriptions raise the error, and the client goes on."""
    hub = start_again()
    async with connect(address(hub), token=admin_token(hub)) as client:
        with pytest.raises(HubError) as refused:
            await client.command("ARRIVE", **RUN, stationCode="EEE")
        assert refused.value.code == "CONFLICT"
        assert refused.value.details["next"] == "AAA"
        with pytest.raises(HubError, match="BAD_MESSAGE"):
            await client.command("ANNOUNCE", **RUN, text="x" * 70_000)
        assert await client.command("ANNOUNCE", **RUN, text="on it goes")


@pytest.mark.gen_test
async def test_a_slow_reader_misses_nothing(start_again, monkeypatch):
    """Events that do not fit into its buffer are asked for again when there is room."""
    monkeypatch.setattr(following, "MOST_UNREAD", 5)
    hub = start_again()
    async with connect(address(hub), token=admin_token(hub)) as client:
        train = client.subscribe("12345", on_snapshot=lambda _: None)
        await client.command("ANNOUNCE", **RUN, text="0")
        for number in range(1, 40):
            await client.command("ANNOUNCE", **RUN, text=str(number))
        events = aiter(train)
        heard = [await anext(events) for _ in range(40)]
    assert texts(heard) == [str(number) for number in range(40)]


@pytest.mark.made_up
@pytest.mark.gen_test
async def test_goodbye_is_honoured():
    """The client comes back, and not before the hub's retryAfterMs is over."""
    with FalseHub((goodbye(700), 1001)) as hub:
        async with connect(hub.url, backoff=QUICK) as client:
            client.subscribe("12345")
            await until(lambda: len(hub.said("SUBSCRIBE_TRAIN")) == 2)
    assert hub.opened[1] - hub.closed[0] >= 0.69


@pytest.mark.made_up
@pytest.mark.gen_test
async def test_older_seqs_are_dropped():
    """A seq that was seen is not told again, over a reconnect too."""
    first = (event(3), event(2), event(3), 1001)
    second = (event(3), event(7), event(7), event(8))
    heard = []
    with FalseHub(first, second) as hub:
        async with connect(hub.url, backoff=QUICK) as client:
            client.subscribe("12345", on_event=heard.append)
            await until(lambda: [each["seq"] for each in heard] == [3, 7, 8])
    assert hub.said("SUBSCRIBE_TRAIN")[1]["since"] == {"epoch": "e1", "seq": 3}


@pytest.mark.made_up
@pytest.mark.parametrize("day", [None, RUN["startDate"]])
@pytest.mark.gen_test
async def test_the_next_run_is_told(day):
    """NEXT_RUN has its own handler. A reconnect asks for it, unless the app named the date."""
    told, figures = [], []
    with FalseHub((next_run("2026-11-24"), 1001)) as hub:
        async with connect(hub.url, backoff=QUICK) as client:
            client.subscribe("12345", day, on_next_run=told.append, on_figures=figures.append)
            await until(lambda: len(hub.said("SUBSCRIBE_TRAIN")) == 2)
    assert [each["data"]["startDate"] for each in told] == ["2026-11-24"]
    assert figures == []
    asked = [each.get("nextRun") for each in hub.said("SUBSCRIBE_TRAIN")]
    assert asked == [None, None if day else True]


@pytest.mark.made_up
@pytest.mark.parametrize("role", ["PASSENGER", "TTE"])
@pytest.mark.gen_test
async def test_a_passenger_s_app_acknowledges_what_asks_for_it(role):
    """Once each, as soon as the app has it; an ERROR for it has no effect."""
    told = (event(3), event(4, ack=True), event(4, ack=True), event(5, "UPGRADE_OFFER", ack=True))
    heard = []
    with FalseHub(told, role=role) as hub:
        async with connect(hub.url, token="good", backoff=QUICK) as client:
            client.subscribe("12345", on_event=heard.append)
            await until(lambda: [each["seq"] for each in heard] == [3, 4, 5])
            await client.command("ANNOUNCE", **RUN, text="x")
    expected = [{"type": "ACK", **RUN, "seq": seq} for seq in (4, 5)]
    assert hub.said("ACK") == (expected if role == "PASSENGER" else [])


@pytest.mark.made_up
@pytest.mark.gen_test
async def test_4403_ends_it_until_there_is_a_fresh_token():
    """The client does not come back with the token that was revoked."""
    states = []
    with FalseHub((), (4403,), refused=("old",)) as hub:
        async with connect(hub.url, token="old", on_state=states.append, backoff=QUICK) as client:
            await until(lambda: "refused" in states)
            client.subscribe("12345")
            asked = asyncio.create_task(client.identify("new"))
            assert (await asked)["user"] == "T1"
            await until(lambda: states.count("refused") == 2)  # by 4403, after it subscribed
            await client.identify("newer")
            assert await client.command("ANNOUNCE", **RUN, text="x") == {"seq": 1}
    tokens = [each["token"] for each in hub.said("IDENTIFY")]
    assert tokens == ["old", "new", "newer"]


@pytest.mark.made_up
@pytest.mark.gen_test
async def test_what_the_hub_would_take_later_is_asked_again_in_order():
    """After RATE_LIMITED and UNAVAILABLE the client sends the same command under the same key."""
    with FalseHub(later=2) as hub:
        async with connect(hub.url, backoff=QUICK) as client:
            asked = [client.command("ANNOUNCE", **RUN, text=text) for text in "ab"]
            await asyncio.gather(*asked)
    said = hub.said("ANNOUNCE")
    assert [each["text"] for each in said] == ["a", "a", "a", "b"]
    assert len({each["key"] for each in said}) == 2


@pytest.mark.gen_test
async def test_a_command_that_was_not_answered_in_time_has_lapsed(unused_port):
    """A command does not wait for ever: its error says that the outcome is not known."""
    async with connect(f"ws://127.0.0.1:{unused_port}") as client:
        with pytest.raises(HubError, match="LAPSED"):
            await client.command("ACCEPT_OFFER", offerId="x", within=0.05)
        assert not client.waiting


@pytest.mark.made_up
@pytest.mark.gen_test
async def test_another_users_commands_wait_for_their_user():
    """The commands of one TTE are never sent under the name of the phone's next user."""
    kept = {"message": {"type": "MARK_BOARDED", "key": "k", **RUN, **MARK}, "user": "T2"}
    storage = {"k": json.dumps({**kept, "askedAt": 1.0, "until": 2e10})}
    with FalseHub() as hub:
        async with connect(hub.url, token="t", storage=storage) as client:
            await client.command("ANNOUNCE", **RUN, text="x")
            assert [each.user for each in client.waiting] == ["T2"]
    assert not hub.said("MARK_BOARDED")
    assert list(storage) == ["k"]


@pytest.mark.made_up
@pytest.mark.gen_test
async def test_a_handlers_own_error_takes_nothing_with_it(io_loop):
    """The error goes to asyncio's exception handler, and the next event comes."""
    heard, faults = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))

    def stumble(message):
        heard.append(message["seq"])
        raise RuntimeError("an app's own")

    with FalseHub((event(1), event(2))) as hub:
        async with connect(hub.url) as client:
            client.subscribe("12345", on_event=stumble)
            await until(lambda: heard == [1, 2])
    assert len(faults) == 2


@pytest.mark.made_up
@pytest.mark.gen_test
async def test_no_token_and_no_name_is_logged(caplog):
    """The log has no token or name, also at DEBUG."""
    caplog.set_level("DEBUG")
    with FalseHub((event(1, data={"name": "Zarathustra"}),)) as hub:
        heard = []
        async with connect(hub.url, token="s3cret-token") as client:
            client.subscribe("12345", on_event=heard.append)
            await until(lambda: heard)
    told = [each for each in caplog.records if not each.name.startswith("websockets.server")]
    said = "\n".join(each.getMessage() for each in told)
    assert "s3cret-token" not in said
    assert "Zarathustra" not in said


@pytest.mark.gen_test
async def test_a_library_that_knows_nothing_of_the_hub_speaks_to_it(start_again):
    """The plain library `websockets` can identify, subscribe, and hear an event."""
    hub = start_again()
    async with plain_connect(address(hub)) as socket:
        await socket.send(json.dumps({"type": "IDENTIFY", "token": admin_token(hub)}))
        await socket.send(json.dumps({"type": "SUBSCRIBE_TRAIN", "trainNo": "12345"}))
        await socket.send(json.dumps({"type": "ANNOUNCE", **RUN, "text": "heard"}))
        seen = []
        while "ANNOUNCEMENT" not in seen:
            seen.append(json.loads(await socket.recv())["type"])
    assert seen[:4] == ["WELCOME", "IDENTIFIED", "SUBSCRIBED", "SNAPSHOT"]
