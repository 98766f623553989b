"""Signals: which of them stop the hub, and how the hub stops in time even if a part hangs."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any

from trainhub.process.diagnostics import leave

logger = logging.getLogger("trainhub.signals")

STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
# By default each would end the process without a log line and without the last writes.
WITHOUT_MEANING = (
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGIO,
    signal.SIGXCPU,
)
# Seconds from the first signal until the process has ended.
END_SECONDS = 10.0
# Seconds from the second signal until the process has ended.
HURRY_SECONDS = 2.0


class Ending:
    """The end of the process: the first signal asks for it, and the second one hurries it.

    A separate thread ends the process when the time is over, because the event loop may hang.
    """

    def __init__(self, exit_code: Callable[[], int]) -> None:
        """`exit_code` returns the code for a process that did not stop in time."""
        self._exit_code = exit_code
        self._asked = False
        self._stop_at: set[int] = {*STOP}
        self.asked = asyncio.Event()
        self._hurry = asyncio.Event()

    def listen(self) -> None:
        """Handle the process's signals from now on."""
        self._loop = asyncio.get_running_loop()
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        # A thread reads the signal numbers from a pipe: the main thread may be in a system call.
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=[reader], name="signals", daemon=True).start()
        for number in (*STOP, *WITHOUT_MEANING):
            signal.signal(number, _leave_it_to_the_thread)
        # SIGHUP means that the terminal has closed. A service has no terminal and reloads its keys
        # and certificates without a signal. `nohup` sets SIGHUP to be ignored.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            self._stop_at = {*STOP, signal.SIGHUP} if _has_terminal() else {*STOP}
            signal.signal(signal.SIGHUP, _leave_it_to_the_thread)

    def _watch(self, reader: int) -> None:
        while True:
            for number in os.read(reader, 64):
                if number in self._stop_at:
                    self._stop()
                elif number in (*WITHOUT_MEANING, signal.SIGHUP):
                    name = signal.Signals(number).name
                    logger.info("%s means nothing to the hub: SIGTERM stops it", name)

    def _stop(self) -> None:
        if self._asked:
            self._make_certain(HURRY_SECONDS)
            self._tell(self._hurry)
        self.request()

    def request(self) -> None:
        """Ask for the end, from any thread."""
        if not self._asked:
            self._asked = True
            self._make_certain(END_SECONDS)
            self._tell(self.asked)

    def _tell(self, event: asyncio.Event) -> None:
        with suppress(RuntimeError):  # the loop is closed, so the process is about to end
            self._loop.call_soon_threadsafe(event.set)

    def _make_certain(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._give_up_waiting, [seconds])
        timer.daemon = True
        timer.start()

    def _give_up_waiting(self, seconds: float) -> None:
        logger.critical("the hub did not stop within %.0f s and leaves without waiting", seconds)
        leave(self._exit_code())

    async def unless_hurried(
        self, call: Callable[..., Coroutine[Any, Any, None]], *arguments: Any
    ) -> None:
        """Await a call while stopping. Cancel the call if the stop is hurried."""
        task = asyncio.create_task(call(*arguments))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait((task, hurry), return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if task.done():
            task.result()
        else:
            task.cancel()


def _leave_it_to_the_thread(number: int, frame: FrameType | None) -> None:
    pass


def _has_terminal() -> bool:
    with suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return True
    return False


def end_at_signals(code: int) -> None:
    """End the process with `code` at once at a stop signal. For use before the hub has started."""
    for number in STOP:
        signal.signal(number, lambda number, frame: os._exit(code))
