"""trainhub/domain/train.py on random charts and commands: rules that hold at every step.

The other files check each rule alone. Here whole journeys are random, with invalid commands too. A
notebook follows the events with lists and without masks. After each step the state must agree with
the notebook, and with the state that its own log gives.
"""

import dataclasses
import json
import os
import pickle
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from walks import walks

from trainhub.core.codec import dump, load
from trainhub.core.errors import HubError
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain import journey
from trainhub.domain.berths import Occupancy
from trainhub.domain.chart import read_amendment, read_chart
from trainhub.domain.decisions import CHOSEN, Decisions
from trainhub.domain.handover import handover
from trainhub.domain.model import AlightReason, AllotReason, BlockReason, StationReport
from trainhub.domain.reasons import GROUPS, NAMED
from trainhub.domain.schedule import local
from trainhub.domain.snapshot import RunSnapshot, resume, snapshot_of
from trainhub.domain.train import TrainState, fold
from trainhub.domain.views import figures

EXAMPLES, STEPS_EACH = int(os.environ.get("JOURNEYS", "100")), 50
# People whose decisions are read at the end of each journey.
MOST_ASKED = 6
START = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
# Coach → class, berths, and what each berth of a bay is (railway rules, Berths).
BAYS = {"SL": "LMULMUab", "2A": "LULUab"}
COACHES = {"S1": ("SL", 16), "S2": ("SL", 8), "A1": ("2A", 6)}
LIKED = "LaMUb"  # lower, side lower, middle, upper, side upper
KIND = {
    f"{coach}-{place}": BAYS[class_][(place - 1) % len(BAYS[class_])]
    for coach, (class_, berths) in COACHES.items()
    for place in range(1, berths + 1)
}
STATES = {"PASSENGER_BOARDED": "ABOARD", "PASSENGER_ALIGHTED": "ALIGHTED", "NO_SHOW": "NT"}
STATES |= {"NO_SHOW_UNDONE": "DUE", "BOARDED_UNDONE": "DUE", "BERTH_LOST": "DUE"}
STATES |= {"PASSENGER_CANCELLED": "CANCELLED", "PASSENGER_UNCHECKED": "UNCHECKED"}
# Counts over all examples: commands by outcome, events by type.
SEEN = Counter()


@cache
def is_frozen(kind):
    """Whether it is a dataclass whose values never change, and are compared as they are."""
    return dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen


@cache
def names_of(kind):
    return [field.name for field in dataclasses.fields(kind)]


def picture(value):
    """All parts of a state as plain values that can be compared; times in UTC."""
    if isinstance(value, str | int | None):
        return value
    kind = type(value)
    if is_frozen(kind):
        return value
    if isinstance(value, dict):
        return [(picture(key), picture(inner)) for key, inner in value.items()]
    if isinstance(value, list | tuple):
        return [picture(inner) for inner in value]
    if kind is datetime:
        return value.astimezone(UTC)
    if kind is ZoneInfo:
        return value.key
    if kind is set:
        return sorted(value)
    if dataclasses.is_dataclass(kind):
        return [(name, picture(getattr(value, name))) for name in names_of(kind)]
    assert kind in (TrainState, Occupancy), f"what is {value!r} doing in a state?"
    # Indexes over the rest, and what a matching left over.
    derived = ("_openings", "held", "due", "has_ladies_vacancy")
    parts = {name: inner for name, inner in vars(value).items() if name not in derived}
    if "waiting" in parts:  # a class in which people waited once is like any other
        parts["waiting"] = {class_: there for class_, there in parts["waiting"].items() if there}
    return [(name, picture(inner)) for name, inner in parts.items()]


def begun(state):
    """The vacancies that have begun."""
    there = {
        key: [v for v in starts.values() if v.start <= state.current]
        for key, starts in state.freed.items()
    }
    return picture({key: found for key, found in there.items() if found})


def class_of(berth):
    return COACHES[berth.partition("-")[0]][0]


class Notebook:
    """The run person by person and leg by leg, from the chart and the events only."""

    def __init__(self, data):
        stations = data["stations"]
        self.place = {code: number for number, code in enumerate(stop_codes(stations))}
        self.km = [row["distanceKm"] for row in stations]
        self.least = data["minUpgradeKm"]
        self.last = len(stations) - 1
        self.at, self.departed, self.status, self.skipped = 0, False, "SCHEDULED", set()
        self.people, self.legs = {}, {}
        # Berth → the stations where its vacancies begin, and people whose offer of it ended.
        self.vacant, self.refused, self.asked = {}, {}, {}
        self.ended = set()  # (person, berth) of every offer that ended without an upgrade
        self.open = {}  # offer id → UPGRADE_PENDING
        self.ladies = {}  # (berth, station): whether the vacancy is of the ladies' quota
        self.seq, self.late = 0, False
        self.duty, self.remarks = {}, []  # coach → TTE
        self.list, self.kinds = data["waitingList"], data["waitingKinds"]
        # Whether a lower berth is offered to confirmed passengers who need one.
        self.moves = data["lowerFirst"] and data["policy"] != "AUTO"
        self.lower_first = data["lowerFirst"]
        self.check, self.checked, self.left_at = data["checkMinutes"], {}, {}
        self.blocked = {  # berth → why
            f"{row['code']}-{place}": "STAFF" for row in data["coaches"] for place in row["blocked"]
        }
        for row in data["passengers"]:
            self.book(row)

    def book(self, row):
        """Note a person of the chart, or of an amendment, who may be known already."""
        key = row["coach"] and f"{row['coach']}-{row['berth']}"
        name = f"{row['pnr']}/{row['index']}"
        old = self.people.get(name)
        state = "DUE" if old is None or old.state == "CANCELLED" else old.state
        person = SimpleNamespace(
            key=name,
            user=row["irctcId"],
            class_=row["class"],
            status=row["status"],
            booked=row["status"],
            number=row["number"],
            woman=row.get("gender") == "F",
            age=row.get("age") or 0,
            need=row.get("need"),
            kind=row.get("waitingKind") or "GN",
            start=self.place[row["from"]],
            end=self.place[row["to"]],
            ticket=self.place[row["from"]],
            berth=key,
            state=state,
            moved=False,
            left=False,
            claim=None,
            risen=False,
        )
        self.people[person.key] = person
        self.take(person, max(person.start, self.at))

    def take(self, person, start):
        share = 1 if person.status == "RAC" else 2
        for leg in range(start, person.end) if person.berth else ():
            self.legs.setdefault((person.berth, leg), {})[person.key] = share

    def leave(self, person, start, end):
        for leg in range(start, end) if person.berth else ():
            self.legs.get((person.berth, leg), {}).pop(person.key, None)

    def is_full(self, berth):
        """Whether no more people fit on the next leg."""
        if berth in self.blocked:
            return True
        held = self.legs.get((berth, self.at), {})
        return self.at >= self.last or sum(held.values()) > 1

    def fell_vacant(self, berth, station):
        if berth is None or (station == self.at and self.is_full(berth)):
            return
        if not self.is_vacant(berth):
            self.refused[berth] = {}
        self.asked[berth] = {}
        self.vacant.setdefault(berth, set()).add(station)

    def is_vacant(self, berth):
        return any(since <= self.at for since in self.vacant.get(berth, ()))

    def forget_full(self):
        for berth, since in self.vacant.items():
            if self.is_full(berth):
                self.vacant[berth] = {station for station in since if station > self.at}

    def is_ladies(self, berth):
        """Whether the berth's vacancy is of the ladies' quota."""
        since = [at for key, at in self.ladies if key == berth and at <= self.at]
        return bool(since) and self.ladies[berth, max(since)]

    def order(self, class_, berth=None):
        """The order of candidates: those who lost a berth, then RAC by number, then WL likewise.

        On WL, partly confirmed PNRs come first, and then the kinds in the chart's order. A missing
        number comes last. For a berth of the ladies' quota women come first.
        """
        ladies = berth is not None and self.is_ladies(berth)
        waiting = [p for p in self.people.values() if p.class_ == class_ and self.waits(p)]
        return sorted(
            waiting,
            key=lambda p: (
                *(p.claim is None, p.claim or 0),
                *(ladies and self.ladies_place(p), p.status == "WL"),
                p.status == "WL" and (not self.is_partly_confirmed(p), self.kinds.index(p.kind)),
                *(p.number is None, p.number or 0, p.key),
            ),
        )

    def ladies_place(self, person):
        """The place in the turn for a berth of the ladies' quota: women, seniors, others."""
        if person.claim is not None or person.woman:
            return 0
        return 1 if person.age >= 60 else 2

    def prefers_lower(self, person):
        older = person.age >= (45 if person.woman else 60)
        return self.lower_first and (older or person.need is not None)

    def is_mover(self, person):
        """Whether a person is confirmed in a middle or upper berth and is better off lower."""
        high = person.status == "CNF" and person.berth and KIND[person.berth] in "MUb"
        return high and person.state == "ABOARD" and self.prefers_lower(person)

    def is_for_movers(self, berth, table):
        """Whether movers are asked for a berth. `table` has those who were asked before."""
        had = [p for p in table.get(berth, {}) if self.prefers_lower(self.people[p])]
        lower = self.moves and KIND[berth] == "L" and not self.is_ladies(berth)
        return lower and len(had) < 3

    def movers(self, berth):
        """The movers of a berth's class, in their turn: a need first, then the oldest."""
        found = [
            p
            for p in self.people.values()
            if self.is_mover(p) and class_of(p.berth) == class_of(berth)
        ]
        return sorted(found, key=lambda p: (p.need is None, -p.age, p.key))

    def turn(self, person, berth):
        """The people before a person in the turn for a berth, and the person."""
        order = self.order(class_of(berth), berth)
        if person not in order:  # a mover
            claims = [each for each in order if each.claim is not None]
            order = [*claims, *self.movers(berth)]
        return order[: order.index(person) + 1]

    def is_partly_confirmed(self, person):
        pnr = person.key.partition("/")[0]
        party = (each for key, each in self.people.items() if key.partition("/")[0] == pnr)
        return any(each.booked in ("CNF", "RAC") for each in party)

    def may_get(self, person):
        """Whether the journey may get a berth, aboard or not."""
        if person.claim is not None:
            return person.end > self.at
        listed = self.list == "ALL" or (self.list == "PARTLY" and self.is_partly_confirmed(person))
        ticket = self.ticket_km(person) >= self.least
        return person.end > self.at and ticket and (person.status != "WL" or listed)

    def comes_next(self, person):
        """Whether a person on WL boards where the train comes next."""
        on_wl = person.status == "WL" and person.state == "DUE" and self.departed
        return on_wl and person.start == self.following() and self.goes_on(person.start)

    def goes_on(self, place):
        """Whether the train leaves a station again."""
        return bool(set(range(place + 1, self.last + 1)) - self.skipped)

    def may_come(self, person):
        """Whether a person on WL who was asked on the way to the station may still board."""
        on_wl = person.status == "WL" and person.state == "DUE"
        served = person.start not in self.skipped and self.goes_on(person.start)
        return on_wl and person.start >= self.at and served

    def following(self):
        return min(set(range(self.at + 1, self.last + 1)) - self.skipped)

    def declined(self, table, berth):
        """The people who are not asked for the berth: for good, or until the next arrival."""
        return {p for p, at in table.get(berth, {}).items() if at in (-1, self.at)}

    def awaited(self, person, now):
        """Whether a person may still turn out to be aboard."""
        if self.check is None or person.state != "DUE" or person.start > self.at:
            return False
        coach = person.berth and person.berth.partition("-")[0]
        coaches = [
            c for c in COACHES if c == coach or (not coach and COACHES[c][0] == person.class_)
        ]
        if all(self.checked.get(each, -1) >= person.start for each in coaches):
            return False
        left = self.left_at.get(person.start)
        if left is None:
            return person.start == self.at
        return now < left + timedelta(minutes=self.check)

    def holds_up(self, person, berth, now):
        """Whether a berth waits for a person."""
        return (
            self.awaited(person, now)
            and self.may_get(person)
            and self.fits(person, berth)
            and not set(self.legs.get((berth, self.at), ()))
            and person.key not in self.declined(self.refused, berth)
        )

    def waits(self, person):
        return person.status != "CNF" or person.claim is not None

    def asked_already(self, person):
        return any(f"{made.pnr}/{made.index}" == person.key for made in self.open.values())

    def held(self):
        return {f"{made.coach}-{made.berth}" for made in self.open.values()}

    def is_able(self, person):
        return (
            (person.state == "ABOARD" or self.comes_next(person))
            and not self.asked_already(person)
            and self.may_get(person)
        )

    def ticket_km(self, person):
        return self.km[person.end] - self.km[person.ticket]

    def taken_from(self, person, berth, end=None):
        """The first station before `end` from which the berth is not the person's, or None."""
        if berth in self.blocked:
            return self.at
        for leg in range(self.at, person.end if end is None else end):
            if set(self.legs.get((berth, leg), ())) - {person.key}:
                return leg
        return None

    def fits(self, person, berth):
        own = person.class_ if self.waits(person) else class_of(person.berth)
        return class_of(berth) == own and self.taken_from(person, berth) is None

    def rank(self, person, berth):
        until = self.taken_from(person, berth, self.last)
        coach, _, place = berth.partition("-")
        beyond = (self.last if until is None else until) - person.end
        # Side berths are for RAC: a passenger who lost a berth gets one last.
        last_choice = person.claim is not None and KIND[berth] in "ab"
        if self.prefers_lower(person):
            last_choice = {"L": 0, "a": 1}.get(KIND[berth], 2)
        return last_choice, beyond, LIKED.index(KIND[berth]), coach, int(place)

    def write(self, event):
        """Note an event, by its type and its data."""
        name = e.TYPES[type(event)]
        self.seq += 1
        if name in ("REPORT_UNDONE", "TRAIN_REINSTATED"):
            self.back()
        elif name == "PASSENGER_RESTORED":
            assert self.people[event.person].state == event.state
        if name == "BERTH_VACATED":
            place = f"{event.coach}-{event.berth}", self.place[event.from_]
            self.ladies[place] = event.ladies
            SEEN["berths of the ladies' quota"] += event.ladies
        if name in ("PASSENGER_BOARDED", "STATION_ARRIVAL"):
            # A late mark of a journey that is over, and not an arrival.
            self.late = name == "PASSENGER_BOARDED"
        if name in STATES or name in ("BOARDING_CHANGED", "UPGRADE_CONFIRMED", "BERTH_ALLOTTED"):
            self.write_person(name, event, self.people[f"{event.pnr}/{event.index}"])
        elif name == "JOURNEY_STARTED":
            self.status, self.at = "RUNNING", event.station.index
            self.forget_full()
        elif name in ("JOURNEY_COMPLETED", "TRAIN_CANCELLED", "RUN_CLOSED"):
            self.status = name.split("_")[1]
            self.vacant = {}
        elif name == "STATION_ARRIVAL":
            self.at, self.departed = event.station.index, False
            self.forget_full()
        elif name == "STATION_DEPARTURE":
            self.departed = True
            self.left_at[self.at] = event.actual
        elif name == "COACH_CHECKED":
            self.checked[event.coach] = event.station.index
        elif name in ("SIGNED_ON", "SIGNED_OFF"):
            self.duty = {coach: tte for coach, tte in self.duty.items() if tte != event.tte}
            for coach in event.coaches if name == "SIGNED_ON" else ():
                self.duty[coach] = event.tte
        elif name == "REMARKED":
            self.remarks.append((event.coach, event.text))
        elif name == "BERTHS_BLOCKED":
            for place in event.berths:
                self.blocked[f"{event.coach}-{place}"] = event.reason
            self.forget_full()
        elif name == "BERTHS_UNBLOCKED":
            for place in event.berths:
                del self.blocked[f"{event.coach}-{place}"]
        elif name == "CHART_AMENDED":
            seated = [each for each in event.passengers if each.person in event.seated]
            for each in filter(None, (self.people.get(each.person) for each in seated)):
                self.leave(each, max(each.start, self.at), each.end)
            for each in seated:
                self.book(dump(each))
            for each in event.passengers:
                person = self.people[each.person]
                person.woman, person.age, person.need = each.gender == "F", each.age or 0, each.need
            self.forget_full()
        elif name == "BERTH_VACATED" and event.cause in (
            "AMENDED",
            "UNBLOCKED",
            "ALLOTTED",
            "UNBOOKED",
        ):
            self.fell_vacant(f"{event.coach}-{event.berth}", self.place[event.from_])
        elif name == "STATION_SKIPPED":
            self.skipped.add(event.station.index)
        elif name == "HALT_ADDED":
            self.insert(event.station.index, event.halt)
        elif name == "SKIP_UNDONE":
            self.skipped.remove(event.station.index)
        elif name == "SHORT_TERMINATED":
            self.skipped |= set(range(event.station.index + 1, self.last + 1))
        elif name == "UPGRADE_PENDING":
            self.open[event.offer_id] = event
        elif name == "CLOCK_CORRECTED":
            by = timedelta(seconds=event.by_seconds)
            for key, made in self.open.items():
                self.open[key] = dataclasses.replace(made, expires_at=made.expires_at + by)
        elif name == "UPGRADE_CLOSED":
            made = self.open.pop(event.offer_id)
            berth, person = f"{made.coach}-{made.berth}", f"{made.pnr}/{made.index}"
            gone = {"DENIED": -1}.get(event.outcome, self.at)  # the station until which, if any
            self.refused.setdefault(berth, {})[person] = gone
            self.asked.setdefault(berth, {})[person] = gone
            self.ended.add((person, berth))

    def insert(self, place, halt):
        """Note a halt: each place from there on is the next one, and the leg to it is two."""

        def moved(index):
            return index + 1 if index >= place else index

        self.place = {code: moved(at) for code, at in self.place.items()} | {halt.code: place}
        self.km.insert(place, halt.distance_km)
        self.last += 1
        self.skipped = set(map(moved, self.skipped))
        for person in self.people.values():
            person.start, person.end = moved(person.start), moved(person.end)
            person.ticket = moved(person.ticket)
        both = {
            (berth, place): dict(held)
            for (berth, leg), held in self.legs.items()
            if leg == place - 1
        }
        self.legs = {(berth, moved(leg)): held for (berth, leg), held in self.legs.items()} | both
        self.vacant = {berth: set(map(moved, since)) for berth, since in self.vacant.items()}
        self.ladies = {(berth, moved(at)): each for (berth, at), each in self.ladies.items()}

    def back(self):
        """Restore what was before the last report or the cancellation: `saved` has it."""
        then = vars(pickle.loads(self.saved))
        open_ = {key: made for key, made in then["open"].items() if key in self.open}
        vars(self).update(then, open=open_, ended=self.ended, seq=self.seq)

    def write_person(self, name, event, person):
        ahead = max(person.start, self.at)
        if name != "BERTH_LOST" or not event.blocked:
            person.state = STATES.get(name, person.state)
        over = person.end <= self.at
        if name in ("NO_SHOW", "PASSENGER_CANCELLED") and not over:
            self.leave(person, ahead, person.end)
            self.fell_vacant(person.berth, ahead)
        elif name == "NO_SHOW_UNDONE":
            self.take(person, ahead)
            self.forget_full()
        elif name == "BERTH_LOST":
            self.leave(person, ahead, person.end)
            person.berth, person.claim, person.left = None, self.seq, False
        elif name == "PASSENGER_BOARDED" and person.left:
            person.left = False
            self.take(person, ahead)
            self.forget_full()
        elif name == "PASSENGER_ALIGHTED" and event.left:
            person.left = True
            self.leave(person, ahead, person.end)
            self.fell_vacant(person.berth, self.at)
        elif name in ("PASSENGER_ALIGHTED", "PASSENGER_UNCHECKED") and self.status == "RUNNING":
            if not self.late:
                self.fell_vacant(person.berth, self.at)
        elif name == "BOARDING_CHANGED":
            start, before = self.place[event.from_], person.start
            self.leave(person, before, start)
            if person.status == "CNF":
                self.fell_vacant(person.berth, before)
            person.start, person.moved = start, True
        elif name == "UPGRADE_CONFIRMED":
            self.open.pop(event.offer_id, None)
            self.leave(person, ahead, person.end)
            left, person.berth = person.berth, f"{event.coach}-{event.berth}"
            person.status, person.claim = "CNF", None
            self.take(person, ahead)
            if ahead == self.at:  # else the berth is free up to the boarding station
                self.vacant[person.berth] = {s for s in self.vacant[person.berth] if s > self.at}
            if left != person.berth:
                self.fell_vacant(left, self.at)
        elif name == "BERTH_ALLOTTED":
            self.leave(person, ahead, person.end)
            left, person.berth = person.berth, f"{event.coach}-{event.berth}"
            person.risen = person.risen or person.status != event.status
            person.status, person.claim = event.status, None
            self.take(person, ahead)
            self.forget_full()
            if event.allotted_for and left != person.berth:
                self.fell_vacant(left, ahead)


# --- charts, sound by construction -------------------------------------------------------------


@st.composite
def stations(draw):
    """Two to six stops, minutes or hours apart, some over midnight, perhaps a station twice."""
    twice = draw(st.sampled_from([False, False, True]))
    minute = draw(st.integers(0, 23 * 60))
    stops = []
    for place in range(draw(st.sampled_from([5, 6, 4, 3, 2]))):
        arrival = minute + draw(st.integers(1, 400)) if place else minute
        minute = arrival + draw(st.integers(0, 30))
        stops.append((arrival, minute))
    return [
        {
            "code": "ST1" if twice and place == 3 else f"ST{place}",
            "name": f"Station {place}",
            "arrival": clock(arrival) if place else None,
            "departure": clock(departure) if place < len(stops) - 1 else None,
            "day": (arrival if place else departure) // 1440 + 1,
            "distanceKm": 50 * place,
        }
        for place, (arrival, departure) in enumerate(stops)
    ]


def stop_codes(line):
    """Return the code by which each stop can be named."""
    codes = [row["code"] for row in line]
    return [f"{code}@{at}" if codes.count(code) > 1 else code for at, code in enumerate(codes)]


def clock(minute):
    return f"{minute // 60 % 24:02}:{minute % 60:02}"


# RAC pairs and singles, WL, and confirmed passengers, some of them in one berth in turn.
STATUSES = st.sampled_from(["CNF", "RAC", "CNF", "RAC", "RAC", "WL"])
PICKS = st.integers(0, 3)
KINDS = ["GN", "TQ", "RL", None]
RANKS = st.sampled_from([1, 2, 9, 10, 11, None])
# Women from 45 and men from 60 get a lower berth first.
AGES = st.sampled_from([None, 44, 45, 59, 60, 80])


@st.composite
def charts(draw):
    """A chart without faults: each berth is drawn from those that are free all the way."""
    line = draw(stations())
    last, codes = len(line) - 1, stop_codes(line)
    held, people = {}, []
    own = draw(st.sampled_from([[], [7], [1, 8]]))  # the staff's own in S1
    held |= {(f"S1-{place}", leg): 2 for place in own for leg in range(last)}
    for number in range(draw(st.integers(3, 14))):
        start = draw(st.sampled_from([0, 0, 0, *range(last)]))
        end = draw(st.sampled_from([last, last, *range(start + 1, last + 1)]))
        status, class_ = draw(STATUSES), draw(st.sampled_from(["SL", "SL", "SL", "2A"]))
        if status == "WL" and end > 2 and draw(st.booleans()):
            start = 1  # to be asked on the way there
        share = 1 if status == "RAC" else 2
        free = [
            key
            for key, kind in KIND.items()
            if COACHES[key.partition("-")[0]][0] == class_
            and (kind == "a" or status == "CNF")
            and all(held.get((key, leg), 0) + share <= 2 for leg in range(start, end))
        ]
        key = free[draw(PICKS) % len(free)] if free and status != "WL" else None
        if key is None and (status == "CNF" or draw(st.booleans())):
            status = "WL"
        for leg in range(start, end) if key else ():
            held[key, leg] = held.get((key, leg), 0) + share
        coach, _, berth = key.partition("-") if key else (None, None, None)
        people.append(
            {
                "pnr": f"451234567{number % 4}",
                "index": number // 4 + 1,
                "irctcId": f"IR_{number % 3}",
                "name": f"Person {number}",
                "from": codes[start],
                "to": codes[end],
                "class": class_,
                "status": status,
                "number": draw(RANKS) if status != "CNF" else None,
                "coach": coach,
                "berth": berth and int(berth),
                "gender": draw(st.sampled_from(["F", "M"])),
                "age": draw(AGES),
                "need": draw(st.sampled_from([None, None, None, "DISABLED"])),
                "waitingKind": draw(st.sampled_from(KINDS)) if status == "WL" else None,
                "quota": "LD" if status == "CNF" and draw(st.booleans()) else None,
            }
        )
    return {
        "trainNo": "12345",
        "trainName": "RANDOM EXP",
        "startDate": "2026-11-23",
        "timezone": draw(st.sampled_from(["Asia/Kolkata", "UTC", "America/St_Johns"])),
        "boarding": draw(st.sampled_from(["verify", "auto"])),
        "policy": draw(st.sampled_from(["OFFER", "AUTO", "APPROVAL"])),
        "minUpgradeKm": draw(st.sampled_from([70, 50, 100, 0])),
        "checkMinutes": draw(st.sampled_from([None, 30, 0, 5])),
        "waitingList": draw(st.sampled_from(["ALL", "PARTLY", "PARTLY", "NONE"])),
        "waitingKinds": draw(st.permutations(["GN", "TQ", "RL"])),
        "lowerFirst": draw(st.sampled_from([True, True, False])),
        "giveUnbooked": draw(st.sampled_from([False, False, True])),
        "offerSeconds": draw(st.sampled_from([300, 60])),
        "stations": line,
        "coaches": [
            {
                "code": code,
                "class": class_,
                "berths": berths,
                "blocked": own if code == "S1" else [],
            }
            for code, (class_, berths) in COACHES.items()
        ],
        "passengers": people,
    }


# --- commands ----------------------------------------------------------------------------------

MARKS = st.sampled_from([c.MarkBoarded, c.MarkNoShow, c.UndoNoShow, c.UndoBoarded])
REASONS = st.sampled_from(list(AlightReason))
# A berth of a coach; 0 is the person's own, None the whole coach, and 99 is nowhere.
PLACES = st.sampled_from([0, 0, 0, 1, 7, 99, None])
NUMBERS = st.integers(0, 13)
# Unknown people and stations, and the first and last of the known ones.
CODES = st.sampled_from(["ST1", "ST0", "ST2", "ST3", "ST4", "ST5", "ST6", "st1", "X"])
PNRS = st.sampled_from(["4512345670", "4512345673", "4512345679", "1"])
INDEXES = st.integers(-1, 7)
USERS = st.none() | st.sampled_from(["IR_0", "IR_1", "IR_9"])
# How long ago a reported time is; a negative value is ahead of the hub's clock.
AGO = st.none() | st.integers(-90, 40 * 60).map(lambda seconds: timedelta(seconds=seconds))
PLATFORMS = st.none() | st.sampled_from(["1", "12A"])
ANSWERS = {
    "DENIED": c.DenyOffer,
    "ACCEPTED": c.AcceptOffer,
    "APPROVED": c.ApproveOffer,
    "WITHDRAWN": c.WithdrawOffer,
}
YES = {"OFFER": "ACCEPTED", "APPROVAL": "APPROVED"}
WAITS = st.sampled_from([0, 1, 60, 299, 300, 301, 1799, 1801, -60, 7200])


# A line of an amendment: the row that it is made of, and what is different.
AMENDED = st.tuples(
    NUMBERS,
    st.one_of(
        st.fixed_dictionaries({"coach": st.sampled_from(["S1", "S1", "S2", "A1"])}).flatmap(
            lambda coach: st.integers(1, COACHES[coach["coach"]][1]).map(
                lambda berth: {**coach, "berth": berth, "status": "CNF", "number": None}
            )
        ),
        st.fixed_dictionaries({"to": CODES}),
        st.just({"name": "Corrected"}),
        st.fixed_dictionaries({"pnr": PNRS, "index": st.integers(1, 4)}),
        st.fixed_dictionaries({"pnr": PNRS, "index": st.integers(1, 4)}).map(
            lambda who: {**who, "status": "WL", "number": 3, "coach": None, "berth": None}
        ),
    ),
)


NONSENSE = st.one_of(
    st.tuples(
        st.sampled_from([c.Arrive, c.Depart]),
        st.fixed_dictionaries({"station_code": CODES, "at": AGO}),
    ),
    st.tuples(
        st.sampled_from([c.MarkBoarded, c.MarkNoShow, c.UndoNoShow, c.CancelJourney]),
        st.fixed_dictionaries({"pnr": PNRS, "index": INDEXES}),
    ),
    st.tuples(
        st.sampled_from(list(ANSWERS.values())),
        st.fixed_dictionaries(
            {"offer_id": st.sampled_from(["", "1", "12345.2026-11-23.1", "12345.2026-11-23.99999"])}
        ),
    ),
    st.tuples(
        st.just(c.Announce),
        st.fixed_dictionaries(
            {"text": st.just("Tea is served"), "to": st.sampled_from(list(c.To)), "user": USERS}
        ),
    ),
    st.tuples(
        st.just(c.ChangeBoarding),
        st.fixed_dictionaries({"pnr": PNRS, "index": INDEXES, "station_code": CODES}),
    ),
)


def attempt(do, command, now):
    """The events, or the error."""
    try:
        return do(command, now), None
    except HubError as error:
        return None, error


class Journeys(RuleBasedStateMachine):
    """One run after another, each with a chart, a clock and random commands."""

    noted = False  # whether the log has all events of the last command

    @initialize(data=charts(), started=st.sampled_from([True, True, True, False]))
    def register(self, data, started):
        chart, rejected, _ = read_chart(data)
        assert rejected == ()
        self.chart = data
        self.now = self.looked = START
        self.state = TrainState(chart.run)
        self.log = []  # the events as they are read from the journal
        self.again = TrainState(chart.run)  # the state after these events
        self.notes = Notebook(data)
        self.command = c.RegisterTrain(train_no="12345", chart=chart)
        self.give(self.command)
        assert self.state.seq == 1
        if started:
            assert self.ask(c.StartJourney) is None

    def ask(self, kind, **fields):
        return self.give(kind(train_no="12345", **fields))

    def give(self, command):
        """Carry out a command as the hub does. Returns the error, or None if it was accepted."""
        before = pickle.dumps(self.state)
        name = type(command).__name__
        first, error = (None, None)
        if self.state.seq:
            now = local(self.now, self.state.zone)
            first, error = attempt(partial(journey.implied, self.state), command, now)
        if first is not None:
            return self.give_both(first, command)
        decided = None
        if error is None:
            decided, error = attempt(self.state.decide, command, self.now)
        SEEN["steps"] += 1
        if error is not None:
            _, again = attempt(self.state.carry_out, command, self.now)
            assert pickle.dumps(self.state) == before, "a failed command has changed the state"
            assert (again.code, again.message) == (error.code, error.message)
            answer = {"code": error.code, "message": error.message, "details": error.details}
            json.dumps(answer, allow_nan=False, ensure_ascii=False).encode()
            assert not any(row["pnr"] in error.message for row in self.chart["passengers"])
            SEEN[f"{name}: {error.code}"] += 1
            return error
        assert pickle.dumps(self.state) == before, "decide has changed the state"
        self.noted = False
        events = self.state.carry_out(command, self.now)
        assert events[: len(decided)] == decided
        for event in events:
            written = json.dumps(dump(event), allow_nan=False, ensure_ascii=False).encode()
            loaded = load(type(event), json.loads(written))
            self.log.append(loaded)
            self.again.evolve(loaded)
            self.look_at(command, loaded)
            self.notes.write(loaded)
            SEEN[e.TYPES[type(event)]] += 1
        self.noted = True
        SEEN[f"{name}: {'done' if events else 'nothing to do'}"] += 1
        return None

    def give_both(self, first, command):
        """Give the implied departure and then the arrival, with the same events as together."""
        whole = pickle.loads(pickle.dumps(self.state)).carry_out(command, self.now)
        known = len(self.log)
        assert self.give(first) is None
        assert self.give(command) is None
        assert [dump(each) for each in self.log[known:]] == [dump(each) for each in whole]

    # Checks at each event, before the notebook has it.

    def look_at(self, command, event):
        name = e.TYPES[type(event)]
        if name == "UPGRADE_PENDING":
            assert self.chart["policy"] != "AUTO"
            assert event.expires_at == event.at + timedelta(seconds=self.chart["offerSeconds"])
            self.is_justly_served(event)
        elif name == "UPGRADE_CONFIRMED" and event.offer_id is None:
            assert self.chart["policy"] == "AUTO"
            self.is_justly_served(event)
        elif name == "UPGRADE_CONFIRMED":
            made = self.notes.open[event.offer_id]
            assert type(command) is ANSWERS[YES[self.chart["policy"]]]
            assert (made.coach, made.berth, made.pnr) == (event.coach, event.berth, event.pnr)
            assert made.reason == event.reason
            assert made.expires_at > self.now
        elif name == "UPGRADE_CLOSED":
            self.is_rightly_closed(command, event)
        elif name == "BERTH_VACATED" and event.cause == "UNBOOKED":
            assert self.chart["giveUnbooked"]
            assert self.notes.departed
            berth = f"{event.coach}-{event.berth}"
            assert not self.notes.legs.get((berth, self.notes.at))
            assert not self.notes.is_vacant(berth)
        elif name == "BOOKING_CORRECTED":
            amended = next(each for each in reversed(self.log) if type(each) is e.ChartAmended)
            assert self.person_of(event).key in {each.person for each in amended.passengers}
            if event.user == self.person_of(event).user:  # and not the user who had the booking
                assert self.person_of(event).key not in amended.seated
        elif name == "CO_PASSENGER_CHANGED":
            moved = next(each for each in reversed(self.log) if type(each) is not type(event))
            assert moved.cause in ("UPGRADED", "ALLOTTED")
            assert (moved.coach, moved.berth) == (event.coach, event.berth)
            assert f"{event.coach}-{event.berth}" == self.person_of(event).berth
            assert event.user == self.person_of(event).user

    def person_of(self, event):
        return self.notes.people[f"{event.pnr}/{event.index}"]

    def is_justly_served(self, event):
        """No passenger is served before a better candidate who fits, and the reason is true."""
        notes, chosen = self.notes, self.person_of(event)
        SEEN["asked or served before boarding"] += chosen.start > notes.at
        berth = f"{event.coach}-{event.berth}"
        assert notes.status == "RUNNING"
        assert notes.is_able(chosen)
        assert notes.fits(chosen, berth)
        assert berth not in notes.held()
        asked = notes.declined(notes.asked, berth)
        assert chosen.key not in asked, "asked again for what they refused"
        moves = not notes.waits(chosen)
        if moves:
            SEEN["offers of a lower berth to a mover"] += 1
            assert notes.is_for_movers(berth, notes.asked)
        *better, _ = notes.turn(chosen, berth)
        refused = notes.declined(notes.refused, berth)
        for other in better:
            assert not notes.holds_up(other, berth, self.now), f"{other.key} is not checked yet"
            just = not (notes.is_able(other) and notes.fits(other, berth)) or other.key in refused
            assert just, f"{chosen.key} was served before {other.key}"
        if not moves and chosen.claim is None and notes.is_for_movers(berth, notes.refused):
            for other in notes.movers(berth):
                idle = notes.is_able(other) and notes.fits(other, berth)
                assert not idle or other.key in refused, f"{other.key} was to be asked first"
        told = [f"{each.pnr}/{each.index}" for each in event.reason]
        assert told == [each.key for each in (*better[:NAMED], chosen)]
        for other, each in zip(better, event.reason[:-1], strict=False):
            assert (each.status, each.number) == (other.booked, other.number)
            assert self.is_true(other, berth, each.outcome), each.outcome
        assert event.reason[-1].outcome == "chosen"
        others, groups = better[NAMED:], event.passed_over
        assert len(groups) <= GROUPS
        assert sum(each.count for each in groups) == len(others)
        for other in others:
            assert any(
                each.status == other.booked and self.is_true(other, berth, each.outcome)
                for each in groups
            )
        for each in notes.vacant:
            free = notes.is_vacant(each) and each not in notes.held()
            idle = chosen.key not in notes.declined(notes.refused, each)
            # Time alone lets the turn go on with the hub's next look only.
            looks = (self.now, min(self.looked, self.now))
            held_up = any(notes.holds_up(o, each, look) for o in better for look in looks)
            alike = notes.is_ladies(each) is notes.is_ladies(berth)
            alike = alike and (not moves or notes.is_for_movers(each, notes.refused))
            if free and notes.fits(chosen, each) and idle and not held_up and alike:
                assert notes.rank(chosen, berth) <= notes.rank(chosen, each)

    def is_true(self, person, berth, outcome):
        """Whether the reason for one passenger who was passed over is true."""
        notes = self.notes
        if found := re.fullmatch(r"is (\w+), not aboard", outcome):
            return person.state == found[1] != "ABOARD" and not notes.comes_next(person)
        if outcome == "has an open offer":
            return notes.asked_already(person)
        if found := re.fullmatch(r"the journey ends at (\S+)", outcome):
            return person.end == notes.place[found[1]] <= notes.at
        if found := re.fullmatch(r"the journey is under (\d+) km", outcome):
            km = notes.ticket_km(person)
            return person.claim is None and km < int(found[1]) == self.chart["minUpgradeKm"]
        if outcome == "the waiting list gets no berth on this run":
            return person.status == "WL" and notes.list == "NONE"
        if outcome == "the PNR is wholly on the waiting list":
            return person.status == "WL" and not notes.is_partly_confirmed(person)
        if outcome == "had an offer of this berth before":
            return (person.key, berth) in notes.ended
        if found := re.fullmatch(r"the berth is taken from (\S+)", outcome):
            return notes.taken_from(person, berth) == notes.place[found[1]]
        return False

    def is_rightly_closed(self, command, event):
        """An offer is closed by an answer, by its time, or because it became outdated."""
        made, person = self.notes.open[event.offer_id], self.person_of(event)
        named = getattr(command, "offer_id", None) == event.offer_id
        if event.outcome == "EXPIRED":
            assert type(command) is c.ExpireOffers
            assert made.expires_at <= self.now
        elif event.outcome == "DENIED":
            assert type(command) is c.DenyOffer
            assert named
        elif type(command) is c.UndoReport:
            assert event.outcome == "WITHDRAWN"
        elif not (type(command) is c.WithdrawOffer and named):
            assert event.outcome == "WITHDRAWN"
            there = person.state == "ABOARD" or self.notes.may_come(person)
            stands = self.notes.status == "RUNNING" and there
            stands = stands and person.end > self.notes.at
            stands = stands and self.notes.fits(person, f"{made.coach}-{made.berth}")
            assert not stands, "an offer was withdrawn that stood"

    # Steps of an ordinary day.

    def who(self, number):
        row = self.chart["passengers"][number % len(self.chart["passengers"])]
        return {"pnr": row["pnr"], "index": row["index"]}

    def when(self, ago):
        return None if ago is None else self.now - ago

    @rule(minutes=st.integers(0, 100), ago=AGO, platform=PLATFORMS)
    def go_on(self, minutes, ago, platform):
        """Report the next arrival or departure. Only an impossible time may be refused."""
        notes = self.notes
        if notes.status != "RUNNING":
            started = self.ask(c.StartJourney) is None
            assert started is (notes.status == "RUNNING")
            return
        self.now += timedelta(minutes=minutes)
        kind, place = c.Depart, notes.at
        if notes.departed:
            kind = c.Arrive
            place = notes.following()
        code = self.chart["stations"][place]["code"]
        at = self.when(ago)
        error = self.ask(kind, station_code=code, at=at, platform=platform)
        assert error is None or at is not None
        assert (self.state.current, self.state.departed) == (notes.at, notes.departed)
        if error is None and kind is c.Depart and self.chart["giveUnbooked"]:
            needed = {each.class_ for each in notes.people.values() if notes.waits(each)}
            for key in KIND.keys() - notes.blocked.keys():
                free = COACHES[key.partition("-")[0]][0] in needed
                free = free and not notes.legs.get((key, notes.at))
                assert not free or notes.is_vacant(key)

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=5, unique=True), kind=MARKS)
    def mark(self, numbers, kind):
        for number in numbers:
            self.ask(kind, **self.who(number))
            self.check()

    @rule(rest=st.integers(0, 3))
    def board_those_who_wait(self, rest):
        """Board most of the waiting passengers, so that there are candidates."""
        for number, row in enumerate(self.chart["passengers"]):
            if row["status"] != "CNF" and number % 4 != rest:
                self.ask(c.MarkBoarded, **self.who(number))
                self.check()

    @rule(rest=st.integers(0, 3))
    def miss_the_confirmed(self, rest):
        """Mark some confirmed passengers NT, so that there are vacancies."""
        for number, row in enumerate(self.chart["passengers"]):
            if row["status"] == "CNF" and number % 4 == rest:
                self.ask(c.MarkNoShow, **self.who(number))
                self.check()

    @rule(kind=MARKS, number=NUMBERS)
    def mark_twice(self, kind, number):
        """Repeat a mark: it changes nothing and succeeds."""
        who = self.who(number)
        if self.ask(kind, **who) is None:
            seq = self.state.seq
            assert self.ask(kind, **who) is None
            assert self.state.seq == seq

    @rule(second=MARKS, number=NUMBERS, minutes=st.sampled_from([0, 5, 29, 30, 31]))
    def change_one_s_mind(self, second, number, minutes):
        """Mark a person NT, and later give another mark."""
        self.ask(c.MarkNoShow, **self.who(number))
        self.now += timedelta(minutes=minutes)
        self.ask(second, **self.who(number))

    @rule(
        changes=st.lists(AMENDED, min_size=1, max_size=4),
        gone=st.none() | NUMBERS,
        source=st.sampled_from(["SECOND", "CORRECTION"]),
    )
    def amend_the_chart(self, changes, gone, source):
        """Add, move and remove people. Each line counts by itself, or is rejected."""
        rows = []
        for number, fields in changes:
            row = dict(self.chart["passengers"][number % len(self.chart["passengers"])])
            coach = COACHES.get(fields.get("coach"))
            rows.append(row | fields | ({"class": coach[0]} if coach else {}))
        data = {"source": source, "passengers": rows}
        data["removePassengers"] = [] if gone is None else [self.who(gone)]
        found, lines, rejected, _ = read_amendment(data)
        error = self.ask(c.AmendChart, amendment=found, lines=lines, rejected=rejected, warnings=())
        assert error is None or error.code in ("BAD_MESSAGE", "CONFLICT")
        self.chart["passengers"] = [dump(each) for each in self.state.chart.passengers]

    @rule(
        kind=st.sampled_from(["block", "allot", "allot", "swap"]),
        number=NUMBERS,
        other=NUMBERS,
        place=PLACES,
        reason=st.sampled_from(list(BlockReason)),
        then=st.booleans(),
    )
    def decide_on_berths(self, kind, number, other, place, reason, then):
        if kind == "block":
            self.block(number, place, reason, free=then)
        elif kind == "allot":
            self.allot(number, ("S1", "S1", "S2", "A1")[other % 4], other % 8 + 1, aboard=then)
        else:
            self.swap(number, other)

    def block(self, number, place, reason, free):
        """Block a person's berth, another, or a coach, and perhaps unblock it after that."""
        notes, row = self.notes, self.chart["passengers"][number % len(self.chart["passengers"])]
        coach, berth = row["coach"] or "S2", place
        if place == 0:
            berth = row["berth"]
        live = notes.status in ("SCHEDULED", "RUNNING")
        known = berth is None or f"{coach}-{berth}" in KIND
        error = self.ask(c.BlockBerth, coach=coach, berth=berth, reason=reason)
        assert (error is None) is (live and known)
        if error is None:
            blocked = {each for each in notes.blocked if each.startswith(f"{coach}-")}
            wanted = {each for each in KIND if each.startswith(f"{coach}-")}
            assert blocked == wanted if berth is None else f"{coach}-{berth}" in blocked
            if free:
                self.check()
                assert self.ask(c.UnblockBerth, coach=coach, berth=berth) is None
                assert berth is not None or not set(notes.blocked) & wanted

    def allot(self, number, coach, berth, aboard):
        """Give a berth that is free on the rest of the way, out of turn, or be refused."""
        if aboard:
            self.ask(c.MarkBoarded, **self.who(number))
            self.check()
        notes, who, key = self.notes, self.who(number), f"{coach}-{berth}"
        person = notes.people[f"{who['pnr']}/{who['index']}"]
        fields = {"coach": coach, "berth": berth, "reason": AllotReason.FAMILY}
        asked = {
            offer for offer, made in notes.open.items() if f"{made.pnr}/{made.index}" == person.key
        }
        if self.ask(c.AllotBerth, **who, **fields) is None:
            assert (person.status, person.berth, person.claim) == ("CNF", key, None)
            assert not asked & notes.open.keys()  # a better berth than this may be offered now
            return
        held = {each for leg in range(notes.at, person.end) for each in self.holders(key, leg)}
        assert (
            notes.status not in ("SCHEDULED", "RUNNING")
            or person.state not in ("DUE", "ABOARD")
            or person.end <= notes.at
            or notes.asked_already(person)
            or key in {*notes.held(), *notes.blocked}
            or KIND.get(key) is None
            or COACHES[coach][0] != person.class_
            or held - {person.key}
        )

    def holders(self, berth, leg):
        return self.notes.legs.get((berth, leg), ())

    def swap(self, first, second):
        """Exchange two berths, or be refused. Exchanged twice, both are as before."""
        notes, one, other = self.notes, self.who(first), self.who(second)
        person = notes.people[f"{one['pnr']}/{one['index']}"]
        alike = [
            row
            for row in self.chart["passengers"]
            if (row["status"], row["class"]) == (person.status, person.class_) and row["coach"]
        ]
        if alike:  # most often a passenger with whose berth an exchange is possible
            row = alike[second % len(alike)]
            other = {"pnr": row["pnr"], "index": row["index"]}
        people = [notes.people[f"{who['pnr']}/{who['index']}"] for who in (one, other)]
        before = [each.berth for each in people]
        fields = {"other_pnr": other["pnr"], "other_index": other["index"]}
        if self.ask(c.SwapBerths, **one, **fields) is None:
            assert [each.berth for each in people] == before[::-1]
            assert people[0].status == people[1].status
            self.check()
            # What the two left may be another's by now.
            there = {
                p for at in range(notes.at, notes.last) for b in before for p in self.holders(b, at)
            }
            others = there - {each.key for each in people} or notes.held() & set(before)
            if not others and not any(notes.asked_already(each) for each in people):
                assert self.ask(c.SwapBerths, **one, **fields) is None
                assert [each.berth for each in people] == before

    @rule(coach=st.sampled_from(["S1", "S1", "S2", "A1", "S9"]))
    def check_a_coach(self, coach):
        error = self.ask(c.CheckCoach, coach=coach)
        known = coach in COACHES and self.notes.status == "RUNNING"
        assert (error is None) is known

    @rule(
        coaches=st.lists(st.sampled_from(["S1", "S2", "A1", "S1", "S9"]), max_size=3),
        tte=st.sampled_from(["T1", "T2"]),
        text=st.sampled_from(["no water", ""]),
    )
    def sign_on_or_off(self, coaches, tte, text):
        """A TTE takes coaches, or none any more, and remarks something."""
        live = self.notes.status in ("SCHEDULED", "RUNNING")
        if coaches:
            error = self.ask(c.SignOn, tte=tte, coaches=tuple(coaches))
            assert (error is None) is (live and "S9" not in coaches)
            if error is None:
                assert {c for c, t in self.notes.duty.items() if t == tte} == set(coaches)
        else:
            assert self.ask(c.SignOff, tte=tte) is None
            assert tte not in self.notes.duty.values()
        self.check()
        error = self.ask(c.Remark, text=text, coach=coaches[0] if coaches else None)
        assert (error is None) is (bool(text) and coaches[:1] != ["S9"])

    @rule(number=NUMBERS)
    def undo_a_boarding(self, number):
        """O and its undo leave the person as before."""
        who = self.who(number)
        person = self.notes.people[f"{who['pnr']}/{who['index']}"]
        before = dataclasses.replace(self.state.passengers[person.key])
        if before.state == "DUE" and self.ask(c.MarkBoarded, **who) is None:
            self.check()
            kept = before.status, before.claim
            if (person.status, person.claim) == kept:  # no berth was given since
                assert self.ask(c.UndoBoarded, **who) is None
                if (person.status, person.claim) == kept:
                    assert self.state.passengers[person.key] == before

    @rule(number=NUMBERS, reason=REASONS, back=st.booleans())
    def leave_early(self, number, reason, back):
        who = self.who(number)
        self.ask(c.MarkBoarded, **who)
        self.check()
        if self.ask(c.Alight, **who, reason=reason) is None and back:
            self.check()
            self.ask(c.MarkBoarded, **who)

    @rule(number=NUMBERS, kind=st.sampled_from([c.MarkBoarded, c.MarkNoShow]), ago=AGO)
    def mark_late(self, number, kind, ago):
        """Give a mark with its time, from a device that was offline."""
        self.ask(kind, **self.who(number), at=self.when(ago))

    @rule(number=NUMBERS)
    def cancel(self, number):
        self.ask(c.CancelJourney, **self.who(number))

    @rule(number=NUMBERS, on=st.integers(0, 4))
    def change_boarding(self, number, on):
        """Move a boarding station: once, by up to three stations, before the destination."""
        notes, who = self.notes, self.who(number)
        person = notes.people[f"{who['pnr']}/{who['index']}"]
        place = min(person.start + on, notes.last)
        ahead = place > notes.at or (place == notes.at and not notes.departed)
        allowed = (
            notes.status in ("SCHEDULED", "RUNNING")
            and person.state == "DUE"
            and person.end > notes.at
            and (
                place == person.start
                or (
                    not person.moved
                    and place - person.start <= 3
                    and place < person.end
                    and ahead
                    and place not in notes.skipped
                    and (person.start >= notes.at or person.start in notes.skipped)
                    and not (person.start == notes.at and notes.departed)
                )
            )
        )
        code = stop_codes(self.chart["stations"])[place]
        error = self.ask(c.ChangeBoarding, **who, station_code=code)
        assert (error is None) is allowed

    @rule(seconds=WAITS, expire=st.sampled_from([True, True, False]))
    def wait(self, seconds, expire):
        """Let time pass, or set a clock back. The hub's timer may run or be late."""
        self.now += timedelta(seconds=seconds)
        if expire:
            assert self.ask(c.ExpireOffers) is None
            self.looked = self.now
            assert all(made.expires_at > self.now for made in self.notes.open.values())

    @rule(seconds=st.sampled_from([-86_400, -3600, -90, 90, 3600, 86_400]))
    def set_the_clock(self, seconds):
        """Set the hub's clock: no offer ends early, and none is open for longer."""
        left = {key: made.expires_at - self.now for key, made in self.notes.open.items()}
        self.now += timedelta(seconds=seconds)
        self.looked = min(self.looked, self.now)
        assert self.ask(c.CorrectClock, by_seconds=seconds) is None
        assert {
            o.id: o.made.expires_at - self.now for o in self.state.open_by_berth.values()
        } == left

    @rule(
        pick=st.integers(0, 40),
        answer=st.sampled_from(list(ANSWERS)),
        stale=st.sampled_from([False, False, True]),
    )
    def answer(self, pick, answer, stale):
        """Answer an offer: one answer wins, and each later one is a conflict with the outcome."""
        offers = sorted(self.state.offers if stale else self.notes.open)
        if not offers:
            return
        found = offers[pick % len(offers)]
        offer = self.state.offers[found]
        outcome = offer.state.value
        if outcome == "OPEN" and offer.made.expires_at <= self.now:
            outcome = "EXPIRED"
        policy = self.chart["policy"]
        error = self.ask(ANSWERS[answer], offer_id=found)
        if outcome != "OPEN":
            assert (error.code, error.details) == ("OFFER_CLOSED", {"outcome": outcome})
        elif answer in ("ACCEPTED", "APPROVED") and answer != YES[policy]:
            assert error.code == "CONFLICT"
        else:
            assert error is None
            wanted = "ACCEPTED" if answer == "APPROVED" else answer
            assert self.state.offers[found].state == wanted
            assert found not in self.notes.open

    @rule(pick=st.integers(0, 40))
    def say_yes(self, pick):
        """Give the right answer for the policy, perhaps too late."""
        if self.notes.open:
            found = sorted(self.notes.open)[pick % len(self.notes.open)]
            self.ask(ANSWERS[YES[self.chart["policy"]]], offer_id=found)

    @rule(pick=st.integers(0, 40))
    def say_no(self, pick):
        if self.notes.open:
            found = sorted(self.notes.open)[pick % len(self.notes.open)]
            self.ask(c.DenyOffer, offer_id=found)

    @rule(pick=st.integers(0, 40))
    def restart_after_a_no(self, pick):
        """Who denied a vacancy is part of what a restart has to know: not left to chance."""
        if not self.notes.open:
            self.board_those_who_wait(pick % 4)
            self.miss_the_confirmed(pick % 4)
        if self.notes.open:
            self.say_no(pick)
            self.check()
            self.restart()

    @rule(rest=st.integers(0, 3))
    def leave(self, rest):
        """Go to the next station on time, with most of the people marked."""
        self.board_most(rest)
        if self.notes.status == "RUNNING" and not self.notes.departed:
            self.go(c.Depart, self.notes.at)
            self.check()
            self.go(c.Arrive, self.notes.following())

    @rule(rest=st.integers(0, 3), pick=st.integers(0, 40))
    def leave_with_free_berths(self, rest, pick):
        """Leave with berths free: passengers on WL at the next station may get them."""
        for number, row in enumerate(self.chart["passengers"]):
            if row["status"] != "CNF" or number % 4 != rest:
                self.ask(c.MarkNoShow, **self.who(number))
                self.check()
        if self.notes.status == "RUNNING" and not self.notes.departed:
            self.go(c.Depart, self.notes.at)
            self.check()
            self.say_yes(pick)

    def go(self, kind, place):
        assert self.ask(kind, station_code=self.chart["stations"][place]["code"]) is None

    def board_most(self, rest):
        for number in range(len(self.chart["passengers"])):
            if number % 4 != rest:
                self.ask(c.MarkBoarded, **self.who(number))
                self.check()

    @rule(
        code=CODES,
        minutes=st.sampled_from([0, 5, -7, 90, -120, 2880, -121, 2881]),
        platform=st.sampled_from([None, "1", "7A"]),
        confirmed=st.booleans(),
    )
    def report(self, code, minutes, platform, confirmed):
        """Report a delay, a platform, or a station that is not served."""
        if platform is not None:
            self.ask(c.SetPlatform, station_code=code, platform=platform, confirmed=confirmed)
        elif confirmed:
            self.ask(c.SetDelay, delay_minutes=minutes)
        else:
            self.ask(c.SkipStation, station_code=code)

    @rule(code=CODES, undone=CODES)
    def skip_and_undo(self, code, undone):
        """A skip and its undo leave the run as before; an old skip is undone too."""
        notes, before = self.notes, picture(self.state)
        if self.ask(c.SkipStation, station_code=code) is None:
            assert notes.place[code] in notes.skipped
        self.check()
        self.ask(c.UndoSkip, station_code=undone)
        if code == undone and dict(before)["seq"] == self.state.seq - 2:
            changed = ("seq", "touched", "last_at")
            assert [each for each in picture(self.state) if each[0] not in changed] == [
                each for each in before if each[0] not in changed
            ]

    @rule(code=CODES, start=st.booleans(), really=st.sampled_from([False] * 4 + [True]))
    def start_late_or_end_early(self, code, start, really):
        """Start at a later station, or end at an earlier one than the chart has it."""
        if start:
            if self.ask(c.StartJourney, station_code=code) is None:
                assert self.state.here.station.code == code
        elif really and self.ask(c.ShortTerminate, station_code=code) is None:
            assert self.state.terminus.station.code == code
            assert self.state.status != "CANCELLED"

    @rule(place=st.integers(0, 5), minutes=st.sampled_from([0, 0, 1, 20]))
    def halt_on_the_way(self, place, minutes):
        """Add a halt ahead right after a stop leaves, or be refused."""
        notes, rows = self.notes, self.chart["stations"]
        place = min(place, len(rows) - 1)
        before, codes = rows[place], stop_codes(rows)
        first = min(set(range(len(rows))) - notes.skipped)
        allowed = (
            notes.status in ("SCHEDULED", "RUNNING")
            and notes.at <= place < max(set(range(len(rows))) - notes.skipped)
            and (notes.status == "RUNNING" or first <= place)
            and not any("@" in code for code in codes[place + 1 :])
            and len(rows) < 9
        )
        if not allowed and len(rows) > 8:
            return
        time = before["departure"] or before["arrival"]
        code, clock_ = f"H{len(rows)}", int(time[:2]) * 60 + int(time[3:]) + minutes
        times = {"arrival": time, "departure": clock(clock_)}
        error = self.ask(c.AddHalt, station_code=code, name="Halt", after=codes[place], **times)
        assert allowed or error is not None
        if error is None:
            assert [each.code for each in self.state.stops][place + 1] == code
            row = {"code": code, "name": "Halt", **times, "day": 1}
            rows.insert(place + 1, {**row, "distanceKm": before["distanceKm"]})
        elif allowed:  # the next stop comes before the halt would be left, or clocks change
            assert error.code == "BAD_MESSAGE"
            assert minutes

    @rule(
        kind=st.sampled_from([c.Arrive, c.Depart, c.CancelTrain, c.CloseRun]),
        late=st.integers(0, 11),
        decision=st.none() | st.tuples(NUMBERS, PLACES),
    )
    def do_and_undo(self, kind, late, decision):
        """Report, or end the run, and undo it: the run is as before, or the undo is refused."""
        notes, offers = self.notes, len(self.state.open_by_person)
        before, vacant = picture(self.state), begun(self.state)
        ends = kind in (c.CancelTrain, c.CloseRun)
        if notes.status != "RUNNING" or (not ends and late > 10):
            self.ask(c.StartJourney)
            return
        saved, upgrades = pickle.dumps(notes), len(self.state.upgrades)
        arrival = notes.departed
        place = notes.following() if arrival else notes.at
        code = self.chart["stations"][place]["code"]
        if ends:
            assert self.ask(kind) is None
            undo = partial(self.ask, c.ReinstateTrain)
        else:
            assert self.ask(c.Arrive if arrival else c.Depart, station_code=code) is None
            report = "ARRIVAL" if arrival else "DEPARTURE"
            undo = partial(self.ask, c.UndoReport, station_code=code, report=StationReport(report))
        self.check()
        decided = self.state.decided
        if arrival and decision is not None and not ends and notes.status == "RUNNING":
            self.block(*decision, BlockReason.BROKEN, free=place % 2)
            self.swap(decision[0], decision[0] + 1)
            self.check()
        notes.saved = saved
        self.now += timedelta(minutes=late)
        given = len(self.state.upgrades) - upgrades
        error = undo()
        if self.state.decided > decided or given:
            SEEN["not undone"] += 1
            assert error.code == "CONFLICT"
            assert len(error.details.get("upgraded", ())) == given
            return
        assert error is None
        SEEN["undone with an offer"] += offers
        if len(self.state.upgrades) > upgrades:
            return  # after the undo, of berths that are free now
        # What follows are offers of berths, as after any change. Vacancies that begin at a station
        # ahead begin there once more with the next arrival.
        follows = ("seq", "touched", "last_at", "reports", "offers", "open_by_berth")
        follows += ("open_by_person", "freed")
        assert [each for each in picture(self.state) if each[0] not in follows] == [
            each for each in before if each[0] not in follows
        ]
        assert begun(self.state) == vacant

    @rule(really=st.sampled_from([False] * 19 + [True]))
    def cancel_the_train(self, really):
        if really:
            self.ask(c.CancelTrain, reason="flood")

    # Steps that should not happen.

    @rule(nonsense=NONSENSE)
    def nonsense(self, nonsense):
        """Give a command for unknown people, stations or times."""
        before, (kind, fields) = self.notes.at, nonsense
        fields = dict(fields)
        if "at" in fields:
            fields["at"] = self.when(fields["at"])
        error = self.ask(kind, **fields)
        # Reports of any station move the train to the next station at most.
        assert set(range(before + 1, self.state.current)) <= self.notes.skipped
        if kind in ANSWERS.values():
            assert error.code == "UNKNOWN_OFFER"
        assert self.give(self.command).code == "CONFLICT"  # a run is not registered again

    @rule()
    def restart(self):
        """Resume from a snapshot and the first event, as another process does."""
        SEEN["restarts"] += 1
        vacancies = [each for starts in self.state.freed.values() for each in starts.values()]
        SEEN["restarts after a denial"] += any(each.passed for each in vacancies)
        written = json.dumps(dump(snapshot_of(self.state)), allow_nan=False, ensure_ascii=False)
        snapshot = load(RunSnapshot, json.loads(written))
        self.again = resume(self.state.run, self.log[0], snapshot)

    # Rules of every step.

    @invariant()
    def check(self):
        self.the_state_is_the_fold_of_its_log()
        self.everybody_booked_is_in_one_state()
        self.every_berth_is_held_as_the_notebook_has_it()
        self.every_open_offer_stands()
        self.matching_is_complete()
        self.the_indexes_agree_with_a_scan()
        self.the_duty_is_as_the_notebook_has_it()

    def the_duty_is_as_the_notebook_has_it(self):
        """A coach has one TTE at most: the last one who signed on. Remarks stay in order."""
        state, notes = self.state, self.notes
        assert {coach: each.tte for coach, each in state.duty.items()} == notes.duty
        assert [(each.coach, each.text) for each in state.remarks] == notes.remarks
        for line in handover(state)["coaches"]:
            assert line["tte"] == notes.duty.get(line["coach"])
            due = [f"{each['pnr']}/{each['index']}" for each in line["unchecked"]]
            assert due == [
                each.key
                for each in notes.people.values()
                if each.state == "DUE"
                and notes.status == "RUNNING"
                and each.start <= notes.at
                and each.berth
                and each.berth.partition("-")[0] == line["coach"]
            ]

    def the_state_is_the_fold_of_its_log(self):
        """The state is the same live, from the journal, and from a snapshot."""
        assert picture(self.again) == picture(self.state)
        assert self.state.seq == len(self.log)

    def everybody_booked_is_in_one_state(self):
        """The passengers by state add up to those booked."""
        people, state = self.notes.people, self.state
        assert len(people) == len(state.passengers) == len(self.chart["passengers"])
        for person in people.values():
            each = state.passengers[person.key]
            assert (each.state, each.status) == (person.state, person.status)
            assert (each.berth_key, state.by_station[each.from_]) == (person.berth, person.start)
            if person.state == "ABOARD":
                assert person.start <= self.notes.at < person.end
                assert self.notes.status == "RUNNING"
            if person.state == "DUE" and self.notes.status == "RUNNING":
                assert person.end > self.notes.at, "due after the journey"
            if self.notes.status in ("COMPLETED", "CLOSED"):
                assert person.state != "DUE", "due after the run"
            if person.state in ("ABOARD", "DUE") and person.berth:
                for leg in range(max(person.start, self.notes.at), person.end):
                    assert person.key in state.occupancy.at(each.berth_key, leg), "another's berth"
        assert (state.status, state.current) == (self.notes.status, self.notes.at)
        shown = figures(state)
        for row in shown["classes"]:
            there = [each.state for each in people.values() if each.class_ == row["class"]]
            assert row["booked"] == len(there)
            for name in ("aboard", "due", "nt"):
                assert row[name] == there.count(name.upper())
        moved = [event for event in self.log if type(event) is e.UpgradeConfirmed]
        risen = {event.person for event in moved if event.status != "CNF"}  # CNF had lost a berth
        risen |= {each.key for each in people.values() if each.risen}
        for row in shown["classes"]:
            there = [people[each] for each in risen]
            assert row["upgraded"] == sum(each.class_ == row["class"] for each in there)
        assert [event.pnr for event in state.upgrades] == [event.pnr for event in moved]
        for row in (*shown["classes"], *shown["coaches"]):
            assert row["aboard"] + row["due"] + row["nt"] <= row["booked"]
            assert row["rac"] + row["upgraded"] <= row["booked"]

    def every_berth_is_held_as_the_notebook_has_it(self):
        """Each berth has one holder or two on RAC, and each person one berth on a segment."""
        held, vacant = self.notes.legs, Counter()
        for leg in range(self.notes.last):
            seen = []
            for key, kind in KIND.items():
                there = held.get((key, leg), {})
                assert set(self.state.occupancy.at(key, leg)) == set(there)
                assert sum(there.values()) <= 2
                assert kind == "a" or 1 not in there.values()
                seen += there
                blocked = self.state.occupancy.blocked(key, leg)
                if leg >= self.notes.at:
                    assert blocked == self.notes.blocked.get(key)
                    assert not (blocked and there), "a blocked berth is held"
                vacant[key.partition("-")[0]] += leg == self.notes.at and not there and not blocked
            assert len(seen) == len(set(seen))
        if self.notes.at < self.notes.last:
            # Rows of one passenger are left out, and their partners: test_views.py has that rule.
            rows = {row["coach"]: row["vacant"] for row in figures(self.state)["coaches"]}
            assert rows == {coach: vacant[coach] for coach in rows}

    def every_open_offer_stands(self):
        """An open offer has its vacancy, a free way to the destination, and a passenger aboard."""
        state, notes = self.state, self.notes
        opened = {found for found, offer in state.offers.items() if offer.state == "OPEN"}
        assert opened == set(notes.open)
        assert opened == {offer.id for offer in state.open_by_berth.values()}
        assert opened == {offer.id for offer in state.open_by_person.values()}
        assert len(opened) == len(state.open_by_berth) == len(state.open_by_person)
        for found in opened:
            offer, person = state.offers[found], self.person_of(notes.open[found])
            assert state.open_by_berth[offer.key] is state.open_by_person[person.key] is offer
            assert notes.is_vacant(offer.key)
            assert notes.status == "RUNNING"
            assert person.state == "ABOARD" or notes.may_come(person)
            assert notes.waits(person) or KIND[offer.key] == "L"
            assert person.end > notes.at
            assert notes.taken_from(person, offer.key) is None

    def matching_is_complete(self):
        """No vacancy without an offer fits a candidate who had no offer of it."""
        notes = self.notes
        if notes.status != "RUNNING":
            return
        free = [key for key in notes.vacant if notes.is_vacant(key) and key not in notes.held()]
        able = [p for p in notes.people.values() if notes.is_able(p)]
        for key in free:
            to_movers = notes.is_for_movers(key, notes.refused)
            for person in able:
                if not notes.waits(person) and not (to_movers and notes.is_mover(person)):
                    continue
                refused = notes.declined(notes.refused, key)
                idle = notes.fits(person, key) and person.key not in refused
                # Time alone lets the turn go on with the hub's next look only.
                first = min(self.looked, self.now)
                *before, _ = notes.turn(person, key) if idle else (person,)
                idle = idle and not any(notes.holds_up(each, key, first) for each in before)
                assert not idle, f"{key} is vacant and fits {person.key}"

    def the_indexes_agree_with_a_scan(self):
        """Each index has the same people as a scan of all passengers."""
        state = self.state
        pnrs, users, boarding, alighting, waiting = {}, {}, {}, {}, {}
        for person, each in state.passengers.items():
            assert person == each.person
            pnrs.setdefault(each.booking.pnr, []).append(person)
            users.setdefault(each.booking.irctc_id, []).append(person)
            boarding.setdefault(state.by_station[each.from_], set()).add(person)
            alighting.setdefault(state.by_station[each.booking.to], set()).add(person)
        lower = [p for p in self.notes.people.values() if self.notes.prefers_lower(p)]
        lower.sort(key=lambda p: (p.need is None, -p.age, p.key))
        assert list(state.prefer_lower) == [p.key for p in lower]
        for class_ in ("SL", "2A"):
            waiting[class_] = [person.key for person in self.notes.order(class_)]
        assert {pnr: list(each) for pnr, each in state.by_pnr.items()} == pnrs
        assert {user: list(each) for user, each in state.by_user.items()} == users
        for index, scanned in (
            (state.boarding_at, boarding),
            (state.alighting_at, alighting),
        ):
            assert {place: set(there) for place, there in index.items() if there} == scanned
        for class_, there in waiting.items():
            assert list(state.waiting.get(class_, ())) == there
        codes = stop_codes(self.chart["stations"])
        assert list(state.by_station.items()) == [(code, n) for n, code in enumerate(codes)]
        assert {stop.index for stop in state.stops if stop.skipped} == self.notes.skipped

    def teardown(self):
        """Check the whole log once more at the end, if no step failed half-way."""
        if self.noted:
            assert picture(fold(self.state.run, self.log)) == picture(self.state)
            self.the_decisions_say_what_the_reasons_say()

    def the_decisions_say_what_the_reasons_say(self):
        """A person's decisions have the reason that each offer names for that person."""
        named = {}
        for seq, event in enumerate(self.log, start=1):
            if isinstance(event, e.UpgradePending) or getattr(event, "offer_id", 0) is None:
                for each in event.reason:
                    named.setdefault((each.pnr, each.index), {})[seq] = each.outcome
        for (pnr, index), outcomes in list(named.items())[:MOST_ASKED]:
            decisions = Decisions(self.state.run, pnr, index)
            for seq, event in enumerate(self.log, start=1):
                decisions.add(seq, event)
            assert decisions.complete
            assert decisions.standing(self.log[-1].at)
            found = {each["seq"]: each["reason"] for each in decisions.found}
            for seq, outcome in outcomes.items():
                words = CHOSEN if outcome == "chosen" else f": {outcome}"
                assert found[seq].endswith(words), (seq, pnr, index)


@pytest.mark.sized
class TestJourneys(Journeys.TestCase):
    """A run equals its log, a refused command changes nothing, and no berth is wasted."""

    settings = walks(EXAMPLES, STEPS_EACH)

    def runTest(self):  # noqa: N802 (unittest's name)
        super().runTest()
        print(*(f"{name:40}{count:7}" for name, count in sorted(SEEN.items())), sep="\n")
        assert SEEN["steps"] >= EXAMPLES * STEPS_EACH
        assert SEEN["restarts"] >= EXAMPLES
        assert SEEN["restarts after a denial"]
        assert SEEN["berths of the ladies' quota"]
        assert SEEN["asked or served before boarding"] or EXAMPLES < 350
        # A few hundred new journeys may have no mover by chance.
        few = EXAMPLES < 350 and "RANDOM" in os.environ
        assert SEEN["offers of a lower berth to a mover"] or few
        # Nearly every command and event must occur. Chance may miss a few.
        commands = {*c.COMMANDS.values(), c.ExpireOffers, c.CloseRun, c.CorrectClock} - {c.Batch}
        names = [*(f"{command.__name__}: done" for command in commands), *e.EVENTS]
        missed = [name for name in names if not SEEN[name]]
        assert len(missed) <= (4 if EXAMPLES >= 350 else 12), missed
