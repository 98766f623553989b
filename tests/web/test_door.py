"""trainhub/web/door.py: idle connections are closed, and refused near the limit of files."""

import asyncio
import gc
import logging
import os
import resource
import socket
import subprocess
import sys

import pytest
from certificates import write_pair
from fakes import Clock
from railway import RUN, person
from waiting import PATIENCE, until

from trainhub.web import door
from trainhub.web.app import make_server
from trainhub.web.door import KEPT_BACK, MOST_WAITING, Door, raise_file_limit
from trainhub.web.limits import Askers, Limits
from trainhub.web.proxies import Proxies
from trainhub.web.tls import make_context
from trainhub.web.websocket import TrainSocket


@pytest.fixture
def room():
    """Return how many more connections fit; each takes a file at both ends."""
    return 3


@pytest.fixture
def http_server(io_loop, site, app, _unused_port, room):
    server = make_server(app)
    server.add_socket(_unused_port[0])

    async def open_pollers():
        assert server.poller
        assert site.web.poller

    io_loop.run_sync(open_pollers)  # else the first connections would open them
    gc.collect()  # close now what earlier tests left open
    # The next file numbers: there may be gaps among the open ones.
    numbers = [os.dup(0) for _ in range(min(2 * room, 100) + 1)]
    for number in numbers:
        os.close(number)
    server.most_files = numbers[-1] + max(2 * room - 100, 0) + KEPT_BACK
    yield server
    server.stop()
    io_loop.run_sync(server.close_all_connections, timeout=PATIENCE)


async def answer_of(port):
    """Send a plain request; return the answer's first line and headers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        head = (await reader.read()).decode().partition("\r\n\r\n")[0].split("\r\n")
    writer.close()
    return head[0], head[1:]


@pytest.mark.gen_test
async def test_near_the_limit_of_files(raw, connect, http_server, http_port, caplog):
    """New connections get 503 and are closed, with one log line; open ones live on."""
    clients = [await raw() for _ in range(3)]
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            status, headers = await answer_of(http_port)
            assert status == "HTTP/1.1 503 Service Unavailable"
            assert "Retry-After: 5" in headers
    assert http_server.refused == 20
    assert len([line for line in caplog.records if line.name == "trainhub.door"]) == 1
    assert len(TrainSocket.sockets) == 3
    for client, _ in clients:
        client.say("PING")
        assert b"PONG" in (await client.frames(2))[1].data
    clients[0][0].writer.transport.abort()
    await until(lambda: len(TrainSocket.sockets) == 2)
    assert (await answer_of(http_port))[0] == "HTTP/1.1 200 OK"


@pytest.mark.gen_test
async def test_a_client_that_resets_before_it_is_refused(http_server, http_port):
    """A refused client may reset the connection: the hub counts it and goes on."""
    http_server.most_files = 0
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", http_port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await until(lambda: http_server.refused == 20)


def limits_of(setup):
    """Return what raise_file_limit returns and logs in a process of its own."""
    source = f"import resource, logging; logging.basicConfig(); {setup}; "
    source += "from trainhub.web.door import raise_file_limit; "
    source += "print(raise_file_limit(1000), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    return done.stdout.split(), done.stderr


def test_the_soft_limit_is_raised_to_the_hard_one():
    """The hub uses what the system allows, without a log line."""
    said, logged = limits_of("resource.setrlimit(resource.RLIMIT_NOFILE, (300, 2000))")
    assert said == ["2000", "2000"]
    assert logged == ""


def test_too_low_a_limit_is_said_at_the_start():
    """One line says what to set."""
    said, logged = limits_of("resource.setrlimit(resource.RLIMIT_NOFILE, (300, 600))")
    assert said == ["600", "600"]
    (line,) = logged.splitlines()
    assert "--max-connections 1000" in line
    assert f"LimitNOFILE to {1000 + KEPT_BACK}" in line


def test_it_may_be_called_again():
    """A second call returns the process's limit again."""
    assert raise_file_limit(1) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


# --- who asks for nothing -----------------------------------------------------------------------

HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
BODY = b"POST /api/trains/12345/start HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
# The first bytes of a TLS handshake: the head of a record of 512 bytes.
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


async def trickle(writer, piece):
    """Send the piece again and again, with short pauses, until the hub closes."""
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.02)


class TestConnectionRate:
    """A server that allows an address one connection a second, and five at once."""

    @pytest.fixture
    def room(self):
        return 10_000

    @pytest.mark.gen_test
    async def test_an_address_that_comes_too_often(self, http_server, http_port, raw, caplog):
        """It gets 503 before the hub creates anything for it; its open sockets stay."""
        http_server.comers = Askers(Limits(address_rate=1), own_are_free=False, clock=Clock())
        client, _ = await raw()
        answers = [(await answer_of(http_port))[0] for _ in range(20)]
        assert answers[:4] == ["HTTP/1.1 200 OK"] * 4
        assert answers.count("HTTP/1.1 503 Service Unavailable") >= 15
        assert http_server.refused >= 15
        assert len([line for line in caplog.records if line.name == "trainhub.door"]) == 1
        client.say("PING")
        assert b"PONG" in (await client.frames(2))[-1].data

    @pytest.mark.gen_test
    @pytest.mark.parametrize("who", ["this machine", "a trusted proxy"])
    async def test_this_machine_and_trusted_proxies_have_no_limit(
        self, http_server, http_port, who
    ):
        """They connect for many clients."""
        own = who == "this machine"
        http_server.comers = Askers(Limits(address_rate=1), own, Clock())
        http_server.proxies = Proxies(() if own else ("127.0.0.1",))
        answers = [(await answer_of(http_port))[0] for _ in range(20)]
        assert answers == ["HTTP/1.1 200 OK"] * 20


class TestWaitingConnections:
    """A server with short timeouts."""

    @pytest.fixture
    def room(self):
        return 10_000

    @pytest.fixture
    def visit(self, io_loop, http_server, http_port):
        """Return a function that opens a connection which sends some bytes and nothing more."""
        writers = []

        async def come(said=b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
            writers.append(writer)
            writer.write(said)
            await writer.drain()
            return reader, writer

        async def leave():
            for writer in writers:
                writer.transport.abort()

        yield come
        io_loop.run_sync(leave)

    def test_a_hub_s_patience(self, http_server):
        """A head has ten seconds, also after a first request; a body has 65."""
        assert http_server.conn_params.header_timeout == 10
        assert http_server.conn_params.body_timeout == 65

    @pytest.mark.parametrize(
        ("files", "most"), [(20_000, MOST_WAITING), (1_024, 216), (400, 60), (65_536, MOST_WAITING)]
    )
    def test_how_many_may_wait(self, files, most):
        """A quarter of the files that clients may have, and at most MOST_WAITING."""
        server = Door(None)
        server.most_files = files
        assert server.most_waiting == most

    @pytest.mark.gen_test
    async def test_a_head_that_trickles(self, http_server, visit):
        """The whole head has one time limit: more bytes do not extend it."""
        http_server.conn_params.header_timeout = 0.3
        _, writer = await visit(HEAD)
        with pytest.raises(ConnectionError):
            await trickle(writer, b"X: y\r\n")
        assert not http_server._waiting

    @pytest.mark.gen_test
    async def test_a_body_that_trickles(self, site, http_server, visit):
        """The whole body has one time limit too; the command has not happened."""
        await site.register()
        http_server.conn_params.body_timeout = 0.3
        _, writer = await visit(
            BODY + f"Authorization: Bearer {site.token('TTE')}\r\n\r\n".encode()
        )
        with pytest.raises(ConnectionError):
            await trickle(writer, b" ")
        assert site.hub.state(RUN).status == "SCHEDULED"
        assert not http_server._waiting

    @pytest.mark.gen_test
    async def test_a_connection_that_says_nothing(self, http_server, visit, monkeypatch):
        """It is closed in time, and costs no object of tornado's but its stream."""
        monkeypatch.setattr(door, "HEAD_SECONDS", 0.1)
        reader, _ = await visit()
        await until(lambda: http_server._waiting)
        assert not http_server._connections
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        assert not http_server._waiting

    @pytest.mark.gen_test
    async def test_what_a_busy_hub_has_not_read_yet_is_not_late(
        self, http_server, visit, monkeypatch
    ):
        """The wait ends for clients that are silent, not for clients whose turn has not come."""
        monkeypatch.setattr(door, "HEAD_SECONDS", 0.1)
        turns = http_server.poller._turn
        asyncio.get_running_loop().remove_reader(http_server.poller._epoll.fileno())
        reader, _ = await visit(HEAD + b"\r\n")
        silent, _ = await visit()
        async with asyncio.timeout(PATIENCE):
            assert await silent.read() == b""
        assert len(http_server._waiting) == 1
        turns()
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read(15)) == b"HTTP/1.1 200 OK"

    @pytest.mark.gen_test
    async def test_many_at_once_are_accepted_and_read_in_turns(self, http_server, visit):
        """A crowd that connects and asks at once leaves turns of the loop to others."""
        asked, turns, going = [], [0], True
        begin = http_server.begin

        def note(stream, address):
            turns[-1] += 1
            asked.append(begin(stream, address))

        http_server.begin = note

        def count():
            turns.append(0)
            if going:
                asyncio.get_running_loop().call_soon(count)

        count()
        crowd = [await visit(HEAD + b"\r\n") for _ in range(100)]
        await until(lambda: len(asked) == 100)
        going = False
        assert max(turns) <= door.BEGUN_A_TURN
        for reader, _ in crowd:
            async with asyncio.timeout(PATIENCE):
                assert (await reader.read(15)) == b"HTTP/1.1 200 OK"

    @pytest.mark.gen_test
    async def test_a_kept_connection_without_a_next_request(self, http_server, visit):
        """A connection that is kept open for another request is closed after a while."""
        http_server.conn_params.header_timeout = 0.1
        reader, _ = await visit(HEAD + b"\r\n")
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")

    @pytest.mark.gen_test
    async def test_a_client_that_asks_and_does_not_read(
        self, site, http_server, http_port, monkeypatch
    ):
        """An answer that the client does not read does not wait for ever."""
        monkeypatch.setattr(door, "UNREAD_SECONDS", 0.2)
        await site.register(*(person(number) for number in range(1, 500)))
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", http_port))
            path = "/api/trains/12345/passengers"
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
            request = f"{head}{site.token('ADMIN')}\r\n\r\n".encode()
            await loop.sock_sendall(client, request)
            await until(lambda: http_server._connections)
            await loop.sock_sendall(client, request * 60)
            await until(lambda: not http_server._connections)

    @pytest.mark.gen_test
    @pytest.mark.parametrize("said", [b"", HELLO])
    async def test_a_tls_handshake_that_never_ends(self, http_server, visit, tmp_path, said):
        """An unfinished handshake is closed in time too."""
        http_server.ssl_options = make_context(*write_pair(tmp_path))
        http_server.conn_params.header_timeout = 0.1
        reader, _ = await visit(said)
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""

    @pytest.mark.gen_test
    @pytest.mark.parametrize("said", [b"", HEAD, BODY + b"\r\n", HEAD + b"\r\n", HELLO])
    async def test_a_crowd_makes_room(
        self, http_server, http_port, visit, raw, monkeypatch, tmp_path, caplog, said
    ):
        """The longest waiting connections are closed; requests are served, and sockets stay."""
        monkeypatch.setattr(door, "MOST_WAITING", 20)
        socket, _ = await raw()
        if said == HELLO:
            http_server.ssl_options = make_context(*write_pair(tmp_path))
        with caplog.at_level(logging.INFO, "trainhub.door"):
            crowd = [await visit(said) for _ in range(50)]
            await until(lambda: http_server.evicted >= 30)
            assert len(http_server._waiting) <= 20
        assert len([line for line in caplog.records if line.name == "trainhub.door"]) == 1
        http_server.ssl_options = None
        status, _ = await answer_of(http_port)
        assert status == "HTTP/1.1 200 OK"
        for reader, _ in crowd[:30]:
            async with asyncio.timeout(PATIENCE):
                assert (await reader.read())[:15] in (b"", b"HTTP/1.1 200 OK")
        await socket.frames(1)
        socket.say("PING")
        assert b"PONG" in (await socket.frames(1))[0].data

    @pytest.mark.gen_test
    async def test_a_crowd_from_one_address_makes_room_itself(
        self, http_server, http_port, visit, monkeypatch
    ):
        """A slow client at another address keeps its connection."""
        monkeypatch.setattr(door, "MOST_WAITING", 20)
        slow = socket.create_connection(("127.0.0.1", http_port), source_address=("127.0.0.9", 0))
        await until(lambda: len(http_server._waiting) == 1)
        for _ in range(50):
            await visit(HEAD)
        await until(lambda: http_server.evicted >= 30)
        with slow:
            assert list(http_server._waiting.of("127.0.0.9"))

    @pytest.mark.gen_test
    async def test_a_proxy_on_this_machine_that_is_not_trusted(self, call, caplog):
        """The operator is told, once, that all its clients share one client's limits."""
        for headers in ({}, {"X-Forwarded-For": "10.0.0.1"}, {"X-Forwarded-For": "10.0.0.2"}):
            await call("GET", "/version", headers=headers)
        told = [line.message for line in caplog.records if "--trusted-proxies" in line.message]
        assert len(told) == 1

    @pytest.mark.gen_test
    async def test_only_waiting_connections_are_counted(self, http_server, visit, connect):
        """A closed connection, and one of a socket, wait no longer."""
        await connect()
        for said in (b"", HEAD, HEAD + b"\r\n", b"\0\r\n\r\n"):
            _, writer = await visit(said)
            writer.transport.abort()
        await until(lambda: not http_server._waiting)
