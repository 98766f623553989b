"""trainhub/domain/marks.py: O and NT, the undo, cancelling, another boarding station."""

import pytest
from day import MINUTE, SECOND, at, departed, london, pnr, recovered, state_of, types, utc
from railway import STATIONS, TRAIN, Driver, person, rac

from trainhub.core.errors import BadMessage, Conflict
from trainhub.domain import commands as c
from trainhub.domain.berths import segments
from trainhub.domain.errors import UnknownPassenger
from trainhub.domain.model import AlightReason, BerthKey, PersonKey

# --- O and NT --------------------------------------------------------------------------------


def go(run, code):
    run.go_to(code)
    run.depart(code)


def given_away(run):
    """Give the berth away directly, without an upgrade."""
    run.state.occupancy.occupy(
        BerthKey("S1-2"), PersonKey(f"{pnr(20)}/1"), segments(1, 2), half=False
    )


def auto(*steps):
    """Let the departure of AAA assume that passenger 2 is aboard."""

    def make():
        run = Driver(person(2, "AAA", "CCC"), boarding="auto")
        go(run, "AAA")
        for step in steps:
            step(run)
        return run

    return make


def after(*steps):
    def make():
        run = Driver()
        for step in steps:
            step(run)
        return run

    return make


def later(run):
    run.now += 11 * MINUTE


def started(run):
    run.start()


def boarded(run):
    GIVE["O"](run, 2)


def not_found(run):
    GIVE["NT"](run, 2)


def left_early(run):
    GIVE["ALIGHT"](run, 2)


def at_ccc(run):
    run.go_to("CCC")
    run.now += MINUTE


def at_eee(run):
    run.go_to("EEE")


# Name → how passenger 2, with berth S1-2 from AAA to CCC, came to this state.
BEFORE = {
    "DUE": after(started),
    "DUE, train left": after(lambda run: go(run, "AAA")),
    "DUE, at the stop after": after(lambda run: run.go_to("BBB")),
    "DUE, not started": after(),
    "UNCHECKED": after(at_ccc),
    "UNCHECKED, run completed": after(at_eee),
    "ABOARD": after(started, boarded),
    "ABOARD, 11 min ago": after(started, boarded, later),
    "ABOARD, assumed": auto(lambda run: run.go_to("BBB"), later, later, later),
    "ALIGHTED": after(started, boarded, at_ccc),
    "ALIGHTED, assumed": auto(at_ccc),
    "ALIGHTED early": after(started, boarded, left_early),
    "ALIGHTED early, assumed": auto(left_early),
    "ALIGHTED early, berth given": after(started, boarded, left_early, given_away),
    "NT": after(started, not_found),
    "NT, long ago": after(started, not_found, later, later, later, later),
    "NT, berth given": after(started, not_found, given_away),
    "NT, journey over": after(started, not_found, at_ccc),
    "NT, run completed": after(started, not_found, at_eee),
}
BOARDED, SHOWED_NOT, UNDONE = "PASSENGER_BOARDED", "NO_SHOW", "NO_SHOW_UNDONE"
O_UNDONE, LEFT = "BOARDED_UNDONE", "PASSENGER_ALIGHTED"
VACATED, LOST = "BERTH_VACATED", "BERTH_LOST"
MARKS = [
    # before, command, state after, and its events or the conflict's text
    ("DUE", "O", "ABOARD", [BOARDED]),
    ("DUE", "NT", "NT", [SHOWED_NOT, VACATED]),
    ("DUE", "UNDO NT", "DUE", []),
    ("DUE", "UNDO O", "DUE", []),
    ("DUE", "ALIGHT", "DUE", "is DUE, not ABOARD"),
    ("DUE, train left", "O", "ABOARD", [BOARDED]),
    ("DUE, train left", "NT", "NT", [SHOWED_NOT, VACATED]),
    ("DUE, at the stop after", "O", "ABOARD", [BOARDED]),
    ("DUE, at the stop after", "NT", "NT", [SHOWED_NOT, VACATED]),
    ("DUE, not started", "O", "DUE", "is SCHEDULED, not RUNNING: START_JOURNEY comes first"),
    ("DUE, not started", "NT", "DUE", "is SCHEDULED, not RUNNING"),
    ("UNCHECKED", "O", "UNCHECKED", "journey ended at CCC: .* needs its time"),
    ("UNCHECKED", "NT", "UNCHECKED", "journey ended at CCC: .* needs its time"),
    ("UNCHECKED", "UNDO O", "UNCHECKED", "is UNCHECKED, not ABOARD"),
    ("UNCHECKED", "late O", "ALIGHTED", [BOARDED, LEFT]),
    ("UNCHECKED", "late NT", "NT", [SHOWED_NOT]),
    ("UNCHECKED, run completed", "O", "UNCHECKED", "is COMPLETED, not RUNNING"),
    ("UNCHECKED, run completed", "NT", "UNCHECKED", "is COMPLETED, not RUNNING"),
    ("UNCHECKED, run completed", "late O", "ALIGHTED", [BOARDED, LEFT]),
    ("UNCHECKED, run completed", "late NT", "NT", [SHOWED_NOT]),
    ("ABOARD", "O", "ABOARD", []),
    ("ABOARD", "NT", "NT", [O_UNDONE, SHOWED_NOT, VACATED]),
    ("ABOARD", "UNDO NT", "ABOARD", "is ABOARD, not NT"),
    ("ABOARD", "UNDO O", "DUE", [O_UNDONE]),
    ("ABOARD", "early UNDO O", "ABOARD", "T9 marked the passenger ABOARD at 08:00: this undo is"),
    ("ABOARD", "UNDO O at the mark", "DUE", [O_UNDONE]),
    ("ABOARD", "ALIGHT", "ALIGHTED", [LEFT, VACATED]),
    ("ABOARD, 11 min ago", "NT", "ABOARD", "T9 marked the passenger ABOARD at 08:00: UNDO_BOARDED"),
    ("ABOARD, 11 min ago", "UNDO O", "DUE", [O_UNDONE]),
    ("ABOARD, 11 min ago", "NT soon after", "NT", [O_UNDONE, SHOWED_NOT, VACATED]),
    ("ABOARD, assumed", "O", "ABOARD", [BOARDED]),
    ("ABOARD, assumed", "NT", "NT", [O_UNDONE, SHOWED_NOT, VACATED]),
    ("ABOARD, assumed", "late NT", "NT", [O_UNDONE, SHOWED_NOT, VACATED]),
    ("ALIGHTED", "O", "ALIGHTED", "journey ended at CCC"),
    ("ALIGHTED", "late O", "ALIGHTED", []),
    ("ALIGHTED", "NT", "ALIGHTED", "journey ended at CCC"),
    ("ALIGHTED", "late NT", "ALIGHTED", "T9 marked the passenger ALIGHTED at 08:00"),
    ("ALIGHTED", "NT soon after", "NT", [SHOWED_NOT]),
    ("ALIGHTED", "UNDO NT", "ALIGHTED", "is ALIGHTED, not NT"),
    ("ALIGHTED", "ALIGHT", "ALIGHTED", []),
    ("ALIGHTED, assumed", "late NT", "NT", [SHOWED_NOT]),
    ("ALIGHTED early", "O", "ABOARD", [BOARDED]),
    ("ALIGHTED early", "ALIGHT", "ALIGHTED", []),
    ("ALIGHTED early, assumed", "NT", "ALIGHTED", "marked the passenger ALIGHTED at"),
    ("ALIGHTED early, berth given", "O", "ABOARD", [LOST, BOARDED]),
    ("NT", "NT", "NT", []),
    ("NT", "O", "ABOARD", [UNDONE, BOARDED]),
    ("NT", "UNDO NT", "DUE", [UNDONE]),
    ("NT", "UNDO O", "NT", "is NT, not ABOARD"),
    ("NT", "early O", "NT", "T9 marked the passenger NT at 08:00: this mark is older"),
    ("NT", "early UNDO NT", "NT", "T9 marked the passenger NT at 08:00: this undo is older"),
    ("NT", "UNDO NT at the mark", "DUE", [UNDONE]),
    ("NT, long ago", "O", "ABOARD", [UNDONE, BOARDED]),
    ("NT, long ago", "UNDO NT", "DUE", [UNDONE]),
    ("NT, berth given", "O", "ABOARD", [LOST, BOARDED]),
    ("NT, berth given", "UNDO NT", "NT", "berth S1-2 was given to another"),
    ("NT, berth given", "NT", "NT", []),
    ("NT, journey over", "O", "NT", "journey ended at CCC"),
    ("NT, journey over", "UNDO NT", "NT", "journey ended at CCC: MARK_BOARDED with its time"),
    ("NT, journey over", "late O", "ALIGHTED", [UNDONE, BOARDED, LEFT]),
    ("NT, run completed", "O", "NT", "is COMPLETED, not RUNNING"),
    ("NT, run completed", "UNDO NT", "NT", "is COMPLETED, not RUNNING"),
]


def mark(kind, at=None, **fields):
    def give(run, number):
        when = {} if at is None else {"at": at}
        return run.give(kind(**TRAIN, pnr=pnr(number), index=1, **when, **fields), user="T9")

    return give


# What TTE T9 gives. A late mark was made between BBB and CCC, an early one before the start, and
# one soon after nine minutes after the start.
GIVE = {
    "O": mark(c.MarkBoarded),
    "NT": mark(c.MarkNoShow),
    "UNDO O": mark(c.UndoBoarded),
    "UNDO NT": mark(c.UndoNoShow),
    "ALIGHT": mark(c.Alight, reason=AlightReason.MEDICAL),
    "late O": mark(c.MarkBoarded, at=at(10, 30)),
    "late NT": mark(c.MarkNoShow, at=at(10, 30)),
    "NT soon after": mark(c.MarkNoShow, at=at(8, 9)),
    "early O": mark(c.MarkBoarded, at=at(7, 59)),
    "early UNDO O": mark(c.UndoBoarded, at=at(7, 59)),
    "early UNDO NT": mark(c.UndoNoShow, at=at(7, 59)),
    "UNDO O at the mark": mark(c.UndoBoarded, at=at(8)),
    "UNDO NT at the mark": mark(c.UndoNoShow, at=at(8)),
}


@pytest.mark.parametrize(("before", "given", "then", "outcome"), MARKS)
def test_marks(before, given, then, outcome):
    """A person is DUE, ABOARD, then ALIGHTED; or NT; or UNCHECKED. Each mark can be put right."""
    run = BEFORE[before]()
    assert before.startswith(state_of(run, 2))
    if isinstance(outcome, str):
        with pytest.raises(Conflict, match=outcome):
            GIVE[given](run, 2)
    else:
        assert types(GIVE[given](run, 2)) == outcome
    assert state_of(run, 2) == then


def test_a_chart_may_limit_the_undo():
    """With `undoMinutes`, NT can be undone after exactly that time, but not a second later."""
    run = Driver(undoMinutes=30)
    run.start()
    marked = run.now
    run.no_show(1)
    run.now = marked + 30 * MINUTE + SECOND
    with pytest.raises(Conflict, match="30 minutes only"):
        run.undo(1)
    run.now = marked + 30 * MINUTE
    run.undo(1)
    assert state_of(run, 1) == "DUE"


def test_an_undo_of_a_device_that_was_offline_was_made_in_time():
    """Its own time counts, not the one at which it arrives."""
    run = Driver(undoMinutes=30)
    run.start()
    run.no_show(1)
    made = run.now + 30 * MINUTE
    run.now += 50 * MINUTE
    with pytest.raises(BadMessage, match="in the future"):
        mark(c.UndoNoShow, at=run.now + 2 * MINUTE)(run, 1)
    with pytest.raises(Conflict, match="30 minutes"):
        mark(c.UndoNoShow, at=made + SECOND)(run, 1)
    assert types(mark(c.UndoNoShow, at=made)(run, 1)) == [UNDONE]


def test_a_late_undo_leaves_a_newer_mark():
    """T9 undoes O at 8:01 without a network; meanwhile T1 has marked NT, which was O again."""
    run = Driver()
    run.start()
    undo = mark(c.UndoBoarded, at=run.now + MINUTE)
    run.board(2)
    run.now += 2 * MINUTE
    run.no_show(2)
    run.now += MINUTE
    run.board(2)
    with pytest.raises(Conflict, match="this undo is older") as told:
        undo(run, 2)
    assert told.value.details["markedAt"] == "2026-11-23T08:03:00+05:30"


def test_a_second_no_show_does_not_open_the_window_again():
    """A second NT changes nothing: the time of the first one counts."""
    run = Driver(undoMinutes=30)
    run.start()
    run.no_show(1)
    run.now += 20 * MINUTE
    assert run.no_show(1) == []
    run.now += 11 * MINUTE
    with pytest.raises(Conflict, match="30 minutes"):
        run.undo(1)


def test_a_no_show_after_an_undo_has_its_own_window():
    """After an undo, a new NT has its own 30 minutes."""
    run = Driver(undoMinutes=30)
    run.start()
    run.no_show(1)
    run.now += 20 * MINUTE
    run.undo(1)
    run.no_show(1)
    run.now += 30 * MINUTE
    assert types(run.undo(1)) == ["NO_SHOW_UNDONE"]


def test_who_comes_after_the_berth_was_given_is_aboard_without_one():
    """A late passenger is aboard and confirmed, and is never shown in the berth of another."""
    run = Driver(person(1), rac(10, 1), rac(11, 2), policy="AUTO")
    run.start()
    run.board(10)
    run.board(11)
    run.no_show(1)
    lost, boarded = run.board(1)
    assert types([lost, boarded]) == [LOST, BOARDED]
    assert (lost.coach, lost.berth) == ("S1", 1)
    assert (boarded.coach, boarded.berth) == (None, None)
    claimant = run.state.passenger(pnr(1), 1)
    assert (claimant.state, claimant.status) == ("ABOARD", "CNF")
    assert claimant.berth_key is None
    assert [each.person for each in run.state.in_berth("S1", 1)] == [f"{pnr(10)}/1"]


def test_who_lost_a_berth_is_first_in_turn_for_the_next():
    """Late passengers come before RAC, in the order in which they came, however short the way."""
    on_wl = person(12, status="WL", number=1, coach=None, berth=None)
    people = (person(1), person(2), person(3), person(4), rac(10, 1), rac(11, 2), on_wl)
    run = Driver(*people, policy="AUTO")
    run.start()
    for number in (10, 11):
        run.board(number)
    run.no_show(2)
    run.no_show(1)
    run.board(12)
    run.board(1)
    run.board(2)
    waiting = [*run.state.waiting["SL"]]
    assert waiting[:2] == [f"{pnr(1)}/1", f"{pnr(2)}/1"]
    run.no_show(3)
    assert run.state.passenger(pnr(1), 1).berth_key == "S1-3"
    assert run.state.passenger(pnr(1), 1).upgraded_from is None
    run.no_show(4)
    assert run.state.passenger(pnr(2), 1).berth_key == "S1-4"
    assert recovered(run).waiting == run.state.waiting


def test_a_lost_berth_is_made_good_however_short_the_journey():
    """`minUpgradeKm` is for upgrades: a passenger who lost a berth gets the next one anyway."""
    run = Driver(person(1, "AAA", "BBB"), person(3), rac(10, 1), policy="AUTO", minUpgradeKm=101)
    run.start()
    run.board(10)
    run.no_show(1)
    run.state.occupancy.occupy(BerthKey("S1-7"), PersonKey("x"), segments(0, 4), half=False)
    run.board(1)
    run.no_show(3)
    assert run.state.passenger(pnr(1), 1).berth_key == "S1-3"


def test_leaving_early_frees_the_berth_from_here():
    """A passenger who leaves the train early frees the berth from there to the destination."""
    run = Driver(person(1))
    run.start()
    run.board(1)
    run.go_to("BBB")
    alighted, vacated = GIVE["ALIGHT"](run, 1)
    assert (alighted.left, alighted.marked_by) == ("MEDICAL", "T9")
    assert (vacated.from_, vacated.to, vacated.cause) == ("BBB", "EEE", "ALIGHTED")
    run.board(1)
    assert [each.person for each in run.state.in_berth("S1", 1)] == [f"{pnr(1)}/1"]


def test_an_offer_ends_when_its_passenger_is_not_aboard_after_all():
    """An open offer is withdrawn if O is undone, or if the passenger leaves the train."""
    for what in ("UNDO O", "NT", "ALIGHT"):
        run = Driver(person(1), rac(10, 1))
        run.start()
        run.board(10)
        run.no_show(1)
        assert "UPGRADE_CLOSED" in types(GIVE[what](run, 10))
        assert run.state.open_by_person == {}


def test_a_mark_has_its_own_time():
    """A mark from a device that was offline is recorded with the time when it was made."""
    run = departed()
    run.now += 30 * MINUTE
    (event,) = mark(c.MarkBoarded, at=at(9, 5))(run, 1)
    assert (event.marked_at, event.marked_by) == (at(9, 5), "T9")
    assert event.told["markedAt"] == "2026-11-23T09:05:00+05:30"
    assert "markedBy" not in event.told
    assert run.state.passenger(pnr(1), 1).marked_at == at(9, 5)
    with pytest.raises(Conflict, match="T9 marked the passenger ABOARD at 09:05") as raised:
        mark(c.MarkNoShow, at=at(9, 1))(run, 1)
    assert raised.value.details["markedBy"] == "T9"
    assert raised.value.details["markedAt"] == "2026-11-23T09:05:00+05:30"


def test_who_boards_further_on_is_not_marked_yet():
    """A passenger who boards at a later station cannot be marked."""
    run = departed()
    for give in (run.board, run.no_show):
        with pytest.raises(Conflict, match="boards at BBB, a later station") as raised:
            give(3)
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
    run = london(undoMinutes=30)
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
    for give in (run.board, run.no_show, run.undo):
        with pytest.raises(Conflict, match="is CANCELLED"):
            give(3)


CHOICES = [
    # where the train is, the journey, the wanted station, whether it is allowed
    ("AAA", "EEE", "BBB", True),
    ("AAA", "EEE", "DDD", True),
    ("AAA", "EEE", "EEE", False),
    ("AAA", "CCC", "CCC", False),
    ("AAA", "CCC", "DDD", False),
    ("BBB", "EEE", "BBB", False),
    ("CCC", "EEE", "DDD", False),
]


@pytest.mark.parametrize(("where", "to", "code", "may"), CHOICES)
def test_a_boarding_station_may_change(where, to, code, may):
    """The boarding station can change once, to one of the next three before the destination."""
    run = Driver(person(1, "AAA", to))
    run.go_to(where)
    if not may:
        with pytest.raises(Conflict, match=r"can board at|journey ended|has left AAA"):
            board_at(run, 1, code)
        return
    event, vacated = board_at(run, 1, code)
    assert (vacated.from_, vacated.to, vacated.cause) == ("AAA", code, "BOARDING_CHANGED")
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
