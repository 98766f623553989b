"""Values that no document in MongoDB can hold, each for a reason of its own."""

from itertools import repeat


def deep(levels):
    """Return an object within an object, `levels` deep."""
    value = {}
    for _ in repeat(None, levels):
        value = {"a": value}
    return value


def endless():
    """Return an object that contains itself."""
    value = {}
    value["itself"] = value
    return value


# The driver refuses most; too deep values are refused by the server, in two ways, or by Python.
POISON = {
    "nine bytes": 2**63,
    "too long to print": 10**5_000,
    "half a pair": "\ud800",
    "half a pair within": {"key": ["half \udfff"]},
    "NUL in a key": {"a\0b": 1},
    "a number for a key": {7: "seven"},
    "a set": {1, 2},
    "a complex number": 1j,
    "an object": object(),
    "17 MB": "x" * 17_000_000,
    "deep": deep(185),
    "deeper": deep(250),
    "endless": endless(),
}
