"""Fork the hubs of the tests from a process that has imported trainhub: an import takes 0.3 s.

What a hub does after its imports is the same. Run as a program, this file is that process.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).parents[1]
# Variables that the interpreter or its loader reads before the first line of Python.
EARLY = ("PYTHON", "LD_")


class Forked:
    """A process that the server has forked. It is used as a subprocess.Popen is."""

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str]):
        """Run `run.py` with these arguments, in this folder and with these variables."""
        stdout, said = os.pipe()
        stderr, logged = os.pipe()
        told, tells = os.pipe()
        asked = json.dumps([arguments, str(folder), environment]).encode()
        socket.send_fds(_server(), [asked], [said, logged, tells])
        for each in (said, logged, tells):
            os.close(each)
        self.stdout = os.fdopen(stdout, encoding="utf-8")
        self.stderr = os.fdopen(stderr, encoding="utf-8")
        numbers = os.fdopen(told)
        self.pid = int(numbers.readline())
        self._code: Future[int] = Future()
        threading.Thread(target=self._hear_the_end, args=(numbers,), daemon=True).start()

    def _hear_the_end(self, numbers: TextIO) -> None:
        with numbers:
            self._code.set_result(int(numbers.readline()))

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while the process runs."""
        return self._code.result() if self._code.done() else None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises TimeoutError if the process runs for longer."""
        return self._code.result(timeout)

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):  # it has ended, and that is about to be heard
            if not self._code.done():
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def _server() -> socket.socket:
    """Start the server of this process, and return the socket that takes requests."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-u", __file__, str(there.fileno())]
    server = subprocess.Popen(command, cwd=ROOT, pass_fds=[there.fileno()])
    there.close()
    atexit.register(server.wait)
    atexit.register(here.close)  # called first: the server ends with its socket
    return here


def _serve(requests: socket.socket) -> None:
    """Fork a process for each request, until the other end is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        asked, files, _, _ = socket.recv_fds(requests, 1 << 17, 3)
        if not asked:
            return
        if os.fork() == 0:
            requests.close()
            _fork(asked, *files)
        for each in files:
            os.close(each)


def _fork(asked: bytes, said: int, logged: int, tells: int) -> None:
    """Fork the process, and tell its pid and then its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if (pid := os.fork()) == 0:
        os.close(tells)
        for number, each in ((1, said), (2, logged)):
            os.dup2(each, number)
            os.close(each)
        _run(*json.loads(asked))
    os.close(said)
    os.close(logged)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what a terminal sends is for the hub
    os.write(tells, f"{pid}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(tells, f"{code}\n".encode())
    os._exit(0)


def _run(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = [str(ROOT / "run.py"), *arguments]
    main()


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from trainhub.__main__ import main

    _serve(socket.socket(fileno=int(sys.argv[1])))
