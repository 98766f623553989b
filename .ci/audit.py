"""Asks pip-audit whether the packages of the lock files have known vulnerabilities.

    python .ci/audit.py PIP_AUDIT LOCK…

Exit code 1 if one has, by name. Where the service that knows them cannot be asked, it says so in
one line and lets the build go on: pip-audit itself would say that none was found.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

QUIET = ("--format", "json", "--progress-spinner", "off")


def main(pip_audit: str, locks: list[str]) -> int:
    found = [fault for lock in locks for fault in audit(pip_audit, lock)]
    for fault in found:
        print(f"audit: {fault}")
    return 1 if found else 0


def audit(pip_audit: str, lock: str) -> list[str]:
    """The known vulnerabilities of a lock's packages, a line each."""
    # The lock names every package: nothing has to be resolved, and nothing is installed.
    command = [pip_audit, *QUIET, "--disable-pip", "--no-deps", "--requirement", lock]
    name = Path(lock).name
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        print(f"audit: {name} skipped, as pip-audit could not be installed")
        return []
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = (done.stderr.strip().splitlines() or ["no word"])[-1]
        print(f"audit: {name} skipped, as the service cannot be asked: {reason}")
        return []
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        print(f"audit: {name} skipped, as the service does not answer for any of its packages")
    elif unknown:
        print(f"audit: {name}: not known to the service: {', '.join(unknown)}")
    return [
        f"{package['name']} {package['version']} has {vulnerability['id']}{_mended(vulnerability)}"
        for package in packages
        for vulnerability in package.get("vulns", ())
    ]


def _mended(vulnerability: dict[str, Any]) -> str:
    versions = vulnerability.get("fix_versions")
    return f": mended in {', '.join(versions)}" if versions else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
