"""trainhub/domain/berths.py: the layouts, and the holders of each berth by segment."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainhub.core.errors import BadMessage
from trainhub.domain.berths import TYPES, Occupancy, berth_keys, is_upgrade, layout, segments
from trainhub.domain.model import BerthKey, BerthType, Coach, PersonKey

S1 = Coach(code="S1", class_="SL", berths=72)
LOWER, SIDE = BerthKey("S1-1"), BerthKey("S1-7")
A, B, C = PersonKey("4512345678/1"), PersonKey("4512345678/2"), PersonKey("4512345678/3")

BY_EIGHT = {
    "LOWER": (1, 4),
    "MIDDLE": (2, 5),
    "UPPER": (3, 6),
    "SIDE_LOWER": (7,),
    "SIDE_UPPER": (8,),
}
BY_SIX = {"LOWER": (1, 3), "UPPER": (2, 4), "SIDE_LOWER": (5,), "SIDE_UPPER": (6,)}
BY_TWO = {"LOWER": (1,), "UPPER": (2,)}
SEATS = {"SEAT": (1,)}


@pytest.mark.parametrize(
    ("class_", "kind", "berths", "bay"),
    [
        ("SL", "ICF", 72, BY_EIGHT),
        ("3A", "ICF", 64, BY_EIGHT),
        ("2A", "ICF", 46, BY_SIX),
        ("SL", "LHB", 80, BY_EIGHT),
        ("3A", "LHB", 72, BY_EIGHT),
        ("2A", "LHB", 52, BY_SIX),
        ("3E", "LHB", 83, BY_EIGHT),
        ("1A", "ICF", 18, BY_TWO),
        ("1A", "LHB", 24, BY_TWO),
        ("FC", "ICF", 26, BY_TWO),
        ("1A", "HALF", 10, BY_TWO),
        ("2A", "HALF", 20, BY_SIX),
        ("CC", "ICF", 73, SEATS),
        ("CC", "LHB", 78, SEATS),
        ("EC", "ICF", 46, SEATS),
        ("EC", "LHB", 56, SEATS),
        ("EA", "LHB", 56, SEATS),
        ("2S", "ICF", 108, SEATS),
    ],
)
def test_layouts_are_those_of_the_rules(class_, kind, berths, bay):
    """Berths repeat by 8 in SL and 3A, by 6 in 2A. ICF has 72, 64 and 46, LHB 80, 72 and 52."""
    assert TYPES[kind][class_] == (berths, None, None)
    types = layout(Coach(code="X1", class_=class_, berths=berths))
    assert len(types) == berths
    size = sum(len(numbers) for numbers in bay.values())
    for number, found in enumerate(types, start=1):
        assert (number - 1) % size + 1 in bay[found]


@pytest.mark.parametrize("class_", ["CC", "Sleeper"])
def test_a_class_without_berths_to_lie_on_has_seats(class_):
    """A chair car has seats, and so has an unknown class in a chart of an older journal."""
    assert layout(Coach(code="C1", class_=class_, berths=3)) == (BerthType.SEAT,) * 3


def test_a_class_belongs_to_a_berth():
    """The berths of a composite coach have the class of their part."""
    first = Coach(code="HA1", class_="1A", berths=2)
    second = Coach(code="HA1", class_="2A", berths=2, numbers=(3, 6))
    occupancy = Occupancy((first, second))
    assert occupancy.classes == {"HA1-1": "1A", "HA1-2": "1A", "HA1-3": "2A", "HA1-6": "2A"}
    assert list(berth_keys(second)) == ["HA1-3", "HA1-6"]


def test_a_coach_may_name_the_berths_that_two_on_rac_share():
    """`rac` replaces the side lowers, which two on RAC share otherwise."""
    side = Coach(code="A1", class_="2A", berths=12)
    assert Occupancy((side,)).shared == {"A1-5", "A1-11"}
    own = Coach(code="A1", class_="2A", berths=12, rac=(1, 5))
    assert Occupancy((own,)).shared == {"A1-1", "A1-5"}


@pytest.mark.parametrize(
    ("booked", "given", "upgraded"),
    [
        ("SL", "3A", True),
        ("3A", "1A", True),
        ("CC", "EC", True),
        ("3A", "SL", False),
        ("SL", "SL", False),
        ("SL", "EC", False),
        ("SL", "Couchette", False),
    ],
)
def test_a_ticket_is_upgraded_into_a_higher_class(booked, given, upgraded):
    """Classes with berths have an order, and so have classes with seats."""
    assert is_upgrade(booked, given) is upgraded


def test_a_chart_may_name_its_own_layout():
    """A chart's own layout replaces that of the class."""
    own = Coach(code="S1", class_="SL", berths=2, layout=("SIDE_LOWER", "LOWER"))
    assert layout(own) == (BerthType.SIDE_LOWER, BerthType.LOWER)
    assert Occupancy((own,)).types == {"S1-1": "SIDE_LOWER", "S1-2": "LOWER"}


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (("LOWER",), "coach S1 has 2 berths and a layout of 1"),
        ((), "coach S1 has 2 berths and a layout of 0"),
        (("LOWER", "HAMMOCK"), "'HAMMOCK' is not a valid BerthType: use LOWER, SIDE_LOWER"),
    ],
)
def test_an_odd_layout_is_refused(own, message):
    """A layout has one known type for each berth."""
    with pytest.raises(BadMessage, match=message):
        layout(Coach(code="S1", class_="SL", berths=2, layout=own))


@pytest.mark.parametrize(
    ("start", "end", "legs"),
    [(0, 1, {0}), (0, 4, {0, 1, 2, 3}), (2, 4, {2, 3}), (3, 3, set()), (4, 2, set())],
)
def test_a_journey_is_half_open(start, end, legs):
    """A journey [from, to) has the segments from..to-1. A journey backwards has none."""
    assert {leg for leg in range(10) if segments(start, end) >> leg & 1} == legs


@pytest.mark.parametrize(
    ("first", "second", "room"),
    [((0, 2), (2, 4), True), ((0, 3), (2, 4), False), ((2, 4), (0, 2), True)],
)
def test_journeys_that_meet_do_not_overlap(first, second, room):
    """Journeys 0-2 and 2-4 do not overlap; 0-3 and 2-4 do."""
    occupancy = Occupancy((S1,))
    occupancy.occupy(LOWER, A, segments(*first), half=False)
    assert occupancy.has_room(LOWER, segments(*second), half=False) is room


def test_three_people_of_one_pnr_do_not_fit_one_side_lower():
    """Two people of a PNR share a side lower on RAC. A third person does not fit."""
    occupancy, way = Occupancy((S1,)), segments(0, 4)
    for person in (A, B):
        assert occupancy.has_room(SIDE, way, half=True)
        occupancy.occupy(SIDE, person, way, half=True)
    assert not occupancy.has_room(SIDE, way, half=True)
    assert not occupancy.has_room(SIDE, way, half=False)
    assert set(occupancy.at(SIDE, 0)) == {A, B}


def test_one_who_goes_leaves_the_others():
    """A person who alights does not change the holds of others on the PNR."""
    occupancy = Occupancy((S1,))
    occupancy.occupy(SIDE, A, segments(0, 4), half=True)
    occupancy.occupy(SIDE, B, segments(0, 4), half=True)
    occupancy.release(SIDE, A, segments(2, 4))
    assert set(occupancy.at(SIDE, 1)) == {A, B}
    assert set(occupancy.at(SIDE, 2)) == {B}
    assert occupancy.has_room(SIDE, segments(2, 4), half=True)
    assert not occupancy.has_room(SIDE, segments(2, 4), half=False)
    occupancy.release(SIDE, B, segments(0, 4))
    assert occupancy.has_room(SIDE, segments(2, 4), half=False)


@pytest.mark.parametrize("berth", ["S1-1", "S1-2", "S1-3", "S1-8"])
def test_only_a_side_lower_is_shared(berth):
    """RAC passengers share side lowers only, if the chart names no other berths."""
    assert not Occupancy((S1,)).has_room(BerthKey(berth), segments(0, 1), half=True)


def test_a_confirmed_holder_does_not_share():
    """A side lower has one confirmed holder or two on RAC, never one of each."""
    for first, second in ((True, False), (False, True)):
        occupancy = Occupancy((S1,))
        occupancy.occupy(SIDE, A, segments(1, 3), half=first)
        assert not occupancy.has_room(SIDE, segments(0, 2), half=second)
        assert occupancy.has_room(SIDE, segments(3, 4), half=second)


class Notebook:
    """The expected holds, kept segment by segment without masks."""

    def __init__(self):
        self.legs = {}

    def room(self, berth, start, end, half):
        for leg in range(start, end):
            there = self.legs.get((berth, leg), {})
            if half and (berth != SIDE or len(there) > 1 or not all(there.values())):
                return False
            if not half and there:
                return False
        return True

    def take(self, berth, person, start, end, half):
        for leg in range(start, end):
            self.legs.setdefault((berth, leg), {})[person] = half

    def release(self, berth, person, start, end):
        for leg in range(start, end):
            self.legs.get((berth, leg), {}).pop(person, None)


MOVES = st.tuples(
    st.sampled_from(["take", "take", "release"]),
    st.sampled_from([LOWER, SIDE]),
    st.integers(0, 5),
    st.integers(0, 4),
    st.integers(1, 5),
    st.booleans(),
)


@given(st.lists(MOVES, max_size=25))
@settings(
    max_examples=150,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # no limit of time: the machine may be busy
)
def test_masks_say_what_a_plain_notebook_says(moves):
    """After any holds and releases, room and holders agree with the notebook on each segment."""
    occupancy, notebook = Occupancy((S1,)), Notebook()
    for move, berth, who, start, length, half in moves:
        end, person = start + length, PersonKey(f"4512345678/{who}")
        held = person in occupancy.holders(berth)
        room = notebook.room(berth, start, end, half)
        assert occupancy.has_room(berth, segments(start, end), half=half) is room
        if move == "take" and room and not held:
            occupancy.occupy(berth, person, segments(start, end), half=half)
            notebook.take(berth, person, start, end, half)
        elif move == "release" and held:
            occupancy.release(berth, person, segments(start, end))
            notebook.release(berth, person, start, end)
        for leg in range(10):
            for each in (LOWER, SIDE):
                assert set(occupancy.at(each, leg)) == set(notebook.legs.get((each, leg), ()))
            held_at = {each for each in (LOWER, SIDE) if notebook.legs.get((each, leg))}
            assert set(occupancy.taken_at(leg)) == held_at
            assert len(list(occupancy.taken_at(leg))) == len(held_at)
    for berth in (LOWER, SIDE):
        assert all(hold.mask for hold in occupancy.holders(berth).values())
