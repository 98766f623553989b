"""E-mail addresses: which texts a mail server can be asked to deliver to."""

import re
import unicodedata


def _letter_or(signs: str) -> str:
    """Return a pattern for one character; as an exclusion, it compiles without all of Unicode."""
    others = (each for each in map(chr, range(128)) if not each.isalnum() and each not in signs)
    return f"[^{re.escape(''.join(others))}]"


# A dot-atom (RFC 5321, 4.1.2) without | and `, which programs behind a mail server may run, and
# without = and ?, of which e-mail headers make encoded words.
# Characters outside ASCII have to be letters, marks or digits.
_LETTER = _letter_or("")
_ATOM = _letter_or("_%+'/!#$&*^{}~-")
_LOCAL = re.compile(rf"{_ATOM}+(\.{_ATOM}+)*")
_LABEL = re.compile(rf"{_LETTER}({_letter_or('-')}*{_LETTER})?")
# RFC 5321, 4.5.3.1: bytes of the part before the @, and of the whole address.
LOCAL_BYTES = 64
ADDRESS_BYTES = 254


def why_no_mail(address: str) -> str | None:
    """Return why no e-mail can go to a text, in words that do not quote it; None if one can."""
    local, at, domain = address.rpartition("@")
    if not at:
        return "the e-mail address has no @"
    if not _LOCAL.fullmatch(local) or local.startswith("-") or not _is_written(local):
        return "the part of the e-mail address before the @ has characters that are not allowed"
    if len(local.encode()) > LOCAL_BYTES:
        return f"the part of the e-mail address before the @ is over {LOCAL_BYTES} bytes long"
    if len(address.encode()) > ADDRESS_BYTES:
        return f"the e-mail address is over {ADDRESS_BYTES} bytes long"
    try:
        ascii_domain(domain)
    except ValueError:
        return "the domain of the e-mail address is not a domain name"
    return None


def ascii_domain(domain: str) -> str:
    """Return a domain as DNS has it (xn--…). Raises ValueError if it is not a domain.

    A name that the older rules of Python's codec would change into another, as they change ß into
    ss, is refused: the mail would reach a stranger.
    """
    labels = domain.split(".")
    known = len(labels) > 1 and all(_LABEL.fullmatch(label) for label in labels)
    if not known or not _is_written(domain):
        raise ValueError("not a domain name")
    if domain.isascii():
        if max(map(len, labels)) > 63:
            raise ValueError("not a domain name")
        return domain
    encoded = domain.encode("idna")
    if encoded.decode("idna") != domain.lower():
        raise ValueError("not the same domain in ASCII: write it as xn--…")
    return encoded.decode()


def _is_written(text: str) -> bool:
    """Return whether the characters outside ASCII are letters, marks and digits."""
    return all(each.isascii() or unicodedata.category(each)[0] in "LMN" for each in text)
