"""The one form of what people and programs write in several ways: numbers, codes, users, classes.

Each function gets what a client gave. It returns an unknown form unchanged, and the field's own
check then says what is wrong.
"""

import re
from typing import Any


def train_no(given: Any) -> Any:
    """Return the number in capitals without blanks: 12345, "12345" and " 12345 " are one train."""
    if isinstance(given, str) or type(given) is int:
        return str(given).strip().upper()
    return given


def run(given: Any) -> Any:
    """Return a run like 12345/2026-11-23, or a train number alone, with the number's one form."""
    if not isinstance(given, str):
        return given
    number, slash, day = given.partition("/")
    return f"{train_no(number)}{slash}{day.strip()}"


def code(given: Any) -> Any:
    """Return the code of a station or coach in capitals without blanks."""
    return given.strip().upper() if isinstance(given, str) else given


def text(given: Any) -> Any:
    """Return the text without the blanks around it."""
    return given.strip() if isinstance(given, str) else given


def pnr(given: Any) -> Any:
    """Return the PNR in capitals without blanks around it; JSON may have it as a number."""
    return str(given) if type(given) is int else code(given)


def clock(given: Any) -> Any:
    """Return a time as HH:MM: "9:05", "09:05:00" and " 09:05 " are one time."""
    found = _CLOCK.fullmatch(given.strip()) if isinstance(given, str) else None
    return given if found is None else f"{found[1]:0>2}:{found[2]}"


def quota(given: Any) -> Any:
    """Return the code of a quota; the ladies' has a name too."""
    found = code(given)
    return "LD" if found in ("LADIES", "LADIES QUOTA") else found


def travel_class(given: Any) -> Any:
    """Return the railway's code of a class that is named in words: "AC 3 Tier" is 3A.

    Any other class stays as it is.
    """
    if not isinstance(given, str):
        return given
    return _CLASSES.get(re.sub(r"[^a-z0-9]", "", given.casefold()), given.strip())


_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::00)?")
_CLASSES = {
    **dict.fromkeys(("1a", "firstac", "ac1", "1ac", "ac1tier", "acfirst", "acfirstclass"), "1A"),
    **dict.fromkeys(("2a", "ac2", "2ac", "ac2tier", "2tierac", "secondac", "ac2t"), "2A"),
    **dict.fromkeys(("3a", "ac3", "3ac", "ac3tier", "3tierac", "thirdac", "ac3t"), "3A"),
    **dict.fromkeys(("3e", "ac3economy", "ac3tiereconomy", "3aceconomy", "ac3e"), "3E"),
    **dict.fromkeys(("sl", "sleeper", "sleeperclass"), "SL"),
    **dict.fromkeys(("cc", "acchaircar", "chaircar"), "CC"),
    **dict.fromkeys(("ec", "executivechaircar", "acexecutivechaircar"), "EC"),
    **dict.fromkeys(("ea", "anubhuti", "anubhuticlass"), "EA"),
    **dict.fromkeys(("2s", "secondsitting", "secondseating"), "2S"),
    **dict.fromkeys(("fc", "firstclass"), "FC"),
}
