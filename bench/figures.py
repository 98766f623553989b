"""What a bench makes of its rounds: medians, ratios, tables and plots, and where they are written.

With --write a bench replaces its own part of docs/evidence/performance.md, between two comments.
"""

import os
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

EVIDENCE = Path(__file__).parents[1] / "docs" / "evidence"
PAGE = EVIDENCE / "performance.md"
# Of a plot, in pixels: the space for names, the longest bar, and the height of a line.
NAMES, LONGEST, LINE = 190, 380, 26


def about(what: str, rounds: int) -> str:
    """Return what was measured, on which machine, and how busy that was."""
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) or ["unknown"]
    return (
        f"{what}, medians of {rounds} alternate rounds.\n"
        f"{os.cpu_count()} cores ({names[0]}), Linux {os.uname().release}, "
        f"Python {sys.version.split()[0]}; load of the machine at the end {os.getloadavg()[0]:.0f}."
    )


def ratio(these: Sequence[float], those: Sequence[float]) -> str:
    """Return the median of the ratios round by round, with the smallest and the largest."""
    found = [a / b for a, b in zip(these, those, strict=True)]
    middle = f"{statistics.median(found):.3g}"
    return middle if len(found) == 1 else f"{middle} ({min(found):.3g} to {max(found):.3g})"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write(name: str, markdown: str) -> None:
    """Replace the part of the page that belongs to a bench."""
    first, last = f"<!-- {name}: written by the bench -->", f"<!-- {name}: end -->"
    part = f"{first}\n\n{markdown}\n\n{last}"
    page = PAGE.read_text()
    pattern = re.compile(f"{re.escape(first)}.*?{re.escape(last)}", re.DOTALL)
    changed, count = pattern.subn(lambda _: part, page)
    assert count == 1, f"{PAGE} has no place for {name}"
    PAGE.write_text(changed)


def plot(name: str, title: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """Write bars as docs/evidence/NAME.svg, and return the Markdown that shows them.

    `groups` maps a bar's group to its bars, each with a value.
    """
    most = max(value for bars in groups.values() for value in bars.values())
    parts, y = [f'<text x="0" y="18" font-weight="bold">{escape(title)}</text>'], 26
    for group, bars in groups.items():
        y += LINE
        parts.append(f'<text x="0" y="{y}">{escape(group)}</text>')
        for bar, value in bars.items():
            y += LINE
            width = max(1, round(value / most * LONGEST))
            color = "#0b6e4f" if bar.startswith("trainhub") else "#8a8f98"
            parts.append(
                f'<text x="{NAMES - 8}" y="{y}" text-anchor="end">{escape(bar)}</text>'
                f'<rect x="{NAMES}" y="{y - 13}" width="{width}" height="16" fill="{color}"/>'
                f'<text x="{NAMES + width + 6}" y="{y}">{value:.3g}</text>'
            )
    width, height = NAMES + LONGEST + 70, y + 14
    (EVIDENCE / f"{name}.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )
    return f"![{title}]({name}.svg)"
