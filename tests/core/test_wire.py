"""trainhub/core/wire.py: JSON both ways, and nothing that is not JSON."""

import json
import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainhub.core.errors import BadMessage, Conflict
from trainhub.core.wire import LONGEST_ID, encode, error_fields, parse, read_id

DAY = date(2026, 11, 23)
PERSON = {"train_no": "12345", "pnr": "4512345601", "index": 1}
OFFER = {"train_no": "12345", "start_date": DAY, "offer_id": "12345.2026-11-23.17"}
MARK = {"trainNo": "12345", "pnr": "4512345601", "index": 1}


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "{", "[1", '{"a": }', "{'a': 1}", '{"a": 1} {}', "PING", "\ufeff{}", b"\xff"),
        *(b'"\xff"', b'{"type": "\xed\xa0\x80"}', "[" * 50_000, '{"a":' * 50_000, "1" * 50_000),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_is_not_json_is_a_bad_message(text):
    """Broken, cut short, nested too deep, or not in UTF-8: an error, never an exception."""
    with pytest.raises(BadMessage, match="not JSON"):
        parse(text)


@pytest.mark.parametrize("text", ["NaN", '{"id": NaN}', "[Infinity]", "[-Infinity]", "[1e400]"])
def test_numbers_that_json_does_not_have_are_refused(text):
    """NaN on its way out breaks every browser in the room, so it is refused on the way in."""
    with pytest.raises(BadMessage):
        parse(text)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"id": "a7"}, "a7"),
        ({"id": 7}, 7),
        ({"id": -1}, -1),
        ({"id": "é ü"}, "é ü"),
        ({"id": "x" * LONGEST_ID}, "x" * LONGEST_ID),
        ({"id": "x" * (LONGEST_ID + 1)}, None),
        ({"id": 2**53}, None),
        ({"id": 1.5}, None),
        ({"id": math.nan}, None),
        ({"id": True}, None),
        ({"id": None}, None),
        ({"id": ["a"]}, None),
        ({"id": "a\nb"}, None),
        ({"id": "\ud800"}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
    ids=repr,
)
def test_an_id_is_a_short_text_or_a_number(data, found):
    """Whatever else stands there is not given back: the answer goes without an id."""
    assert read_id(data) == found


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_what_is_sent_is_json(value):
    """Any JSON reader gets back what was sent, in UTF-8 and without needless escapes."""
    frame = encode({"value": value})
    assert json.loads(frame) == {"value": value}
    assert rb"\/" not in encode({"a": "/"})


@pytest.mark.parametrize("value", [math.nan, math.inf, {1}, date(2026, 1, 1), object(), b"x"])
def test_what_is_not_json_is_never_sent(value):
    """A fault of ours stays here: no client gets NaN, or a date in some form of its own."""
    with pytest.raises((TypeError, ValueError, OverflowError)):
        encode({"value": value})


def test_an_error_has_details_only_if_there_are_any():
    """ERROR {code, message, details?}."""
    assert error_fields(Conflict("not now")) == {"code": "CONFLICT", "message": "not now"}
    assert error_fields(Conflict("not now", next="BBB"))["details"] == {"next": "BBB"}
