"""Judge pip-audit's answer on the locked packages: `python .ci/audit.py ANSWER.json`.

pip-audit reports success even for packages that the vulnerability service does not know. So this
script checks each package. Exit code 0 means that no package has a known vulnerability, or that
the service did not answer, which is printed. Exit code 1 means that a package has a known
vulnerability, or that the service does not know some packages.
"""

import json
import sys
from pathlib import Path
from typing import Any


def holes(dependency: dict[str, Any]) -> list[str]:
    """Return a line for each known vulnerability of a package: its ids, and the fixed releases."""
    return [
        f"{dependency['name']} {dependency['version']}: {', '.join([hole['id'], *hole['aliases']])}"
        f", mended in {', '.join(hole['fix_versions']) or 'no release yet'}"
        for hole in dependency.get("vulns", ())
    ]


def judge(text: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines to print. Other text than JSON counts as no answer."""
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
