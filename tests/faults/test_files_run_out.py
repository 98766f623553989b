"""More clients than the process may have files: open sockets live on, new ones are refused."""

import os
import socket
import struct
from pathlib import Path

import pytest
from load import asker
from railway import chart
from waiting import PATIENCE, wait_for
from witness import connect

# A limit that a crowd of tests reaches; the hub keeps back some for itself.
FILES, CROWD = 400, 600


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture
def crowd():
    """Return a function that opens connections which ask for a socket; close them afterwards."""
    clients = []

    def opened(port, count):
        answers = []
        for _ in range(count):
            clients.append(socket.create_connection(("127.0.0.1", port)))
            answers.append(status_of(clients[-1]))
        return clients, answers

    yield opened
    for client in clients:
        client.close()


def cpu_seconds(hub):
    stat = Path(f"/proc/{hub.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def status_of(client):
    """Return the status of a connection's handshake, or "" if the connection was closed."""
    try:
        client.sendall(HANDSHAKE)
    except ConnectionError:
        return ""
    client.settimeout(PATIENCE)
    try:
        return client.recv(4_096)[9:12].decode()
    except ConnectionResetError:
        return ""


def test_a_crowd_at_the_limit_of_files(start_hub, mongodb_uri, database_name, crowd):
    """Late clients get 503 and one log line; the hub does not spin, and its sockets go on."""
    hub = start_hub(
        "--mongodb-uri",
        mongodb_uri,
        "--database",
        database_name,
        prefix=("prlimit", f"--nofile={FILES}:{FILES}"),
    )
    warned = [line for line in hub.logged if "too few for --max-connections" in line]
    assert len(warned) == 1
    ask = asker(hub)
    ask("/api/trains", chart())
    ask("/api/trains/12345/start", {})
    with connect(f"ws://127.0.0.1:{hub.port}/ws") as listener:
        listener.send('{"type": "SUBSCRIBE_TRAIN", "trainNo": "12345"}')
        while "BOARDING_UPDATE" not in listener.recv(PATIENCE):
            pass
        lines = len(hub.logged)
        token = hub.token("ADMIN", "control", "*")
        with connect(f"ws://127.0.0.1:{hub.port}/ws") as staff:
            clients, answers = crowd(hub.port, CROWD)
            taken = answers.count("101")
            assert 100 < taken < FILES
            assert set(answers) <= {"101", "503", ""}
            assert answers.count("503") > 0
            before = cpu_seconds(hub)
            for number in range(5):
                if not number:
                    staff.send(f'{{"type": "IDENTIFY", "token": "{token}"}}')
                announce = f'"ANNOUNCE", "trainNo": "12345", "text": "{number}"'
                staff.send(f'{{"type": {announce}}}')
                while f'"text":"{number}"' not in listener.recv(PATIENCE):
                    pass
            assert cpu_seconds(hub) - before < 1  # a spinning loop would take all the CPU time
            assert len(hub.logged) - lines <= 2
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        wait_for(lambda: ask("/healthz")["ok"])
