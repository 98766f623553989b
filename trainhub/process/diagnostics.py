"""The hub's log for its operator: lines on stderr, as text or as JSON.

A line may contain ids of runs and jobs, but never names, PNRs, tokens or client addresses.
A stuck reader or a client that causes many lines does not block the hub.
"""

import json
import logging
import os
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import NoReturn

from trainhub.process.activity import WHOLE
from trainhub.process.lines import Lines

logger = logging.getLogger("trainhub.diagnostics")

# Lines that each logging call in the code may write in a burst.
BURST = 50
# Seconds between two lines of one logging call after the burst.
PACE_SECONDS = 6.0
# Clients cannot cause the lines of these loggers, or an operator has asked for each of them.
UNSAMPLED = WHOLE | {"trainhub.charts", logger.name}
# Seconds that `leave` waits for the lines that are still queued.
LAST_LINES_SECONDS = 1.0
# The exit code if stdout could not be written and nothing else was wrong.
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
    """Limit the lines of each logging call in the code to a burst and then a pace. Count the rest.

    Clients can cause most lines, including those of libraries, so almost every call is sampled.
    """

    def __init__(self) -> None:
        super().__init__()
        # Logging call → a time that each line advances by PACE_SECONDS. It may not pass `now`.
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
    """The process's stdout, stderr and log."""

    def __init__(self, form: str, level: str = "info") -> None:
        """Replace stdout and stderr, and log from now on as "text" or "json".

        `level` is "info", or "debug" for the hub's own details too.
        """
        text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
        formatter = JsonLines() if form == "json" else text
        self._json = formatter if form == "json" else None

        def note(count: int) -> str:
            words = "%d lines were dropped here, as stderr was not read"
            level = logging.WARNING
            return formatter.format(
                logger.makeRecord(logger.name, level, "", 0, words, (count,), None)
            )

        self._sampler = Sampler()
        self._streams = Lines(1, "stdout"), Lines(2, "stderr", note)
        # The interpreter's own warnings and tracebacks go through the streams too.
        sys.stdout, sys.stderr = self._streams
        handler = logging.StreamHandler()
        handler.setFormatter(formatter)
        handler.addFilter(self._sampler)
        logging.basicConfig(level=logging.INFO, handlers=[handler])
        logging.getLogger("trainhub").setLevel(level.upper())
        if self._json is not None:
            logging.captureWarnings(True)
            sys.excepthook = _log_failure
        # The driver logs each attempt; the hub's own line once a minute is enough.
        logging.getLogger("pymongo").setLevel(logging.CRITICAL)
        logging.getLogger("tornado.access").setLevel(logging.ERROR)
        # Tornado logs a line for each mistake of a client, which could fill the disk.
        logging.getLogger("tornado.general").setLevel(logging.ERROR)

    def say(self, text: str) -> None:
        """Write to stdout what a person or a program waits for. With "json" it is one object."""
        if self._json is not None:
            said = logger.makeRecord("trainhub", logging.INFO, "", 0, text, (), None)
            text = self._json.format(said)
        print(text, flush=True)

    def summarize(self) -> None:
        """Log what the sampler left out; called by a timer."""
        self._sampler.summarize()

    def complaints(self) -> list[str]:
        """Return a sentence for each stream that is not read."""
        return [sentence for stream in self._streams for sentence in stream.complaints()]


def complain(text: str, form: str) -> None:
    """Write why the hub does not start, or has ended, to stderr."""
    text = f"trainhub: {text}"
    if form == "json":
        text = JsonLines().format(
            logger.makeRecord("trainhub", logging.ERROR, "", 0, text, (), None)
        )
    print(text, file=sys.stderr)


def _log_failure(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    logger.critical("the hub has failed", exc_info=(kind, error, trace))


def fill_standard_files() -> None:
    """Open /dev/null for each of stdin, stdout and stderr that is closed.

    Otherwise the journal or a socket gets that number, and a stray print is written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def leave(code: int) -> NoReturn:
    """End the process now with `code`, or with UNWRITTEN if `code` is 0 and a flush failed.

    Does not wait for other threads: one of them may hang in a system call forever.
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
