"""A small railway for tests: one train of five stations and a handful of passengers."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from typing import Any

from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.chart import read_chart
from trainhub.domain.fields import (
    MOST_BERTH_NUMBER,
    MOST_BERTHS,
    MOST_COACHES,
    MOST_PASSENGERS,
    MOST_STATIONS,
    MOST_TEXT_BYTES,
)
from trainhub.domain.model import RunKey
from trainhub.domain.train import TrainState

RUN = RunKey("12345/2026-11-23")
TRAIN = {"train_no": "12345"}
# 08:00 in Kolkata, an hour before the train starts.
MORNING = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
STATIONS = ("AAA", "BBB", "CCC", "DDD", "EEE")


def station(place: int) -> dict[str, Any]:
    """Return station `place` of five: an hour and 100 km apart, ten minutes' halt, from 09:00."""
    return {
        "code": STATIONS[place],
        "name": f"STATION {STATIONS[place]}",
        "arrival": f"{9 + place:02}:00" if place else None,
        "departure": f"{9 + place:02}:10" if place < 4 else None,
        "day": 1,
        "distanceKm": 100 * place,
        "platform": str(place + 1),
    }


def person(who: int, start: str = "AAA", end: str = "EEE", **fields: Any) -> dict[str, Any]:
    """Return a confirmed passenger of berth S1-`who`, alone on a PNR; `fields` override."""
    return {
        "pnr": f"45123456{who:02}",
        "index": 1,
        "irctcId": f"IR_{who}",
        "name": f"Person {who}",
        "from": start,
        "to": end,
        "class": "SL",
        "status": "CNF",
        "coach": "S1",
        "berth": who,
        "email": f"person{who}@example.org",
        **fields,
    }


def rac(who: int, place: int, start: str = "AAA", end: str = "EEE") -> dict[str, Any]:
    """Return a passenger on RAC `place`, with half of side lower S1-7."""
    return person(who, start, end, status="RAC", number=place, berth=7)


PEOPLE = (
    person(1),
    person(2, "AAA", "CCC"),
    person(3, "BBB", "DDD"),
    rac(10, 1),
    rac(11, 2),
    person(20, status="WL", number=1, coach=None, berth=None),
)


def chart(*people: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a chart of train 12345 with these people, or with PEOPLE if none are named.

    Each person has a PNR of their own, so the chart serves the whole waiting list.
    """
    return {
        "trainNo": "12345",
        "trainName": "TEST EXP",
        "startDate": "2026-11-23",
        "stations": [station(place) for place in range(5)],
        "coaches": [{"code": "S1", "class": "SL", "berths": 72}],
        "waitingList": "ALL",
        "passengers": list(people or PEOPLE),
        **fields,
    }


def make_an_offer(ask: Callable[..., Any], first: dict[str, Any]) -> None:
    """Let train 7 stand at AAA, where `first`, person 1, does not turn up.

    S1-1 is offered to person 10, on RAC. Person 20 waits.
    """
    waits = person(20, status="WL", number=1, coach=None, berth=None)
    people = (first, person(2, "BBB", "DDD"), rac(10, 1), waits)
    ask("/api/trains", chart(*people, trainNo="7", policy="OFFER", offerSeconds=600))
    ask("/api/trains/7/start", {})
    ask("/api/trains/7/passengers/4512345610/1/board", {})
    ask("/api/trains/7/passengers/4512345601/1/no-show", {})


def largest_chart(more: int = 0) -> dict[str, Any]:
    """Return the largest chart that the hub accepts: every list and text at its limit.

    `more` is a number of bytes to add to its text; it may be negative.
    """
    codes = [f"S{place:03}" for place in range(MOST_STATIONS)]
    stations = [
        {**station(0), "code": code, "arrival": "09:00", "departure": "09:00", "day": 10}
        | {"name": "न" * 1_000, "distanceKm": 2**53 - 1, "platform": "न" * 1_000}
        for code in codes
    ]
    numbers = list(range(MOST_BERTH_NUMBER - MOST_BERTHS + 1, MOST_BERTH_NUMBER + 1))
    coaches = [
        {"code": f"C{place}", "class": "SL", "berths": MOST_BERTHS}
        | {"layout": ["SIDE_LOWER"] * MOST_BERTHS, "numbers": numbers, "rac": numbers}
        for place in range(MOST_COACHES)
    ]
    numbers = {"number": 2**53 - 1, "age": 2**53 - 1, "coach": None, "berth": None}
    people = [
        person(1, codes[0], codes[1], status="WL", **numbers)
        | {"pnr": f"{who:012}", "irctcId": "i", "name": "n", "email": "e", "gender": "g"}
        | {"phone": "p"}
        for who in range(MOST_PASSENGERS)
    ]
    defaults = {"timezone": "Asia/Kolkata", "policy": "OFFER", "boarding": "verify"}
    defaults |= {"waitingList": "PARTLY", "waitingKinds": ["GN", "RL", "PQ", "RS", "TQ"]}
    whole = chart(*people, stations=stations, coaches=coaches, **defaults)
    left = MOST_TEXT_BYTES + more - text_bytes({**whole, "startDate": None})  # a date is no text
    for passenger, name in product(people, ("name", "email", "gender", "phone")):
        passenger[name] = "x" * (1 + min(left, 999))
        left -= min(left, 999)
    assert left == 0
    return whole


def text_bytes(value: Any) -> int:
    """Return the size in UTF-8 of all texts of a chart, without the names of its fields."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return sum(map(text_bytes, value))
    return len(value.encode()) if isinstance(value, str) else 0


def register(**fields: Any) -> c.RegisterTrain:
    """Return the command that registers `chart(**fields)`."""
    return register_chart(chart(**fields))


def register_chart(whole: dict[str, Any]) -> c.RegisterTrain:
    checked, rejected, _ = read_chart(whole)
    return c.RegisterTrain(
        train_no=checked.train_no,
        start_date=checked.start_date,
        chart=checked,
        rejected=rejected,
    )


class Driver:
    """A run's state, its events so far, and the time, which a test of the rules moves on."""

    def __init__(self, *people: dict[str, Any], **fields: Any) -> None:
        self.state = TrainState(RUN)
        self.events: list[e.Event] = []
        self.now = MORNING
        checked, rejected, _ = read_chart(chart(*people, **fields))
        assert not rejected
        self.give(c.RegisterTrain(train_no="12345", chart=checked))

    def give(self, command: c.Command, user: str | None = None) -> list[e.Event]:
        """Carry out a command; return its events, with those that follow by themselves."""
        events = self.state.carry_out(command, self.now, user=user)
        self.events += events
        return events

    def start(self) -> list[e.Event]:
        return self.give(c.StartJourney(**TRAIN))

    def arrive(self, code: str) -> list[e.Event]:
        return self.give(c.Arrive(**TRAIN, station_code=code))

    def depart(self, code: str) -> list[e.Event]:
        return self.give(c.Depart(**TRAIN, station_code=code))

    def board(self, number: int) -> list[e.Event]:
        return self.give(c.MarkBoarded(**TRAIN, pnr=f"45123456{number:02}", index=1))

    def no_show(self, number: int) -> list[e.Event]:
        return self.give(c.MarkNoShow(**TRAIN, pnr=f"45123456{number:02}", index=1))

    def undo(self, number: int) -> list[e.Event]:
        return self.give(c.UndoNoShow(**TRAIN, pnr=f"45123456{number:02}", index=1))

    def go_to(self, code: str) -> None:
        """Drive the train on time until it stands at `code`."""
        if self.state.status == "SCHEDULED":
            self.start()
        while self.state.stops[self.state.current].station.code != code:
            here = self.state.stops[self.state.current]
            if not self.state.departed:
                self.now = max(self.now, here.scheduled_departure or self.now)
                self.depart(here.station.code)
            coming = self.state.stops[self.state.current + 1]
            self.now = max(self.now, coming.scheduled_arrival or self.now)
            self.arrive(coming.station.code)
