"""Freeze a process for a while, as a machine does that swaps or a disk that hangs."""

import os
import signal
from pathlib import Path

from waiting import wait_for


def freeze(pid: int) -> None:
    """Freeze a process: on return all its threads are stopped, outside of system calls."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    wait_for(lambda: all(_state(task) == "T" for task in tasks.iterdir()))


def thaw(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


def _state(task: Path) -> str:
    """Return a thread's state as the kernel names it: one letter, after the name in brackets."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0]
