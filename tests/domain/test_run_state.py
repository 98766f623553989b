"""trainhub/domain/run_state.py: the state after events, and its look-ups."""

from datetime import date, timedelta

import pytest
from day import recovered
from railway import MORNING, RUN, TRAIN, Driver

from trainhub.demo.timetable import DEMO_TIMETABLE, make_chart, read_timetable
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.chart import read_chart
from trainhub.domain.errors import (
    UnknownPassenger,
)
from trainhub.domain.train import fold


def test_a_recovered_run_stands_where_it_stood():
    """A run's state is the same after its log was written and read."""
    run = Driver()
    run.start()
    run.board(1)
    run.no_show(2)
    run.undo(2)
    run.no_show(10)
    run.go_to("CCC")
    again = recovered(run)
    assert again.passengers == run.state.passengers
    assert again.stops == run.state.stops
    for berth in (1, 2, 7):
        assert again.in_berth("S1", berth) == run.state.in_berth("S1", berth)
    names = ("seq", "status", "current", "departed", "delay_minutes", "by_pnr", "by_user")
    assert [getattr(again, name) for name in names] == [getattr(run.state, name) for name in names]


class Unread(dict):
    """A dict that allows look-ups by key, and fails if it is iterated."""

    def refuse(self, *_):
        raise AssertionError("a look-up went through all of them")

    __iter__ = keys = values = items = __reversed__ = copy = refuse


def test_every_look_up_is_by_dict():
    """A person, PNR, user, berth or station is found among 1,700 people without a scan."""
    train = next(each for each in read_timetable(DEMO_TIMETABLE) if each["trainNo"] == "12345")
    data = make_chart(train, date(2026, 11, 23), seed=1, passengers=1_700)
    checked, *_ = read_chart(data)
    state = fold(RUN, [e.TrainRegistered(at=MORNING, chart=checked)])
    state.evolve(state.decide(c.StartJourney(**TRAIN), MORNING)[0])
    assert len(state.passengers) == 1_700
    for owner in (state, state.occupancy):
        for name, value in vars(owner).items():
            if isinstance(value, dict):
                setattr(owner, name, Unread(value))
    first = state.chart.stations[0].code
    for booking in checked.passengers[::100]:
        found = state.passenger(booking.pnr, booking.index)
        assert found.booking == booking
        assert found in state.on_pnr(booking.pnr)
        assert found in state.of_user(booking.irctc_id)
        if booking.from_ == first and booking.berth is not None:
            assert found in state.in_berth(booking.coach, booking.berth)
        assert state.station(booking.to).station.code == booking.to
        who = {"pnr": booking.pnr, "index": booking.index}
        if booking.from_ == first:
            for kind in (c.MarkNoShow, c.MarkBoarded):
                for event in state.decide(kind(**TRAIN, **who), MORNING):
                    state.evolve(event)
        state.decide(c.Announce(**TRAIN, text="x", to=c.To.USER, user=booking.irctc_id), MORNING)
    following = state.chart.stations[1].code
    for command in (
        c.Depart(**TRAIN, station_code=first),
        c.Arrive(**TRAIN, station_code=following),
    ):
        for event in state.decide(command, MORNING):
            state.evolve(event)
    with pytest.raises(UnknownPassenger):
        state.passenger("4512345678", 6)
    assert state.on_pnr("4512345678") == []
    assert state.of_user("IR_99") == []
    assert state.in_berth("S99", 1) == []


def test_the_next_report_is_due_by_the_timetable_and_the_delay():
    """It is a departure while the train stands, else an arrival; None when the run is over."""

    def due(run):
        return run.state.report_due and run.state.report_due.strftime("%H:%M")

    run = Driver()
    assert due(run) == "09:10"
    run.go_to("BBB")
    assert due(run) == "10:10"
    run.give(c.SetDelay(train_no="12345", delay_minutes=25))
    assert due(run) == "10:35"
    run.now += timedelta(minutes=12)
    run.depart("BBB")
    assert due(run) == "11:02"
    run.go_to("EEE")
    assert due(run) is None
    cancelled = Driver()
    cancelled.give(c.CancelTrain(train_no="12345"))
    assert due(cancelled) is None
