"""examples/: each runs as its first lines say."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, time
from pathlib import Path

import pytest
from waiting import PATIENCE
from witness import connect

from trainhub.domain import commands as c
from trainhub.domain.chart import read_chart
from trainhub.domain.train import TrainState

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
    return [json.loads(socket.recv(timeout=PATIENCE)) for _ in range(count)]


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


@pytest.mark.parametrize("name", ["12345", "NJ40401", "3"])
def test_an_example_chart_loads_and_runs_to_its_end(name):
    """A chart of docs/examples loads without a warning, and its times rise along the line."""
    path = ROOT / "docs" / "examples" / f"{name}.json"
    checked, rejected, warnings = read_chart(json.loads(path.read_text()))
    assert (rejected, warnings) == ((), ())
    state = TrainState(checked.run)
    train = {"train_no": checked.train_no}
    now = datetime.combine(checked.start_date, time(), UTC)
    state.carry_out(c.RegisterTrain(**train, chart=checked), now)
    state.carry_out(c.StartJourney(**train), now)
    moments = []
    for stop in state.stops:
        code = stop.station.code
        if stop.scheduled_arrival is not None:
            moments.append(stop.scheduled_arrival)
            state.carry_out(c.Arrive(**train, station_code=code), moments[-1])
            assert stop.arrived.isoformat() == moments[-1].isoformat()
        for booking in checked.passengers:
            if booking.from_ == code:
                who = {"pnr": booking.pnr, "index": booking.index}
                state.carry_out(c.MarkBoarded(**train, **who), moments[-1] if moments else now)
        if stop.scheduled_departure is not None:
            moments.append(stop.scheduled_departure)
            state.carry_out(c.Depart(**train, station_code=code), moments[-1])
    assert moments == sorted(moments)
    assert state.status == "COMPLETED"
    assert {each.state for each in state.passengers.values()} == {"ALIGHTED"}
