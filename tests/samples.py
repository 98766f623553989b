"""A sample of every command, and who hears every event, for the tests that cover all of them.

A new command is a step of a journey here, and a new event a line of HEARD.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from railway import chart, person, rac

from trainhub.core.codec import camel
from trainhub.domain import commands as c
from trainhub.domain.model import Amendment
from trainhub.domain.train import TrainState

HERE = {"trainNo": "12345", "startDate": "2026-11-23"}
# A placeholder for the id of the offer that is open when the step runs.
OPEN = "12345.2026-11-23.17"

OPERATORS = {"ADMIN", "SERVICE"}
STAFF = {"ADMIN", "TTE"}
FEEDS = {*STAFF, "SERVICE"}
OWNER = {*STAFF, "PASSENGER"}


@dataclass(frozen=True)
class Step:
    """A command that changes the run at this point of its journey, and who may give it.

    `more` are optional fields.
    """

    kind: str
    fields: dict[str, Any]
    may: set[str]
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def cls(self) -> type[c.Command]:
        return c.COMMANDS[self.kind]

    @property
    def full(self) -> dict[str, Any]:
        """Return all fields of the command, without those that name its run."""
        return {**self.fields, **self.more}

    def on(self, state: TrainState) -> dict[str, Any]:
        """Return the fields, with the id of the offer that is open now."""
        if "offerId" not in self.fields:
            return self.fields
        (offer,) = state.open_by_berth.values()
        return {**self.fields, "offerId": offer.id}


def _person(who: int) -> dict[str, Any]:
    return {"pnr": f"45123456{who:02}", "index": 1}


_MARKED = {"at": "2026-11-23T09:05:00+05:30"}


def _mark(kind: str, who: int) -> Step:
    more = _MARKED if issubclass(c.COMMANDS[kind], c.MarkCommand) else {}
    return Step(kind, _person(who), STAFF, more)


_REPORTED = {"at": "2026-11-23T10:00:00+05:30", "platform": "2"}


def _call(kind: str, code: str) -> Step:
    return Step(kind, {"stationCode": code}, FEEDS, _REPORTED)


_CORRECTED = {**rac(10, 1), "phone": "+911234567890"}
_TO_ONE = {"to": "USER", "user": "IR_1"}
_NOTE = {"note": "they travel together"}
_BOARDED = [{"mark": "BOARDED", **_person(who)} for who in (10, 11)]
_MORE = {
    "coaches": [{"code": "S9", "class": "SL", "berths": 8}],
    "removeCoaches": [],
    "removePassengers": [],
}
# On a run of railway.PEOPLE under policy OFFER, from its chart to its end.
JOURNEY = (
    Step("REGISTER_TRAIN", chart(), OPERATORS),
    Step("START_JOURNEY", {}, FEEDS, {"stationCode": "AAA"}),
    Step("AMEND_CHART", {"source": "SECOND", "passengers": [person(4)]}, FEEDS, _MORE),
    _mark("MARK_NO_SHOW", 1),
    _mark("UNDO_NO_SHOW", 1),
    _mark("MARK_BOARDED", 2),
    _mark("UNDO_BOARDED", 2),
    _mark("MARK_BOARDED", 20),
    Step("BATCH", {"marks": _BOARDED}, STAFF),
    Step("CHECK_COACH", {"coach": "S1"}, STAFF),
    Step("SIGN_ON", {"tte": "T1", "coaches": ["S1"]}, STAFF),
    Step("REMARK", {"text": "no water"}, STAFF, {"coach": "S1"}),
    Step("SIGN_OFF", {"tte": "T1"}, STAFF),
    Step("BLOCK_BERTH", {"coach": "S1", "berth": 72, "reason": "BROKEN"}, STAFF),
    _mark("MARK_NO_SHOW", 1),  # whose berth is offered to RAC 1, and then to RAC 2
    Step("DENY_OFFER", {"offerId": OPEN}, OWNER),
    Step("ACCEPT_OFFER", {"offerId": OPEN}, OWNER),
    Step("WITHDRAW_OFFER", {"offerId": OPEN}, STAFF),
    Step("MARK_BOARDED", _person(1), STAFF, _MARKED),  # whose berth is another's by now
    Step(
        "ALLOT_BERTH", {**_person(2), "coach": "S1", "berth": 5, "reason": "FAMILY"}, STAFF, _NOTE
    ),
    Step("SWAP_BERTHS", {**_person(2), "otherPnr": "4512345603", "otherIndex": 1}, STAFF, _NOTE),
    Step("CHANGE_BOARDING", {**_person(3), "stationCode": "CCC"}, OWNER),
    Step("CANCEL_JOURNEY", _person(3), OWNER),
    Step("SET_DELAY", {"delayMinutes": 5, "reason": "fog"}, FEEDS),
    Step("SET_PLATFORM", {"stationCode": "EEE", "platform": "9", "confirmed": True}, FEEDS),
    Step("SKIP_STATION", {"stationCode": "DDD"}, FEEDS),
    Step("AMEND_CHART", {"source": "CORRECTION", "passengers": [_CORRECTED]}, FEEDS),
    Step("ANNOUNCE", {"text": "mind the gap", "level": "INFO"}, FEEDS, _TO_ONE),
    _call("DEPART", "AAA"),
    _call("ARRIVE", "BBB"),
    Step("ALIGHT", {**_person(20), "reason": "MEDICAL"}, STAFF, _MARKED),
    _call("DEPART", "BBB"),
    _call("ARRIVE", "CCC"),
    _call("DEPART", "CCC"),
    Step("UNBLOCK_BERTH", {"coach": "S1"}, STAFF, {"berth": 72}),
    _call("ARRIVE", "EEE"),
)
# A halt between BBB and CCC.
HALT = {"stationCode": "HHH", "name": "HALT", "after": "BBB"}
HALT |= {"arrival": "10:30", "departure": "10:35"}
# The same under policy APPROVAL, until it is cancelled.
APPROVAL = (
    Step("REGISTER_TRAIN", chart(policy="APPROVAL"), OPERATORS),
    Step("START_JOURNEY", {}, FEEDS),
    _mark("MARK_BOARDED", 10),
    _mark("MARK_NO_SHOW", 1),
    Step("APPROVE_OFFER", {"offerId": OPEN}, STAFF),
    Step("SHORT_TERMINATE", {"stationCode": "CCC"}, STAFF, {"reason": "a landslide"}),
    Step("UNDO_SKIP", {"stationCode": "EEE"}, FEEDS),
    Step("ADD_HALT", HALT, FEEDS, {"distanceKm": 150, "platform": "1"}),
    _call("DEPART", "AAA"),
    Step("UNDO_REPORT", {"stationCode": "AAA", "report": "DEPARTURE"}, STAFF),
    Step("CANCEL_TRAIN", {"reason": "a flood"}, STAFF),
    # Without a date a run that is not over is meant.
    Step("REINSTATE_TRAIN", {"startDate": HERE["startDate"]}, STAFF),
)
# The first step of each kind, after the steps that lead to it.
STEPS: dict[str, tuple[Step, ...]] = {}
for _journey in (JOURNEY, APPROVAL):
    for _place, _step in enumerate(_journey, start=1):
        STEPS.setdefault(_step.kind, _journey[:_place])

# A sound message of every type, with all fields that it may have.
MESSAGES: dict[str, dict[str, Any]] = {
    "IDENTIFY": {"token": "a.b.c"},
    "LOGOUT": {},
    "SUBSCRIBE_TRAIN": {**HERE, "since": {"epoch": "e1", "seq": 1}, "nextRun": True},
    "UNSUBSCRIBE_TRAIN": HERE,
    "SUBSCRIBE_FLEET": {},
    "UNSUBSCRIBE_FLEET": {},
    "PING": {},
    "ACK": {**HERE, "seq": 1},
    **{
        kind: steps[-1].full if "offerId" in steps[-1].fields else {**HERE, **steps[-1].full}
        for kind, steps in STEPS.items()
    },
}

# Who hears each event: all in the room, the staff, the person's user, or both of these.
HEARD = {
    "TRAIN_REGISTERED": "all",
    "CHART_AMENDED": "staff",
    "BOOKING_CHANGED": "both",
    "BOOKING_CORRECTED": "user",
    "JOURNEY_STARTED": "all",
    "JOURNEY_COMPLETED": "all",
    "TRAIN_CANCELLED": "all",
    "RUN_CLOSED": "all",
    "TRAIN_REINSTATED": "all",
    "REPORT_UNDONE": "all",
    "STATION_ARRIVAL": "all",
    "STATION_DEPARTURE": "all",
    "STATION_SKIPPED": "all",
    "SKIP_UNDONE": "all",
    "HALT_ADDED": "all",
    "SHORT_TERMINATED": "all",
    "DELAY_UPDATE": "all",
    "PLATFORM_CHANGE": "all",
    "CLOCK_CORRECTED": "all",
    "PASSENGER_BOARDED": "both",
    "BOARDED_UNDONE": "both",
    "PASSENGER_ALIGHTED": "both",
    "PASSENGER_UNCHECKED": "both",
    "PASSENGER_RESTORED": "both",
    "BERTH_LOST": "both",
    "PASSENGER_CANCELLED": "both",
    "BOARDING_CHANGED": "both",
    "NO_SHOW": "both",
    "NO_SHOW_UNDONE": "both",
    "UPGRADE_CONFIRMED": "both",
    "UPGRADE_CLOSED": "both",
    "UPGRADE_OFFER": "user",
    "CO_PASSENGER_CHANGED": "user",
    "COACH_CHECKED": "staff",
    "SIGNED_ON": "staff",
    "SIGNED_OFF": "staff",
    "REMARKED": "staff",
    "BERTHS_BLOCKED": "staff",
    "BERTH_ALLOTTED": "both",
    "BERTHS_UNBLOCKED": "staff",
    "BERTH_VACATED": "staff",
    "UPGRADE_PENDING": "staff",
    "UPGRADE_DELIVERED": "staff",
    "ANNOUNCEMENT": "as asked",
}


def shortest(kind: str) -> dict[str, Any]:
    """The message of a command with only the fields that it needs."""
    cls = c.COMMANDS[kind]
    both = (c.Command, Amendment) if cls is c.AmendChart else (cls,)
    fields = [each for part in both for each in dataclasses.fields(part)]
    needed = {camel(each.name) for each in fields if each.default is dataclasses.MISSING}
    return {name: value for name, value in MESSAGES[kind].items() if name in needed}
