"""Messages that no sound client sends, made by chance from sound ones: for the tests that fuzz."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from railway import chart, person

HERE = {"trainNo": "12345", "startDate": "2026-11-23"}
SOMEBODY = {**HERE, "pnr": "4512345601", "index": 1}
OFFER = {"offerId": "12345.2026-11-23.7"}
STOP = {**HERE, "stationCode": "AAA"}
# A sound message of every type.
SOUND: dict[str, dict[str, Any]] = {
    "IDENTIFY": {"token": "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsxIn0.eyJzdWIiOiJUMSJ9.AAAA"},
    "LOGOUT": {},
    "SUBSCRIBE_TRAIN": {**HERE, "since": {"epoch": "e1", "seq": 1}},
    "UNSUBSCRIBE_TRAIN": HERE,
    "PING": {},
    "ACK": {**HERE, "seq": 3},
    "REGISTER_TRAIN": chart(person(1), startDate="2026-11-25"),
    "START_JOURNEY": HERE,
    "CANCEL_TRAIN": {**HERE, "reason": "a flood"},
    "ARRIVE": {**STOP, "at": "2026-11-23T08:00:00+05:30", "platform": "3"},
    "DEPART": {**STOP, "at": "2026-11-23T08:10:00+05:30"},
    "SKIP_STATION": STOP,
    "SET_DELAY": {**HERE, "delayMinutes": 7, "reason": "fog"},
    "SET_PLATFORM": {**STOP, "platform": "7", "confirmed": True},
    "MARK_BOARDED": SOMEBODY,
    "MARK_NO_SHOW": SOMEBODY,
    "UNDO_NO_SHOW": SOMEBODY,
    "CANCEL_JOURNEY": SOMEBODY,
    "CHANGE_BOARDING": {**SOMEBODY, "stationCode": "BBB"},
    "ACCEPT_OFFER": OFFER,
    "DENY_OFFER": OFFER,
    "APPROVE_OFFER": OFFER,
    "WITHDRAW_OFFER": OFFER,
    "ANNOUNCE": {**HERE, "text": "hello", "level": "INFO", "to": "STAFF"},
    "BATCH": {**HERE, "marks": [{"mark": "BOARDED", "pnr": "4512345601", "index": 1}]},
}
# Values as they stand in JSON: what parsers and databases have stumbled over.
VALUES = (
    *("null", "true", "false", "0", "-1", "1.5", "1e400", "-1e400", "NaN", "Infinity", "-Infinity"),
    *("9223372036854775808", "-9223372036854775809", "1" + "0" * 5_000, "1e-400", "01", "0x10"),
    *('""', '" "', '"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"a\\u0000b"', '"\\u202e"'),
    *('"\\x"', '"\\u12"', "'a'", '"$where"', '"{\\"$gt\\": \\"\\"}"', '{"$gt": ""}', '{"a.b": 1}'),
    *("[]", "{}", "[[]]", '{"": null}', "[" * 500 + "]" * 500, '{"a":' * 500 + "1" + "}" * 500),
    *("[" * 10_000, "[" * 10_000 + "]" * 10_000, '{"a":' * 5_000, '"' + "x" * 3_000 + '"'),
    *('"2026-13-45"', '"2026-11-23T25:00"', '"9999-12-31T23:59:59+14:00"', '"../../etc/passwd"'),
    *('"é"', '"\U0001f682"', '"\\"', "undefined", "", ",", "\x00", '"\t"', '"\n"'),
)


def hostile(chance: Random) -> str | bytes:
    """One message, as text, or as the bytes of a binary frame."""
    text = _HOW[chance.randrange(len(_HOW))](chance)
    return text.encode("utf-8", "surrogatepass") if chance.random() < 0.02 else text


def stream(seed: int, count: int) -> Iterator[str | bytes]:
    """So many of them; the same for the same seed."""
    chance = Random(seed)
    return (hostile(chance) for _ in range(count))


def _sound(chance: Random) -> str:
    kind = chance.choice(list(SOUND))
    return json.dumps({"type": kind, "id": chance.randrange(100), **SOUND[kind]})


def _flipped(chance: Random) -> str:
    """Some bits are others."""
    data = bytearray(_sound(chance).encode())
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data.decode("utf-8", "replace" if chance.random() < 0.5 else "surrogateescape")


def _cut(chance: Random) -> str:
    text = _sound(chance)
    return text[: chance.randrange(len(text))]


def _spliced(chance: Random) -> str:
    one, two = _sound(chance), _sound(chance)
    return one[: chance.randrange(len(one))] + two[chance.randrange(len(two)) :]


def _swapped(chance: Random) -> str:
    """A value, at whatever depth, is another."""
    kind = chance.choice(list(SOUND))
    parts = json.dumps({"type": kind, **SOUND[kind]}).split(": ")
    place = chance.randrange(1, len(parts))
    end = min((parts[place].find(c) for c in ",}]" if c in parts[place]), default=0)
    parts[place] = chance.choice(VALUES) + parts[place][max(end, 0) :]
    return ": ".join(parts)


def _fields(chance: Random) -> str:
    """Fields too many, twice, or of another's."""
    kind, other = chance.choice(list(SOUND)), chance.choice(list(SOUND))
    fields = [f'"type": "{kind}"']
    named = {**SOUND[kind], **(SOUND[other] if chance.random() < 0.5 else {})}
    for name, value in named.items():
        if chance.random() < 0.9:
            fields.append(f'"{name}": {json.dumps(value)}')
    for _ in range(chance.randint(0, 3)):
        fields.append(f"{chance.choice(_NAMES)}: {chance.choice(VALUES)}")
    chance.shuffle(fields)
    return "{" + ", ".join(fields) + "}"


_NAMES = (
    *('"type"', '"id"', '"key"', '"trainNo"', '"startDate"', '"since"', '"token"', '"role"'),
    *('"$set"', '"a.b"', '"__proto__"', '"constructor"', '""', '"\\u0000"', '"\\ud800"', "x"),
    '"' + "k" * 2_000 + '"',
)


def _bare(chance: Random) -> str:
    """No message at all."""
    return chance.choice(VALUES) * chance.randint(1, 3)


def _noise(chance: Random) -> str:
    return "".join(chr(chance.choice(_CHARACTERS)) for _ in range(chance.randrange(60)))


_CHARACTERS = (*range(256), 0x7FF, 0x2028, 0xFEFF, 0xFFFF, 0x1F682, 0xD800, 0xDFFF)


def _unknown(chance: Random) -> str:
    return '{"type": ' + chance.choice(VALUES) + ', "id": ' + chance.choice(VALUES) + "}"


_HOW = (
    _sound,
    _flipped,
    _flipped,
    _cut,
    _spliced,
    _swapped,
    _swapped,
    _fields,
    _bare,
    _noise,
    _unknown,
)
