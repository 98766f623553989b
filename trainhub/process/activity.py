"""What the hub does, for its operator's log: counts for one line a minute, and each act at DEBUG.

A line has ids of runs, offers, events and connections only: no names, users, PNRs, addresses or
tokens.
"""

import logging
import time
from collections import Counter
from enum import StrEnum

logger = logging.getLogger("trainhub.activity")


class Act(StrEnum):
    """What is counted, in the order in which the summary has it."""

    CONNECTIONS = "connections"
    COMMANDS = "commands"
    OFFERS = "offers"
    REFUSALS = "refusals"
    NOTIFICATIONS = "notifications"
    CUT_OFF = "clients cut off"


_LOGGERS = {each: logger.getChild(each.replace(" ", "_")) for each in Act}
# The loggers whose lines clients cannot cause at will, or whose lines an operator wants one by one.
WHOLE = frozenset(_LOGGERS[each].name for each in (Act.COMMANDS, Act.OFFERS, Act.NOTIFICATIONS))


class Activity:
    """The acts since the last summary."""

    def __init__(self) -> None:
        self._counts: dict[Act, Counter[str]] = {each: Counter() for each in Act}
        self._since = time.monotonic()

    def note(self, what: Act, kind: str, detail: str = "", *ids: object) -> None:
        """Count an act. `detail` with `ids` is its line at DEBUG."""
        self._counts[what][kind] += 1
        if detail:
            _LOGGERS[what].debug(detail, *ids)

    def refused(self, code: str, door: object, role: object = None) -> None:
        """Count a request that was answered with an error. `door` is a method, or "socket"."""
        self.note(Act.REFUSALS, code, "%s over %s, role %s", code, door, role)

    def summarize(self, connections: int) -> None:
        """Log the acts since the last call in one line, if there are any."""
        parts = [
            f"{what}: " + ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
            for what, counts in self._counts.items()
            if counts
        ]
        for counts in self._counts.values():
            counts.clear()
        seconds, self._since = time.monotonic() - self._since, time.monotonic()
        if parts:
            logger.info(
                "in %.0f s: %s; %d connections are open", seconds, "; ".join(parts), connections
            )
