"""Notes on a field, next to its type. The contract is generated from these notes.

station_code: Annotated[str, About("A station of the train, by its code.", example="BWN")]
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class About:
    """A sentence on a field, its bounds, and an example.

    `least` and `most` bound a number, or the number of items in a list. `longest` is the most
    characters of a text, and `pattern` matches the whole text. `choices` are the values that occur,
    if the type allows more. `given` is the type that a client may send instead. `normal` turns the
    value that a client sends into the value that is loaded.
    """

    text: str = ""
    _: KW_ONLY
    example: Any = None
    least: int | None = None
    most: int | None = None
    longest: int | None = None
    pattern: str | None = None
    choices: tuple[str, ...] = ()
    given: Any = None
    normal: Callable[[Any], Any] | None = None


@dataclass(frozen=True, eq=False)
class Joined:
    """An object with the fields of all these types, except the fields in `without`.

    With `always`, only those fields are always there.
    """

    types: tuple[type, ...]
    without: tuple[str, ...] = ()
    always: tuple[str, ...] | None = None
