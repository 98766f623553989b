"""What a field means, next to its type. The contract is generated from these notes.

station_code: Annotated[str, About("A station of the train, by its code.", example="BWN")]
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class About:
    """A sentence on a field, its bounds, and an example.

    `least` and `most` bound a number, or the number of items in a list. A text matches `pattern`
    as a whole. `choices` are the values that occur, if not all of the type do. `given` is the type
    that a client may send in its place, and `normal` brings what is given to the one form.
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
    """An object with the fields of all these types; `without` are left out."""

    types: tuple[type, ...]
    without: tuple[str, ...] = ()
