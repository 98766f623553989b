"""trainhub/web/door.py: near the process's limit of files new connections are refused, quietly."""

import asyncio
import logging
import os
import resource
import socket
import subprocess
import sys

import pytest

from trainhub.web.app import make_server
from trainhub.web.door import KEPT_BACK, raise_file_limit
from trainhub.web.websocket import TrainSocket


@pytest.fixture
def room():
    """For how many connections more the door is open; each takes a file here and one there."""
    return 3


@pytest.fixture
def http_server(io_loop, app, _unused_port, room):
    server = make_server(app)
    server.add_socket(_unused_port[0])
    next_free = os.dup(0)
    os.close(next_free)
    server.most_files = next_free + 2 * room + KEPT_BACK
    yield server
    server.stop()
    io_loop.run_sync(server.close_all_connections, timeout=5)


async def answer_of(port):
    """The first line and headers of what a plain request is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(5):
        head = (await reader.read()).decode().partition("\r\n\r\n")[0].split("\r\n")
    writer.close()
    return head[0], head[1:]


@pytest.mark.gen_test
async def test_near_the_limit_of_files(raw, connect, http_server, http_port, caplog, until):
    """Connections get 503 and are gone, said once; those that are there live on."""
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
async def test_who_goes_before_it_is_refused(http_server, http_port, until):
    """A reset in the face of the refusal is nobody's trouble."""
    http_server.most_files = 0
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", http_port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await until(lambda: http_server.refused == 20)


def limits_of(setup):
    """What raise_file_limit gives and logs in a process of its own."""
    source = f"import resource, logging; logging.basicConfig(); {setup}; "
    source += "from trainhub.web.door import raise_file_limit; "
    source += "print(raise_file_limit(1000), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    return done.stdout.split(), done.stderr


def test_the_soft_limit_is_raised_to_the_hard_one():
    """What the system allows is used, without a word."""
    said, logged = limits_of("resource.setrlimit(resource.RLIMIT_NOFILE, (300, 2000))")
    assert said == ["2000", "2000"]
    assert logged == ""


def test_too_low_a_limit_is_said_at_the_start():
    """One line, with what to set."""
    said, logged = limits_of("resource.setrlimit(resource.RLIMIT_NOFILE, (300, 600))")
    assert said == ["600", "600"]
    (line,) = logged.splitlines()
    assert "--max-connections 1000" in line
    assert f"LimitNOFILE to {1000 + KEPT_BACK}" in line


def test_it_may_be_called_again():
    """And gives what the process has."""
    assert raise_file_limit(1) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
