"""Clients of a real hub that are gone or do not identify: the hub drops them and says why."""

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
    """A client that sends given frames and answers no ping. `until_end` reads on."""

    def __init__(self, hub, *frames):
        self.socket = socket.create_connection(("127.0.0.1", hub.port))
        self.socket.settimeout(PATIENCE)
        self.socket.sendall(HANDSHAKE)
        self.socket.sendall(b"".join(frames))

    def until_end(self):
        """Read until the hub closes; return all bytes."""
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
def start(start_hub, mongod_options):
    """Return a function that starts a hub with these options and one run."""

    def started(*options):
        hub = start_hub(*mongod_options, *options)
        asker(hub)("/api/trains", chart())
        return hub

    return started


@pytest.fixture
def mute():
    """Return a function that opens clients which send these frames."""
    clients = []

    def opened(hub, *frames):
        clients.append(Mute(hub, *frames))
        return clients[-1]

    yield opened
    for client in clients:
        client.socket.close()


def test_a_half_open_socket_is_dropped_within_two_beats(start, mute):
    """A subscriber that answers no ping is dropped; a silent one stays if it answers pings."""
    hub = start("--heartbeat-seconds", "1")
    alive, silent = mute(hub, text(SUBSCRIBE)), mute(hub, text(SUBSCRIBE))
    wait_for(lambda: open_sockets(hub) == 2)
    pings = 0
    while pings < 3:
        came = alive.socket.recv(65_536).count(PING)
        pings += came
        alive.socket.sendall(PONG * came)
    assert silent.until_end().count(PING) == 1  # the next beat dropped it
    wait_for(lambda: open_sockets(hub) == 1)
    alive.socket.sendall(text(b'{"type": "PING"}'))
    while b"PONG" not in (data := alive.socket.recv(65_536)):
        assert data


def test_a_socket_that_neither_identifies_nor_subscribes_is_closed(start, mute):
    """The hub's timer closes it with 4401; a socket that has subscribed stays."""
    hub = start("--identify-seconds", "1")
    silent, subscribed = mute(hub), mute(hub, text(SUBSCRIBE))
    assert (4401).to_bytes(2, "big") in silent.until_end()
    assert open_sockets(hub) == 1
    subscribed.socket.sendall(text(b'{"type": "PING"}'))
    while b"PONG" not in (data := subscribed.socket.recv(65_536)):
        assert data
