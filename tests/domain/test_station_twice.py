"""A run that calls at a station twice: its stops are told apart by index."""

import ast
from datetime import timedelta
from pathlib import Path

import pytest
from railway import MORNING, RUN, TRAIN, chart, person, rac, register_chart, station

from trainhub.core.errors import BadMessage, Conflict, HubError
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain import run_state
from trainhub.domain.board import board_line
from trainhub.domain.chart import read_chart
from trainhub.domain.snapshot import resume, snapshot_of
from trainhub.domain.train import TrainState
from trainhub.domain.views import berth_plan, person_view, run_view, vacancies_view
from trainhub.hub.protocol import read_command

# The train goes from AAA over the junction BBB to CCC, and back over BBB to EEE.
LINE = [station(0), station(1), station(2), {**station(3), "code": "BBB"}, station(4)]


def line_chart(*people, **fields):
    return chart(*people, stations=LINE, **fields)


def loaded(*people, **fields):
    """Return the run of a chart, with the event of its registration."""
    whole = register_chart(line_chart(*people, **fields))
    assert whole.rejected == ()
    state = TrainState(whole.chart.run)
    (registered,) = state.carry_out(whole, MORNING)
    return state, registered


def do(state, command, **fields):
    return state.carry_out(command(**TRAIN, **fields), MORNING)


def reach(state, *reports):
    """Start the run, and report each (DEPART or ARRIVE, station)."""
    do(state, c.StartJourney)
    for command, code in reports:
        do(state, command, station_code=code)


# booking from, to → the stops that it means
JOURNEYS = {
    ("AAA", "CCC"): ("AAA", "CCC"),
    ("BBB", "CCC"): ("BBB@1", "CCC"),  # only the first is before CCC
    ("CCC", "BBB"): ("CCC", "BBB@3"),
    ("BBB", "BBB"): ("BBB@1", "BBB@3"),
    ("AAA", "BBB@1"): ("AAA", "BBB@1"),
    ("bbb@3", "EEE"): ("BBB@3", "EEE"),
}
# booking from, to → the reason why it does not load
REFUSED = {
    ("AAA", "BBB"): "to: the train calls there more than once: give BBB@1 or BBB@3",
    ("BBB", "EEE"): "from: the train calls there more than once: give BBB@1 or BBB@3",
    ("EEE", "BBB"): "to does not come after from: give stations in running order",
    ("CCC", "BBB@1"): "to does not come after from: give stations in running order",
    ("CCC@2", "EEE"): "from: the train has no such station",
    ("AAA", "BBB@2"): "to: the train has no such station",
    ("ZZZ", "BBB"): "from: the train has no station ZZZ",
    ("BBB", "ZZZ"): "to: the train has no station ZZZ",
}


@pytest.mark.parametrize("journey", JOURNEYS)
def test_a_booking_means_the_stops_that_its_order_allows(journey):
    """A station is enough if only one of its stops fits; else the code has the index."""
    read, rejected, _ = read_chart(line_chart(person(1, *journey)))
    assert rejected == ()
    assert (read.passengers[0].from_, read.passengers[0].to) == JOURNEYS[journey]


@pytest.mark.parametrize("journey", REFUSED)
def test_a_booking_that_may_mean_two_stops_is_asked_for_the_index(journey):
    """The line is rejected with the codes to choose from."""
    _, (rejected,), _ = read_chart(line_chart(person(1, *journey)))
    assert rejected.reason == REFUSED[journey]


def test_an_amendment_reads_stations_like_a_chart():
    """A chart sent again as a whole changes nothing, and a line that may mean two is rejected."""
    state, _ = loaded(person(1, "BBB", "CCC"))
    people = [person(1, "BBB", "CCC"), person(2, "CCC", "BBB"), person(3, "AAA", "BBB")]
    fields = {"trainNo": "12345", "source": "SECOND", "passengers": people}
    amended = state.carry_out(read_command(c.AmendChart, fields), MORNING)[0]
    assert (amended.added, amended.corrected) == (1, 0)
    assert amended.passengers[0].to == "BBB@3"
    assert [each.line for each in amended.rejected] == [3]


# a command that names BBB → its other fields
COMMANDS = {
    c.SkipStation: {},
    c.SetPlatform: {"platform": "7"},
    c.ChangeBoarding: {"pnr": "4512345601", "index": 1},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_asked_for_the_index(command):
    """AMBIGUOUS_STATION lists the stops; a code with an index names one."""
    state, _ = loaded(person(1))
    with pytest.raises(Conflict, match="name BBB@1 or BBB@3") as raised:
        do(state, command, station_code="BBB", **COMMANDS[command])
    assert raised.value.code == "AMBIGUOUS_STATION"
    assert raised.value.details == {"stations": ["BBB@1", "BBB@3"]}
    event, *_ = do(state, command, station_code="BBB@3", **COMMANDS[command])
    if command is c.ChangeBoarding:
        assert (event.old_from, event.from_) == ("AAA", "BBB@3")
    else:
        assert (event.station.code, event.station.index) == ("BBB", 3)


def test_a_report_means_the_stop_whose_turn_it_is():
    """ARRIVE and DEPART need no index; an index that is not next is refused."""
    state, _ = loaded(person(1))
    reach(state, (c.Depart, "AAA"))
    with pytest.raises(Conflict, match="the next station is BBB@1, not BBB@3") as raised:
        do(state, c.Arrive, station_code="BBB@3")
    assert raised.value.details == {"next": "BBB@1"}
    do(state, c.Arrive, station_code="BBB")
    assert (state.current, state.here.code) == (1, "BBB@1")
    do(state, c.Depart, station_code="BBB")
    with pytest.raises(Conflict, match="the next station is CCC, not BBB"):
        do(state, c.Arrive, station_code="BBB")  # a report that was sent twice
    do(state, c.Arrive, station_code="CCC")
    *_, arrived = do(state, c.Arrive, station_code="BBB")  # CCC's departure is implied
    assert isinstance(arrived, e.StationArrival)
    assert (state.current, state.departed) == (3, False)
    do(state, c.Depart, station_code="BBB@3")
    do(state, c.Arrive, station_code="EEE")
    assert state.status == "COMPLETED"


def test_people_leave_and_board_at_their_own_stop_of_the_station():
    """The berth of a passenger to the first BBB goes on to one from the second."""
    state, _ = loaded(person(1, "AAA", "BBB@1"), person(2, "BBB@3", "EEE", berth=1))
    do(state, c.StartJourney)
    do(state, c.MarkBoarded, pnr="4512345601", index=1)
    do(state, c.Depart, station_code="AAA")
    arrived, alighted, vacated = do(state, c.Arrive, station_code="BBB")
    assert (arrived.alighted, alighted.to) == (1, "BBB@1")
    assert (vacated.from_, vacated.to) == ("BBB@1", "BBB@3")
    with pytest.raises(Conflict, match="boards at BBB@3, a later station"):
        do(state, c.MarkBoarded, pnr="4512345602", index=1)
    view = run_view(state, "TTE", "T1")
    assert [(each["code"], each["stop"]) for each in view["stations"]] == [
        *(("AAA", "AAA"), ("BBB", "BBB@1"), ("CCC", "CCC"), ("BBB", "BBB@3"), ("EEE", "EEE"))
    ]
    assert (view["station"]["code"], view["index"], view["next"]["index"]) == ("BBB", 1, 2)
    (free,) = [each for each in vacancies_view(state) if each["berth"] == 1]
    assert (free["from"], free["to"]) == ("BBB@1", "BBB@3")
    held = [plan for plan in berth_plan(state, state.coach("S1")) if plan["berth"] == 1]
    stretches = [(each["from"], each["to"]) for each in held[0]["holders"]]
    assert stretches == [("AAA", "BBB@1"), ("BBB@3", "EEE")]
    assert person_view(state.passenger("4512345602", 1))["from"] == "BBB@3"


def test_a_station_s_board_has_both_calls():
    """After the first call the second is on the board."""
    state, _ = loaded(person(1))

    def board():
        lines = [board_line(state, s, MORNING, timedelta(days=1)) for s in state.stops_at("BBB")]
        return [line[1]["stop"]["index"] for line in lines if line is not None]

    assert board() == [1, 3]
    reach(state, (c.Arrive, "BBB"), (c.Depart, "BBB"))
    assert board() == [3]


def test_an_offer_says_from_and_to_which_stop():
    """A berth that is free to the second BBB suits a passenger on RAC to there."""
    state, _ = loaded(person(1, "AAA", "BBB@3"), rac(10, 1, "AAA", "BBB@3"))
    do(state, c.StartJourney)
    do(state, c.MarkBoarded, pnr="4512345610", index=1)
    events = do(state, c.MarkNoShow, pnr="4512345601", index=1)
    pending = next(each for each in events if isinstance(each, e.UpgradePending))
    assert (pending.from_, pending.to) == ("AAA", "BBB@3")


def test_a_run_is_the_same_after_a_start_from_its_snapshot():
    """The snapshot has the stop at which a passenger boards by now."""
    state, registered = loaded(person(1))
    do(state, c.ChangeBoarding, pnr="4512345601", index=1, station_code="BBB@1")
    restored = resume(RUN, registered, snapshot_of(state))
    assert restored.passenger("4512345601", 1) == state.passenger("4512345601", 1)
    assert restored.boarding_at == state.boarding_at


def test_two_stops_at_one_station_have_another_between():
    """The same station twice running is a halt that was split: the chart is refused."""
    with pytest.raises(BadMessage, match=r"stations\[2\] is the station before it again"):
        read_chart(chart(stations=[*LINE[:2], {**station(2), "code": "BBB"}, *LINE[3:]]))
    with pytest.raises(BadMessage, match="that of another stop with its index"):
        read_chart(chart(stations=[*LINE[:4], {**station(4), "code": "BBB@3"}]))


@pytest.mark.parametrize("code", ["BBB@0", "BBB@", "AAA@0", "@1", "ZZZ"])
def test_an_index_of_another_stop_is_unknown(code):
    """UNKNOWN_STATION lists the codes of the stops."""
    state, _ = loaded(person(1))
    with pytest.raises(HubError) as raised:
        do(state, c.SkipStation, station_code=code)
    assert raised.value.code == "UNKNOWN_STATION"
    assert raised.value.details["stations"] == ["AAA", "BBB@1", "CCC", "BBB@3", "EEE"]


def test_rules_and_views_name_a_stop_by_its_own_code():
    """`stop.code` names one stop. `stop.station.code` may name two, unless an index is with it."""
    with_index = {"station_ref", "ahead", "station_named", "stop_view", "stop_codes", "begin_with"}
    found = {
        f"{path.name}: {function.name}"
        for path in Path(run_state.__file__).parent.glob("*.py")
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef) and function.name not in with_index
        if ".station.code" in ast.unparse(function)
    }
    assert found == set(), "use stop.code here"
