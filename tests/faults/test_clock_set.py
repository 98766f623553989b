"""The wall clock is set while the hub runs, or while it is down: nothing ends early.

A station server may start before NTP corrects its clock. The hub has its default settings.
"""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import jwt
import pytest
from clocks import MovedClock
from hub_process import ROOT
from load import asker
from railway import chart, person, rac
from waiting import PATIENCE, wait_for
from witness import connect

HOUR = 3600
STEPS = pytest.mark.parametrize("by", [HOUR, -HOUR, 400 * 24 * HOUR], ids=["on", "back", "year"])


@pytest.fixture
def clock(tmp_path):
    return MovedClock(tmp_path / "clock")


def at_aaa(hub, train="12345", **fields):
    """Register a train of today, and start it with two RAC passengers aboard."""
    people = (*(person(n) for n in range(1, 5)), rac(10, 1), rac(11, 2))
    today = datetime.now(UTC).date().isoformat()
    hub.ask("/api/trains", chart(*people, trainNo=train, startDate=today, **fields))
    hub.ask(f"/api/trains/{train}/start", {})
    for number in (10, 11):
        mark(hub, train, number, "board")


def mark(hub, train, number, what):
    return hub.ask(f"/api/trains/{train}/passengers/45123456{number:02}/1/{what}", {})


def opened(hub, train="12345"):
    """The run's open offers, each with the seconds that it has left by the hub's own clock."""
    now = datetime.fromisoformat(hub.ask("/api/monitor")["hubTime"])
    return {
        each["offerId"]: (datetime.fromisoformat(each["expiresAt"]) - now).total_seconds()
        for each in hub.ask(f"/api/trains/{train}/offers?state=OPEN")
    }


def hub_is_at(hub, by):
    """True if the hub's clock is that far from the true one."""
    now = datetime.fromisoformat(hub.ask("/api/monitor")["hubTime"])
    return abs((now - datetime.now(UTC)).total_seconds() - by) < 30


def steps(hub):
    return [line for line in hub.logged if "the wall clock was set" in line]


def order(hub, clock, *arguments):
    """Run an order of the command line under the moved clock."""
    command = [sys.executable, str(ROOT / "run.py"), *arguments, "--data-dir", str(hub.folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=clock.environment, cwd=ROOT
    )
    return done.stdout.strip()


def status(hub, token):
    """Return the status of the hub's answer to a caller with that token."""
    head = {"Authorization": f"Bearer {token}"}
    try:
        with urlopen(Request(hub.url + "/api/me", headers=head), timeout=120) as answer:
            return answer.status
    except HTTPError as error:
        error.close()
        return error.code


@STEPS
def test_offers_undo_windows_and_timers_keep_their_time(
    start_hub, mongod_options, clock, by, database
):
    """Offers and undo windows keep the time they had left, and all timers run on.

    The hub says once that the clock was set.
    """
    hub = start_hub(*mongod_options, environment=clock.environment)
    hub.ask = asker(hub)
    at_aaa(hub)
    at_aaa(hub, "54321", offerSeconds=5)
    mark(hub, "12345", 1, "no-show")
    (before,) = opened(hub).values()
    assert 280 < before <= 301
    with connect(f"ws://127.0.0.1:{hub.port}/ws") as socket:
        socket.send(json.dumps({"type": "SUBSCRIBE_TRAIN", "trainNo": "12345"}))
        wait_for(lambda: heard(socket, "SUBSCRIBED", after="WELCOME"))
        clock.set(by)
        wait_for(lambda: hub_is_at(hub, by))
        (left,) = opened(hub).values()
        assert before - 60 < left <= before + 1
        mark(hub, "54321", 1, "no-show")
        wait_for(lambda: hub.ask("/api/trains/54321/offers?state=EXPIRED"))
        mark(hub, "12345", 1, "undo-no-show")
        wait_for(lambda: not opened(hub))  # withdrawn, since the berth is no longer free
        wait_for(lambda: heard(socket, "BOARDING_UPDATE", after="CLOCK_CORRECTED"))
    wait_for(lambda: database.events.count_documents({}) == all_seqs(hub))
    wait_for(lambda: hub.ask("/api/monitor")["notifications"]["depth"] == 0)
    how = f"{'forward' if by > 0 else 'back'} by {abs(by)} s"
    assert [how in line for line in steps(hub)] == [True]
    assert any(how in each for each in hub.ask("/readyz")["degraded"])
    timers = hub.ask("/readyz")["timers"]
    assert all(timers[name] < 30 for name in ("flush", "notify-email", "expire offers", "figures"))


def all_seqs(hub):
    return sum(train["seq"] for train in hub.ask("/api/monitor")["trains"])


def heard(socket, kind, after):
    """True if a message of a type has come after one of another type."""
    types = socket.__dict__.setdefault("types", [])
    try:
        while True:
            types.append(json.loads(socket.recv(timeout=0.05))["type"])
    except TimeoutError:
        return after in types and kind in types[types.index(after) :]


@STEPS
def test_tokens_of_before_are_believed_and_can_be_revoked(start_hub, mongod_options, clock, by):
    """Tokens made before and after the step are valid; a later revocation ends both.

    A token made after the revocation is valid.
    """
    hub = start_hub(*mongod_options, environment=clock.environment)
    hub.ask = asker(hub)
    issue = ("token", "--role", "TTE", "--user", "T1", "--train", "*")
    old = order(hub, clock, *issue, "--hours", "0.5")
    assert status(hub, old) == 200
    clock.set(by)
    new = order(hub, clock, *issue)
    wait_for(lambda: steps(hub))
    assert [status(hub, old), status(hub, new)] == [200, 200]
    order(hub, clock, "revoke", "--user", "T1")
    wait_for(lambda: status(hub, old) == status(hub, new) == 401)
    newest = order(hub, clock, *issue)
    assert status(hub, newest) == 200
    # A year's validity does not grow by the step.
    claims = jwt.decode(old, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == pytest.approx(1800, abs=2)


@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["on", "back"])
def test_a_step_while_the_hub_is_down_is_one_too(start_hub, mongod_options, clock, by):
    """The hub is killed, the clock is set, the hub starts: the offer keeps the time it had left."""
    hub = start_hub(*mongod_options, environment=clock.environment)
    hub.ask = asker(hub)
    at_aaa(hub)
    mark(hub, "12345", 1, "no-show")
    ((offer, before),) = opened(hub).items()
    hub.kill()
    clock.set(by)
    hub = start_hub(*mongod_options, environment=clock.environment)
    hub.ask = asker(hub)
    assert hub_is_at(hub, by)
    assert len(steps(hub)) == 1
    left = opened(hub)[offer]
    assert before - 60 < left <= before + 1
    hub.ask(f"/api/offers/{offer}/accept", {})
    # A third start says nothing new about it.
    hub.kill()
    hub = start_hub(*mongod_options, environment=clock.environment)
    assert steps(hub) == []


def test_a_clock_behind_the_journal_is_a_clock_set_back(start_hub, mongod_options, clock):
    """If the machine starts with a clock behind the journal, the journal's times count.

    So an offer is not open for longer.
    """
    hub = start_hub(*mongod_options, environment=clock.environment)
    hub.ask = asker(hub)
    at_aaa(hub)
    mark(hub, "12345", 1, "no-show")
    ((offer, before),) = opened(hub).items()
    hub.kill()
    clock.set(-HOUR)
    (hub.folder / "clock.json").unlink()  # as after another start of the machine
    hub = start_hub(*mongod_options, environment=clock.environment)
    hub.ask = asker(hub)
    assert before - 60 < opened(hub)[offer] <= before + 1
    assert len(steps(hub)) == 1


def test_reports_take_the_right_time_as_soon_as_the_clock_is_right(
    start_hub, mongod_options, clock
):
    """Delays follow the corrected clock within seconds, also after a report by the wrong clock."""
    clock.set(HOUR)
    hub = start_hub(*mongod_options, environment=clock.environment)
    hub.ask = asker(hub)
    at_aaa(hub)
    wrong = hub.ask("/api/trains/12345/departures", {"stationCode": "AAA"})
    clock.set(0)
    wait_for(lambda: steps(hub))
    right = hub.ask("/api/trains/12345/arrivals", {"stationCode": "BBB"})
    left, came = (datetime.fromisoformat(each["actual"]) for each in (wrong, right))
    assert timedelta(minutes=50) < left - came < timedelta(minutes=61)
    assert abs((came - datetime.now(UTC)).total_seconds()) < 60


def test_the_loop_goes_on_while_the_clock_jumps_about(start_hub, mongod_options, clock):
    """Many steps, either way, are logged; the hub answers, and its time ends as the true one."""
    hub = start_hub(*mongod_options, environment=clock.environment)
    hub.ask = asker(hub)
    at_aaa(hub)
    for number, by in enumerate((HOUR, -HOUR, 60, -60, 0), start=1):
        clock.set(by)
        wait_for(lambda number=number: len(steps(hub)) == number)
    assert hub_is_at(hub, 0)
    deadline = time.monotonic() + PATIENCE
    while hub.ask("/readyz")["timers"]["clock"] > 5:
        assert time.monotonic() < deadline
