"""trainhub/core/rooms.py: who hears what, and that a socket that has gone is in no index."""

from collections import defaultdict
from dataclasses import replace

import pytest
from fakes import Ear, line
from hypothesis import given
from hypothesis import strategies as st
from railway import MORNING, RUN

from trainhub.core.audience import EVERYONE, Standing, User, may_be_told
from trainhub.core.journal import Record
from trainhub.core.rooms import MOST_RUNS
from trainhub.domain.commands import To
from trainhub.domain.events import TO_STAFF, Announcement, BerthVacated, NoShow, user_and_staff
from trainhub.domain.model import Level, Role, RunKey
from trainhub.hub.train_rooms import TrainRooms

OTHER_RUN = RunKey("12345/2026-11-24")
RUNS = (RUN, OTHER_RUN, RunKey("54321/2026-11-23"))
STANDINGS = {
    "passenger": Standing(Role.PASSENGER, "IR_1"),
    "their other phone": Standing(Role.PASSENGER, "IR_1"),
    "another passenger": Standing(Role.PASSENGER, "IR_2"),
    "TTE": Standing(Role.TTE, "T1"),
    "control": Standing(Role.ADMIN, "C1"),
    "feed": Standing(Role.SERVICE, "F1"),
    "stranger": Standing(),
    # One who examines tickets under the same name as a passenger books: names are per role.
    "namesake": Standing(Role.TTE, "IR_1"),
    "namesake's feed": Standing(Role.SERVICE, "IR_1"),
}
ALL = set(STANDINGS)
STAFF = {"TTE", "control", "namesake"}


def announcement(to=To.EVERYONE, user=None):
    return Announcement(at=MORNING, text="x", level=Level.INFO, audience_=to, user=user)


def no_show(user):
    return NoShow(
        at=MORNING,
        user=user,
        pnr="4512345601",
        index=1,
        name="Person 1",
        coach="S1",
        berth=1,
        from_="AAA",
        to="EEE",
    )


VACATED = BerthVacated(
    at=MORNING, coach="S1", berth=1, class_="SL", from_="AAA", to="EEE", cause="NO_SHOW"
)


def record(seq, event=None, run=RUN):
    return Record(seq, run, seq, event or announcement())


def make_rooms():
    """Rooms, and the table that they share with the socket handlers."""
    table = {}
    return TrainRooms(table, line), table


@pytest.fixture
def rooms():
    return make_rooms()[0]


@pytest.fixture
def ears(rooms):
    """A mixed room: one ear for each of STANDINGS."""
    ears = {name: Ear() for name in STANDINGS}
    for name, ear in ears.items():
        rooms.join(RUN, ear, STANDINGS[name])
    return ears


def who_heard(ears):
    return {name for name, ear in ears.items() if ear.heard}


def indexes(rooms):
    """Every place where the rooms remember a listener."""
    found = {"rooms of": dict(rooms._rooms_of), "outgoing": dict(rooms._outgoing)}
    for run, room in rooms._table.items():
        found[run] = (dict(room.listeners), dict(room.by_role), dict(room.by_user))
    return found


NOTHING = {"rooms of": {}, "outgoing": {}}


@pytest.mark.parametrize(
    ("event", "heard_by"),
    [
        (announcement(), ALL),
        (announcement(To.STAFF), STAFF),
        (announcement(To.USER, "IR_1"), {"passenger", "their other phone"}),
        (announcement(To.USER, "IR_3"), set()),
        (announcement(To.USER, "T1"), set()),
        (no_show("IR_1"), {"passenger", "their other phone"} | STAFF),
        (no_show("IR_2"), {"another passenger"} | STAFF),
        (no_show("IR_3"), STAFF),
        (VACATED, STAFF),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_event_is_told_to_its_audience_and_to_nobody_else(rooms, ears, event, heard_by):
    """Each audience over a mixed room: every device of that passenger, the staff, or all."""
    rooms.accept([record(1, event)])
    assert who_heard(ears) == heard_by
    for name in heard_by:
        assert ears[name].seqs == [1]
    expected = {
        name for name, standing in STANDINGS.items() if may_be_told(event.audience, standing)
    }
    assert heard_by == expected  # what is told and what may be read again is the same


@pytest.mark.made_up
def test_the_three_ways_to_tell(rooms, ears):
    """broadcast_to_train, send_to_user and send_to_ttes, each to one run's room."""
    other = Ear()
    rooms.join(OTHER_RUN, other, STANDINGS["TTE"])
    for tell, heard_by in (
        (lambda frame: rooms.broadcast_to_train(RUN, frame), ALL),
        (lambda frame: rooms.send_to_user(RUN, "IR_1", frame), {"passenger", "their other phone"}),
        (lambda frame: rooms.send_to_ttes(RUN, frame), STAFF),
    ):
        tell(rooms.frame({"type": "X"}))
        rooms.flush()
        assert who_heard(ears) == heard_by
        for ear in ears.values():
            ear.writes.clear()
    assert other.heard == []


@pytest.mark.made_up
def test_an_audience_of_two_parts_is_told_in_both_ways(rooms, ears):
    """A client that is in one part of the audience gets the event once."""
    rooms.tell(RUN, (*TO_STAFF, User("IR_2", Role.PASSENGER)), rooms.frame({"seq": 1, "data": {}}))
    rooms.flush()
    assert who_heard(ears) == STAFF | {"another passenger"}
    assert user_and_staff("IR_2") == (User("IR_2", Role.PASSENGER), *TO_STAFF)


def test_nobody_is_told_in_a_room_that_is_not_there(rooms, ears):
    """A run without listeners costs nothing, and is no error: its events are in the journal."""
    rooms.accept([record(1, run=OTHER_RUN)])
    rooms.broadcast_to_train(OTHER_RUN, b"{}")
    rooms.send_to_user(OTHER_RUN, "IR_1", b"{}")
    rooms.send_to_ttes(OTHER_RUN, b"{}")
    rooms.flush()
    assert who_heard(ears) == set()
    assert not rooms.is_open(OTHER_RUN)


def test_what_one_commit_brings_is_one_write_in_order(rooms, ears):
    """One write per socket, its events by seq; who may hear nothing gets no write."""
    events = [announcement(), VACATED, no_show("IR_1"), announcement(To.STAFF), announcement()]
    rooms.accept([record(seq, event) for seq, event in enumerate(events, start=1)])
    seqs = {
        "passenger": [1, 3, 5],
        "their other phone": [1, 3, 5],
        "another passenger": [1, 5],
        "TTE": [1, 2, 3, 4, 5],
        "control": [1, 2, 3, 4, 5],
        "namesake": [1, 2, 3, 4, 5],
        "feed": [1, 5],
        "stranger": [1, 5],
        "namesake's feed": [1, 5],
    }
    assert {name: ear.seqs for name, ear in ears.items()} == seqs
    assert {len(ear.writes) for ear in ears.values()} == {1}
    rooms.accept([record(6, announcement(To.USER, "IR_2"))])
    assert [name for name, ear in ears.items() if len(ear.writes) == 2] == ["another passenger"]


def test_a_listener_gets_one_write_of_each_of_its_rooms(rooms):
    """What one commit brings to a socket goes in one write for each run that it is of."""
    ear = Ear()
    rooms.join(RUN, ear, Standing())
    rooms.join(OTHER_RUN, ear, Standing())
    rooms.accept([record(1), record(7, run=OTHER_RUN), record(2)])
    assert len(ear.writes) == 2
    told = [(each["startDate"], each["seq"]) for each in ear.heard]
    assert [seq for day, seq in told if day == "2026-11-23"] == [1, 2]
    assert [seq for day, seq in told if day == "2026-11-24"] == [7]


def test_an_event_is_encoded_once_whoever_hears_it():
    """Once per room and audience, never per socket; not at all for a room without listeners."""
    framed = []
    rooms = TrainRooms({}, lambda payload: framed.append(payload) or line(payload))
    ears = [Ear() for _ in range(50)]
    for ear in ears:
        rooms.join(RUN, ear, STANDINGS["TTE"])
    rooms.accept([record(1), record(2, VACATED), record(1, run=OTHER_RUN)])
    assert len(framed) == 2
    assert all(ear.seqs == [1, 2] for ear in ears)


def test_two_runs_of_one_train_never_mix(rooms):
    """Today's and tomorrow's 12345 are two rooms, for all, for a passenger and for the staff."""
    here, there = Ear(), Ear()
    events = [announcement(), no_show("IR_1"), VACATED]
    for standing in (STANDINGS["TTE"], STANDINGS["passenger"], Standing()):
        rooms.join(RUN, here, standing)
        rooms.join(OTHER_RUN, there, standing)
        rooms.accept([record(seq, event) for seq, event in enumerate(events, start=1)])
    assert {each["startDate"] for each in here.heard} == {"2026-11-23"}
    assert there.heard == []


def test_who_joins_again_has_the_new_standing_only(rooms):
    """A passenger who becomes a TTE, and goes back: one place in one index at a time."""
    ear = Ear()
    for name in ("passenger", "TTE", "another passenger"):
        rooms.join(RUN, ear, STANDINGS[name])
        rooms.join(RUN, ear, STANDINGS[name])
        room = rooms._table[RUN]
        assert room.listeners == {ear: STANDINGS[name]}
        assert room.by_role == {STANDINGS[name].role: {ear: None}}
        assert room.by_user == {STANDINGS[name]: {ear: None}}
        assert rooms.rooms_of(ear) == [RUN]
    rooms.accept([record(1), record(2, no_show("IR_1")), record(3, no_show("IR_2"))])
    assert ear.seqs == [1, 3]
    rooms.leave(RUN, ear)
    assert indexes(rooms) == NOTHING


@pytest.mark.parametrize("name", STANDINGS)
@pytest.mark.parametrize("way", ["leave", "leave_all", "close"])
def test_who_leaves_is_in_no_index(way, name):
    """The table, the rooms of a listener, and each room's staff and users are empty again."""
    rooms, table = make_rooms()
    ear = Ear()
    rooms.join(RUN, ear, STANDINGS[name])
    rooms.join(OTHER_RUN, ear, STANDINGS[name])
    assert table.keys() == {RUN, OTHER_RUN}
    if way == "leave_all":
        rooms.leave_all(ear)
    else:
        for run in (RUN, OTHER_RUN):
            getattr(rooms, way)(*((run, ear) if way == "leave" else (run,)))
    assert table == {}
    assert indexes(rooms) == NOTHING
    rooms.accept([record(1)])
    assert ear.heard == []


@pytest.mark.parametrize("name", STANDINGS)
@pytest.mark.parametrize("way", ["leave", "leave_all"])
def test_who_has_left_hears_nothing_though_others_stay(rooms, ears, way, name):
    """A client that left is in no index of a room that stays open."""
    if way == "leave":
        rooms.leave(RUN, ears[name])
    else:
        rooms.leave_all(ears[name])
    events = [announcement(), VACATED, no_show("IR_1"), no_show("IR_2")]
    rooms.accept([record(seq, event) for seq, event in enumerate(events, start=1)])
    assert who_heard(ears) == ALL - {name}
    assert ears[name] not in rooms._rooms_of


@pytest.mark.parametrize("way", ["leave", "leave_all", "close"])
def test_the_others_stay(rooms, ears, way):
    """A client that leaves does not affect the same user's other devices or other rooms."""
    gone = {"passenger"} if way != "close" else ALL
    elsewhere = Ear()
    rooms.join(OTHER_RUN, elsewhere, STANDINGS["passenger"])
    if way == "leave":
        rooms.leave(RUN, ears["passenger"])
    elif way == "leave_all":
        rooms.leave_all(ears["passenger"])
    else:
        rooms.close(RUN)
    rooms.accept([record(1, no_show("IR_1")), record(2), record(3, run=OTHER_RUN)])
    assert who_heard(ears) == ALL - gone
    assert ears["their other phone"].seqs == ([] if way == "close" else [1, 2])
    assert elsewhere.seqs == [3]


def test_leaving_what_one_is_not_in_is_no_error(rooms, ears):
    """A socket may go at any moment, and twice."""
    stranger = Ear()
    before = indexes(rooms)
    rooms.leave(RUN, stranger)
    rooms.leave(OTHER_RUN, ears["TTE"])
    rooms.leave_all(stranger)
    rooms.close(OTHER_RUN)
    assert indexes(rooms) == before


@pytest.mark.made_up
def test_what_was_put_for_one_who_has_gone_is_not_sent(rooms, ears):
    """Nothing is written to a socket after it was taken out of its rooms."""
    rooms.broadcast_to_train(RUN, rooms.frame({"seq": 1, "data": {}}))
    rooms.leave_all(ears["TTE"])
    rooms.flush()
    assert who_heard(ears) == ALL - {"TTE"}
    assert indexes(rooms)["outgoing"] == {}


def test_standings_are_those_in_the_room(rooms, ears):
    """The figures of the monitor are derived from the room, not counted separately."""
    assert list(rooms.standings(RUN)) == list(STANDINGS.values())
    assert list(rooms.standings(OTHER_RUN)) == []


# --- any history of a few rooms, against a model that only knows who joined ------------------

listeners = st.integers(0, 4)
runs = st.sampled_from(RUNS)
events = st.sampled_from(
    [
        announcement(),
        announcement(To.STAFF),
        announcement(To.USER, "IR_1"),
        no_show("IR_1"),
        no_show("IR_2"),
        VACATED,
    ]
)
steps = st.one_of(
    st.tuples(st.just("join"), runs, listeners, st.sampled_from(list(STANDINGS.values()))),
    st.tuples(st.just("leave"), runs, listeners),
    st.tuples(st.just("leave_all"), listeners),
    st.tuples(st.just("close"), runs),
    st.tuples(st.just("deliver"), st.lists(st.tuples(runs, events), max_size=5)),
)


class Model:
    """Who is in which room, as a plain list of facts."""

    def __init__(self) -> None:
        self.inside = {}

    def join(self, run, number, standing):
        self.inside[run, number] = standing

    def leave(self, run, number):
        self.inside.pop((run, number), None)

    def leave_all(self, number):
        self.inside = {key: value for key, value in self.inside.items() if key[1] != number}

    def close(self, run):
        self.inside = {key: value for key, value in self.inside.items() if key[0] != run}

    def hears(self, records):
        """Each listener's messages, for those who hear any."""
        heard = defaultdict(list)
        for each in records:
            for (run, number), standing in self.inside.items():
                told = may_be_told(each.event.audience, standing)
                if run == each.stream and told:
                    heard[number].append((run, each.seq))
        return heard


@given(st.lists(steps, max_size=40))
def test_any_history_of_rooms_is_as_the_model_says(history):
    """Join, leave, close and deliver in any order: the model's people hear, in order."""
    rooms, table = make_rooms()
    model = Model()
    ears = [Ear() for _ in range(5)]
    seqs = defaultdict(int)
    for what, *rest in history:
        if what == "deliver":
            records = []
            for run, event in rest[0]:
                seqs[run] += 1
                records.append(replace(record(seqs[run], event), stream=run))
            rooms.accept(records)
            heard = model.hears(records)
            for number, ear in enumerate(ears):
                writes = [
                    [(f"{m['trainNo']}/{m['startDate']}", m["seq"]) for m in write]
                    for write in ear.writes
                ]
                for run in RUNS:
                    of_run = [write for write in writes if write[0][0] == run]
                    told = [each for write in of_run for each in write]
                    assert told == [each for each in heard[number] if each[0] == run]
                    assert len(of_run) <= MOST_RUNS
                assert sum(map(len, writes)) == len(heard[number])
                ear.writes.clear()
            continue
        getattr(rooms, what)(*(ears[each] if type(each) is int else each for each in rest))
        getattr(model, what)(*rest)
        assert table.keys() == {run for run, _ in model.inside}
        for number, ear in enumerate(ears):
            assert set(rooms.rooms_of(ear)) == {r for r, n in model.inside if n == number}
    for ear in ears:
        rooms.leave_all(ear)
    assert indexes(rooms) == NOTHING


def test_everyone_is_everyone():
    """The fixtures above mean what they say."""
    assert announcement().audience == EVERYONE
    assert VACATED.audience == TO_STAFF


# --- what cannot be told -----------------------------------------------------------------------


def test_an_event_that_cannot_be_told_closes_its_own_room_alone():
    """Its listeners would miss it unawares: they are sent away, to come back for it."""
    rooms = TrainRooms({}, line)
    mine, other = Ear(), Ear()
    rooms.join(RUN, mine, STANDINGS["TTE"])
    rooms.join(OTHER_RUN, other, STANDINGS["TTE"])
    good = announcement()
    bad = replace(good, text=object())
    rooms.accept([Record(1, RUN, 1, bad), Record(2, OTHER_RUN, 1, good)])
    assert [each["type"] for each in mine.heard] == ["MISSED"]
    assert rooms.rooms_of(mine) == []
    assert other.seqs == [1]


def test_a_listener_that_raises_costs_the_others_nothing():
    """It is sent away; the others hear what they should."""

    class Broken(Ear):
        def send(self, frames):
            raise RuntimeError("no such socket")

    rooms = TrainRooms({}, line)
    ears = [Ear(), Broken(), Ear()]
    for ear in ears:
        rooms.join(RUN, ear, STANDINGS["TTE"])
    rooms.accept([Record(1, RUN, 1, announcement())])
    assert [ear.seqs for ear in ears] == [[1], [], [1]]
    assert rooms.rooms_of(ears[1]) == []
