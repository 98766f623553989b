"""Measure what a socket costs: CPU to come, memory while idle, and CPU of its heartbeats.

    python bench/idle_sockets.py
    python bench/idle_sockets.py --sockets 4000 --rounds 5 --against ../older

A real hub with a mongod and a train for each 200 sockets. Every socket is a passenger's: it
identifies, subscribes, gets its snapshot, and is then idle. A separate process opens the sockets
and answers pings. Each round starts a new hub, and bare Tornado, whose sockets only join a room.
`--against` is a checkout of another version: its hub is measured side by side in each round.
"""

import argparse
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from crowd import Crowd
from figures import about, ratio
from hub_process import ROOT
from served import EACH
from servers import Hub, Peer, kinds

# Seconds in which a hub ends what the registration left to do.
SETTLE_SECONDS = 3
HEARTBEAT_SECONDS = 25


def measure(code: Path | None, sockets: int, idle_seconds: float) -> dict[str, float]:
    """Return the figures of a hub of that checkout, or of bare Tornado."""
    with ExitStack() as stack:
        server = Hub(stack, code=code) if code else Peer(stack, kinds()["Tornado"])
        rooms = -(-sockets // EACH)
        server.register(rooms)
        crowd = Crowd(server.port)
        stack.callback(crowd.close)
        time.sleep(SETTLE_SECONDS)
        process = server.process
        before, used = process.memory(), process.cpu()
        took = crowd.open([server.listener(n, n % rooms) for n in range(sockets)])
        came = process.cpu() - used
        time.sleep(2)
        size = process.memory() - before
        used, start = process.cpu(), time.monotonic()
        time.sleep(idle_seconds if code else 0)
        idle = (process.cpu() - used) / (time.monotonic() - start)
        pings = crowd.pings() / sockets
        assert not code or pings >= int(idle_seconds / HEARTBEAT_SECONDS), f"{pings} pings a socket"
        return {
            "KB a socket": size / sockets / 1024,
            "us of CPU to come": came / sockets * 1e6,
            "% of a core while idle": idle * 100 if code else 0.0,
            "s until all were there": took,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=18_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=float, default=26, help="seconds; a heartbeat is 25")
    parser.add_argument("--against", type=Path, help="a checkout of another version")
    asked = parser.parse_args()
    ways: dict[str, Path | None] = {"here": ROOT, "bare Tornado": None}
    if asked.against:
        ways["there"] = asked.against.resolve()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, code in ways.items():
            found[name].append(measure(code, asked.sockets, asked.idle))
            figures = ", ".join(f"{value:.4g} {what}" for what, value in found[name][-1].items())
            print(f"{name}: {figures}", flush=True)
    print(about(f"{asked.sockets} sockets", asked.rounds))
    for what in found["here"][0]:
        values = {name: [each[what] for each in rounds] for name, rounds in found.items()}
        print(f"{what}: " + ", ".join(f"{n} {statistics.median(v):.4g}" for n, v in values.items()))
        for name in list(ways)[1:]:
            if all(values[name]):
                print(f"  ratio to {name}: {ratio(values['here'], values[name])}")


if __name__ == "__main__":
    main()
