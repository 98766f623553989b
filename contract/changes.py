"""What each event changes of a SNAPSHOT. By this table both clients keep a train's `state`.

A new event needs a line here. None means that the event changes more than it tells: the client
then asks for a fresh SNAPSHOT, as it does after an event that it does not know.
"""

import json
from typing import Any

from trainhub.domain import events as e

# The part that changes, its fields, and a field of the event without which nothing changes; with an
# exclamation mark before it, a field with which nothing changes.
# The parts are in `train_state` of the clients. A text that begins with = is where the value is: in
# the event's data, or in `timestamp`, `run` or `person`; of several, the first that is there.
Change = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], str]

_MARKED = {"markedAt": "=markedAt|timestamp"}
_DUE = {"state": "DUE", "markedAt": None, "assumed": False, "left": None}


def _told(*names: str) -> dict[str, str]:
    """Return fields that an event tells under the same names."""
    return {name: f"={name}" for name in names}


_OFFERED = {
    **_told("offerId", "pnr", "index", "coach", "berth", "berthType", "to", "expiresAt"),
    "state": "OPEN",
    "closedAt": None,
    "answeredBy": None,
}
_TO_STAFF = {
    **_told("oldCoach", "oldBerth", "from", "name", "cause", "reason", "passedOver"),
    "delivered": 0,
    "deliveredAt": None,
}
_TO_PASSENGER = {
    "oldCoach": "=person.coach",
    "oldBerth": "=person.berth",
    "from": "=from|run.station.code",
}
_UPGRADED: Change = ("person", _told("upgradedFrom"), "upgradedFrom")
_NOTHING: tuple[Change, ...] = ()

CHANGES: dict[type[e.Event], tuple[Change, ...] | None] = {
    e.TrainRegistered: None,
    e.ChartAmended: None,
    e.BookingChanged: None,
    e.BookingCorrected: None,
    e.JourneyStarted: (("run", {"status": "RUNNING", "index": "=station.index"}),),
    e.JourneyCompleted: (("run", {"status": "COMPLETED"}),),
    e.TrainCancelled: (("run", {"status": "CANCELLED"}),),
    e.RunClosed: (("run", {"status": "CLOSED"}),),
    e.TrainReinstated: (("run", {"status": "=status"}),),
    e.ReportUndone: None,
    e.StationArrival: (
        ("run", {"index": "=station.index", "departed": False, "delayMinutes": "=delayMinutes"}),
        ("stop", {"actualArrival": "=actual", "platform": "=platform", "platformConfirmed": False}),
        ("stop", {"platformConfirmed": True}, "platform"),
        ("stop", {"platformConfirmed": "=platformConfirmed"}, "platformConfirmed"),
        ("checked", {}),
    ),
    e.StationDeparture: (
        ("run", {"departed": True, "delayMinutes": "=delayMinutes"}),
        ("stop", {"actualDeparture": "=actual", "platform": "=platform"}),
    ),
    e.StationSkipped: (("stop", {"skipped": True}),),
    e.SkipUndone: (("stop", {"skipped": False}),),
    e.HaltAdded: None,
    e.ShortTerminated: None,
    e.DelayUpdate: (("run", {"delayMinutes": "=delayMinutes"}),),
    e.PlatformChange: (("stop", {"platform": "=platform", "platformConfirmed": "=confirmed"}),),
    e.PassengerBoarded: (
        ("person", {"state": "ABOARD", **_MARKED, "assumed": "=assumed", "left": None}),
    ),
    e.BoardedUndone: (("person", _DUE),),
    e.PassengerAlighted: (
        ("person", {"state": "ALIGHTED"}),
        ("person", {**_MARKED, "left": "=left"}, "left"),
    ),
    e.PassengerUnchecked: (("person", {"state": "UNCHECKED"}),),
    e.PassengerRestored: (("person", {"state": "=state"}),),
    e.PassengerCancelled: (("person", {"state": "CANCELLED"}),),
    e.BoardingChanged: (("person", {"from": "=from"}),),
    e.NoShow: (("person", {"state": "NT", **_MARKED, "assumed": False}),),
    e.NoShowUndone: (("person", _DUE),),
    e.BerthLost: (
        ("person", {"coach": None, "berth": None}),
        ("person", _DUE, "!blocked"),
    ),
    e.CoachChecked: (("checked", {}),),
    e.SignedOn: (("duty", {"tte": "=tte", "since": "=timestamp"}),),
    e.SignedOff: (("duty", {"tte": None, "since": None}),),
    e.Remarked: _NOTHING,
    e.BerthsBlocked: _NOTHING,
    e.BerthsUnblocked: _NOTHING,
    e.BerthAllotted: (("person", _told("status", "coach", "berth")), _UPGRADED),
    e.BerthVacated: _NOTHING,
    e.UpgradePending: (("opened", {**_OFFERED, **_TO_STAFF}),),
    e.UpgradeOffer: (("opened", {**_OFFERED, **_TO_PASSENGER}),),
    e.UpgradeDelivered: (
        ("offer", {"delivered": "=devices", "deliveredAt": "=offer.deliveredAt|timestamp"}),
    ),
    e.UpgradeConfirmed: (
        ("person", {"status": "CNF", **_told("coach", "berth")}),
        _UPGRADED,
        ("closed", {}),
    ),
    e.UpgradeClosed: (("closed", {}),),
    e.CoPassengerChanged: _NOTHING,
    e.ClockCorrected: (("clock", {}),),
    e.Announcement: _NOTHING,
}

_WIDTH = 100


def table() -> dict[str, Any]:
    """Return the changes by event type. Raises KeyError if an event has no line in CHANGES."""
    for kind, cls in e.EVENTS.items():
        if cls not in CHANGES:
            raise KeyError(f"contract/changes.py does not say what {kind} changes of a SNAPSHOT")
    return {
        kind: [list(each) for each in changes]
        for kind, cls in e.EVENTS.items()
        if (changes := CHANGES[cls]) is not None
    }


def in_python() -> str:
    """Return the table as a constant of Python, as ruff formats it."""
    return f"CHANGES: dict[str, list[Any]] = {_written(table(), _PYTHON, used=33)}"


def in_javascript() -> str:
    """Return the table as a constant of JavaScript."""
    return f"const CHANGES = {_written(table(), _JAVASCRIPT, used=16)};"


_PYTHON = {None: "None", True: "True", False: "False", "quote": '"', "indent": "    "}
_JAVASCRIPT = {None: "null", True: "true", False: "false", "quote": "'", "indent": "  "}


def _written(value: Any, language: dict[Any, str], indent: str = "", used: int = 0) -> str:
    """Return a value as a literal, on one line if it fits behind `used` characters."""
    flat = _flat(value, language)
    if not value or not isinstance(value, dict | list) or used + len(flat) < _WIDTH:
        return flat
    inner = indent + language["indent"]
    names = [""] * len(value)
    if isinstance(value, dict):
        names = [f"{_name(each, language)}: " for each in value]
    items = value.values() if isinstance(value, dict) else value
    lines = [
        f"{inner}{name}{_written(each, language, inner, len(inner) + len(name))},"
        for name, each in zip(names, items, strict=True)
    ]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([first, *lines, indent + last])


def _flat(value: Any, language: dict[Any, str]) -> str:
    if isinstance(value, dict):
        fields = ", ".join(
            f"{_name(name, language)}: {_flat(each, language)}" for name, each in value.items()
        )
        pad = " " if fields and language is _JAVASCRIPT else ""
        return f"{{{pad}{fields}{pad}}}"
    if isinstance(value, list):
        return f"[{', '.join(_flat(each, language) for each in value)}]"
    if value is None or isinstance(value, bool):
        return language[value]
    return (
        f"{language['quote']}{value}{language['quote']}"
        if isinstance(value, str)
        else json.dumps(value)
    )


def _name(name: str, language: dict[Any, str]) -> str:
    return name if language is _JAVASCRIPT else f'"{name}"'
