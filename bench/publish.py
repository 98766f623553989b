"""Measure a hub and its peers from outside: CPU of the server for each frame, command and socket.

    python bench/publish.py
    python bench/publish.py --sockets 400 --rounds 1 --events 20 --peers off

All servers run side by side, each with as many sockets in rooms of 200 and with publishers over
HTTP. A publisher sends the next message when its last one is answered. The hub answers when the
message is on disk; its peers have no disk. Each round asks all servers, in another order.
No frame may be missing or come twice, else the bench fails.
"""

import argparse
import random
import statistics
import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from figures import about, plot, ratio, table, write
from served import EACH, Served
from servers import Hub, Kind, Peer, kinds, version_of

LEVELS = (1, 10, 100)
HUB, PLAIN = "trainhub", "trainhub, socket by socket"
HUB_LACKS = "nothing of these: each message is durable, and has its entry in the audit trail"
# Figure → its head in the table.
HEADS = {
    **{f"frame {level}": f"µs a frame, {level} publishers" for level in LEVELS},
    **{f"command {level}": f"µs a command without fan-out, {level} callers" for level in (1, 10)},
    "socket 10": "the same over WebSocket, 10 callers",
    "memory": "KB a socket",
    "open": "µs to open a socket",
}
HEADS["frame 1"] = "µs a frame, 1 publisher"
HEADS["command 1"] = "µs a command without fan-out, 1 caller"


Figures = dict[str, list[float]]


def measure(
    servers: dict[str, Served], rounds: int, events: int, commands: int
) -> dict[str, Figures]:
    found: dict[str, Figures] = {name: defaultdict(list) for name in servers}
    for number in range(rounds + 1):
        for name in random.sample(list(servers), len(servers)):
            each = servers[name]
            figures: dict[str, float | None] = {
                **{f"frame {level}": each.publish(level, events) / EACH for level in LEVELS},
                **{f"command {level}": each.command(level, commands) for level in (1, 10)},
                "socket 10": each.command_by_socket(10, commands),
            }
            if number:  # the first round warms up
                for figure, value in figures.items():
                    if value is not None:
                        found[name][figure].append(value)
    for name, each in servers.items():
        for figure, value in each.once.items():
            found[name][figure].append(value)
    return found


def report(found: dict[str, Figures], peers: dict[str, Kind], sockets: int, rounds: int) -> str:
    """Return the tables, and plots of the delivered frames."""
    lines = []
    for name, figures in found.items():
        cells = [
            f"{statistics.median(figures[each]):#.3g}".rstrip(".") if figures[each] else ""
            for each in HEADS
        ]
        lacks = peers[name].lacks if name in peers else HUB_LACKS
        version = f" ({version_of(peers[name])})" if name in peers else ""
        lines.append([name + version, *cells, lacks])
    ratios = [
        [name, *(ratio(found[HUB][each], figures[each]) for each in HEADS)]
        for name, figures in found.items()
        if name in peers
        for figures in [{**figures, "socket 10": figures["command 10"]}]
    ]
    bars = {HEADS[f"frame {n}"]: f"frame {n}" for n in LEVELS}
    image = plot(
        "publish",
        "CPU of the server for a delivered frame, in microseconds",
        {
            head: {name: statistics.median(figures[each]) for name, figures in found.items()}
            for head, each in bars.items()
        },
    )
    return "\n\n".join(
        [
            about(f"{sockets} sockets in rooms of {EACH}", rounds),
            table(["server", *HEADS.values(), "what it does not do"], lines),
            "The hub's figure divided by the peer's, round by round, with the least and the most.\n"
            "The hub's commands over WebSocket are compared with the peer's POST.",
            table(["trainhub against", *HEADS.values()], ratios),
            image,
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=200, help="of a round")
    parser.add_argument("--commands", type=int, default=1_000, help="of a round, without fan-out")
    parser.add_argument("--peers", choices=("on", "off"), default="on")
    parser.add_argument("--write", action="store_true", help="write the page and the plot")
    given = parser.parse_args()
    peers = kinds() if given.peers == "on" else {}
    with ExitStack() as stack:
        rates = ("--staff-message-rate", "100000", "--message-rate", "100000")
        servers = {
            HUB: Served(stack, Hub(stack, *rates), given.sockets // EACH),
            PLAIN: Served(stack, Hub(stack, *rates, "--io-uring", "off"), given.sockets // EACH),
        }
        for name, kind in peers.items():
            servers[name] = Served(stack, Peer(stack, kind), given.sockets // EACH)
        found = measure(servers, given.rounds, given.events, given.commands)
    said = report(found, peers, given.sockets, given.rounds)
    print(said)
    if given.write:
        write("publish", said)


if __name__ == "__main__":
    main()
