"""Real mongods that a test may freeze, kill and start again: one alone, or a replica set."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from freezing import freeze, thaw
from ports import free_ports
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from waiting import PATIENCE

from trainhub.adapters.embedded_mongod import find_mongod
from trainhub.adapters.mongo import MongoStore
from trainhub.core.write_buffer import StoreAway


class Mongod:
    """One mongod on a folder of its own; on a unix socket, or on `port` of 127.0.0.1.

    `start` it (again) after `kill`; `remove` ends it and takes its folder away.
    """

    def __init__(self, *options: str, port: int | None = None, cache: str = "0.25"):
        self.folder = Path(tempfile.mkdtemp(prefix="mongod-", dir="/tmp"))
        self.port = port
        place = ["--bind_ip", "./m.sock"] if port is None else ["--port", str(port)]
        self._options = [*place, "--wiredTigerCacheSizeGB", cache, *options]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return self.uri_for("")

    def uri_for(self, user: str) -> str:
        """Return the URI for `user`, which is "" or "name:password"."""
        if self.port is None:
            where = quote(str(self.folder / "m.sock"), safe="")
        else:
            where = f"127.0.0.1:{self.port}"
        return f"mongodb://{user and user + '@'}{where}/?directConnection=true"

    def start(self) -> "Mongod":
        """Start the mongod; return once it answers."""
        self.launch()
        with MongoClient(self.uri, serverSelectionTimeoutMS=500) as client:
            deadline = time.monotonic() + PATIENCE
            while not _answers(client):
                assert self.process.poll() is None, f"mongod has ended: {self.last_words()}"
                assert time.monotonic() < deadline, "mongod does not answer"
        return self

    def launch(self) -> None:
        """Start the mongod without waiting for it."""
        (self.folder / "m.sock").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [
                *(str(find_mongod()), "--dbpath", ".", "--nounixsocket", *self._options),
                *("--logpath", "log", "--logappend"),
                *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            ],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """End the process by SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the process cleanly: all that it has answered is on its disk."""
        self.process.terminate()
        self.process.wait(PATIENCE)

    def freeze(self) -> None:
        freeze(self.process.pid)

    def thaw(self) -> None:
        thaw(self.process.pid)

    def last_words(self) -> list[str]:
        return (self.folder / "log").read_text(errors="replace").splitlines()[-3:]

    def remove(self) -> None:
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.folder)


class ReplicaSet:
    """Three mongods that elect a primary among them, within some three seconds of its death."""

    def __init__(self):
        self.members = {
            f"127.0.0.1:{port}": Mongod("--replSet", "rs", "--oplogSize", "200", port=port)
            for port in free_ports(3)
        }
        self.uri = f"mongodb://{','.join(self.members)}/?replicaSet=rs"

    def start(self) -> "ReplicaSet":
        """Start the set; return once there is a primary and the other two follow it."""
        for member in self.members.values():
            member.start()
        hosts = [{"_id": number, "host": host} for number, host in enumerate(self.members)]
        settings = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
        first = next(iter(self.members.values()))
        with MongoClient(first.uri) as client:
            config = {"_id": "rs", "members": hosts, "settings": settings}
            client.admin.command("replSetInitiate", config)
        self.wait_until_whole()
        return self

    def primary(self) -> Mongod:
        """Wait for a primary; return that member."""
        return self._wait_for(lambda roles: "PRIMARY" in roles)["PRIMARY"][0]

    def secondaries(self) -> list[Mongod]:
        return self._wait_for(lambda roles: len(roles.get("SECONDARY", ())) == 2)["SECONDARY"]

    def wait_until_whole(self) -> None:
        self._wait_for(lambda roles: sorted(map(len, roles.values())) == [1, 2])

    def _wait_for(self, condition) -> dict[str, list[Mongod]]:
        """Wait until the condition holds for the members by role, as each member reports it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            roles: dict[str, list[Mongod]] = {}
            for member in self.members.values():
                if role := _role(member):
                    roles.setdefault(role, []).append(member)
            if condition(roles):
                return roles
            assert time.monotonic() < deadline, f"the replica set does not come together: {roles}"
            time.sleep(0.05)

    def rolled_back(self) -> int:
        """Return how many times a member came back with writes that the others never had."""
        words = ((member.folder / "log").read_text() for member in self.members.values())
        return sum(text.count('"Rollback complete') for text in words)

    def remove(self) -> None:
        for member in self.members.values():
            member.remove()


def embedded(folder: Path) -> int | None:
    """Return the process id of a hub's embedded mongod, or None if none runs."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            command = file.read_bytes()
            if command.startswith(os.fsencode(find_mongod())) and os.fsencode(folder) in command:
                return int(file.parent.name)
    return None


def embedded_uri(folder: Path) -> str:
    socket_path = quote(str(folder / "mongodb" / "mongod.sock"), safe="")
    return f"mongodb://{socket_path}/?directConnection=true"


def _role(member: Mongod) -> str | None:
    try:
        with MongoClient(member.uri, timeoutMS=1000) as client:
            said = client.admin.command("hello")
    except PyMongoError:
        return None
    return "PRIMARY" if said["isWritablePrimary"] else "SECONDARY" if said["secondary"] else None


def _answers(client: MongoClient) -> bool:
    try:
        client.admin.command("ping")
    except PyMongoError:
        return False
    return True


@contextlib.contextmanager
def as_root(mongod):
    """Return a client that may do anything, on a mongod that asks for passwords and has no user."""
    with MongoClient(mongod.uri) as first:
        first.admin.command("createUser", "root", pwd="root", roles=["root"])
    with MongoClient(mongod.uri_for("root:root")) as root:
        yield root


class PatientStore(MongoStore):
    """A store that repeats a write for which a busy machine had no time, as the hub does."""

    async def write(self, collection, documents):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return await super().write(collection, documents)
            except StoreAway as error:
                if "timed out" not in str(error) or time.monotonic() > deadline:
                    raise
