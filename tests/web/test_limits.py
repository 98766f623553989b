"""trainhub/web/limits.py: what one client may ask, and how many there may be."""

import struct
from dataclasses import fields

import pytest
from fakes import Clock
from railway import RUN
from tornado.httpclient import HTTPClientError
from waiting import until
from websockets.frames import Opcode

from trainhub.access.identity import ANONYMOUS, Identity
from trainhub.domain.model import Role
from trainhub.settings import Settings
from trainhub.web.limits import (
    BAD_BURST,
    BURST_SECONDS,
    BYTES_A_MESSAGE,
    FRAME_BURST,
    LEAST_BURST_BYTES,
    SHARE,
    SHARE_BURST,
    Account,
    Addresses,
    Askers,
    Bucket,
    InDebt,
    Limits,
    Meter,
    TooOften,
    rate_of,
)
from trainhub.web.proxies import Proxies
from trainhub.web.websocket import TrainSocket

HERE = {"trainNo": "12345", "startDate": "2026-11-23"}


@pytest.fixture
def settings_of_web(limits):
    """A clock that stands still: the rates do not depend on the machine's speed."""
    return {"limits": Limits(**limits), "clock": Clock()}


@pytest.fixture
def limits():
    """Return the fields of Limits that a test overrides."""
    return {}


@pytest.fixture
def running(io_loop, site):
    """Train 12345 is registered."""
    io_loop.run_sync(site.register)


# --- the buckets --------------------------------------------------------------------------------


def test_a_bucket_fills_at_its_rate_and_no_further():
    """A bucket allows its burst at once, then its rate; silence earns no more than the burst."""
    clock = Clock()
    bucket = Bucket(10, 50, clock)
    assert [bucket.spend() for _ in range(50)] == [0] * 50
    assert bucket.spend() == pytest.approx(0.1)
    clock.now = 0.2
    assert bucket.spend() == 0
    clock.now = 1_000
    assert bucket.spend(50) == 0
    assert bucket.spend() > 0


def test_a_client_that_waits_as_told_is_heard():
    """After the seconds that the bucket names no debt is left."""
    clock = Clock()
    bucket = Bucket(10, 5, clock)
    for _ in range(8):
        wait = bucket.spend()
    assert wait == pytest.approx(0.3)
    clock.now = wait + 0.1 + 1e-9
    assert bucket.spend() == 0
    assert not bucket.is_spent


def test_sustained_abuse_differs_from_a_burst():
    """A bucket is spent when its debt is as large as the burst."""
    bucket = Bucket(1, 5, Clock())
    for _ in range(10):
        bucket.spend()
        assert not bucket.is_spent
    bucket.spend()
    assert bucket.is_spent


@pytest.mark.parametrize("role", [None, *Role])
def test_staff_may_say_more(role):
    """TTEs, the control room and feeds have a higher rate than passengers and anonymous clients."""
    expected = 7 if role in (None, Role.PASSENGER) else 900
    assert rate_of(Limits(message_rate=7, staff_message_rate=900), role) == expected


def test_a_meter_counts_messages_bytes_and_frames():
    """Each has its own bucket; the meter is spent when one bucket is."""
    meter = Meter(10, Clock())
    assert [meter.message() for _ in range(50)] == [0] * 50
    assert meter.message() > 0
    assert not meter.is_spent
    meter = Meter(10, Clock())
    meter.frame(LEAST_BURST_BYTES + 100_000, whole=True)
    assert meter.message() > 0
    meter.frame(LEAST_BURST_BYTES, whole=True)
    assert meter.is_spent
    meter = Meter(10, Clock())
    for _ in range(2 * FRAME_BURST + 10):
        meter.frame(6, whole=False)
    assert meter.is_spent


def test_a_new_rate_begins_with_all_it_allows():
    """After a change of rate the bucket is full; the same rate again changes nothing."""
    meter = Meter(10, Clock())
    for _ in range(55):
        meter.message()
    meter.set_rate(10)
    assert meter.message() > 0
    meter.set_rate(1_000)
    assert not any(meter.message() for _ in range(1_000 * BURST_SECONDS))


def test_addresses_are_counted_except_this_machine_s():
    """A proxy on this machine speaks for many clients; an address without sockets is dropped."""
    addresses = Addresses()
    for address in ("10.0.0.1", "10.0.0.1", "fe80::1", "127.0.0.1", "::1", "127.9.9.9"):
        addresses.enter(address)
    counts = [addresses.count(each) for each in ("10.0.0.1", "fe80::1", "127.0.0.1", "::1")]
    assert counts == [2, 1, 0, 0]
    for address in ("10.0.0.1", "10.0.0.1", "fe80::1", "127.0.0.1"):
        addresses.leave(address)
    assert addresses._open == {}


def asked(askers, identity, address):
    """Return True if one more request is accepted."""
    try:
        askers.admit(identity, address)
    except TooOften:
        return False
    return True


def test_each_user_and_each_address_has_its_own_rate():
    """A user has one rate from all addresses; one caller's flood does not limit another."""
    askers = Askers(Limits(message_rate=1, staff_message_rate=4, address_rate=2), clock=Clock())
    passenger, tte = Identity("IR_1", Role.PASSENGER), Identity("T1", Role.TTE)
    let = {
        who: sum(asked(askers, identity, f"10.0.{n}.1") for n in range(100))
        for who, identity in (("passenger", passenger), ("tte", tte))
    }
    assert let == {"passenger": BURST_SECONDS, "tte": 4 * BURST_SECONDS}
    assert sum(asked(askers, ANONYMOUS, "10.0.0.1") for _ in range(100)) == 2 * BURST_SECONDS
    assert asked(askers, ANONYMOUS, "10.0.0.2")


def test_sockets_of_one_network_of_ipv6_are_counted_together():
    """A client with one address of a /64 network has all of them."""
    addresses = Addresses()
    for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):
        addresses.enter(address)
    assert addresses.count("2001:db8::99") == 2
    addresses.leave("2001:db8::1")
    assert addresses.count("2001:db8::1") == 1


def test_a_refusal_costs_nothing():
    """After the seconds that a refusal names, a request is accepted, however many were refused."""
    clock = Clock()
    askers = Askers(Limits(address_rate=1), clock=clock)
    for _ in range(BURST_SECONDS):
        askers.admit(ANONYMOUS, "10.0.0.1")
    for _ in range(1_000):
        with pytest.raises(TooOften) as refused:
            askers.admit(ANONYMOUS, "10.0.0.1")
    assert refused.value.seconds == pytest.approx(1)
    clock.now = 1.0001
    assert asked(askers, ANONYMOUS, "10.0.0.1")


def test_an_address_of_ipv6_is_its_network():
    """A client with one address has 2**64 of them."""
    askers = Askers(Limits(address_rate=1), clock=Clock())
    assert sum(asked(askers, ANONYMOUS, f"2001:db8::{n:x}") for n in range(1, 99)) == BURST_SECONDS
    assert asked(askers, ANONYMOUS, "2001:db8:0:1::1")


@pytest.mark.parametrize("own_are_free", [True, False])
def test_this_machine_s_own_addresses(own_are_free):
    """Requests of this machine have no limit, unless a trusted proxy on it names clients."""
    askers = Askers(Limits(address_rate=1), own_are_free, Clock())
    for address in ("127.0.0.1", "::1"):
        let = sum(asked(askers, ANONYMOUS, address) for _ in range(100))
        assert let == (100 if own_are_free else BURST_SECONDS)


def test_an_answer_counts_by_its_bytes():
    """Each 4 KB count as a message, up to a debt of half a burst: the size is not known before."""
    meter = Meter(20, Clock())
    meter.answered(50 * BYTES_A_MESSAGE)
    assert meter.message() == 0
    meter.answered(1_000 * BYTES_A_MESSAGE)
    wait = meter.message()
    assert 2 < wait <= 51 / 20
    assert (
        not meter.is_spent
    )  # the client must wait, but is not closed for a size it could not know
    for _ in range(60):
        meter.message()
    assert meter.is_spent


def test_askers_are_forgotten(monkeypatch):
    """A full account is dropped, and above the bound the account that was silent longest."""
    monkeypatch.setattr("trainhub.web.limits.MOST_ASKERS", 50)
    clock = Clock()
    askers = Askers(Limits(address_rate=1), clock=clock)
    for number in range(200):
        askers.admit(ANONYMOUS, f"10.0.0.{number}")
        assert len(askers) <= 50
    clock.now = 60
    for number in range(50):
        askers.admit(ANONYMOUS, f"10.0.1.{number}")
    assert len(askers) == 50
    for clock.now in range(120, 170):
        askers.admit(ANONYMOUS, "10.0.2.1")
    assert len(askers) == 1


# --- what work costs ----------------------------------------------------------------------------


def test_work_is_paid_off_at_the_caller_s_share():
    """After the burst the next request waits until the debt is paid, and no longer."""
    clock = Clock()
    account = Account(rate=1_000, share=0.1, clock=clock)
    account.spend(SHARE_BURST * 0.1)
    account.admit()
    account.spend(0.2)
    with pytest.raises(InDebt) as refused:
        account.admit()
    assert refused.value.seconds == pytest.approx(2)
    clock.now = 2.001
    account.admit()
    clock.now = 3
    account.spend(1_000)
    assert account.debt() == pytest.approx(SHARE_BURST)


def test_each_caller_pays_for_its_own_work():
    """Accounts are per user, or per address without a token, also for this machine.

    A proxy on this machine that is not trusted speaks for many clients: they share one account.
    """
    askers = Askers(Limits(), clock=Clock())
    callers = [
        (Identity("IR_1", Role.PASSENGER), "10.0.0.1"),
        (Identity("IR_2", Role.PASSENGER), "10.0.0.1"),
        (Identity("T1", Role.TTE), "10.0.0.1"),
        (ANONYMOUS, "10.0.0.1"),
        (ANONYMOUS, "10.0.0.2"),
        (ANONYMOUS, "127.0.0.1"),
    ]
    accounts = [askers.account(*caller) for caller in callers]
    assert len({id(account) for account in accounts}) == len(callers)
    assert askers.account(Identity("IR_1", Role.PASSENGER), "10.9.9.9") is accounts[0]
    assert askers.account(ANONYMOUS, "::1") is accounts[-1]
    for account in accounts:
        account.spend(100)
    for caller in callers:
        assert not asked(askers, *caller)
    assert asked(askers, ANONYMOUS, "10.0.0.3")


def test_no_crowd_of_addresses_pushes_out_a_user(monkeypatch):
    """A user in debt keeps the debt although many addresses have asked."""
    monkeypatch.setattr("trainhub.web.limits.MOST_ASKERS", 50)
    askers = Askers(Limits(), clock=Clock())
    user = Identity("IR_1", Role.PASSENGER)
    askers.account(user, "10.0.0.1").spend(100)
    for number in range(200):
        askers.admit(ANONYMOUS, f"10.1.0.{number}")
    assert not asked(askers, user, "10.0.0.1")


class TestDebt:
    """Debt over HTTP and on a socket, with the default shares."""

    @pytest.mark.gen_test
    async def test_a_request_costs_its_caller_what_it_took(self, site, running, call):
        """A request costs its work and its bytes; a free request makes no account."""
        account = site.web.askers.account(Identity("T1", Role.TTE, frozenset({"12345"})), "")
        before = account._work._tokens
        await call("GET", "/api/trains/12345", who="TTE")
        assert account._work._tokens < before
        await call("GET", "/healthz")
        assert len(site.web.askers) == 1

    @pytest.mark.gen_test
    async def test_only_a_caller_in_debt_is_refused(self, site, running, call):
        """After some waiting the request gets 429 with the time to ask again."""
        debtor = site.web.askers.account(Identity("IR_1", Role.PASSENGER), "")
        debtor.spend(100)
        refused = await call("GET", "/api/trains", who="PASSENGER")
        assert (refused.status, refused.code) == (429, "RATE_LIMITED")
        assert 0 < int(refused.headers["Retry-After"]) <= SHARE_BURST
        for other in ("OTHER_PASSENGER", "TTE", None):
            assert (await call("GET", "/api/trains", who=other)).status == 200
        assert (await call("GET", "/api/monitor")).json["clients"]["tooOften"] == 1

    @pytest.mark.gen_test
    async def test_a_socket_in_debt_is_heard_later(self, site, running, connect):
        """A user pays for all its sockets; a message that is not heard gets RATE_LIMITED."""
        sockets = [await connect("PASSENGER") for _ in range(2)]
        other = await connect("OTHER_PASSENGER")
        for each in sockets:
            await each.ask("PONG", "PING")
        debtor = site.web.askers.account(Identity("IR_1", Role.PASSENGER), "")
        debtor.spend(100)
        for each in sockets:
            error = await each.ask("ERROR", "PING", id=7)
            assert (error["code"], error["id"]) == ("RATE_LIMITED", 7)
            assert error["retryAfterMs"] > 0
        await other.ask("PONG", "PING")

    @pytest.mark.gen_test
    async def test_an_address_in_debt_lets_its_users_in(self, site, running, connect):
        """Users at the address of an anonymous client in debt may still identify."""
        site.web.askers.account(ANONYMOUS, "127.0.0.1").spend(100)
        client = await connect()
        await client.ask("IDENTIFIED", "IDENTIFY", token=site.token("TTE"))
        await client.ask("PONG", "PING")
        stranger = await connect()
        await stranger.ask("PONG", "PING")
        assert (await stranger.ask("ERROR", "PING"))["code"] == "RATE_LIMITED"


class TestSmallDebt:
    """With a running clock, over HTTP and on a socket: a small debt only delays."""

    @pytest.fixture
    def settings_of_web(self):
        return {}

    @pytest.fixture
    def debtor(self, site, running):
        """Return a passenger's account."""
        return site.web.askers.account(Identity("IR_1", Role.PASSENGER), "")

    @pytest.mark.gen_test
    async def test_a_request_waits(self, debtor, call):
        """It is answered, and not refused."""
        debtor._work._tokens = -SHARE / 10
        assert (await call("GET", "/api/trains", who="PASSENGER")).status == 200

    @pytest.mark.gen_test
    async def test_a_message_waits(self, debtor, connect):
        """It is answered, and not refused."""
        client = await connect("PASSENGER")
        debtor._work._tokens = -SHARE / 10
        await client.ask("PONG", "PING")


def test_each_limit_is_a_setting_with_the_same_default():
    """The tests of the edge use the limits that a hub has by default."""
    for each in fields(Limits):
        assert getattr(Settings(), each.name) == each.default


# --- on a socket --------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize("limits", [{"message_rate": 2}])
async def test_too_many_messages(connect, raw):
    """ERROR RATE_LIMITED with retryAfterMs, under the message's id; then 4429 if it goes on."""
    other = await connect()
    client = await connect()
    for number in range(2 * BURST_SECONDS):
        assert (await client.ask("PONG", "PING", id=number))["id"] == number
    error = await client.ask("ERROR", "PING", id="x")
    assert (error["code"], error["id"]) == ("RATE_LIMITED", "x")
    assert 0 < error["retryAfterMs"] <= 500
    for _ in range(4 * BURST_SECONDS):
        await client.say("PING")
    code, reason = await client.closed()
    assert (code, "retryAfterMs" in reason) == (4429, True)
    await until(lambda: len(TrainSocket.sockets) == 1)
    await other.ask("PONG", "PING")


@pytest.mark.gen_test
@pytest.mark.parametrize("limits", [{"message_rate": 1, "staff_message_rate": 200}])
@pytest.mark.parametrize("how", ["IDENTIFY", "subprotocol"])
async def test_a_socket_of_staff_may_say_more(connect, site, how):
    """The higher rate holds from the moment of IDENTIFY or of the subprotocol's token."""
    offered = ["trainhub.v1", "bearer." + site.token("TTE")]
    client = await (connect("TTE") if how == "IDENTIFY" else connect(subprotocols=offered))
    for _ in range(200):
        await client.ask("PONG", "PING")


@pytest.mark.gen_test
@pytest.mark.parametrize("what", ["pings", "pongs", "empty parts"])
async def test_a_flood_of_frames(raw, connect, what):
    """Too many control frames or parts of a message close the socket, also without a message."""
    other = await connect()
    socket, _ = await raw()
    if what == "empty parts":
        socket.writer.write(bytes((0x01, 0x80)) + bytes(4))
    opcode = {"pings": Opcode.PING, "pongs": Opcode.PONG, "empty parts": Opcode.CONT}[what]
    frame = bytes((opcode, 0x80)) if what == "empty parts" else bytes((0x80 | opcode, 0x80))
    socket.writer.write((frame + bytes(4)) * (3 * FRAME_BURST))
    assert await socket.close_code() == 4429
    await other.ask("PONG", "PING")


@pytest.mark.gen_test
@pytest.mark.parametrize("limits", [{"message_rate": 1_000, "staff_message_rate": 1}])
async def test_too_many_bytes(raw, site, running):
    """A few large messages count as much as many small ones."""
    socket, _ = await raw()
    socket.say("IDENTIFY", token=site.token("TTE"))
    for _ in range(3 * LEAST_BURST_BYTES // 60_000):
        socket.say("PING", id="x" * 60_000)
    assert await socket.close_code() == 4429


@pytest.mark.gen_test
async def test_too_many_bad_messages(connect, running):
    """Each is answered; a client that sends little else is closed with 4400."""
    client = await connect()
    for _ in range(BAD_BURST):
        assert (await client.ask("ERROR", "NONSENSE"))["code"] == "UNKNOWN_TYPE"
    assert (await client.ask("ERROR", "SUBSCRIBE_TRAIN", trainNo="99999"))["code"] != "BAD_MESSAGE"
    await client.ask("PONG", "PING")
    await client.say("NONSENSE")
    assert (await client.closed())[0] == 4400


@pytest.mark.gen_test
@pytest.mark.parametrize("limits", [{"identify_seconds": 0}])
@pytest.mark.parametrize("what", ["nothing", "subscribed", "identified", "left again"])
async def test_a_socket_without_identity_or_room_is_closed(connect, site, running, what):
    """It gets 4401; a socket that has identified, or subscribed without a token, stays."""
    client = await connect("PASSENGER" if what == "identified" else None)
    if what in ("subscribed", "left again"):
        await client.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)
    if what == "left again":
        await client.ask("UNSUBSCRIBED", "UNSUBSCRIBE_TRAIN", **HERE)
    TrainSocket.dismiss_idlers()
    assert not TrainSocket.newcomers
    if what in ("nothing", "left again"):
        assert (await client.closed())[0] == 4401
    else:
        await client.ask("PONG", "PING")


@pytest.mark.gen_test
async def test_a_new_socket_has_its_time(connect):
    """A new socket stays open for its time; after an earlier close it is no longer counted."""
    client = await connect()
    TrainSocket.dismiss_idlers()
    assert len(TrainSocket.newcomers) == 1
    await client.ask("PONG", "PING")
    client.connection.close()
    await until(lambda: not TrainSocket.newcomers)


@pytest.mark.gen_test
async def test_a_closed_client_hears_and_does_nothing_more(raw, site, running):
    """From the close on it is in no room, and its messages are ignored."""
    socket, _ = await raw()
    socket.say("IDENTIFY", token=site.token("ADMIN"))
    socket.say("SUBSCRIBE_TRAIN", **HERE)
    await until(lambda: RUN in TrainSocket.rooms)
    (handler,) = TrainSocket.sockets
    seq = site.hub.state(RUN).seq
    handler._close(4429, "why")
    assert RUN not in TrainSocket.rooms
    socket.say("ANNOUNCE", **HERE, text="too late")
    socket.say("SUBSCRIBE_TRAIN", **HERE)
    socket.send(Opcode.CLOSE, struct.pack("!H", 4429))
    assert await socket.close_code() == 4429
    await until(lambda: not TrainSocket.sockets)
    assert site.hub.state(RUN).seq == seq
    assert not TrainSocket.rooms


class TestAddresses:
    """Behind a trusted proxy that names its clients, since a test has one address only."""

    @pytest.fixture
    def limits(self):
        return {"max_connections_per_address": 2}

    @pytest.fixture
    def proxies(self):
        return Proxies(["127.0.0.1"])

    @pytest.mark.gen_test
    async def test_an_address_has_so_many_sockets(self, connect):
        """The next one gets 503 and when to try again; other addresses may connect."""
        here, there = {"X-Forwarded-For": "10.0.0.1"}, {"X-Forwarded-For": "10.0.0.2"}
        first, _ = await connect(headers=here), await connect(headers=here)
        with pytest.raises(HTTPClientError) as raised:
            await connect(headers=here)
        assert raised.value.code == 503
        assert raised.value.response.headers["Retry-After"] == "5"
        await connect(headers=there)
        first.connection.close()
        await until(lambda: TrainSocket.addresses.count("10.0.0.1") == 1)
        await (await connect(headers=here)).ask("PONG", "PING")


class TestOverHttp:
    """Behind a trusted proxy, with rates that a test reaches."""

    @pytest.fixture
    def limits(self):
        return {"message_rate": 2, "staff_message_rate": 4, "address_rate": 3}

    @pytest.fixture
    def settings_of_web(self, settings_of_web):
        return {**settings_of_web, "own_are_free": False}

    @pytest.fixture
    def proxies(self):
        return Proxies(["127.0.0.1"])

    @pytest.fixture
    def ask(self, call):
        """Return a function that sends a request from an address and returns the status."""

        async def send(address, path="/api/trains", who=None, **headers):
            headers["X-Forwarded-For"] = address
            return await call("GET", path, who=who, headers=headers)

        return send

    @pytest.mark.gen_test
    @pytest.mark.parametrize("path", ["/", "/nowhere", "/static/monitor.js", "/version", "/ws"])
    async def test_a_flood_limits_only_its_own_address(self, ask, path):
        """It gets 429 and when to try again at every path; others and watchdogs are served."""
        for _ in range(3 * BURST_SECONDS):
            assert (await ask("10.0.0.1", path)).status != 429
        refused = await ask("10.0.0.1", path)
        assert (refused.status, refused.code) == (429, "RATE_LIMITED")
        assert refused.headers["Retry-After"] == "1"
        assert 0 < refused.json["error"]["retryAfterMs"] <= 334
        assert (await ask("10.0.0.1")).status == 429
        for healthy in ("/healthz", "/readyz"):
            assert (await ask("10.0.0.1", healthy)).status == 200
        assert (await ask("10.0.0.2")).status == 200
        assert (await ask("10.0.0.1", who="TTE")).status == 200

    @pytest.mark.gen_test
    async def test_a_user_has_one_rate_from_everywhere(self, ask):
        """A user's requests do not count for the address."""
        for number in range(2 * BURST_SECONDS):
            assert (await ask(f"10.0.0.{number}", who="PASSENGER")).status == 200
        assert (await ask("10.0.0.99", who="PASSENGER")).status == 429
        assert (await ask("10.0.0.99", who="OTHER_PASSENGER")).status == 200
        assert (await ask("10.0.0.1")).status == 200

    @pytest.mark.gen_test
    async def test_bad_tokens_are_their_address_s(self, ask):
        """A client that tries tokens is soon told to wait, and not if the last token was valid."""
        answers = [await ask("10.0.0.1", Authorization=f"Bearer {n}") for n in range(20)]
        statuses = [each.status for each in answers]
        assert statuses == [401] * (3 * BURST_SECONDS) + [429] * (20 - 3 * BURST_SECONDS)

    @pytest.mark.gen_test
    async def test_a_refused_command_has_not_happened(self, site, call, running):
        """The client may send it again."""
        path, statuses = "/api/trains/12345/announcements", []
        while 429 not in statuses:
            statuses.append((await call("POST", path, {"text": "x"}, "TTE")).status)
        assert statuses.count(200) >= 4 * BURST_SECONDS
        assert site.hub.state(RUN).seq == 1 + statuses.count(200)
