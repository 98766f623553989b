"""trainhub/domain/marks.py: O and NT, the undo, cancelling, another boarding station."""

from datetime import timedelta

import pytest
from day import MINUTE, SECOND, departed, london, pnr, recovered, state_of, types, utc
from railway import STATIONS, TRAIN, Driver, person

from trainhub.core.errors import Conflict
from trainhub.domain import commands as c
from trainhub.domain.berths import segments
from trainhub.domain.errors import UnknownPassenger
from trainhub.domain.marks import UNDO_WINDOW
from trainhub.domain.model import BerthKey, PersonKey

# --- O and NT --------------------------------------------------------------------------------


def go(run, code):
    run.go_to(code)
    run.depart(code)


def nt_ago(run, minutes):
    run.start()
    run.no_show(2)
    run.now += minutes * MINUTE


def given_away(run):
    """Give the berth away directly, without an upgrade."""
    run.start()
    run.no_show(2)
    run.state.occupancy.occupy(
        BerthKey("S1-2"), PersonKey(f"{pnr(20)}/1"), segments(1, 2), half=False
    )


# Name → how passenger 2, with berth S1-2 from AAA to CCC, came to this state.
BEFORE = {
    "DUE": lambda run: run.start(),
    "DUE, train left": lambda run: go(run, "AAA"),
    "DUE, at the stop after": lambda run: run.go_to("BBB"),
    "DUE, not started": lambda run: None,
    "DUE, journey over": lambda run: run.go_to("CCC"),
    "DUE, run completed": lambda run: run.go_to("EEE"),
    "ABOARD": lambda run: (run.start(), run.board(2)),
    "ALIGHTED": lambda run: (run.start(), run.board(2), run.go_to("CCC")),
    "NT": lambda run: nt_ago(run, 0),
    "NT, 30 min ago": lambda run: nt_ago(run, 30),
    "NT, 31 min ago": lambda run: nt_ago(run, 31),
    "NT, berth given": given_away,
    "NT, journey over": lambda run: (run.start(), run.no_show(2), run.go_to("CCC")),
    "NT, run completed": lambda run: (run.start(), run.no_show(2), run.go_to("EEE")),
}
BOARDED, SHOWED_NOT, UNDONE = "PASSENGER_BOARDED", "NO_SHOW", "NO_SHOW_UNDONE"
MARKS = [
    # before, command, state after, and its events or the conflict's text
    ("DUE", "O", "ABOARD", [BOARDED]),
    ("DUE", "NT", "NT", [SHOWED_NOT, "BERTH_VACATED"]),
    ("DUE", "UNDO", "DUE", []),
    ("DUE, train left", "O", "ABOARD", [BOARDED]),
    ("DUE, train left", "NT", "NT", [SHOWED_NOT, "BERTH_VACATED"]),
    ("DUE, at the stop after", "O", "ABOARD", [BOARDED]),
    ("DUE, at the stop after", "NT", "NT", [SHOWED_NOT, "BERTH_VACATED"]),
    ("DUE, not started", "O", "DUE", "is SCHEDULED, not RUNNING"),
    ("DUE, not started", "NT", "DUE", "is SCHEDULED, not RUNNING"),
    ("DUE, journey over", "O", "DUE", "journey ended at CCC"),
    ("DUE, journey over", "NT", "DUE", "journey ended at CCC"),
    ("DUE, run completed", "O", "DUE", "is COMPLETED, not RUNNING"),
    ("DUE, run completed", "NT", "DUE", "is COMPLETED, not RUNNING"),
    ("ABOARD", "O", "ABOARD", []),
    ("ABOARD", "NT", "ABOARD", "is aboard, and so cannot be NT"),
    ("ABOARD", "UNDO", "ABOARD", "is ABOARD, not NT"),
    ("ALIGHTED", "O", "ALIGHTED", "is ALIGHTED"),
    ("ALIGHTED", "NT", "ALIGHTED", "is ALIGHTED"),
    ("ALIGHTED", "UNDO", "ALIGHTED", "is ALIGHTED, not NT"),
    ("NT", "NT", "NT", []),
    ("NT", "O", "ABOARD", [UNDONE, BOARDED]),
    ("NT", "UNDO", "DUE", [UNDONE]),
    ("NT, 30 min ago", "O", "ABOARD", [UNDONE, BOARDED]),
    ("NT, 30 min ago", "UNDO", "DUE", [UNDONE]),
    ("NT, 31 min ago", "O", "NT", "30 minutes only, which are over"),
    ("NT, 31 min ago", "UNDO", "NT", "30 minutes only, which are over"),
    ("NT, 31 min ago", "NT", "NT", []),
    ("NT, berth given", "O", "NT", "berth S1-2 was given to another"),
    ("NT, berth given", "UNDO", "NT", "berth S1-2 was given to another"),
    ("NT, berth given", "NT", "NT", []),
    ("NT, journey over", "O", "NT", "journey ended at CCC"),
    ("NT, journey over", "UNDO", "NT", "journey ended at CCC"),
    ("NT, run completed", "O", "NT", "is COMPLETED, not RUNNING"),
    ("NT, run completed", "UNDO", "NT", "is COMPLETED, not RUNNING"),
]
GIVE = {"O": Driver.board, "NT": Driver.no_show, "UNDO": Driver.undo}


@pytest.mark.parametrize(("before", "mark", "after", "outcome"), MARKS)
def test_marks(before, mark, after, outcome):
    """A person is DUE, ABOARD, then ALIGHTED; or NT, which can be undone within 30 minutes."""
    run = Driver()
    BEFORE[before](run)
    assert before.startswith(state_of(run, 2))
    if isinstance(outcome, str):
        with pytest.raises(Conflict, match=outcome):
            GIVE[mark](run, 2)
    else:
        assert types(GIVE[mark](run, 2)) == outcome
    assert state_of(run, 2) == after


def test_the_undo_window_is_thirty_minutes_to_the_second():
    """NT can be undone after exactly 30 minutes, but not a second later."""
    assert timedelta(minutes=30) == UNDO_WINDOW
    run = Driver()
    run.start()
    marked = run.now
    run.no_show(1)
    run.now = marked + UNDO_WINDOW + SECOND
    with pytest.raises(Conflict, match="30 minutes"):
        run.undo(1)
    run.now = marked + UNDO_WINDOW
    run.undo(1)
    assert state_of(run, 1) == "DUE"


def test_a_second_no_show_does_not_open_the_window_again():
    """A second NT changes nothing: the time of the first one counts."""
    run = Driver()
    run.start()
    run.no_show(1)
    run.now += 20 * MINUTE
    assert run.no_show(1) == []
    run.now += 11 * MINUTE
    with pytest.raises(Conflict, match="30 minutes"):
        run.undo(1)


def test_a_no_show_after_an_undo_has_its_own_window():
    """After an undo, a new NT has its own 30 minutes."""
    run = Driver()
    run.start()
    run.no_show(1)
    run.now += 20 * MINUTE
    run.undo(1)
    run.no_show(1)
    run.now += 30 * MINUTE
    assert types(run.undo(1)) == ["NO_SHOW_UNDONE"]


def test_who_boards_further_on_is_not_marked_yet():
    """A passenger who boards at a later station cannot be marked."""
    run = departed()
    for mark in (run.board, run.no_show):
        with pytest.raises(Conflict, match="boards at BBB, a later station") as raised:
            mark(3)
        assert raised.value.details == {"boardsAt": "BBB"}
    run.arrive("BBB")
    run.board(3)
    assert state_of(run, 3) == "ABOARD"


@pytest.mark.parametrize(
    ("where", "start"), [("at AAA", "AAA"), ("left AAA", "AAA"), ("at BBB", "BBB")]
)
def test_a_no_show_frees_the_berth_from_here_on(where, start):
    """NT frees the berth from max(from, current) to the destination."""
    run = Driver()
    run.go_to(where[-3:])
    if where.startswith("left"):
        run.depart("AAA")
    vacated = run.no_show(2)[1]
    assert (vacated.coach, vacated.berth, vacated.class_) == ("S1", 2, "SL")
    assert (vacated.from_, vacated.to, vacated.cause) == (start, "CCC", "NO_SHOW")
    assert run.state.in_berth("S1", 2) == []
    way = segments(STATIONS.index(start), 2)
    assert run.state.occupancy.has_room(BerthKey("S1-2"), way, half=False)
    run.undo(2)
    assert [each.person for each in run.state.in_berth("S1", 2)] == [f"{pnr(2)}/1"]
    assert not run.state.occupancy.has_room(BerthKey("S1-2"), way, half=False)


def test_a_no_show_before_boarding_frees_the_berth_from_there():
    """Before the train has passed the boarding station, NT frees the berth from there."""
    run = departed()
    run.arrive("BBB")
    vacated = run.no_show(3)[1]
    assert (vacated.from_, vacated.to) == ("BBB", "DDD")


def test_who_has_no_berth_frees_none():
    """NT of a passenger without a berth frees no berth, and can be undone."""
    run = Driver()
    run.start()
    assert types(run.no_show(20)) == ["NO_SHOW"]
    assert types(run.undo(20)) == ["NO_SHOW_UNDONE"]


def test_a_no_show_on_rac_leaves_the_other_half_held():
    """NT on RAC frees half of the side lower."""
    run = Driver()
    run.start()
    run.no_show(10)
    assert [each.person for each in run.state.in_berth("S1", 7)] == [f"{pnr(11)}/1"]
    has_room, side, way = run.state.occupancy.has_room, BerthKey("S1-7"), segments(0, 4)
    assert has_room(side, way, half=True)
    assert not has_room(side, way, half=False)
    run.undo(10)
    assert len(run.state.in_berth("S1", 7)) == 2
    assert not has_room(side, way, half=True)


def test_a_half_that_was_given_away_is_not_undone():
    """An undo is a conflict if another passenger has the berth, or the half berth."""
    run = Driver()
    run.start()
    run.no_show(10)
    person_20 = PersonKey(f"{pnr(20)}/1")
    run.state.occupancy.occupy(BerthKey("S1-7"), person_20, segments(3, 4), half=True)
    with pytest.raises(Conflict, match="berth S1-7 was given to another"):
        run.undo(10)


def test_one_of_a_pnr_is_marked_and_the_others_are_not():
    """A mark changes one person of a PNR."""
    run = Driver(*(person(1, index=n, berth=n) for n in (1, 2, 3)))
    run.start()
    run.give(c.MarkNoShow(**TRAIN, pnr=pnr(1), index=2))
    assert [each.state for each in run.state.on_pnr(pnr(1))] == ["DUE", "NT", "DUE"]
    assert [len(run.state.in_berth("S1", berth)) for berth in (1, 2, 3)] == [1, 0, 1]


@pytest.mark.parametrize("kind", [c.MarkBoarded, c.MarkNoShow, c.UndoNoShow])
@pytest.mark.parametrize(("number", "index"), [(99, 1), (1, 2), (1, 0), (1, -1), (1, 2**53 - 1)])
def test_an_unknown_person_is_not_marked(kind, number, index):
    """A mark for an unknown person is an error that does not repeat the PNR."""
    run = Driver()
    run.start()
    with pytest.raises(UnknownPassenger) as raised:
        run.give(kind(**TRAIN, pnr=pnr(number), index=index))
    assert pnr(number) not in raised.value.message


def test_a_mark_tells_the_person_and_where_they_sit():
    """A mark's event has the PNR, index, name, berth and journey."""
    run = Driver()
    run.start()
    (event,) = run.board(10)
    assert (event.user, event.pnr, event.index, event.name) == ("IR_10", pnr(10), 1, "Person 10")
    assert (event.coach, event.berth, event.from_, event.to) == ("S1", 7, "AAA", "EEE")
    assert event.at == run.now


@pytest.mark.parametrize("read_back", [False, True], ids=["live", "recovered"])
def test_the_undo_window_is_real_time_when_the_clocks_change(read_back):
    """The 30 minutes of an undo are real time when clocks change."""
    run = london()
    run.now = utc(0, 50)
    run.no_show(1)
    state = recovered(run) if read_back else run.state
    undo = c.UndoNoShow(**TRAIN, pnr=pnr(1), index=1)
    assert types(state.decide(undo, utc(1, 20))) == ["NO_SHOW_UNDONE"]
    with pytest.raises(Conflict, match="30 minutes"):
        state.decide(undo, utc(2, 15))


# --- cancelled journeys, and another boarding station ------------------------------------------


def cancel(run, number):
    return run.give(c.CancelJourney(**TRAIN, pnr=pnr(number), index=1))


def board_at(run, number, code):
    return run.give(c.ChangeBoarding(**TRAIN, pnr=pnr(number), index=1, station_code=code))


def test_a_cancelled_journey_frees_the_berth():
    """A journey can be cancelled once, before boarding, and frees its berth."""
    run = Driver()
    cancelled, vacated = cancel(run, 3)
    assert types([cancelled, vacated]) == ["PASSENGER_CANCELLED", "BERTH_VACATED"]
    assert (vacated.from_, vacated.to, vacated.cause) == ("BBB", "DDD", "CANCELLED")
    assert cancel(run, 3) == []
    assert run.state.occupancy.at("S1-3", 1) == []
    run.start()
    run.board(1)
    with pytest.raises(Conflict, match="is ABOARD, not DUE"):
        cancel(run, 1)
    for mark in (run.board, run.no_show, run.undo):
        with pytest.raises(Conflict, match="is CANCELLED"):
            mark(3)


CHOICES = [
    # where the train is, the journey, the wanted station, whether it is allowed
    ("AAA", "EEE", "BBB", True),
    ("AAA", "EEE", "DDD", True),
    ("AAA", "EEE", "EEE", False),
    ("AAA", "CCC", "CCC", False),
    ("AAA", "CCC", "DDD", False),
    ("BBB", "EEE", "BBB", True),
    ("CCC", "EEE", "BBB", False),
    ("CCC", "EEE", "DDD", True),
]


@pytest.mark.parametrize(("where", "to", "code", "may"), CHOICES)
def test_a_boarding_station_may_change(where, to, code, may):
    """The boarding station can change once, to one of the next three before the destination."""
    run = Driver(person(1, "AAA", to))
    run.go_to(where)
    if not may:
        with pytest.raises(Conflict, match=r"can board at|journey ended"):
            board_at(run, 1, code)
        return
    (event,) = board_at(run, 1, code)
    assert (event.from_, event.old_from, event.to) == (code, "AAA", to)
    assert board_at(run, 1, code) == []
    with pytest.raises(Conflict, match=r"changed already|can board at"):
        board_at(run, 1, "DDD" if code != "DDD" else "CCC")
    place = STATIONS.index(code)
    assert [bool(run.state.occupancy.at("S1-1", leg)) for leg in range(4)] == [
        leg >= place for leg in range(4)
    ]


def test_the_fourth_station_on_is_too_far():
    """The boarding station cannot move by four stations."""
    run = Driver(person(1, "AAA", "EEE"))
    with pytest.raises(Conflict) as raised:
        board_at(run, 1, "EEE")
    assert raised.value.details == {"stations": ["BBB", "CCC", "DDD"]}
    run.give(c.SkipStation(**TRAIN, station_code="CCC"))
    with pytest.raises(Conflict) as raised:
        board_at(run, 1, "CCC")
    assert raised.value.details == {"stations": ["BBB", "DDD"]}
