"""Messages as JSON text, both ways, and how an error stands in one."""

from collections.abc import Mapping
from typing import Any

import ujson

from trainhub.core.errors import BadMessage, HubError

LONGEST_ID = 64


def parse(text: str | bytes) -> Any:
    """Text as JSON; BadMessage if it is not, or if it could not be sent on as JSON in UTF-8.

    The parser takes NaN, numbers beyond all floats and halves of surrogate pairs. They are found by
    writing the data anew, so that nothing comes in that would break whoever is told of it.
    """
    try:
        data = ujson.loads(text.decode() if isinstance(text, bytes) else text)
        _to_json(data)
    except (ValueError, OverflowError, RecursionError) as error:
        reason = ascii(str(error))[1:-1][:100]
        raise BadMessage(f"this is not JSON in UTF-8 that can be sent on: {reason}") from None
    return data


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as JSON in UTF-8. Raises on anything that is not JSON: NaN, dates, sets."""
    return _to_json(message)


def _to_json(data: object) -> bytes:
    text: str = ujson.dumps(data, ensure_ascii=False, escape_forward_slashes=False, allow_nan=False)
    return text.encode()


def read_id(data: Any) -> str | int | None:
    """The `id` that ties an answer to its message; one that is no short text or number is none."""
    found = data.get("id") if isinstance(data, Mapping) else None
    if isinstance(found, str) and len(found) <= LONGEST_ID and found.isprintable():
        return found
    return found if type(found) is int and abs(found) < 2**53 else None


def error_fields(error: HubError) -> dict[str, Any]:
    """`code`, `message` and, if there are any, `details`."""
    fields: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.details:
        fields["details"] = error.details
    return fields
