"""trainhub/core/codec.py: strict on the way in, and nothing lost on the way round."""

import dataclasses
import json
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from types import NoneType, UnionType
from typing import Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainhub.core.codec import LARGEST_INT, LONGEST_TEXT, camel, clean_text, dump, load, reload
from trainhub.core.errors import BadMessage
from trainhub.domain.commands import COMMANDS
from trainhub.domain.events import EVENTS
from trainhub.domain.snapshot import RunSnapshot


class Colour(StrEnum):
    RED = "RED"
    GREEN = "GREEN"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leaf:
    size_cm: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tree:
    name: str
    age: int = 1
    tall: bool = False
    felled_at: datetime | None = None
    planted_on: date | None = None
    colour: Colour = Colour.GREEN
    class_: str | None = None
    marks: tuple[int, ...] = ()
    leaves: tuple[Leaf, ...] = ()
    leaf: Leaf | None = None


def tree(**fields):
    return load(Tree, {"name": "oak", **fields})


# The values that each kind of field accepts and rejects. JSON can contain each of them.
HUGE = 10**4_299  # the longest that Python reads from JSON
TAKEN = {
    "name": ["a", "à la carte", "日本", "🚆", "x" * LONGEST_TEXT, " padded "],
    "age": [0, -1, LARGEST_INT, -LARGEST_INT],
    "tall": [True, False],
    "felledAt": ["2026-11-23T15:50:00+05:30", "2026-11-23T10:20:00Z", "2026-11-23T10:20Z", None],
    "plantedOn": ["2026-11-23", "2028-02-29", None],
    "colour": ["RED"],
    "class": ["SL", None],
    "marks": [[], [1, 2]],
    "leaves": [[], [{"sizeCm": 3}]],
    "leaf": [{"sizeCm": 3}, None],
}
NO_TEXT = [None, "", " \t\n", "a\0b", "\ud800", "a\udfffb", "x" * (LONGEST_TEXT + 1)]
NO_INT = [None, True, False, 1.0, 1.5, float("nan"), float("inf")]
NO_TIME = ["2026-11-23T15:50:00", "2026-11-23", "15:50", "", " ", "now", "\ud800", "\0"]
ODD_TIME = ["2026-02-30T10:00:00Z", "2026-11-23T24:00:01Z", "2026-11-23T15:50:00+25:00"]
ODD_YEAR = ["0001-01-01T00:00:00+05:30", "9999-12-31T23:59:59-05:30", "1969-07-20T20:17:00Z"]
NO_DATE = ["2026-2-3", "2026-02-30", "2026-11-23T00:00:00Z", "20261123", "", "23-11-2026"]
ODD_DATE = ["2026-W48-1", "\u0662\u0660\u0662\u0666-11-23", "\ud800" * 10]
REFUSED = {
    "name": [*NO_TEXT, 1, True, 1.5, HUGE, [], {}, ["a"]],
    "age": [*NO_INT, *("1", "", [], {}), *(HUGE, -HUGE, 2**53, -(2**53))],
    "tall": [None, 0, 1, "true", "", [], {}],
    "felledAt": [*NO_TIME, *ODD_TIME, *ODD_YEAR, 0, 1.5, True, HUGE, [], {}],
    "plantedOn": [*NO_DATE, *ODD_DATE, 20261123, True, HUGE, ["2026-11-23"] * 10, [], {}],
    "colour": [None, "red", "BLUE", "", 0, True, [], {}, "\ud800", "R" * 5_000],
    "class": ["", 2, False, [], "\0"],
    "marks": [None, 1, "12", {}, [1, "2"], [None], [True], [[1]], {"0": 1}],
    "leaves": [None, {}, [1], [None], [[]], [{}], [{"sizeCm": "3"}], [{"sizeCm": 3, "b": 1}]],
    "leaf": ["", [], 1, False, {}, {"sizeCm": None}, {"size_cm": 3}, {"sizeCm": 3, "b": 1}],
}


def cases(table):
    return [
        pytest.param(field, value, id=f"{field}-{number}")
        for field, values in table.items()
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize(("field", "value"), cases(TAKEN))
def test_what_fits_is_taken_as_it_is(field, value):
    """Nothing is coerced: what is let in comes out the same."""
    again = dump(tree(**{field: value}))
    if field == "felledAt" and value is not None:
        assert datetime.fromisoformat(again[field]) == datetime.fromisoformat(value)
    else:
        assert again[field] == value
        assert type(again[field]) is type(value)


@pytest.mark.parametrize(("field", "value"), cases(REFUSED))
def test_what_does_not_fit_is_refused_by_its_path(field, value):
    """Loading is strict, and a BadMessage, short enough to send, names the field by its path."""
    with pytest.raises(BadMessage, match=rf"^(unknown field )?(in )?{field}\b") as raised:
        tree(**{field: value})
    assert len(raised.value.message.encode()) < 200


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"age": "x"}, "age is a whole number, not a text"),
        ({"marks": [1, True]}, "marks[1] is a whole number, not true or false"),
        ({"leaves": [{"sizeCm": 1}, {}]}, "leaves[1].sizeCm is missing"),
        ({"leaves": [{"sizeCm": []}]}, "leaves[0].sizeCm is a whole number, not a list"),
        (
            {"leaf": {"sizeCm": 1, "shape": "heart"}},
            "unknown field leaf.shape; expected one of sizeCm",
        ),
        ({"leaf": 5}, "leaf is an object, not a number"),
        ({"colour": "BLUE"}, "colour is one of RED, GREEN"),
        ({"name": None}, "name is a text that is not empty, not null"),
    ],
)
def test_a_message_says_where_and_what(fields, message):
    """The path names the place within lists and objects; the value is shown if it is short."""
    with pytest.raises(BadMessage) as raised:
        tree(**fields)
    assert raised.value.message == message


@pytest.mark.parametrize("data", [None, [], "x", 1, True, [{"name": "oak"}]])
def test_only_an_object_is_a_message(data):
    """What is no JSON object at all is refused in words."""
    with pytest.raises(BadMessage, match=r"^the message is an object"):
        load(Tree, data)


def test_a_missing_field_is_named():
    """A field without a default must be there."""
    with pytest.raises(BadMessage, match=r"^name is missing$"):
        load(Tree, {"age": 1})


@pytest.mark.parametrize("name", ["nam", "Name", "class_", "felled_at", "", "__class__"])
def test_an_unknown_field_is_refused(name):
    """Nothing unknown is let in, also not under the name that Python uses."""
    with pytest.raises(
        BadMessage, match=r"unknown field.*; expected one of name, age, tall, felledAt"
    ):
        tree(**{name: 1})


@pytest.mark.parametrize("name", ["\ud800", "x" * 100_000], ids=["surrogate", "long"])
def test_an_unknown_field_is_named_so_that_it_can_be_sent(name):
    """An error is answered: its text is valid Unicode and short, whatever the client sent."""
    with pytest.raises(BadMessage) as raised:
        tree(**{name: 1})
    size = len(raised.value.message.encode())
    assert size < 500


def test_names_are_camel_outside_and_snake_inside():
    """`start_date` is startDate; a trailing underscore is for Python only."""
    assert [camel(name) for name in ("start_date", "from_", "class_", "pnr")] == [
        *("startDate", "from", "class", "pnr")
    ]
    assert tree(**{"class": "SL"}).class_ == "SL"
    assert dump(tree(**{"class": "SL"}))["class"] == "SL"


def test_a_time_keeps_its_offset():
    """Times are ISO 8601 with offset, and what a station sent is what is read."""
    moment = tree(felledAt="2026-11-23T15:50:00+05:30").felled_at
    assert moment.utcoffset() == timedelta(hours=5, minutes=30)
    assert dump(moment) == "2026-11-23T15:50:00+05:30"


@pytest.mark.parametrize("value", [{1, 2}, object(), b"x", timedelta(1), frozenset()])
def test_what_json_does_not_know_is_not_dumped(value):
    """A value without a JSON form raises TypeError."""
    with pytest.raises(TypeError, match="has no JSON form here"):
        dump({"a": [value]})


def test_a_dump_is_a_copy():
    """A change to the output of dump does not change the dumped value."""
    inner = {"a": [1]}
    dump(inner)["a"].append(2)
    assert inner == {"a": [1]}


def test_clean_text_lets_through_what_is_clean():
    """The text itself comes back."""
    assert clean_text("चाय", "text") == "चाय"


# --- round trips -------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=60)
PLAIN = {
    str: TEXTS.filter(str.strip),
    int: st.integers(-LARGEST_INT, LARGEST_INT),
    bool: st.booleans(),
    date: st.dates(date(2000, 1, 1), date(2999, 12, 31)),
    datetime: st.datetimes(
        datetime(1971, 1, 2),
        datetime(8999, 12, 30),
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
    ),
}
OFTEN = settings(
    max_examples=25,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no fault
)


def values(hint):
    """A strategy for whatever a field of that type may hold."""
    if hint in PLAIN:
        return PLAIN[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        (inner,) = (arg for arg in args if arg is not NoneType)
        return st.none() | values(inner)
    if origin is tuple:
        return st.lists(values(args[0]), max_size=3).map(tuple)
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        fields = {each.name: values(hints[each.name]) for each in dataclasses.fields(hint)}
        return st.builds(hint, **fields)
    return st.sampled_from(list(hint))


WRITTEN = {**COMMANDS, **EVENTS, "a snapshot": RunSnapshot}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("read", [load, reload])
def test_whatever_is_written_comes_back(name, read):
    """A value survives dump, JSON, and load or reload, with the same offsets."""
    cls = WRITTEN[name]

    @given(values(cls))
    @OFTEN
    def round_trip(value):
        # A command's fields have one form: " bb " becomes the station BB.
        value = load(cls, dump(value)) if read is load else value
        text = json.dumps(dump(value), allow_nan=False)
        again = read(cls, json.loads(text))
        assert again == value
        assert json.dumps(dump(again)) == text

    round_trip()


def test_a_field_that_has_come_since_has_its_default():
    """What an older hub wrote can be reloaded; what never had a default cannot be left out."""
    assert reload(Tree, {"name": "oak"}) == Tree(name="oak")
    with pytest.raises(TypeError):
        reload(Tree, {"age": 3})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["RED", "\ud800", HUGE, "2026-11-23", "2026-11-23T10:00:00Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([camel(f.name) for f in dataclasses.fields(Tree)]), JSON))
@settings(OFTEN, max_examples=200)
def test_any_json_is_loaded_or_refused(data):
    """Whatever a client sends makes a value that can be dumped, or a BadMessage, never a crash."""
    try:
        loaded = load(Tree, data)
    except BadMessage as error:
        error.message.encode()
    else:
        assert load(Tree, json.loads(json.dumps(dump(loaded), allow_nan=False))) == loaded


def test_instants_are_the_same_in_any_zone():
    """The round trip keeps the instant, not only the wall clock."""
    there = tree(felledAt="2026-11-23T15:50:00+05:30")
    assert there.felled_at == datetime(2026, 11, 23, 10, 20, tzinfo=UTC)


def test_equal_codes_are_one_object_in_memory():
    """A day's charts name the same few stations, coaches and classes a hundred thousand times."""
    texts = [json.loads('{"name": "HWH", "class": "SL", "age": 1}') for _ in range(2)]
    first, second = (reload(Tree, each) for each in texts)
    assert first.name is second.name
    assert first.class_ is second.class_
