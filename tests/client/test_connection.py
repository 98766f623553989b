"""trainhub_client/connection.py: nothing ends it silently, and no user acts as another.

The real client on simulated time, with a model of the hub; tests/test_client.py has real hubs.
"""

import asyncio
from random import Random

import jwt
import pytest
from simulated import RUN, ModelHub, Network, simulate

from trainhub_client import HubError, connect

pytestmark = pytest.mark.made_up  # the model's messages are shorter than a hub's


def token(user):
    return jwt.encode({"sub": user}, "x" * 32, "HS256")


class Hub(ModelHub):
    """A hub that sends each new subscriber the texts or bytes of `odd` once."""

    def __init__(self, *odd, stale=()):
        super().__init__(Random(1))
        self.odd, self.stale = list(odd), stale
        self.users = []

    def on_identify(self, session, message):
        if message["token"] in self.stale:
            yield {"type": "ERROR", "code": "BAD_TOKEN", "message": "no"}
            return
        user = jwt.decode(message["token"], options={"verify_signature": False})["sub"]
        self.users.append(user)
        yield from super().on_identify(session, {**message, "token": user})

    def on_logout(self, session, message):
        session.user, session.subscribed = None, False
        yield {"type": "LOGGED_OUT"}

    def on_subscribe_train(self, session, message):
        yield from super().on_subscribe_train(session, message)
        if self.odd:
            odd = self.odd.pop(0)
            send = session.ws.send_binary if isinstance(odd, bytes) else session.ws.send_text
            send(odd if isinstance(odd, bytes) else odd.encode())


def play(app, hub=None, **options):
    """Run `app(client, hub, network)` with a connected client, on simulated time."""
    hub = hub or Hub()
    network = Network(hub)
    told = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context.get("exception")))
        options.setdefault("on_error", told.append)
        async with connect("ws://hub/ws", **options) as client:
            await app(client, hub, network)

    simulate(main, network, hours=48)
    return told


async def until(condition, seconds=200):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


ODD = [
    "not json",
    "",
    "[]",
    "null",
    "5",
    "{}",
    '{"type": "SNAPSHOT", "trainNo": "12345", "startDate": "2026-11-23"}',
    '{"type": "SNAPSHOT", "trainNo": "12345", "startDate": "2026-11-23", "seq": 9}',
    '{"type": "ANNOUNCEMENT", "trainNo": "12345", "startDate": "2026-11-23", "seq": "x"}',
    '{"type": "GOODBYE", "reason": "it stops", "retryAfterMs": "soon"}',
    '{"type": "WELCOME"}',
    b"\xff\x00 a binary frame",
    "a lone surrogate: \\ud800",
]


@pytest.mark.parametrize("odd", ODD)
def test_a_message_that_is_not_the_protocols(odd):
    """The client reports the message, connects again, and misses nothing."""
    heard = []

    async def app(client, hub, network):
        client.subscribe("12345", on_event=heard.append, on_snapshot=heard.append)
        await until(lambda: heard)
        for text in "ab":
            hub.announce(text)
        await asyncio.sleep(60)
        assert (await client.command("ANNOUNCE", **RUN, text="c"))["seq"] == 3
        await until(lambda: [each["seq"] for each in heard[-3:]] == [1, 2, 3])

    told = play(app, Hub(odd), token=token("T1"))
    assert [each.code for each in told] == ["BROKEN"]


def test_an_answer_that_is_half_an_answer():
    """After an incomplete ERROR or DONE the client asks again on another socket."""

    class Half(Hub):
        halves = iter([{"type": "ERROR"}, {"type": "DONE"}, {"type": "DONE", "id": None}])

        def on_command(self, session, message):
            if (half := next(self.halves, None)) is not None:
                yield half
            else:
                yield from super().on_command(session, message)

    async def app(client, hub, network):
        assert (await client.command("ANNOUNCE", **RUN, text="x"))["seq"] == 1
        assert len(hub.log) == 1

    assert {each.code for each in play(app, Half(), token=token("T1"))} == {"BROKEN"}


def test_a_command_that_is_never_answered_is_asked_again():
    """The client sends a lost message again though the hub answers PINGs."""

    class Forgetful(Hub):
        lost = 1

        def on_command(self, session, message):
            if self.lost:
                self.lost -= 1
                return
            yield from super().on_command(session, message)

    async def app(client, hub, network):
        async with asyncio.timeout(120):
            await client.command("ANNOUNCE", **RUN, text="x")

    play(app, Forgetful(), token=token("T1"))


@pytest.mark.parametrize("error", [ValueError("a widget is gone"), asyncio.CancelledError()])
def test_handlers_that_raise_in_every_place(error):
    """Each handler's error is reported, and the connection goes on."""

    def stumble(*_):
        raise error

    async def stumble_later(*_):
        raise error

    async def app(client, hub, network):
        sync = client.subscribe(
            "12345", on_event=stumble, on_snapshot=stumble, on_figures=stumble, on_error=stumble
        )
        client.subscribe("12345", on_event=stumble_later, on_snapshot=stumble_later)
        await until(lambda: client.state == "live")
        for text in "ab":
            hub.announce(text)
        hub.restart()
        hub.refusal = "UNKNOWN_TRAIN"
        await asyncio.sleep(20)
        hub.refusal = None
        await asyncio.sleep(100)
        hub.announce("c")
        await until(lambda: sync.since["seq"] == 3)
        assert (await client.command("ANNOUNCE", **RUN, text="d"))["seq"] == 4

    play(app, token=token("T1"), on_state=stumble, on_error=stumble)


class Cancelled:
    """An awaitable that the app has cancelled."""

    def __await__(self):
        raise asyncio.CancelledError
        yield


@pytest.mark.parametrize(
    "failure", [OSError("no route"), ValueError("a bug"), asyncio.CancelledError(), None]
)
def test_a_token_function_that_fails_is_called_again(failure):
    """`reason` says why; a cancelled awaitable counts as a failure."""
    states = []

    def fetch():
        if len(states) < 6:
            if failure is None:
                return Cancelled()
            raise failure
        return token("T1")

    async def app(client, hub, network):
        await asyncio.sleep(0.01)
        assert client.state == "waiting"
        assert client.reason.startswith("there is no token")
        assert (await client.command("ANNOUNCE", **RUN, text="x"))["seq"] == 1

    play(app, token=fetch, on_state=states.append)


def test_a_token_function_that_never_returns_is_given_up():
    """The next try calls the function again."""
    calls = []

    async def fetch():
        calls.append(1)
        if len(calls) == 1:
            await asyncio.sleep(1e6)
        return token("T1")

    async def app(client, hub, network):
        await client.command("ANNOUNCE", **RUN, text="x")

    play(app, token=fetch)


def test_a_token_that_is_no_text_is_refused():
    """A wrong type is refused at once, or when the function returns it."""
    with pytest.raises(TypeError):
        connect("ws://hub/ws", token=5)

    async def app(client, hub, network):
        with pytest.raises(HubError, match="BAD_TOKEN"):
            await anext(aiter(client.subscribe("12345")))
        assert client.state == "refused"
        await client.identify(token("T1"))
        assert client.state == "live"

    play(app, token=lambda: 5)


@pytest.mark.parametrize("url", ["htp://x/ws", "ws://", "x", "", "wsx://h/ws", "http:/x"])
def test_an_address_that_is_none(url):
    """A wrong address raises ValueError at once."""
    with pytest.raises(ValueError, match="isn't a valid URI"):
        connect(url)


def test_a_proxy_that_cannot_be_used(monkeypatch):
    """An unusable proxy is reported, and the client tries again."""
    monkeypatch.setenv("SOCKS_PROXY", "socks5://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    async def app(client, hub, network):
        await asyncio.sleep(30)
        assert client.state in ("waiting", "connecting")
        monkeypatch.undo()
        await until(lambda: client.state == "live")

    assert {each.code for each in play(app)} <= {"BROKEN"}


def test_a_task_that_is_cancelled_from_outside_tells_all_who_wait():
    """Commands, iterations and `identify` get CLOSED."""

    async def app(client, hub, network):
        network.trouble = "refuse"
        train = client.subscribe("12345")
        waits = [
            asyncio.create_task(client.command("ANNOUNCE", **RUN, text="x")),
            asyncio.create_task(anext(aiter(train))),
            asyncio.create_task(client.identify(token("T1"))),
        ]
        await asyncio.sleep(1)
        for task in asyncio.all_tasks():
            if "_stay_connected" in repr(task.get_coro()):
                task.cancel()
        ends = await asyncio.gather(*waits, return_exceptions=True)
        assert [end.code for end in ends] == ["CLOSED"] * 3
        assert client.state == "closed"
        with pytest.raises(HubError, match="CLOSED"):
            await client.command("ANNOUNCE", **RUN, text="x")

    play(app)


def test_the_client_closes_on_a_link_that_takes_nothing_more():
    """The end of the block does not wait for an absent hub."""

    async def app(client, hub, network):
        async with connect("ws://hub/ws") as another:
            await until(lambda: another.state == "live")
            network.lines[-1].silent = network.lines[-1].peer.silent = True
            started = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - started < 3

    play(app, token=token("T1"))


# --- trains that are not there yet ------------------------------------------------------------


@pytest.mark.parametrize("code", ["UNKNOWN_TRAIN", "UNAVAILABLE"])
def test_a_train_that_is_not_there_yet_is_asked_for_again(code):
    """The app is told once, and events come when the train exists."""
    hub, heard, told = Hub(), [], []
    hub.refusal = code

    async def app(client, hub, network):
        train = client.subscribe("12345")
        client.subscribe("12345", on_snapshot=heard.append, on_event=print, on_error=told.append)
        await asyncio.sleep(300)
        assert not heard
        hub.refusal = None
        assert (await anext(aiter(train)))["type"] == "SNAPSHOT"
        await until(lambda: heard)

    complaints = play(app, hub, token=token("T1"))
    assert [(each.code, each.final) for each in told + complaints] == [(code, False)] * 2


def test_a_final_refusal_is_told_and_ends_the_subscription():
    """NOT_IDENTIFIED and FORBIDDEN reach the iteration or `on_error`."""
    hub, told = Hub(), []
    hub.refusal = "FORBIDDEN"

    async def app(client, hub, network):
        client.subscribe("12345", on_event=print, on_error=told.append)
        client.subscribe("12345", on_event=print)
        with pytest.raises(HubError, match="FORBIDDEN"):
            await anext(aiter(client.subscribe("12345")))

    complaints = play(app, hub, token=token("T1"))
    assert [(each.code, each.final) for each in told + complaints] == [("FORBIDDEN", True)] * 2


# --- who it is --------------------------------------------------------------------------------


def marks_of(hub):
    return [(text, user) for text, user in hub.log]


def test_marks_of_one_are_never_anothers():
    """No command is sent as another user, live, offline or during the change."""
    notes = []

    async def app(client, hub, network):
        def mark(text):
            return asyncio.create_task(client.command("ANNOUNCE", **RUN, text=text))

        first = mark("A: before it is connected")
        await first
        network.trouble = "refuse"
        network.lines[-1].cut()
        await until(lambda: client.state == "waiting")
        offline = mark("A: offline")
        await asyncio.sleep(1)
        identified = asyncio.create_task(client.identify(token("B")))
        await asyncio.sleep(1)
        while_changing = mark("B: asked after identify")
        network.trouble = None
        assert (await identified)["user"] == "B"
        await while_changing
        await asyncio.sleep(60)
        assert not offline.done()
        live = asyncio.create_task(client.identify(token("A")))
        await asyncio.sleep(0)
        at_once = mark("A: asked while B is still live")
        await asyncio.gather(live, offline, at_once)

    notes = play(app, hub := Hub(), token=token("A"))
    assert all(text.startswith(user) for text, user in marks_of(hub))
    assert len(hub.log) == 4
    assert [each.code for each in notes] == ["OTHERS_WAIT"]


def test_a_program_that_starts_without_a_network_leaves_its_marks_to_their_user():
    """Stored commands have the user of the token or the option."""
    storage = {}

    async def offline(client, hub, network):
        network.trouble = "refuse"
        asyncio.create_task(client.command("ANNOUNCE", **RUN, text="A")).add_done_callback(
            lambda done: done.exception()
        )
        await asyncio.sleep(5)

    async def online(client, hub, network):
        await asyncio.sleep(60)

    def no_network():
        raise OSError("no route")

    play(offline, token=token("A"), storage=storage)
    play(offline, token=no_network, user="A", storage=storage)
    play(offline, token=no_network, storage=storage)
    assert len(storage) == 3
    notes = play(online, hub := Hub(), token=token("B"), storage=storage)
    assert [len(each.details["keys"]) for each in notes] == [3]
    assert (len(hub.log), len(storage)) == (0, 3)
    notes = play(online, hub := Hub(), token=lambda: token("A"), storage=storage)
    assert marks_of(hub) == [("A", "A"), ("A", "A")]

    async def claim(client, hub, network):
        await until(lambda: client.state == "live")
        (unknown,) = client.waiting
        assert unknown.user is None
        client.claim(unknown.message["key"])
        await unknown.answer

    play(claim, hub := Hub(), token=token("A"), storage=storage)
    assert (marks_of(hub), storage) == ([("A", "A")], {})


def test_commands_before_the_first_token_are_its_users():
    """Commands wait for the first token, and belong to its user."""

    async def fetch():
        await asyncio.sleep(2)
        return token("A")

    async def app(client, hub, network):
        await client.command("ANNOUNCE", **RUN, text="x")

    play(app, hub := Hub(), token=fetch)
    assert marks_of(hub) == [("x", "A")]


def test_two_identifies_at_once():
    """The later call holds, and the earlier one raises SUPERSEDED."""

    async def app(client, hub, network):
        await until(lambda: client.state == "live")
        ends = await asyncio.gather(
            *(client.identify(token(user)) for user in "BCD"), return_exceptions=True
        )
        assert [end.code for end in ends[:2]] == ["SUPERSEDED"] * 2
        assert ends[2]["user"] == "D"
        await client.command("ANNOUNCE", **RUN, text="x")

    play(app, hub := Hub(), token=token("A"))
    assert marks_of(hub) == [("x", "D")]


def test_identify_while_it_connects():
    """The earlier user's attempt ends, and never answers for the new user."""

    async def app(client, hub, network):
        await asyncio.sleep(0.06)  # the socket is open, and IDENTIFY not yet answered
        assert (await client.identify(token("B")))["user"] == "B"
        await client.command("ANNOUNCE", **RUN, text="x")

    play(app, hub := Hub(), token=token("A"))
    assert marks_of(hub) == [("x", "B")]


@pytest.mark.parametrize("wait", [0.0, 0.01, 0.05, 1.0])
def test_identify_that_is_given_up_by_its_caller(wait):
    """After a timeout around `identify` commands go on."""

    async def slow():
        await asyncio.sleep(0.03)
        return token("B")

    async def app(client, hub, network):
        await until(lambda: client.state == "live")
        with pytest.raises(TimeoutError):  # noqa: PT012
            async with asyncio.timeout(wait):
                await client.identify(slow)
                await asyncio.sleep(10)
        async with asyncio.timeout(60):
            await client.command("ANNOUNCE", **RUN, text="x")

    play(app, token=token("A"))


def test_an_identify_that_is_refused_goes_on_as_before():
    """After a refusal the old user goes on, and each event comes once."""
    heard = []
    stale = token("stale")

    async def app(client, hub, network):
        client.subscribe("12345", on_event=lambda m: heard.append(m["seq"]))
        await until(lambda: client.state == "live")
        with pytest.raises(HubError, match="BAD_TOKEN"):
            await client.identify(stale)
        for text in "ab":
            hub.announce(text)
        await client.command("ANNOUNCE", **RUN, text="c")
        await until(lambda: len(heard) == 3)

    play(app, hub := Hub(stale=(stale,)), token=token("A"))
    assert heard == [1, 2, 3]
    assert marks_of(hub)[-1] == ("c", "A")


def test_another_user_gets_a_snapshot_though_it_is_cut():
    """A new user's app gets a new snapshot, also if the link is cut meanwhile."""
    snapshots = []

    async def app(client, hub, network):
        client.subscribe("12345", on_event=print, on_snapshot=snapshots.append)
        await until(lambda: len(snapshots) == 1)
        hub.padding = 50_000
        network.lines[-1].rate = 10_000
        asking = asyncio.create_task(client.identify(token("B")))
        await asking
        await asyncio.sleep(1)
        network.lines[-1].cut()
        await until(lambda: len(snapshots) == 2)
        assert client.state == "live"

    play(app, hub := Hub(), token=token("A"))
    assert hub.users == ["A", "B", "B"]
