"""trainhub_client/train_state.py and static/train_state.js: the fold is what a SNAPSHOT would be.

Random journeys are played in the domain. After each event the folded state of viewers of each role
is compared with the view that a SNAPSHOT has. JavaScript's fold has to be equal to Python's.
"""

import copy
import json
import os
import re
import shutil
import subprocess
from collections import Counter

import pytest
from domain.test_train_random import Journeys
from hypothesis.stateful import run_state_machine_as_test
from voyage import voyages
from waiting import PATIENCE
from walks import walks

from contract import changes
from trainhub.core.audience import Standing, may_be_told
from trainhub.core.journal import Record
from trainhub.domain import events as e
from trainhub.domain.model import Role
from trainhub.domain.train import TrainState
from trainhub.domain.views import run_view
from trainhub.hub.protocol import event_message
from trainhub_client.train_state import CHANGES, fold, with_figures

EXAMPLES, STEPS_EACH = int(os.environ.get("JOURNEYS", "100")) // 5, 50
USERS = 4
# What these change is told to the passenger by an event that follows in the same commit.
TOLD_BY_THE_NEXT = {"UPGRADE_PENDING", "CHART_AMENDED", "BOOKING_CHANGED", "BOOKING_CORRECTED"}
_MILLIS = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{3})\d*)?([+-].*)$")


def view_of(state, role, user):
    """The view as JSON gives it. Figures come apart, and seq may be of an untold event."""
    view = json.loads(json.dumps(run_view(state, role, user)))
    return {name: value for name, value in view.items() if name not in ("figures", "seq")}


def alike(value):
    """The value with all times to the millisecond: an event's `timestamp` has no more."""
    if isinstance(value, dict):
        return {name: alike(each) for name, each in value.items() if name not in ("figures", "seq")}
    if isinstance(value, list):
        return [alike(each) for each in value]
    found = _MILLIS.match(value) if isinstance(value, str) else None
    return f"{found[1]}.{found[2] or '000'}{found[3]}" if found else value


class JavaScript:
    """A process that folds with static/train_state.js."""

    def __init__(self, node):
        script = os.path.join(os.path.dirname(__file__), "..", "js", "fold.mjs")
        self._process = subprocess.Popen(
            [node, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def fold(self, run, event):
        self._process.stdin.write(json.dumps({"run": run, "event": event}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self):
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def javascript():
    """JavaScript's fold. Python's takes its place where there is no Node."""
    node = shutil.which("node")
    if node is None:
        yield fold
        return
    process = JavaScript(node)
    yield process.fold
    process.end()


class Viewer:
    """A client of a user in a role: its state is folded, and compared with the view."""

    def __init__(self, role, user, javascript):
        self.standing = Standing(role, user)
        self.state = None
        self.seen = Counter()
        self._javascript = javascript

    def look(self, state, seq, event):
        """Take note of the run's next event, and compare."""
        role, user = self.standing.role, self.standing.user
        kind = e.TYPES[type(event)]
        if may_be_told(event.audience, self.standing):
            message = json.loads(json.dumps(event_message(Record(seq, state.run, seq, event))))
            before = copy.deepcopy(self.state)
            after = None if before is None else fold(self.state, message)
            if before is not None:
                assert self.state == before, f"{kind} has changed the given state"
                assert self._javascript(before, message) == after, kind
            self.seen[kind, after is not None] += 1
            if after is None:
                after = json.loads(json.dumps(run_view(state, role, user)))
            self.state = after
            assert self.state["seq"] == seq
        if kind in TOLD_BY_THE_NEXT and role is Role.PASSENGER:
            return
        assert alike(self.state) == alike(view_of(state, role, user)), (kind, role)


SEEN = Counter()


def seen_by(viewers):
    for each in viewers:
        SEEN.update(each.seen)


@pytest.fixture
def journeys(javascript):
    """The random journeys, with viewers of each role."""

    class Viewed(Journeys):
        viewers = ()

        def look_at(self, command, event):
            if not self.viewers:
                users = {row["irctcId"] for row in self.chart["passengers"] if row["irctcId"]}
                self.viewers = [
                    Viewer(None, None, javascript),
                    Viewer(Role.TTE, "T1", javascript),
                    Viewer(Role.ADMIN, "A1", javascript),
                    *(Viewer(Role.PASSENGER, user, javascript) for user in sorted(users)[:USERS]),
                ]
            for each in self.viewers:
                each.look(self.again, len(self.log), event)

        def teardown(self):
            seen_by(self.viewers)

    return Viewed


@pytest.mark.sized
def test_random_journeys(journeys):
    """After each event the state of every viewer is what a SNAPSHOT would be."""
    SEEN.clear()
    run_state_machine_as_test(journeys, settings=walks(EXAMPLES, STEPS_EACH))
    folded = {kind for kind, was_folded in SEEN if was_folded}
    # Chance may miss some; test_every_event has them all.
    assert len(CHANGES.keys() & folded) > len(CHANGES) / 2, CHANGES.keys() - folded


def test_every_event(javascript):
    """The journeys of samples.py have every type of event: each is folded, or is declared."""
    folded, asked = set(), set()
    for driver in voyages():
        state = TrainState("12345/2026-11-23")
        viewers = [
            Viewer(None, None, javascript),
            Viewer(Role.TTE, "T1", javascript),
            *(Viewer(Role.PASSENGER, f"IR_{who}", javascript) for who in (1, 2, 10, 11, 20)),
        ]
        for seq, event in enumerate(driver.events, start=1):
            state.evolve(event)
            for viewer in viewers:
                viewer.look(state, seq, event)
        folded |= {kind for each in viewers for kind, was_folded in each.seen if was_folded}
        asked |= {kind for each in viewers for kind, was_folded in each.seen if not was_folded}
    declared = {e.TYPES[cls] for cls, each in changes.CHANGES.items() if each is None}
    assert asked <= declared
    assert folded == e.EVENTS.keys() - declared


def test_an_event_without_a_line_is_no_contract(monkeypatch):
    """A new event must say what it changes of a SNAPSHOT, or that it changes more than it tells."""
    monkeypatch.delitem(changes.CHANGES, e.NoShow)
    with pytest.raises(KeyError, match="does not say what NO_SHOW changes"):
        changes.table()


@pytest.mark.parametrize("kind", ["UNHEARD_OF", "constructor", "TRAIN_REGISTERED"])
def test_an_event_that_cannot_be_folded(javascript, kind):
    """A client that is older than the hub asks for a SNAPSHOT."""
    event = {"type": kind, "seq": 2, "timestamp": "2026-11-23T10:00:00.000+05:30", "data": {}}
    assert fold({"seq": 1}, event) is None
    assert javascript({"seq": 1}, event) is None


def test_a_person_who_is_not_in_the_state(javascript):
    """An event about a passenger that the state lacks needs a SNAPSHOT too."""
    data = {"pnr": "1", "index": 1, "markedAt": None, "assumed": False}
    event = {"type": "PASSENGER_BOARDED", "seq": 2, "timestamp": "", "data": data}
    for run in ({"seq": 1}, {"seq": 1, "passengers": [], "offers": []}):
        assert fold(run, event) is None
        assert javascript(run, event) is None


def test_figures_replace_figures():
    """The newest BOARDING_UPDATE is part of the state."""
    assert with_figures({"seq": 1, "figures": {}}, {"classes": []}) == {
        "seq": 1,
        "figures": {"classes": []},
    }
