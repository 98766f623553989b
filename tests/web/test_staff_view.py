"""static/staff_view.js: what a page says of a run without the hub is what the hub's rules say."""

import copy
import json
import subprocess
from datetime import timedelta
from random import Random

from node import JS
from railway import MORNING, RUN, STATIONS, chart, person, rac
from samples import HERE

from trainhub.core.errors import HubError
from trainhub.domain import commands as c
from trainhub.domain.model import PersonState, Role
from trainhub.domain.train import TrainState
from trainhub.domain.views import run_view
from trainhub.hub.protocol import read_command

ANSWERS = ("ACCEPT_OFFER", "DENY_OFFER", "WITHDRAW_OFFER")
PEOPLE = (
    *(person(who, *legs) for who, *legs in ((1,), (2, "AAA", "CCC"), (3, "BBB", "DDD"), (4,))),
    *(rac(10 + place, place) for place in (1, 2)),
    *(person(20 + at, status="WL", number=at, coach=None, berth=None) for at in (1, 2)),
)


class Journey:
    """A run; after each command the run as a TTE sees it, and whose NT the rules let a TTE undo."""

    def __init__(self):
        self.state, self.now, self.seen = TrainState(RUN), MORNING, []

    def give(self, kind, fields):
        """Give a command. The rules refuse many."""
        self.now += timedelta(seconds=30)
        try:
            self.state.carry_out(command(kind, fields), self.now, user="T1")
        except HubError:
            return
        run = json.loads(json.dumps(run_view(self.state, Role.TTE, "T1")))
        nts = (each for each in self.state.passengers.values() if each.state is PersonState.NT)
        self.seen.append((run, [each.person for each in nts if self.can_undo(each.booking)]))

    def can_undo(self, booking):
        undo = command("UNDO_NO_SHOW", {"pnr": booking.pnr, "index": booking.index})
        try:
            return bool(copy.deepcopy(self.state).carry_out(undo, self.now, user="T1"))
        except HubError:
            return False


def command(kind, fields):
    return read_command(c.COMMANDS[kind], {**HERE, **fields})


def random_journey(seed):
    """Random marks, answers and reports."""
    chance, journey = Random(seed), Journey()
    policy, boarding = chance.choice(("OFFER", "AUTO")), chance.choice(("auto", "verify"))
    journey.give("REGISTER_TRAIN", chart(*PEOPLE, policy=policy, boarding=boarding))
    journey.give("START_JOURNEY", {})
    marks = ("MARK_BOARDED", "MARK_NO_SHOW", "UNDO_BOARDED", "UNDO_NO_SHOW", "CANCEL_JOURNEY")
    for _ in range(60):
        who = chance.choice(PEOPLE)
        given = {"pnr": who["pnr"], "index": 1}
        offers = list(journey.state.open_by_berth.values())
        here = STATIONS[journey.state.current]
        coming = STATIONS[min(journey.state.current + 1, 4)]
        reports = [("DEPART", {"stationCode": here}), ("ARRIVE", {"stationCode": coming})]
        answers = [(each, {"offerId": offers[0].id}) for each in ANSWERS if offers]
        kind, more = chance.choice(
            (
                *((each, given) for each in marks),
                *((each, given) for each in marks[:2]),
                ("ALIGHT", {**given, "reason": "EARLY"}),
                ("CHANGE_BOARDING", {**given, "stationCode": coming}),
                reports[journey.state.departed],
                *answers,
            )
        )
        journey.give(kind, more)
    return journey.seen


def test_the_undo_of_nt_is_shown_while_the_rules_allow_it(node):
    """Offline too, on random journeys: as long as the train is before the destination and the
    berth is free.
    """
    seen = [each for seed in range(20) for each in random_journey(seed)]
    done = subprocess.run(
        (node, JS / "staff_view.mjs"),
        input=json.dumps([run for run, _ in seen]),
        capture_output=True,
        text=True,
        check=True,
    )
    shown = json.loads(done.stdout)
    assert any(shown)
    for (run, undone), page in zip(seen, shown, strict=True):
        assert sorted(page) == sorted(undone), run["seq"]
