""".ci/audit.py: how the build judges pip-audit's answer about the locked packages.

The answers have the form of pip-audit 2.10.1, also that for an unknown package.
"""

import json
import subprocess
import sys

import pytest
from hub_process import ROOT

SOUND = {"name": "ujson", "version": "6.1.0", "vulns": []}
OLD = {
    "name": "tornado",
    "version": "6.1",
    "vulns": [
        {
            "id": "PYSEC-2023-75",
            "fix_versions": ["6.3.2"],
            "aliases": ["CVE-2023-28370", "GHSA-hj3f-6gcp-jg8j"],
            "description": "Open redirect in StaticFileHandler.",
        }
    ],
}
UNKNOWN = {
    "name": "tornado",
    "skip_reason": "Dependency not found on PyPI and could not be audited: tornado (6.1)",
}


@pytest.fixture
def judged(tmp_path):
    """Return a function that runs the script on an answer: it returns exit code and output."""

    def run(text):
        answer = tmp_path / "answer.json"
        answer.write_text(text)
        script = [sys.executable, str(ROOT / ".ci" / "audit.py"), str(answer)]
        done = subprocess.run(script, capture_output=True, text=True, check=False)
        assert not done.stderr
        return done.returncode, done.stdout

    return run


def answer(*dependencies):
    return json.dumps({"dependencies": dependencies, "fixes": []})


def test_sound_packages_pass(judged):
    """Packages without a known hole are exit code 0."""
    assert judged(answer(SOUND, SOUND)) == (0, "audit: no known hole in 2 packages\n")


@pytest.mark.parametrize("others", [(), (SOUND,), (UNKNOWN,)])
def test_a_known_hole_fails_and_is_named(judged, others):
    """The output names the package, all names of the hole, and the release to take."""
    code, said = judged(answer(*others, OLD))
    assert code == 1
    assert "tornado 6.1: PYSEC-2023-75, CVE-2023-28370, GHSA-hj3f-6gcp-jg8j" in said
    assert "mended in 6.3.2" in said


def test_a_hole_that_nothing_mends_yet_fails_too(judged):
    """A hole without a fixed release is a hole too."""
    hole = {**OLD["vulns"][0], "fix_versions": []}
    code, said = judged(answer({**OLD, "vulns": [hole]}))
    assert (code, "no release yet" in said) == (1, True)


@pytest.mark.parametrize("text", ["", "Traceback (most recent call last):", "[]", "{}", "null"])
def test_no_answer_is_skipped_and_never_a_pass(judged, text):
    """Without a network pip-audit leaves no JSON: one line says that no service was asked."""
    code, said = judged(text)
    assert (code, said.startswith("audit skipped: ")) == (0, True)
    assert len(said.splitlines()) == 1


def test_unknown_packages_are_no_pass(judged):
    """With a mirror that lacks the service, pip-audit reports no hole although it asked nothing."""
    code, said = judged(answer(UNKNOWN, {**UNKNOWN, "name": "ujson"}))
    assert (code, said) == (0, "audit skipped: nothing could be learned of 2 packages\n")
    assert "no known hole" not in said


def test_one_unknown_package_fails(judged):
    """If only one package is unknown, it may have been removed from the index: the build fails."""
    code, said = judged(answer(SOUND, UNKNOWN))
    assert (code, "tornado" in said) == (1, True)
