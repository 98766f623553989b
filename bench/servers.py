"""What a bench measures: a hub, or a peer of it, each as a process with its CPU and its memory.

A peer has rooms and nothing else: GET /ws?room=N joins a room, and POST /rooms/N sends the body to
it. `make peers` installs those that come from other packages, and a bench leaves out the others.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crowd import Opening, hello, message, post, text
from hub_process import ROOT, HubProcess
from load import DAY, asker
from mongods import Mongod
from railway import chart, person

from trainhub.access.identity import Tokens
from trainhub.access.keys import load_keys
from trainhub.domain.model import Role

PEERS = Path(__file__).parent / "peers"
INSTALLED = ROOT / "build" / "peers"
# The first train of a hub under measure.
FIRST_TRAIN = 10_000


class Process:
    """A process under measure."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def cpu(self) -> float:
        """Return the seconds of CPU that its threads have used, to the nanosecond."""
        times = [each.read_text().split()[0] for each in self._folder.glob("task/*/schedstat")]
        return sum(map(int, times)) / 1e9

    def memory(self) -> int:
        """Return the resident memory in bytes."""
        lines = (self._folder / "status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) << 10


# --- the hub --------------------------------------------------------------------------------------


class Hub:
    """A hub with a mongod, both in temporary folders. Room N is the train FIRST_TRAIN + N."""

    def __init__(self, stack: ExitStack, *options: str, code: Path = ROOT) -> None:
        mongod = Mongod()
        stack.callback(mongod.remove)
        mongod.start()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        hub = HubProcess(
            folder / "data",
            *("--mongodb-uri", mongod.uri, "--max-connections", "20000", *options),
            command=(sys.executable, "-u", str(code / "run.py")),
        )
        stack.callback(hub.stop)
        hub.wait_until_listening()
        self.port = self.door = hub.port
        self.process = Process(hub.process.pid)
        self.ask: Callable[..., Any] = asker(hub)
        self._tokens = Tokens(load_keys(hub.folder / "keys.json"))
        self._staff: dict[int, str] = {}

    def register(self, rooms: int) -> None:
        """Register a train of twenty passengers for each room."""
        people = [person(who, berth=who) for who in range(1, 21)]
        for room in range(rooms):
            self.ask("/api/trains", chart(*people, trainNo=_train(room), startDate=DAY))

    def listener(self, number: int, room: int) -> Opening:
        """Return a passenger's socket: it identifies, subscribes, and gets a snapshot."""
        train = _train(room)
        ask = {"type": "SUBSCRIBE_TRAIN", "trainNo": train, "startDate": DAY}
        token = self._tokens.issue(f"IR_{1_000 + number}", Role.PASSENGER, [train])
        identify = message({"type": "IDENTIFY", "token": token})
        return Opening(hello() + identify + message(ask), b'"BOARDING_UPDATE"')

    def post(self, number: int, room: int, caller: int) -> bytes:
        """Return an announcement over HTTP, with the token of a caller."""
        path = f"/api/trains/{_train(room)}/announcements?date={DAY}"
        return post(path, {"text": _words(number)}, self._token(caller))

    def caller(self, number: int) -> Opening:
        """Return the socket of a caller, which is in no room."""
        return Opening(
            hello() + message({"type": "IDENTIFY", "token": self._token(number)}),
            b'"IDENTIFIED"',
        )

    def send(self, number: int, room: int) -> bytes:
        """Return an announcement over a WebSocket."""
        head = {"type": "ANNOUNCE", "trainNo": _train(room), "startDate": DAY}
        return message({**head, "text": _words(number)})

    def _token(self, caller: int) -> str:
        if caller not in self._staff:
            self._staff[caller] = self._tokens.issue(f"control{caller}", Role.ADMIN, ["*"])
        return self._staff[caller]


def _train(room: int) -> str:
    return str(FIRST_TRAIN + room)


def _words(number: int) -> str:
    return f"We are running a little late. #{number}#"


# --- the peers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A peer: how it is started, what it needs for that, and what it does not do."""

    command: Sequence[str]
    needs: Sequence[Path]
    lacks: str
    environment: Mapping[str, str]
    # The command that prints its version.
    version: Sequence[str]
    listens: Callable[[int], Opening]


def _listens(room: int) -> Opening:
    return Opening(hello(f"/ws?room={room}"), b"JOINED")


def _listens_by_socketio(room: int) -> Opening:
    path = f"/socket.io/?EIO=4&transport=websocket&room={room}"
    return Opening(hello(path) + text("40"), b"40{")


def kinds() -> dict[str, Kind]:
    """Return the peers that can run here. Compiles the one in C if there is a compiler."""
    bare = "durability, tokens, roles, replay, audit"
    python, node = INSTALLED / "venv" / "bin" / "python", INSTALLED / "node_modules"
    bun = node / "bun" / "bin" / "bun.exe"
    floor = INSTALLED / "floor"
    if shutil.which("gcc"):
        INSTALLED.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-O2", "-o", floor, PEERS / "floor.c"], check=True)

    def of(package: str) -> Sequence[str]:
        code = f"from importlib.metadata import version as v; print('{package}', v('{package}'))"
        return (str(python), "-c", code)

    node_code = "console.log('ws', require('ws/package.json').version + ', Node', process.version)"
    found = {
        "C, send(2) in a loop": Kind(
            (str(floor),),
            (floor,),
            f"{bare}; a socket that is behind, any check of what clients send",
            {},
            ("gcc", "-dumpfullversion"),
            _listens,
        ),
        "Bun": Kind(
            (str(bun), str(PEERS / "bun_peer.js")), (bun,), bare, {}, (str(bun), "-v"), _listens
        ),
        "Node ws": Kind(
            ("node", str(PEERS / "ws_peer.js")),
            (node / "ws",),
            bare,
            {"NODE_PATH": str(node)},
            ("node", "-e", node_code),
            _listens,
        ),
        "websockets": Kind(
            (str(python), str(PEERS / "websockets_peer.py")),
            (python,),
            f"{bare}; HTTP of its own: the bench gives it the least there is",
            {},
            of("websockets"),
            _listens,
        ),
        "python-socketio": Kind(
            (str(python), str(PEERS / "socketio_peer.py")),
            (python,),
            bare,
            {},
            of("python-socketio"),
            _listens_by_socketio,
        ),
        "Tornado": Kind(
            (sys.executable, str(PEERS / "tornado_peer.py")),
            (),
            bare,
            {},
            (sys.executable, "-c", "import tornado; print('tornado', tornado.version)"),
            _listens,
        ),
    }
    return {
        name: kind
        for name, kind in found.items()
        if all(each.exists() for each in kind.needs) and shutil.which(kind.command[0])
    }


class Peer:
    """A peer that runs. It is asked as a Hub is."""

    def __init__(self, stack: ExitStack, kind: Kind) -> None:
        process = subprocess.Popen(
            kind.command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **kind.environment},
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        assert process.stdout is not None
        stack.callback(process.stdout.close)
        self.port, *door = map(int, process.stdout.readline().split())
        self.door = door[0] if door else self.port
        self.process = Process(process.pid)
        self._kind = kind

    def register(self, rooms: int) -> None:
        """Do nothing: a peer makes a room when its first socket comes."""

    def listener(self, number: int, room: int) -> Opening:
        return self._kind.listens(room)

    def post(self, number: int, room: int, caller: int) -> bytes:
        """Return a message of as many bytes as the hub's, which the peer hands on."""
        fields = {
            "type": "ANNOUNCEMENT",
            "trainNo": _train(room),
            "startDate": DAY,
            "seq": number,
            "epoch": "0f8fad5b-d9cb-469f",
            "at": "2026-11-23T08:00:00.000+05:30",
            "data": {"text": _words(number)},
        }
        return post(f"/rooms/{room}", fields)


def version_of(kind: Kind) -> str:
    done = subprocess.run(
        kind.version, capture_output=True, text=True, env={**os.environ, **kind.environment}
    )
    return done.stdout.strip()
