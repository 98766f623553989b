"""How the hub tells its operator what goes on: a line each on stderr, as text or as JSON.

Ids of runs and jobs may stand in a line; names, PNRs, tokens and addresses of clients do not.
Neither a reader that is stuck nor a client that causes many lines holds the hub up.
"""

import json
import logging
import os
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import NoReturn

from trainhub.process.lines import Lines

logger = logging.getLogger("trainhub.diagnostics")

# Of each place in the code that logs: lines in a burst, and seconds from line to line afterwards.
BURST = 50
PACE_SECONDS = 6.0
# What these log depends on the operator's own files alone, and each line is news.
UNSAMPLED = frozenset({"trainhub.charts", logger.name})
# Seconds at the end for the lines that still wait for their reader.
LAST_LINES_SECONDS = 1.0
UNWRITTEN = 2


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


class Sampler(logging.Filter):
    """Lets through a burst of lines of each place in the code, then few, and counts the rest.

    A client can cause most lines at will, also those of libraries, so all places are sampled.
    """

    def __init__(self) -> None:
        super().__init__()
        # Place → when its allowance was last full: each line moves that time on by PACE_SECONDS.
        self._spent_until: dict[tuple[str, int], float] = {}
        self._left_out: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name in UNSAMPLED:
            return True
        now, place = time.monotonic(), (record.pathname, record.lineno)
        spent = max(self._spent_until.get(place, 0.0), now - BURST * PACE_SECONDS)
        if spent + PACE_SECONDS > now:
            self._left_out[record.name, str(record.msg)] += 1
            return False
        self._spent_until[place] = spent + PACE_SECONDS
        return True

    def summarize(self) -> None:
        """Log how many lines were left out since the last call, by logger and wording."""
        left_out, self._left_out = self._left_out, Counter()
        for (name, wording), count in left_out.items():
            logger.warning("%d more lines of %s were left out: %s", count, name, wording)


class Diagnostics:
    """The process's stdout, stderr and log, once they are set up."""

    def __init__(self, form: str) -> None:
        """Log from now on, as "text" or as "json"."""
        text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
        formatter = JsonLines() if form == "json" else text

        def note(count: int) -> str:
            words = "%d lines were dropped here, as stderr was not read"
            level = logging.WARNING
            return formatter.format(
                logger.makeRecord(logger.name, level, "", 0, words, (count,), None)
            )

        self._sampler = Sampler()
        self._streams = Lines(1, "stdout"), Lines(2, "stderr", note)
        # Also what others print: the interpreter's own warnings and tracebacks.
        sys.stdout, sys.stderr = self._streams
        handler = logging.StreamHandler()
        handler.setFormatter(formatter)
        handler.addFilter(self._sampler)
        logging.basicConfig(level=logging.INFO, handlers=[handler])
        # The driver logs each of its own tries; the hub's own line a minute is enough.
        logging.getLogger("pymongo").setLevel(logging.CRITICAL)
        logging.getLogger("tornado.access").setLevel(logging.ERROR)
        # Clients' mistakes, a line each: any client could fill the disk with them.
        logging.getLogger("tornado.general").setLevel(logging.ERROR)

    def summarize(self) -> None:
        """Log what the sampler left out; called by a timer."""
        self._sampler.summarize()

    def complaints(self) -> list[str]:
        """Return which of the streams is not read."""
        return [sentence for stream in self._streams for sentence in stream.complaints()]


def fill_standard_files() -> None:
    """Open /dev/null as stdin, stdout and stderr where the hub was started without.

    Otherwise the journal or a socket gets their number, and a stray print goes into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def leave(code: int) -> NoReturn:
    """End the process now, with `code` or UNWRITTEN if stdout could not be written.

    Never waits for other threads: one of them may hang in a system call for ever.
    """
    end = time.monotonic() + LAST_LINES_SECONDS
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Lines):
            stream.drain(max(0.0, end - time.monotonic()))
        elif stream is not None:
            try:
                stream.flush()
            except OSError as error:
                code = code or UNWRITTEN
                with suppress(OSError):
                    os.write(2, f"trainhub: stdout cannot be written: {error.strerror}\n".encode())
    os._exit(code)
