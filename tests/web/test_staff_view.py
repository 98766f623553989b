"""static/staff_view.js: events keep a run up to date, as the hub's own view of it has it."""

import json
import subprocess
from datetime import timedelta
from random import Random

from node import JS
from railway import MORNING, RUN, STATIONS, chart, person, rac
from samples import APPROVAL, HERE, JOURNEY

from trainhub.core.audience import Standing, may_be_told
from trainhub.core.errors import HubError
from trainhub.core.journal import Record
from trainhub.domain import commands as c
from trainhub.domain.model import Role
from trainhub.domain.train import TrainState
from trainhub.domain.views import run_view
from trainhub.hub.protocol import event_message, read_command

ANSWERS = ("ACCEPT_OFFER", "DENY_OFFER", "WITHDRAW_OFFER")
TTE = Standing(Role.TTE, "T1")
PEOPLE = (
    *(person(who, *legs) for who, *legs in ((1,), (2, "AAA", "CCC"), (3, "BBB", "DDD"), (4,))),
    *(rac(10 + place, place) for place in (1, 2)),
    *(person(20 + at, status="WL", number=at, coach=None, berth=None) for at in (1, 2)),
)


class Told:
    """A run, and what a TTE is told of it after each command."""

    def __init__(self, name):
        self.name, self.state, self.steps, self.first = name, TrainState(RUN), [], None
        self.now = MORNING

    def give(self, kind, fields):
        command = read_command(c.COMMANDS[kind], {**HERE, **fields})
        seq, self.now = self.state.seq, self.now + timedelta(seconds=30)
        events = self.state.carry_out(command, self.now, user="T1")
        records = [Record(at, RUN, at, each) for at, each in enumerate(events, seq + 1)]
        heard = [event_message(each) for each in records if may_be_told(each.event.audience, TTE)]
        run = json.loads(json.dumps(run_view(self.state, TTE.role, TTE.user)))
        if self.first is None:
            self.first = run
        else:
            self.steps.append({"command": kind, "events": heard, "run": run})

    @property
    def whole(self):
        return {"name": self.name, "first": self.first, "steps": self.steps}


def sampled(name, journey):
    told = Told(name)
    for step in journey:
        marks = step.fields.get("marks", ())
        for mark in marks:  # of a batch: its events are those of its marks
            told.give(f"MARK_{mark['mark']}", {"pnr": mark["pnr"], "index": mark["index"]})
        if not marks:
            told.give(step.kind, step.on(told.state))
    return told.whole


def random_journey(seed):
    """Random marks, answers and reports; those that the rules refuse change nothing."""
    chance, told = Random(seed), Told(f"journey {seed}")
    policy, boarding = chance.choice(("OFFER", "AUTO")), chance.choice(("auto", "verify"))
    told.give("REGISTER_TRAIN", chart(*PEOPLE, policy=policy, boarding=boarding))
    told.give("START_JOURNEY", {})
    marks = ("MARK_BOARDED", "MARK_NO_SHOW", "UNDO_BOARDED", "UNDO_NO_SHOW", "CANCEL_JOURNEY")
    for _ in range(120):
        who = chance.choice(PEOPLE)
        given = {"pnr": who["pnr"], "index": 1}
        offers = list(told.state.open_by_berth.values())
        here = STATIONS[told.state.current]
        coming = STATIONS[min(told.state.current + 1, 4)]
        reports = [("DEPART", {"stationCode": here}), ("ARRIVE", {"stationCode": coming})]
        answers = [(each, {"offerId": offers[0].id}) for each in ANSWERS if offers]
        kind, more = chance.choice(
            (
                *((each, given) for each in marks),
                *((each, given) for each in marks[:2]),
                ("ALIGHT", {**given, "reason": "EARLY"}),
                ("CHANGE_BOARDING", {**given, "stationCode": coming}),
                ("CHECK_COACH", {"coach": "S1"}),
                ("SET_DELAY", {"delayMinutes": chance.randrange(60)}),
                reports[told.state.departed],
                *answers,
            )
        )
        try:
            told.give(kind, more)
        except HubError:
            continue
    return told.whole


def test_events_keep_a_run_up_to_date(node):
    """After each command the page's run is the hub's, on journeys with every kind of event."""
    journeys = [sampled("the samples", JOURNEY), sampled("under approval", APPROVAL)]
    journeys += [random_journey(seed) for seed in range(40)]
    steps = [step for each in journeys for step in each["steps"]]
    kinds = {event["type"] for step in steps for event in step["events"]}
    assert {"BERTH_LOST", "UPGRADE_CONFIRMED", "NO_SHOW_UNDONE", "PASSENGER_UNCHECKED"} <= kinds
    done = subprocess.run(
        (node, JS / "staff_view.mjs"),
        input=json.dumps(journeys),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
