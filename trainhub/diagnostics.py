"""How the hub tells its operator what goes on: a line each on stderr, as text or as JSON.

Ids of runs and jobs may stand in a line; names, PNRs, tokens and addresses of clients do not.
"""

import json
import logging
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """A JSON object for each line: time, level, logger, message, and exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def start(form: str) -> None:
    """Log from now on, as "text" or as "json"."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if form == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # The driver logs each of its own tries; the hub's own line a minute is enough.
    logging.getLogger("pymongo").setLevel(logging.CRITICAL)
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    # What clients do wrong, a line each: anybody could fill the disk with it.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
