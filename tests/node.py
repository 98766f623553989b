"""Node, with the packages of tests/js: what the tests of static/ need besides Chromium."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

JS = Path(__file__).parent / "js"
AXE = JS / "node_modules" / "axe-core" / "axe.min.js"


def find_node() -> str:
    """Return the path of Node; install the packages if one is missing. Skips without npm."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed here")
    wanted = json.loads((JS / "package.json").read_text())["dependencies"]
    if not all(_has(name, version) for name, version in wanted.items()):
        command = ("npm", "ci", "--no-audit", "--no-fund")
        done = subprocess.run(command, cwd=JS, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"npm could not install {', '.join(wanted)}: {done.stderr.strip()[-200:]}")
    return found


def _has(name: str, version: str) -> bool:
    path = JS / "node_modules" / name / "package.json"
    return path.exists() and json.loads(path.read_text())["version"] == version
