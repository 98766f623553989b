"""Judges what pip-audit says of the locked packages: `python .ci/audit.py ANSWER.json`.

pip-audit ends with 0 and "no known vulnerabilities" also for packages that it could learn nothing
about, so its own word is not taken. Exit codes: 0 all were asked about and none has a known hole,
or no one could be asked, which is said; 1 a vulnerability is known, or some packages are unknown.
"""

import json
import sys
from pathlib import Path
from typing import Any


def holes(dependency: dict[str, Any]) -> list[str]:
    """A line for each known hole of a package: its names, and the releases that mend it."""
    return [
        f"{dependency['name']} {dependency['version']}: {', '.join([hole['id'], *hole['aliases']])}"
        f", mended in {', '.join(hole['fix_versions']) or 'no release yet'}"
        for hole in dependency.get("vulns", ())
    ]


def judge(text: str) -> tuple[int, list[str]]:
    """The exit code and what to say, from pip-audit's JSON; other text is no answer."""
    try:
        dependencies = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return 0, ["audit skipped: the service that knows of holes could not be asked"]
    found = [line for each in dependencies for line in holes(each)]
    unknown = [each["name"] for each in dependencies if "skip_reason" in each]
    if found:
        return 1, ["known holes, take a release that mends them:", *found]
    if len(unknown) == len(dependencies):
        return 0, [f"audit skipped: nothing could be learned of {len(unknown)} packages"]
    if unknown:
        return 1, [f"nothing could be learned of {', '.join(unknown)}: are they still published?"]
    return 0, [f"audit: no known hole in {len(dependencies)} packages"]


if __name__ == "__main__":
    code, lines = judge(Path(sys.argv[1]).read_text())
    print(*lines, sep="\n")
    sys.exit(code)
