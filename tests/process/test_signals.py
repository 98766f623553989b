"""trainhub/process/signals.py: signals stop the hub, even if a part of it hangs."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from hub_process import ROOT
from mongods import embedded
from waiting import PATIENCE, wait_for

from trainhub.process.signals import END_SECONDS, HURRY_SECONDS, STOP, WITHOUT_MEANING

pytestmark = pytest.mark.slow

# Seconds beyond its own limits that a busy machine may take.
SLACK = 20
# What makes the hub's process the leader of a session, with and without a terminal. The tests
# themselves may run under nohup, which the hub would heed.
LEADER = (
    "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    "os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])"
)
ON_TERMINAL = LEADER.replace("os.execvp", "os.open(sys.argv.pop(1), os.O_RDWR); os.execvp")


@pytest.fixture
def terminal():
    """A terminal: what has it in hand, and its name. It hangs up when the first is closed."""
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    with os.fdopen(master, "rb", buffering=0) as hand:
        yield hand, name


@pytest.mark.parametrize("number", STOP)
def test_a_signal_that_asks_for_it_stops_the_hub(start_hub, number):
    """With exit code 0, and no mongod left."""
    hub = start_hub()
    assert hub.stop(number, 30) == 0
    assert embedded(hub.folder) is None
    assert any("stopped;" in line for line in hub.logged)


def test_a_signal_without_meaning_changes_nothing(start_hub):
    """Nor does a hang-up, for a hub that has no terminal. Each is a line in the log."""
    hub = start_hub(prefix=(sys.executable, "-c", LEADER))
    numbers = (*WITHOUT_MEANING, signal.SIGHUP)
    for number in (*numbers, signal.SIGPIPE, signal.SIGWINCH):
        hub.process.send_signal(number)
    wait_for(lambda: all(any(n.name in line for line in hub.logged) for n in numbers))
    assert hub.process.poll() is None
    assert hub.stop(signal.SIGTERM, 30) == 0


def test_a_terminal_that_goes_stops_its_hub(start_hub, terminal):
    """As SIGTERM does: nothing is killed, nothing is left behind."""
    hand, name = terminal
    hub = start_hub(prefix=(sys.executable, "-c", ON_TERMINAL, name))
    hand.close()
    assert hub.wait(PATIENCE) == 0
    assert embedded(hub.folder) is None
    assert any("stopped;" in line for line in hub.logged)


def test_nohup_is_heeded(start_hub, terminal):
    """A hub that was started to outlive its terminal does."""
    hand, name = terminal
    hub = start_hub(prefix=(sys.executable, "-c", ON_TERMINAL, name, "nohup"))
    hand.close()
    time.sleep(1)
    assert hub.process.poll() is None
    assert hub.stop(signal.SIGTERM, 30) == 0


ENDING = """
import asyncio, sys, time
from trainhub.process.diagnostics import Diagnostics, leave
from trainhub.process.signals import Ending

async def main():
    ending = Ending(lambda: 3)
    ending.listen()
    print("listening", flush=True)
    {body}
    leave(0)

Diagnostics("text")
asyncio.run(main())
"""


class Ender:
    """A process that ends as the hub does, in the middle of `body`."""

    def __init__(self, body):
        command = [sys.executable, "-c", ENDING.format(body=body)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe)
        assert self.process.stdout.readline() == b"listening\n"

    def signal(self):
        self.process.send_signal(signal.SIGTERM)

    def end(self):
        """Return the exit code and the seconds until then."""
        start = time.monotonic()
        self.process.communicate(timeout=END_SECONDS + SLACK)
        return self.process.returncode, time.monotonic() - start


def test_a_loop_that_hangs_does_not_hold_the_end():
    """After END_SECONDS the process is gone, with the exit code that it has by then."""
    ender = Ender("time.sleep(1000)")
    ender.signal()
    code, took = ender.end()
    assert code == 3
    assert took > END_SECONDS - 1


def test_a_second_signal_hurries_the_end():
    """Also of a loop that hangs."""
    ender = Ender("time.sleep(1000)")
    ender.signal()
    time.sleep(0.5)
    ender.signal()
    code, took = ender.end()
    assert code == 3
    assert HURRY_SECONDS - 1 < took < END_SECONDS - 1


def test_a_second_signal_breaks_off_what_the_end_waits_for():
    """What comes after it is still done."""
    ender = Ender(
        "await ending.asked.wait(); print('asked', flush=True);"
        "await ending.unless_hurried(asyncio.sleep, 1000)"
    )
    ender.signal()
    assert ender.process.stdout.readline() == b"asked\n"
    ender.signal()
    code, _ = ender.end()
    assert code == 0


def test_an_error_of_the_end_is_raised():
    """What is awaited unless hurried fails as it would by itself."""
    ender = Ender(
        "\n    async def fail():\n        raise KeyError"
        "\n    try:\n        await ending.unless_hurried(fail)"
        "\n    except KeyError:\n        leave(7)"
    )
    assert ender.end()[0] == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("order", [(), ("check", "nowhere")])
def test_a_signal_at_any_moment_of_the_start_is_no_traceback(tmp_path, number, order):
    """However little of the hub is there yet: 0, and 2 for an order that is broken off."""
    for wait in range(10):
        options = order or ("--data-dir", str(tmp_path / "d"), "--port", "0")
        command = [sys.executable, str(ROOT / "run.py"), *options]
        hub = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=tmp_path, text=True
        )
        wait_for(lambda hub=hub, number=number: takes(hub, number) or hub.poll() is not None)
        time.sleep(wait * 0.08)
        hub.send_signal(number)
        _, said = hub.communicate(timeout=120)
        assert hub.returncode in ((0, 2, 3) if order else (0,)), said
        assert "Traceback" not in said


def takes(process, number):
    """Whether the process does by now what it wants to at a signal."""
    with open(f"/proc/{process.pid}/status") as status:
        (caught,) = [line.split()[1] for line in status if line.startswith("SigCgt:")]
    # Python itself takes SIGINT from its start on, for KeyboardInterrupt.
    return int(caught, 16) >> signal.SIGQUIT - 1 & 1
