"""The hub as its users run it: a process of `python run.py` with a data folder of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.request import urlopen

from fork_server import EARLY, ROOT, Forked
from freezing import freeze, thaw
from waiting import PATIENCE

from trainhub.access.identity import Tokens
from trainhub.access.keys import load_keys
from trainhub.domain.model import Role

RUN = (sys.executable, "-u", str(ROOT / "run.py"))


def tokens_of(folder: Path) -> Tokens:
    """Return what makes and reads tokens under the keys of a hub's data folder."""
    return Tokens(load_keys(folder / "keys.json"))


class HubProcess:
    """A running hub. `url` is where it listens; `said` and `logged` are its lines so far."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        environment: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        command: tuple[str, ...] = (),
    ):
        """Start a hub: a fork, which is spared the imports, or `command` if it is given.

        `prefix` is a command that runs the hub and becomes it: `strace -D …`. With one, or with a
        variable of the interpreter, the hub starts as a whole.
        """
        self.folder = folder
        self.said: list[str] = []
        self.logged: list[str] = []
        given = environment or {}
        outside = {k: v for k, v in os.environ.items() if not k.startswith("TRAINHUB_")}
        arguments = ["--data-dir", str(folder), "--port", "0", *options]
        if prefix or command or any(each.startswith(EARLY) for each in given):
            self.process = subprocess.Popen(
                [*prefix, *(command or RUN), *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=folder.parent,
                env=outside | given,
            )
        else:
            self.process = Forked(arguments, folder.parent, outside | given)
        self._listening = threading.Event()
        self._readers = [
            threading.Thread(target=self._read, args=pair)
            for pair in ((self.process.stdout, self.said), (self.process.stderr, self.logged))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, lines) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))
            if "trainhub listening on" in line:
                self._listening.set()
        self._listening.set()  # the hub has ended: no caller waits on

    def listens(self, seconds: float = PATIENCE) -> bool:
        """Wait until the hub listens or has ended; return True if it listens."""
        assert self._listening.wait(seconds), f"no hub after {seconds} s"
        return any("listening on" in line for line in self.said)

    def wait_until_listening(self, seconds: float = PATIENCE) -> "HubProcess":
        assert self.listens(seconds), f"the hub did not start: {self.logged[-5:]}"
        found = [re.search(r"listening on (https?://[^\s'\"]+)", line) for line in self.said]
        self.url = next(match[1] for match in found if match)
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def stop(self, number: int = signal.SIGINT, seconds: float = PATIENCE) -> int:
        """Ask the hub to stop, and wait; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(seconds)

    def freeze(self) -> None:
        freeze(self.process.pid)

    def thaw(self) -> None:
        thaw(self.process.pid)

    def kill(self) -> None:
        self.process.kill()
        self.wait(PATIENCE)

    def wait(self, seconds: float = 30) -> int:
        code = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(PATIENCE)
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def degraded(self) -> list[str]:
        """Return what /readyz complains of, without a loop that a busy machine has held."""
        with urlopen(f"{self.url}/readyz", timeout=PATIENCE) as answer:
            complaints = json.load(answer)["degraded"]
        return [each for each in complaints if not each.startswith("the loop was held")]

    @property
    def tokens(self) -> Tokens:
        return tokens_of(self.folder)

    def token(self, role: str, user: str, *trains: str) -> str:
        """Return a token as `python run.py token` makes it."""
        return self.tokens.issue(user, Role(role), trains)


def strace(log: Path, calls: str, what: str, *options: str) -> tuple[str, ...]:
    """Return a prefix that makes these system calls of the hub fail; `log` says when.

    `what` is as in strace's manual: "error=EIO:when=7+" is each from the seventh of a thread on.
    """
    return (
        *("strace", "-D", "-I", "2", "-f", "-y", "-ttt", "-o", str(log)),
        *("-e", f"trace={calls}", "-e", f"inject={calls}:{what}", *options),
    )
