"""How an event changes the SNAPSHOT of a train that a client has.

An event changes its own fields, and what follows from them.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

Run = dict[str, Any]
Fill = Callable[..., dict[str, Any]]

# Event → its changes: a part of the run, its fields, and a field of the event without which nothing
# changes. An exclamation mark before that field means that nothing changes with it.
# generated: changes in python
CHANGES: dict[str, list[Any]] = {
    "JOURNEY_STARTED": [["run", {"status": "RUNNING", "index": "=station.index"}]],
    "JOURNEY_COMPLETED": [["run", {"status": "COMPLETED"}]],
    "TRAIN_CANCELLED": [["run", {"status": "CANCELLED"}]],
    "RUN_CLOSED": [["run", {"status": "CLOSED"}]],
    "TRAIN_REINSTATED": [["run", {"status": "=status"}]],
    "STATION_ARRIVAL": [
        ["run", {"index": "=station.index", "departed": False, "delayMinutes": "=delayMinutes"}],
        ["stop", {"actualArrival": "=actual", "platform": "=platform", "platformConfirmed": False}],
        ["stop", {"platformConfirmed": True}, "platform"],
        ["stop", {"platformConfirmed": "=platformConfirmed"}, "platformConfirmed"],
        ["checked", {}],
    ],
    "STATION_DEPARTURE": [
        ["run", {"departed": True, "delayMinutes": "=delayMinutes"}],
        ["stop", {"actualDeparture": "=actual", "platform": "=platform"}],
    ],
    "STATION_SKIPPED": [["stop", {"skipped": True}]],
    "SKIP_UNDONE": [["stop", {"skipped": False}]],
    "DELAY_UPDATE": [["run", {"delayMinutes": "=delayMinutes"}]],
    "PLATFORM_CHANGE": [["stop", {"platform": "=platform", "platformConfirmed": "=confirmed"}]],
    "PASSENGER_BOARDED": [
        [
            "person",
            {
                "state": "ABOARD",
                "markedAt": "=markedAt|timestamp",
                "assumed": "=assumed",
                "left": None,
            },
        ],
    ],
    "BOARDED_UNDONE": [
        ["person", {"state": "DUE", "markedAt": None, "assumed": False, "left": None}],
    ],
    "PASSENGER_ALIGHTED": [
        ["person", {"state": "ALIGHTED"}],
        ["person", {"markedAt": "=markedAt|timestamp", "left": "=left"}, "left"],
    ],
    "PASSENGER_UNCHECKED": [["person", {"state": "UNCHECKED"}]],
    "PASSENGER_RESTORED": [["person", {"state": "=state"}]],
    "PASSENGER_CANCELLED": [["person", {"state": "CANCELLED"}]],
    "BOARDING_CHANGED": [["person", {"from": "=from"}]],
    "NO_SHOW": [["person", {"state": "NT", "markedAt": "=markedAt|timestamp", "assumed": False}]],
    "NO_SHOW_UNDONE": [
        ["person", {"state": "DUE", "markedAt": None, "assumed": False, "left": None}],
    ],
    "BERTH_LOST": [
        ["person", {"coach": None, "berth": None}],
        ["person", {"state": "DUE", "markedAt": None, "assumed": False, "left": None}, "!blocked"],
    ],
    "BERTHS_BLOCKED": [],
    "BERTHS_UNBLOCKED": [],
    "COACH_CHECKED": [["checked", {}]],
    "SIGNED_ON": [["duty", {"tte": "=tte", "since": "=timestamp"}]],
    "SIGNED_OFF": [["duty", {"tte": None, "since": None}]],
    "REMARKED": [],
    "BERTH_VACATED": [],
    "BERTH_ALLOTTED": [
        ["person", {"status": "=status", "coach": "=coach", "berth": "=berth"}],
        ["person", {"upgradedFrom": "=upgradedFrom"}, "upgradedFrom"],
    ],
    "UPGRADE_PENDING": [
        [
            "opened",
            {
                "offerId": "=offerId",
                "pnr": "=pnr",
                "index": "=index",
                "coach": "=coach",
                "berth": "=berth",
                "berthType": "=berthType",
                "to": "=to",
                "expiresAt": "=expiresAt",
                "state": "OPEN",
                "closedAt": None,
                "answeredBy": None,
                "oldCoach": "=oldCoach",
                "oldBerth": "=oldBerth",
                "from": "=from",
                "name": "=name",
                "cause": "=cause",
                "reason": "=reason",
                "passedOver": "=passedOver",
                "delivered": 0,
                "deliveredAt": None,
            },
        ],
    ],
    "UPGRADE_OFFER": [
        [
            "opened",
            {
                "offerId": "=offerId",
                "pnr": "=pnr",
                "index": "=index",
                "coach": "=coach",
                "berth": "=berth",
                "berthType": "=berthType",
                "to": "=to",
                "expiresAt": "=expiresAt",
                "state": "OPEN",
                "closedAt": None,
                "answeredBy": None,
                "oldCoach": "=person.coach",
                "oldBerth": "=person.berth",
                "from": "=from|run.station.code",
            },
        ],
    ],
    "UPGRADE_DELIVERED": [
        ["offer", {"delivered": "=devices", "deliveredAt": "=offer.deliveredAt|timestamp"}],
    ],
    "UPGRADE_CONFIRMED": [
        ["person", {"status": "CNF", "coach": "=coach", "berth": "=berth"}],
        ["person", {"upgradedFrom": "=upgradedFrom"}, "upgradedFrom"],
        ["closed", {}],
    ],
    "UPGRADE_CLOSED": [["closed", {}]],
    "CO_PASSENGER_CHANGED": [],
    "CLOCK_CORRECTED": [["clock", {}]],
    "ANNOUNCEMENT": [],
}
# end


def fold(run: Run, event: dict[str, Any]) -> Run | None:
    """Return the run after an event. None means that only a fresh SNAPSHOT shows it.

    The given run stays as it is.
    """
    changes, data = CHANGES.get(event["type"]), event["data"]
    if changes is None:
        return None
    after: Run | None = {**run, "seq": event["seq"]}
    for part, fields, *needed in changes:
        if needed and _is_said(data, needed[0]) is needed[0].startswith("!"):
            continue
        fill = partial(_filled, fields, {**data, "timestamp": event["timestamp"], "run": run})
        after = _PARTS[part](after, data, fill)
        if after is None:
            return None
    return after


def with_figures(run: Run, figures: dict[str, Any]) -> Run:
    """Return the run with other figures."""
    return {**run, "figures": figures}


def _run(run: Run, _: Run, fill: Fill) -> Run:
    return _expected({**run, **fill()})


def _stop(run: Run, data: Run, fill: Fill) -> Run:
    stations, index = list(run["stations"]), data["station"]["index"]
    stations[index] = {**stations[index], **fill()}
    return _expected({**run, "stations": stations})


def _person(run: Run, data: Run, fill: Fill) -> Run | None:
    passengers = list(run.get("passengers", ()))
    for place, person in enumerate(passengers):
        if _is_person(person, data):
            passengers[place] = {**person, **fill()}
            return {**run, "passengers": passengers}
    return None


def _opened(run: Run, data: Run, fill: Fill) -> Run | None:
    for person in run.get("passengers", ()):
        if _is_person(person, data):
            return {**run, "offers": [*run["offers"], fill(person=person)]}
    return None


def _offer(run: Run, data: Run, fill: Fill) -> Run:
    offers = [
        {**each, **fill(offer=each)} if each["offerId"] == data["offerId"] else each
        for each in run["offers"]
    ]
    return {**run, "offers": offers}


def _closed(run: Run, data: Run, _: Fill) -> Run:
    offers = [each for each in run["offers"] if each["offerId"] != data["offerId"]]
    return {**run, "offers": offers}


def _checked(run: Run, data: Run, _: Fill) -> Run:
    """Note that a coach was checked at this station, or that the train is at another one."""
    if "checked" not in run:
        return run
    coach = data.get("coach")
    if not coach:
        return {**run, "checked": []}
    stop = run["stations"][data["station"]["index"]]["stop"]
    duty = [{**each, "checked": stop} if each["coach"] == coach else each for each in run["duty"]]
    return {**run, "duty": duty, "checked": sorted({*run["checked"], coach})}


def _duty(run: Run, data: Run, fill: Fill) -> Run:
    """Note that a TTE has these coaches from now on, or none."""
    duty = []
    for each in run["duty"]:
        changed = {}
        if each["coach"] in data["coaches"]:
            changed = fill()
        elif each["tte"] == data["tte"]:
            changed = {"tte": None, "since": None}
        duty.append({**each, **changed})
    return {**run, "duty": duty}


def _clock(run: Run, data: Run, _: Fill) -> Run:
    """Move the times that the hub gave, because its clock was set."""
    if "passengers" not in run:
        return run
    by = timedelta(seconds=data["bySeconds"])
    passengers = [{**each, "markedAt": _later(each["markedAt"], by)} for each in run["passengers"]]
    offers = [{**each, "expiresAt": _later(each["expiresAt"], by)} for each in run["offers"]]
    return {**run, "passengers": passengers, "offers": offers}


_PARTS: dict[str, Callable[[Any, Run, Fill], Run | None]] = {
    "run": _run,
    "stop": _stop,
    "person": _person,
    "opened": _opened,
    "offer": _offer,
    "closed": _closed,
    "checked": _checked,
    "duty": _duty,
    "clock": _clock,
}


def _is_said(data: Run, name: str) -> bool:
    return data.get(name.removeprefix("!")) is not None


def _is_person(person: Run, data: Run) -> bool:
    return (person["pnr"], person["index"]) == (data["pnr"], data["index"])


def _filled(fields: Run, known: Run, **own: Run) -> Run:
    """Return the fields with their values. A text that begins with = says where the value is."""
    return {name: _value(value, {**known, **own}) for name, value in fields.items()}


def _value(value: Any, values: Run) -> Any:
    if not isinstance(value, str) or not value.startswith("="):
        return value
    for path in value[1:].split("|"):
        found: Any = values
        for name in path.split("."):
            found = found and found.get(name)
        if found is not None:
            return found
    return None


def _expected(run: Run) -> Run:
    """Return the run with what follows from its delay, its place and its stops.

    These are the expected times, and the next stop.
    """
    index, delay = run["index"], timedelta(minutes=run["delayMinutes"])
    ahead = (stop for stop in run["stations"] if stop["index"] > index and not stop["skipped"])
    coming, late = next(ahead, None), max(delay, timedelta())
    stations = []
    for stop in run["stations"]:
        # A train that left early comes early to the next stop, and waits there for its booked
        # departure.
        to_come = delay if run["departed"] and stop is coming else late
        arrival = stop["actualArrival"] or _later(stop["scheduledArrival"], to_come)
        departure = stop["actualDeparture"] or _later(stop["scheduledDeparture"], late)
        stations.append({**stop, "expectedArrival": arrival, "expectedDeparture": departure})
    here = {name: stations[index][name] for name in ("code", "name")}
    then = None
    if coming is not None:
        then = {name: coming[name] for name in ("code", "name", "index")}
        then["expected"] = stations[coming["index"]]["expectedArrival"]
    return {**run, "stations": stations, "station": here, "next": then}


def _later(moment: str | None, by: timedelta) -> str | None:
    """Return a time of the hub, as it writes it, by that much later."""
    if moment is None:
        return None
    clock, rest = moment[:19], moment[19:]
    return f"{(datetime.fromisoformat(clock) + by).isoformat()}{rest}"
