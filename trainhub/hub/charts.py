"""Charts from a folder, registered with the hub at its start.

NAME.json is a chart; NAME.csv beside it, if there is one, holds its passengers.
"""

import logging
from pathlib import Path

from trainhub.access.identity import Identity
from trainhub.core.errors import BadMessage, Conflict, HubError
from trainhub.core.wire import parse
from trainhub.domain.commands import RegisterTrain
from trainhub.hub.hub import Hub
from trainhub.hub.protocol import read_command

logger = logging.getLogger("trainhub.charts")


async def load_charts(hub: Hub, identity: Identity, folder: Path) -> int:
    """Register every chart of a folder; returns how many were new.

    A chart or line that is broken is logged with its reason, and the others load. A run that the
    hub has already stays as it is. Raises OSError if the folder cannot be read.
    """
    loaded = 0
    for path in sorted(folder.iterdir()):  # noqa: ASYNC240 (at the start, nobody waits yet)
        if path.suffix == ".json":
            loaded += await _load(hub, identity, path)
    logger.info("%d charts loaded from %s", loaded, folder)
    return loaded


async def _load(hub: Hub, identity: Identity, path: Path) -> bool:
    try:
        command = _read(path)
        await hub.execute(command, identity)
    except Conflict as error:
        logger.info("%s: %s", path.name, error.message)
        return False
    except (HubError, OSError, UnicodeDecodeError) as error:
        logger.error("%s is left out: %s", path.name, error)
        return False
    lines = path.with_suffix(".csv") if path.with_suffix(".csv").exists() else path
    for each in command.rejected:
        logger.error("%s line %d is left out: %s", lines.name, each.line, each.reason)
    return True


def _read(path: Path) -> RegisterTrain:
    chart = parse(path.read_bytes())
    if not isinstance(chart, dict):
        raise BadMessage("a chart is a JSON object")
    table = path.with_suffix(".csv")
    if table.exists():
        chart["passengers"] = table.read_text("utf-8")
    command = read_command(RegisterTrain, chart)
    assert isinstance(command, RegisterTrain)
    return command
