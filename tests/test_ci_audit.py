""".ci/audit.py: a known hole fails the build; a service that cannot be asked is never a pass."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "audit.py"
SOUND = {"name": "ujson", "version": "6.1.0", "vulns": []}
HOLE = {"id": "CVE-2025-1", "fix_versions": ["6.5.3"], "aliases": [], "description": "words"}
HOLED = {"name": "tornado", "version": "6.4", "vulns": [HOLE, {"id": "CVE-2025-2"}]}
UNKNOWN = {"name": "motor", "skip_reason": "Dependency not found on PyPI"}


@pytest.fixture
def audit(tmp_path):
    """Runs the script with a pip-audit that answers so; returns the exit code and what was said."""

    def run(answer, error="", code=0):
        out, tool = tmp_path / "answer", tmp_path / "pip-audit"
        out.write_text(answer if isinstance(answer, str) else json.dumps({"dependencies": answer}))
        tool.write_text(f"#!/bin/sh\ncat {out}\necho '{error}' >&2\nexit {code}\n")
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        command = [sys.executable, str(SCRIPT), str(tool), "a/requirements.lock"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    return run


def test_a_known_hole_is_named_and_fails(audit):
    """Each by package, version and number, and where it is mended."""
    assert audit([SOUND, HOLED], code=1) == (
        1,
        [
            "audit: tornado 6.4 has CVE-2025-1: mended in 6.5.3",
            "audit: tornado 6.4 has CVE-2025-2",
        ],
    )
    assert audit([HOLED, UNKNOWN], code=1)[0] == 1


def test_without_a_hole_it_passes_and_says_nothing(audit):
    """All packages were asked for."""
    assert audit([SOUND]) == (0, [])


def test_what_could_not_be_asked_is_said(audit):
    """Without the network pip-audit ends in an error, or finds no package and calls that well."""
    code, (line,) = audit("", "ERROR: connection refused", code=1)
    assert code == 0
    assert line.startswith("audit: requirements.lock skipped, as the service cannot be asked: ")
    assert line.endswith("ERROR: connection refused")
    code, (line,) = audit([UNKNOWN, UNKNOWN])
    assert (code, "skipped" in line) == (0, True)
    assert audit([SOUND, UNKNOWN]) == (
        0,
        ["audit: requirements.lock: not known to the service: motor"],
    )


def test_without_the_tool_it_is_said(tmp_path):
    """It could not be installed: the build goes on without it."""
    command = [sys.executable, str(SCRIPT), str(tmp_path / "nowhere"), "requirements.lock"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "pip-audit could not be installed" in done.stdout) == (0, True)
