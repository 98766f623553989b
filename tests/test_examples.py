"""examples/: each runs as its first lines say."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from witness import connect

ROOT = Path(__file__).parents[1]
CHATROOM = ROOT / "examples" / "chatroom.py"


@pytest.fixture
def start_chat(tmp_path, unused_port):
    """Return a function that starts chats on one folder; end them afterwards."""
    started = []

    def start():
        command = [sys.executable, str(CHATROOM), str(tmp_path), str(unused_port)]
        chat = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(chat)
        assert chat.stdout.readline().startswith("chat on")
        return chat

    yield start
    for chat in started:
        chat.kill()
        chat.wait()
        chat.stdout.close()


def lines_of(socket, count):
    return [json.loads(socket.recv(timeout=60)) for _ in range(count)]


@pytest.mark.made_up
def test_the_chat_room_tells_its_own_and_replays_after_kill_9(start_chat, unused_port):
    """Core serves another domain: rooms, a durable log, and replay from a seq."""
    address = f"ws://127.0.0.1:{unused_port}"
    chat = start_chat()
    with (
        connect(f"{address}/tea?name=ann") as ann,
        connect(f"{address}/tea?name=bob") as bob,
        connect(f"{address}/coffee?name=cid") as cid,
    ):
        for number in range(3):
            ann.send(f"line {number}")
        cid.send("alone")
        told = [{"seq": n + 1, "name": "ann", "text": f"line {n}"} for n in range(3)]
        assert lines_of(ann, 3) == lines_of(bob, 3) == told
        assert lines_of(cid, 1) == [{"seq": 1, "name": "cid", "text": "alone"}]
    chat.send_signal(signal.SIGKILL)
    chat.wait()
    start_chat()
    with connect(f"{address}/tea?name=bob&since=1") as bob:
        bob.send("back")
        assert lines_of(bob, 3) == [*told[1:], {"seq": 4, "name": "bob", "text": "back"}]


def test_the_examples_are_short():
    """Each example fits on two screens."""
    code = [line for line in CHATROOM.read_text().splitlines() if line.strip()]
    assert len(code) < 100
