"""Valid messages of every type, and random mutations of them, for the fuzz tests.

`mutated` returns a text or bytes: anything from a nearly valid message to no JSON at all.
"""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import samples
from railway import chart, person

# REGISTER_TRAIN registers a second train, since the first is there already.
MESSAGES: dict[str, dict[str, Any]] = {
    **samples.MESSAGES,
    "REGISTER_TRAIN": chart(person(1), person(2), trainNo="54321"),
}

DEPTH = 10_000
# Texts that take the place of a value: JSON, or nearly.
ODD = (
    *("null", "true", "false", "0", "-0", "1.0", "1e400", "-1e400", "NaN", "Infinity", "-Infinity"),
    *("9007199254740992", "-9223372036854775809", "18446744073709551616", "1" * 5_000, "0.1e-400"),
    *('""', '" "', '"\\u0000"', '"\\ud800"', '"\\udfff\\ud800"', '"\\ud83d\\ude00"', '"\u202e"'),
    *('"$where"', '"../../x"', '"2026-02-30"', '"2026-W48-1"', '"0001-01-01"', '"__class__"'),
    *("[]", "{}", "[[]]", '{"a": 1}', '{"$gt": ""}', "[null]", "'a'", "undefined", "0x10", "01"),
    *('"' + "x" * 1_001 + '"', '"' + "न" * 9_000 + '"', "[" * DEPTH + "]" * DEPTH),
    *('{"a":' * DEPTH + "1" + "}" * DEPTH, "[" + "1," * 3_000 + "1]"),
)
# Texts that take the place of a field's name.
NAMES = (
    *("", "type", "id", "key", "trainNo", "__proto__", "\0", "$set", "a.b", "x" * 5_000),
    *("constructor", "from_", "start_date", "\ud800", "न", "at", "audience_", "self", "cls"),
)
_HERE = "@here@"


def message(kind: str) -> dict[str, Any]:
    """Return a valid message of this type, which the caller may change."""
    return json.loads(json.dumps({"type": kind, "id": 7, **MESSAGES[kind]}))


def mutated(chance: Random) -> str | bytes:
    """Return a message of any type after one to three mutations; the last may make it bytes."""
    data = message(chance.choice(list(MESSAGES)))
    for _ in range(chance.randrange(3)):
        chance.choice(_OF_DATA)(chance, data)
    text = chance.choice(_OF_TEXT)(chance, data)
    return chance.choice(_OF_BYTES)(chance, text) if chance.random() < 0.4 else text


# --- a message's data -------------------------------------------------------------------------


def _places(data: Any) -> list[tuple[Any, Any]]:
    """Return the place of each value in it: the list or object, and the index or name."""
    found: list[tuple[Any, Any]] = []
    if isinstance(data, dict | list):
        for key in data if isinstance(data, dict) else range(len(data)):
            found += [(data, key), *_places(data[key])]
    return found


def _drop(chance: Random, data: Any) -> None:
    within, key = chance.choice(_places(data) or [({0: 0}, 0)])
    del within[key]


def _rename(chance: Random, data: Any) -> None:
    found = [(w, k) for w, k in _places(data) if isinstance(w, dict)]
    if found:
        within, key = chance.choice(found)
        within[chance.choice(NAMES)] = within.pop(key)


def _swap(chance: Random, data: Any) -> None:
    """Swap two values, so that their types change."""
    places = _places(data)
    if len(places) > 1:
        (one, a), (two, b) = chance.sample(places, 2)
        one[a], two[b] = json.loads(json.dumps(two[b])), json.loads(json.dumps(one[a]))


def _add(chance: Random, data: Any) -> None:
    data[chance.choice(NAMES)] = chance.choice([None, 1, "x", [], {}, True, 1.5])


_OF_DATA = (_drop, _rename, _swap, _add)

# --- its text ---------------------------------------------------------------------------------


def _plain(chance: Random, data: Any) -> str:
    return json.dumps(data, ensure_ascii=chance.random() < 0.5)


def _odd_value(chance: Random, data: Any) -> str:
    places = _places(data)
    if not places:
        return chance.choice(ODD)
    within, key = chance.choice(places)
    within[key] = _HERE
    return json.dumps(data).replace(f'"{_HERE}"', chance.choice(ODD), 1)


def _twice(chance: Random, data: Any) -> str:
    """Return JSON in which one name appears twice, with two values."""
    name = chance.choice([*data, *NAMES])
    return f"{{{json.dumps(name)}: {chance.choice(ODD)}, {json.dumps(data)[1:]}"


def _spliced(chance: Random, data: Any) -> str:
    one, two = json.dumps(data), json.dumps(message(chance.choice(list(MESSAGES))))
    return one[: chance.randrange(len(one) + 1)] + two[chance.randrange(len(two) + 1) :]


def _cut(chance: Random, data: Any) -> str:
    text = json.dumps(data)
    return text[: chance.randrange(len(text) + 1)]


def _doubled(chance: Random, data: Any) -> str:
    text = json.dumps(data)
    first, last = sorted(chance.randrange(len(text) + 1) for _ in range(2))
    return text[:last] + text[first:]


_OF_TEXT: tuple[Callable[[Random, Any], str], ...] = (
    *(_plain, _odd_value, _odd_value, _twice, _spliced, _cut, _doubled),
)

# --- its bytes --------------------------------------------------------------------------------


def flip(chance: Random, data: bytes, most: int = 4) -> bytes:
    """Return the bytes with one to `most` bits flipped."""
    found = bytearray(data)
    for _ in range(chance.randint(1, most) if found else 0):
        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
    return bytes(found)


def insert(chance: Random, data: bytes) -> bytes:
    """Return the bytes with up to eight others inserted."""
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.randbytes(chance.randint(1, 8)) + data[place:]


def _bits(chance: Random, text: str) -> str | bytes:
    return _as_sent(chance, flip(chance, text.encode("utf-8", "surrogatepass")))


def _more(chance: Random, text: str) -> str | bytes:
    return _as_sent(chance, insert(chance, text.encode("utf-8", "surrogatepass")))


def _binary(chance: Random, text: str) -> str | bytes:
    return text.encode("utf-8", "surrogatepass")


def _as_sent(chance: Random, data: bytes) -> str | bytes:
    """Return text in most cases, with lone surrogates in place of bytes that are not UTF-8."""
    return data if chance.random() < 0.1 else data.decode("utf-8", "surrogateescape")


_OF_BYTES: tuple[Callable[[Random, str], str | bytes], ...] = (_bits, _bits, _more, _binary)
