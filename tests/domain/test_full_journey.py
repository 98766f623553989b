"""The rules on one whole journey of train 12345 with 1,300 passengers."""

import csv
import io
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from trainhub.core.errors import HubError
from trainhub.demo.timetable import DEMO_TIMETABLE, make_chart, read_timetable
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.chart import read_chart
from trainhub.domain.reasons import NAMED
from trainhub.domain.report import captaincy_report, report_csv
from trainhub.domain.train import TrainState
from trainhub.domain.views import figures

PEOPLE = 1_300
ANSWERS = (c.DenyOffer, c.AcceptOffer, c.AcceptOffer, c.WithdrawOffer, None)


class Journey:
    """A run from end to end, with marks for all passengers and answers to some offers."""

    def __init__(self, policy, seed):
        train = next(row for row in read_timetable(DEMO_TIMETABLE) if row["trainNo"] == "12345")
        data = make_chart(train, date(2026, 11, 23), seed=seed, passengers=PEOPLE)
        self.chart, rejected, _ = read_chart({**data, "policy": policy})
        assert not rejected
        self.chance = random.Random(seed)
        self.now = datetime(2026, 11, 23, 8, tzinfo=UTC)
        self.state = TrainState(self.chart.run)
        self.events, self.refused = [], 0
        self.give(c.RegisterTrain(train_no="12345", chart=self.chart))
        self.codes = [station.code for station in self.chart.stations]

    def give(self, command):
        self.events += self.state.carry_out(command, self.now)

    def ask(self, kind, **fields):
        self.give(kind(train_no="12345", **fields))

    def drive(self):
        self.ask(c.StartJourney)
        for place, code in enumerate(self.codes):
            if place:
                self.now = max(self.now, self.state.stops[place].scheduled_arrival)
                self.ask(c.Arrive, station_code=code)
            self.mark(place)
            if place < len(self.codes) - 1:
                self.now = max(self.now, self.state.stops[place].scheduled_departure)
                self.ask(c.Depart, station_code=code)

    def mark(self, place):
        """Mark the passengers due here, in random order: one in eight NT, some undone later."""
        due = list(self.state.boarding_at.get(place, ()))
        self.chance.shuffle(due)
        for person in due:
            pnr, _, index = person.partition("/")
            who = {"pnr": pnr, "index": int(index)}
            kind = c.MarkNoShow if self.chance.random() < 1 / 8 else c.MarkBoarded
            self.ask(kind, **who)
            if kind is c.MarkNoShow and self.chance.random() < 1 / 5:
                self.try_to(c.MarkBoarded, **who)
            self.answer()
        self.now += timedelta(seconds=self.chance.choice([0, 200, 300]))
        self.ask(c.ExpireOffers)

    def answer(self):
        for offer in list(self.state.open_by_berth.values()):
            kind = self.chance.choice(ANSWERS)
            if kind is c.AcceptOffer and self.chart.policy == "APPROVAL":
                kind = c.ApproveOffer
            if kind is not None:
                self.try_to(kind, offer_id=offer.id)

    def try_to(self, kind, **fields):
        try:
            self.ask(kind, **fields)
        except HubError:
            self.refused += 1


def by_hand(journey):
    """Return (berth, segment) → holder and cause of a vacancy, from the chart and events only."""
    place = {code: number for number, code in enumerate(journey.codes)}
    held, seats, here, causes = {}, {}, 0, {}

    def take(person, start, there=None):
        for leg in range(start, seats[person][2]):
            held.setdefault((seats[person][0], leg), set()).add(person)

    def leave(person, start, cause):
        for leg in range(start, seats[person][2]):
            held.get((seats[person][0], leg), set()).discard(person)
        causes.setdefault((seats[person][0], start), set()).add(cause)

    for row in journey.chart.passengers:
        berth = row.coach and (row.coach, row.berth)
        seats[row.person] = [berth, place[row.from_], place[row.to]]
        take(row.person, place[row.from_])
    for event in journey.events:
        person = getattr(event, "person", None)
        if isinstance(event, e.StationArrival):
            here = event.station.index
        elif isinstance(event, e.NoShow):
            leave(person, max(here, seats[person][1]), "NO_SHOW")
        elif isinstance(event, e.BerthLost):
            seats[person][0] = None
        elif isinstance(event, e.NoShowUndone):
            take(person, max(here, seats[person][1]))
        elif isinstance(event, e.PassengerAlighted):
            leave(person, here, "ALIGHTED")
        elif isinstance(event, e.UpgradeConfirmed):
            start = max(here, seats[person][1])  # on WL, some have a berth before they board
            leave(person, start, "UPGRADED")
            seats[person][0] = (event.coach, event.berth)
            take(person, start)
    return held, causes, seats


@pytest.mark.parametrize("policy", ["AUTO", "OFFER", "APPROVAL"])
def test_a_whole_journey(policy):
    """At the end all passengers have alighted, the run is completed, and the figures add up."""
    seed = random.randrange(10**6)
    print(f"policy {policy}, seed {seed}")
    journey = Journey(policy, seed)
    journey.drive()
    state, place = journey.state, {code: n for n, code in enumerate(journey.codes)}
    counts = Counter(each.state for each in state.passengers.values())
    assert state.status == "COMPLETED"
    assert set(counts) == {"ALIGHTED", "NT"}
    assert sum(counts.values()) == PEOPLE
    assert counts["NT"] > PEOPLE / 20
    shown = figures(state)["classes"]
    # CNF had lost a berth; who lost an upgrade may have another.
    upgraded = {each.person for each in state.upgrades if each.status != "CNF"}
    assert [
        sum(row[n] for row in shown) for n in ("booked", "aboard", "due", "nt", "upgraded")
    ] == [*(PEOPLE, 0, 0, counts["NT"], len(upgraded))]
    assert {offer.state for offer in state.offers.values()} <= {
        *("ACCEPTED", "DENIED", "EXPIRED", "WITHDRAWN")
    }
    accepted = [offer for offer in state.offers.values() if offer.state == "ACCEPTED"]
    assert len(accepted) == (0 if policy == "AUTO" else len(state.upgrades))
    assert len(state.upgrades) > 20

    report = captaincy_report(state)
    held, causes, _ = by_hand(journey)
    free = set()
    for coach in report["coaches"]:
        for row in coach["vacant"]:
            berth = (coach["coach"], row["berth"])
            start, end = place[row["from"]], place[row["to"]]
            assert start < end
            free |= {(berth, leg) for leg in range(start, end)}
            if row["cause"] == "UNBOOKED":
                assert (berth, start) not in causes or held.get((berth, start))
            else:
                assert row["cause"] in causes[berth, start]
    assert free == {
        ((coach.code, berth), leg)
        for coach in journey.chart.coaches
        for berth in range(1, coach.berths + 1)
        for leg in range(len(place) - 1)
        if not held.get(((coach.code, berth), leg))
    }
    assert (
        sum(len(coach["noShows"]) for coach in report["coaches"]) + len(report["notSeated"])
        == counts["NT"]
    )
    rows = list(csv.DictReader(io.StringIO(report_csv(report), newline=""), strict=True))
    assert Counter(row["kind"] for row in rows)["UPGRADE"] == len(state.upgrades)


def movers(journey, whole, states, class_):
    """Return those who get a lower berth first: need, then age; aboard, in middle or upper."""
    types = journey.state.occupancy.types

    def is_mover(row):
        age = row.age >= (45 if row.gender == "F" else 60)
        high = whole.get(row.person) and types["{}-{}".format(*whole[row.person])] not in (
            *("LOWER", "SIDE_LOWER", "SEAT"),
        )
        return row.class_ == class_ and states[row.person] == "ABOARD" and age and high

    rows = filter(is_mover, journey.chart.passengers)
    return [row.person for row in sorted(rows, key=lambda row: (-row.age, row.person))]


@pytest.mark.parametrize("policy", ["AUTO", "OFFER", "APPROVAL"])
def test_every_reason_on_a_whole_journey_is_true(policy):
    """Each upgrade's reason has the candidates in order, and truly why each was passed over."""
    seed = random.randrange(10**6)
    print(f"policy {policy}, seed {seed}")
    journey = Journey(policy, seed)
    journey.drive()
    booked = {row.person: row for row in journey.chart.passengers}
    place = {code: number for number, code in enumerate(journey.codes)}
    km = {station.code: station.distance_km for station in journey.chart.stations}
    states, waiting, opened, ended, here = dict.fromkeys(booked, "DUE"), {}, {}, set(), 0
    claims = set()
    partly = {row.pnr for row in booked.values() if row.status in ("CNF", "RAC")}

    def turn(row):
        wholly = row.status == "WL" and row.pnr not in partly
        return row.status == "WL", wholly, row.number is None, row.number or 0, row.person

    for row in sorted(booked.values(), key=turn):
        if row.status != "CNF":
            waiting.setdefault(row.class_, []).append(row.person)
    marked = {e.PassengerBoarded: "ABOARD", e.PassengerAlighted: "ALIGHTED"}
    marked |= {e.NoShow: "NT", e.NoShowUndone: "DUE", e.BerthLost: "DUE"}
    whole = {row.person: (row.coach, row.berth) for row in booked.values() if row.status == "CNF"}
    moved = 0
    for event in journey.events:
        states.update({event.person: marked[type(event)]} if type(event) in marked else {})
        if isinstance(event, e.StationArrival):
            here = event.station.index
        if isinstance(event, e.BerthLost):
            line = waiting.setdefault(booked[event.person].class_, [])
            line[:] = [each for each in line if each != event.person]
            line.insert(sum(each in claims for each in line), event.person)
            claims.add(event.person)
            whole.pop(event.person, None)
        if isinstance(event, e.UpgradePending) or (
            isinstance(event, e.UpgradeConfirmed) and event.offer_id is None
        ):
            who = f"{event.pnr}/{event.index}"
            line = waiting.get(booked[who].class_, [])
            told = [f"{each.pnr}/{each.index}" for each in event.reason]
            if who in whole:
                moved += 1
                first = [each for each in line if each in claims]
                line = [*first, *movers(journey, whole, states, booked[who].class_)]
            before = line[: line.index(who)]
            assert told == [*before[:NAMED], who]
            assert sum(each.count for each in event.passed_over) == len(before[NAMED:])
            assert event.reason[-1].outcome == "chosen"
            for other, each in zip(told, event.reason[:-1], strict=False):
                to = booked[other].to
                truth = {
                    f"is {states[other]}, not aboard": states[other] != "ABOARD",
                    "has an open offer": other in opened.values(),
                    f"the journey ends at {to}": place[to] <= here,
                    "the PNR is wholly on the waiting list": booked[other].pnr not in partly,
                    "the journey is under 70 km": km[to] - km[booked[other].from_] < 70,
                    "had an offer of this berth before": (other, event.coach, event.berth) in ended,
                }
                if not each.outcome.startswith("the berth is taken from "):
                    assert truth[each.outcome]
                else:
                    assert here <= place[each.outcome.rpartition(" ")[2]] < place[to]
        if isinstance(event, e.UpgradePending):
            opened[event.offer_id] = who
        elif isinstance(event, e.UpgradeConfirmed):
            opened.pop(event.offer_id, None)
            claims.discard(event.person)
            whole[event.person] = event.coach, event.berth
            line = waiting.get(booked[event.person].class_, [])
            line[:] = [each for each in line if each != event.person]
        elif isinstance(event, e.UpgradeClosed):
            made = journey.state.offers[event.offer_id].made
            ended.add((opened.pop(event.offer_id), made.coach, made.berth))
    assert bool(moved) is (policy != "AUTO")
