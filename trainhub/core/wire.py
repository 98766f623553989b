"""Messages to and from JSON text, and the fields of an error."""

from collections.abc import Mapping
from typing import Any

import ujson

from trainhub.core.errors import BadMessage, HubError

# Characters.
LONGEST_ID = 64


def parse(text: str | bytes) -> Any:
    """Return the data of a JSON text. Raises BadMessage.

    Bytes are UTF-8 or UTF-16, with or without a byte order mark.

    The parser accepts NaN, numbers too large for a float, and halves of surrogate pairs, which
    would break the clients that receive them. Encoding the data again finds and rejects them.
    """
    try:
        data = ujson.loads(_decoded(text) if isinstance(text, bytes) else text)
        _to_json(data)
    except (ValueError, OverflowError, RecursionError) as error:
        reason = ascii(str(error))[1:-1][:100]
        raise BadMessage(f"this is not JSON in UTF-8 that can be sent on: {reason}") from None
    return data


def _decoded(data: bytes) -> str:
    """Return the text of JSON. JSON starts with ASCII, so a zero byte there means UTF-16."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    if data[1:2] == b"\0":
        return data.decode("utf-16-le")
    if data[:1] == b"\0":
        return data.decode("utf-16-be")
    return data.decode("utf-8-sig")


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as JSON in UTF-8. Raises if a value has no JSON form: NaN, dates, sets."""
    return _to_json(message)


def _to_json(data: object) -> bytes:
    text: str = ujson.dumps(data, ensure_ascii=False, escape_forward_slashes=False, allow_nan=False)
    return text.encode()


def read_id(data: Any) -> str | int | None:
    """Return the `id` that the answer repeats, None if it is not a short text or an integer."""
    found = data.get("id") if isinstance(data, Mapping) else None
    if isinstance(found, str) and len(found) <= LONGEST_ID and found.isprintable():
        return found
    return found if type(found) is int and abs(found) < 2**53 else None


def error_fields(error: HubError) -> dict[str, Any]:
    """Return `code`, `message` and, if not empty, `details`."""
    fields: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.details:
        fields["details"] = error.details
    return fields
