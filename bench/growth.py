"""Measure whether an event costs more when there are more trains: 1 and 1,000, side by side.

    python bench/growth.py
    python bench/growth.py --trains 100 --rounds 3

Two hubs, each train with 18 sockets. One hub has one train, the other has all. Each round measures
the CPU of events at both, from the HTTP request to the last socket.
"""

import argparse
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from figures import about, ratio
from served import Served
from servers import Hub

EACH = 18


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trains", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--events", type=int, default=500, help="of a round")
    given = parser.parse_args()
    found: dict[int, list[float]] = {1: [], given.trains: []}
    with ExitStack() as stack:
        hubs = {trains: Served(stack, Hub(stack), trains, EACH) for trains in found}
        for number in range(given.rounds + 1):
            for trains, hub in hubs.items():
                cost = hub.publish(1, given.events)
                if number:  # the first round warms up
                    found[trains].append(cost)
    print(about(f"an event to {EACH} sockets", given.rounds))
    for trains, costs in found.items():
        print(f"{statistics.median(costs):6.0f} us of CPU with {trains} trains")
    print(f"ratio {ratio(found[given.trains], found[1])}")


if __name__ == "__main__":
    main()
