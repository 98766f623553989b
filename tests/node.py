"""Node, with the packages of tests/js: what the tests of static/ need besides Chromium."""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

JS = Path(__file__).parent / "js"
AXE = JS / "node_modules" / "axe-core" / "axe.min.js"


def find_node() -> str:
    """Return the path of Node; install the packages if one is missing. Skips without npm.

    Workers take turns: a second installation would remove what the first one's tests use.
    """
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed here")
    with _one_at_a_time(JS):
        wanted = json.loads((JS / "package.json").read_text())["dependencies"]
        if not all(_has(name, version) for name, version in wanted.items()):
            command = ("npm", "ci", "--no-audit", "--no-fund")
            done = subprocess.run(command, cwd=JS, capture_output=True, text=True)
            if done.returncode:
                why = done.stderr.strip()[-200:]
                pytest.skip(f"npm could not install {', '.join(wanted)}: {why}")
    return found


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder among processes; the lock ends with its process."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _has(name: str, version: str) -> bool:
    path = JS / "node_modules" / name / "package.json"
    return path.exists() and json.loads(path.read_text())["version"] == version
