"""Measure the time from a command until the last socket of a room has its event.

    python bench/latency.py
    python bench/latency.py --rooms 10 --rate 100

Commands fall due at a fixed rate over many trains, whether or not earlier ones are answered, and
their times count from then. Each is on disk before the first socket hears of it.
"""

import argparse
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from crowd import at
from figures import about
from served import EACH, Served
from servers import Hub

CALLERS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rooms", type=int, default=90)
    parser.add_argument("--rate", type=float, default=500, help="commands a second")
    parser.add_argument("--seconds", type=float, default=10, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        hub = Served(stack, Hub(stack), given.rooms)
        for _ in range(given.rounds):
            used = hub.server.process.cpu()
            result = hub.deliver(given.rate, given.seconds, CALLERS)
            used = hub.server.process.cpu() - used
            figures = {
                "p50 ms to the last socket": at(result.last, 0.5),
                "p99 ms to the last socket": at(result.last, 0.99),
                "p50 ms to the answer": at(result.answered, 0.5),
                "p99 ms to the answer": at(result.answered, 0.99),
                "commands a second": len(result.answered) / result.seconds,
                "% of a core for the hub": used / result.seconds * 100,
                "% of a core for the clients": result.busy * 100,
            }
            for what, value in figures.items():
                found.setdefault(what, []).append(value)
    print(about(f"{given.rate:g} commands a second, {given.rooms} rooms of {EACH}", given.rounds))
    for what, values in found.items():
        middle = statistics.median(values)
        print(f"{middle:8.1f} {what} ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()
