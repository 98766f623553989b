"""Clients that are there no longer, or not yet, on a real hub: found, dropped, and told why."""

import socket

import pytest
from load import asker
from railway import chart
from waiting import PATIENCE, wait_for

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SUBSCRIBE = b'{"type": "SUBSCRIBE_TRAIN", "trainNo": "12345"}'
PING, PONG = b"\x89\x00", b"\x8a\x80\0\0\0\0"


class Mute:
    """A client that says what it is told to say, and answers no ping. `until_end` reads on."""

    def __init__(self, hub, *frames):
        self.socket = socket.create_connection(("127.0.0.1", hub.port))
        self.socket.settimeout(PATIENCE)
        self.socket.sendall(HANDSHAKE)
        self.socket.sendall(b"".join(frames))

    def until_end(self):
        """All that came until the hub ended it."""
        heard = b""
        try:
            while data := self.socket.recv(65_536):
                heard += data
        except ConnectionResetError:
            pass
        return heard


def text(payload):
    return bytes((0x81, 0x80 | len(payload))) + bytes(4) + payload


def open_sockets(hub):
    return asker(hub)("/api/monitor")["sockets"]


@pytest.fixture
def start(start_hub, mongodb_uri, database_name):
    """Starts a hub with one run, with those options."""

    def started(*options):
        uri = ("--mongodb-uri", mongodb_uri, "--database", database_name)
        hub = start_hub(*uri, *options)
        asker(hub)("/api/trains", chart())
        return hub

    return started


@pytest.fixture
def mute():
    """Opens clients on a hub, which say those frames."""
    clients = []

    def opened(hub, *frames):
        clients.append(Mute(hub, *frames))
        return clients[-1]

    yield opened
    for client in clients:
        client.socket.close()


def test_a_half_open_socket_is_dropped_within_two_beats(start, mute):
    """It has subscribed and answers no ping; whoever answers them stays, though it says nothing."""
    hub = start("--heartbeat-seconds", "1")
    alive, silent = mute(hub, text(SUBSCRIBE)), mute(hub, text(SUBSCRIBE))
    wait_for(lambda: open_sockets(hub) == 2)
    pings = 0
    while pings < 3:
        came = alive.socket.recv(65_536).count(PING)
        pings += came
        alive.socket.sendall(PONG * came)
    assert silent.until_end().count(PING) == 1  # the next beat was its end
    wait_for(lambda: open_sockets(hub) == 1)
    alive.socket.sendall(text(b'{"type": "PING"}'))
    while b"PONG" not in (data := alive.socket.recv(65_536)):
        assert data


def test_who_neither_identifies_nor_subscribes_is_closed(start, mute):
    """4401 after its time, by the hub's own timer; who has subscribed is not."""
    hub = start("--identify-seconds", "1")
    silent, subscribed = mute(hub), mute(hub, text(SUBSCRIBE))
    assert (4401).to_bytes(2, "big") in silent.until_end()
    assert open_sockets(hub) == 1
    subscribed.socket.sendall(text(b'{"type": "PING"}'))
    while b"PONG" not in (data := subscribed.socket.recv(65_536)):
        assert data
