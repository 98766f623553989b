"""A small railway for tests: one train of five stations and a handful of passengers."""

from datetime import UTC, datetime
from typing import Any

from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.chart import read_chart
from trainhub.domain.model import RunKey
from trainhub.domain.train import TrainState

RUN = RunKey("12345/2026-11-23")
TRAIN = {"train_no": "12345"}
# 08:00 in Kolkata, an hour before the train starts.
MORNING = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
STATIONS = ("AAA", "BBB", "CCC", "DDD", "EEE")


def station(place: int) -> dict[str, Any]:
    """Station `place` of five: an hour and 100 km apart, ten minutes' halt, first at 09:00."""
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
    """A confirmed passenger of berth S1-`who`, alone on a PNR, unless `fields` say otherwise."""
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
    """A passenger on RAC `place`, with half of side lower S1-7."""
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
    """A chart of train 12345 with these people, or with PEOPLE if none are named."""
    return {
        "trainNo": "12345",
        "trainName": "TEST EXP",
        "startDate": "2026-11-23",
        "stations": [station(place) for place in range(5)],
        "coaches": [{"code": "S1", "class": "SL", "berths": 72}],
        "passengers": list(people or PEOPLE),
        **fields,
    }


def register(**fields: Any) -> c.RegisterTrain:
    """The command that registers `chart(**fields)`."""
    checked, rejected = read_chart(chart(**fields))
    return c.RegisterTrain(
        train_no=checked.train_no,
        start_date=checked.start_date,
        chart=checked,
        rejected=rejected,
    )


class Driver:
    """A run's state, its events so far, and the time: what a test of the rules moves along."""

    def __init__(self, *people: dict[str, Any], **fields: Any) -> None:
        self.state = TrainState(RUN)
        self.events: list[e.Event] = []
        self.now = MORNING
        checked, rejected = read_chart(chart(*people, **fields))
        assert not rejected
        self.give(c.RegisterTrain(train_no="12345", chart=checked))

    def give(self, command: c.Command) -> list[e.Event]:
        """Carry out; returns the events, with those that follow by themselves."""
        events = self.state.carry_out(command, self.now)
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
        """Drive on until the train stands at `code`, keeping to the timetable."""
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
