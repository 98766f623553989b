"""Charts from a folder, registered with the hub at its start.

NAME.json is a chart. If there is a NAME.csv, it has the chart's passengers. The log names each
file, column and line that is not used, once, with the reason.
"""

import codecs
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from trainhub.access.identity import Identity
from trainhub.core.errors import BadMessage, Conflict, HubError
from trainhub.core.wire import parse
from trainhub.domain import normal
from trainhub.domain.commands import RegisterTrain
from trainhub.domain.table import BadTable
from trainhub.hub.hub import Hub
from trainhub.hub.protocol import read_command

logger = logging.getLogger("trainhub.charts")

# The names that programs give to copies: "12951 (1).json", "12951 - Copy.json".
_COPY = re.compile(r"( ?\(\d+\)| - copy( \(\d+\))?|~\d*| copy( \d+)?)$", re.IGNORECASE)


@dataclass(frozen=True)
class _Files:
    """A chart's file, and the table with its passengers."""

    chart: Path
    table: Path | None

    @property
    def is_copy(self) -> bool:
        return _COPY.search(self.chart.stem) is not None


async def load_charts(hub: Hub, identity: Identity, folder: Path) -> int:
    """Register every chart of a folder. Returns how many were new.

    Each chart or line with a fault is logged with its reason, and the others load. A run that the
    hub already has stays unchanged. Raises OSError if the folder cannot be read.
    """
    found = sorted(folder.iterdir())  # noqa: ASYNC240 (at the start, no client waits yet)
    loaded = 0
    for files in _one_for_each_run(_charts(found)):
        loaded += await _load(hub, identity, files)
    logger.info("%d charts loaded from %s", loaded, folder)
    return loaded


def _charts(paths: Iterable[Path]) -> Sequence[_Files]:
    """Pair charts and tables by their names. Suffixes may be in any case."""
    by_suffix: dict[str, dict[str, Path]] = {".json": {}, ".csv": {}}
    for path in paths:
        if path.name.startswith("."):
            continue
        same = by_suffix.get(path.suffix.casefold())
        if same is None or path.is_dir():
            logger.warning(
                "%s is not used: a chart is NAME.json, and its passengers NAME.csv", path.name
            )
        else:
            same[path.stem] = path
    charts, tables = by_suffix.values()
    for name in tables.keys() - charts.keys():
        logger.error(
            "%s is not used: there is no %s.json; add it with the train and its stations",
            tables[name].name,
            name,
        )
    return [_Files(path, tables.get(name)) for name, path in charts.items()]


def _one_for_each_run(charts: Iterable[_Files]) -> Iterable[_Files]:
    """Yield one chart for each run. Copies are left out, and all charts of a run if two remain."""
    by_run: dict[object, list[_Files]] = defaultdict(list)
    for each in charts:
        by_run[_run_of(each)].append(each)
    for same in by_run.values():
        meant = same if len(same) == 1 else [each for each in same if not each.is_copy]
        if len(meant) == 1:
            yield meant[0]
        names = ", ".join(each.chart.name for each in same)
        for each in same:
            if len(meant) != 1:
                logger.error(
                    "%s is left out: %s are charts of one run: keep one", each.chart.name, names
                )
            elif each is not meant[0]:
                logger.error(
                    "%s is left out: %s is the chart of that run: remove the other",
                    each.chart.name,
                    meant[0].chart.name,
                )


def _run_of(files: _Files) -> object:
    """Return the chart's train number and date, or its path if they cannot be read."""
    try:
        chart = _chart_of(files.chart)
        return normal.train_no(chart["trainNo"]), date.fromisoformat(chart["startDate"])
    except (HubError, OSError, KeyError, TypeError, ValueError):
        return files.chart  # `_load` logs what is wrong


async def _load(hub: Hub, identity: Identity, files: _Files) -> bool:
    name = files.chart.name
    try:
        command = _read(files)
        if hub.runs.present(command.chart.run) is not None:
            logger.info("%s: %s is registered already", name, command.chart.run)
            return False
        await hub.execute(command, identity)
    except Conflict as error:
        logger.info("%s: %s", name, error.message)
        return False
    except BadTable as error:
        table = name if files.table is None else files.table.name
        logger.error("%s is left out, because %s cannot be read: %s", name, table, error)
        return False
    except (HubError, OSError) as error:
        logger.error("%s is left out: %s", name, error)
        return False
    lines = name if files.table is None else files.table.name
    for fault in command.rejected:
        logger.error("%s line %d is left out: %s", lines, fault.line, fault.reason)
    for warning in command.warnings:
        logger.warning("%s line %d: %s", lines, warning.line, warning.reason)
    return True


def _read(files: _Files) -> RegisterTrain:
    chart = dict(_chart_of(files.chart))
    if files.table is not None:
        if chart.get("passengers"):
            logger.warning(
                "the passengers in %s are not used: %s has them", files.chart.name, files.table.name
            )
        chart["passengers"] = _text_of(files.table.read_bytes())
    command = read_command(RegisterTrain, chart)
    assert isinstance(command, RegisterTrain)
    return command


def _chart_of(path: Path) -> Mapping[str, Any]:
    chart = parse(path.read_bytes())
    if not isinstance(chart, dict):
        raise BadMessage("a chart is a JSON object with trainNo, trainName, startDate, stations")
    return chart


def _text_of(table: bytes) -> str:
    """Return a table's text. A byte that is not UTF-8 is a fault of its line only."""
    if table.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return table.decode("utf-16", "replace")
    if table[1:2] == b"\0":
        return table.decode("utf-16-le", "replace")
    return table.decode("utf-8", "surrogateescape")
