"""trainhub.core.email_address.py: which addresses a mail server is asked to deliver to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainhub.core.email_address import ascii_domain, why_no_mail


@pytest.mark.parametrize(
    "address",
    [
        "a@b.c",
        "a!b+c@example.org",
        "asha.rao+rail@example.co.in",
        "o'neil@x.org",
        "आशा@बुक.भारत",
        "a@münchen.de",
        "_@a-b.c",
    ],
)
def test_addresses(address):
    """Plain ones, and those in the scripts of the country."""
    assert why_no_mail(address) is None


@pytest.mark.parametrize(
    "address",
    [
        *("", "asha", "@b.c", "a@", "a@.c", "a@b..c", "a@b.c.", "a@-b.c", ".a@b.c", "a..b@c.d"),
        "asha@localhost",
        *("-oQ@b.c", "a b@c.d", "a@b c", "a\n@b.c", "a@b.c\r\nBcc: x@y.z", "a,b@c.d", "<a@b.c>"),
        *('"a b"@c.d', "a@[127.0.0.1]", "a@b.c, d@e.f", "=?utf-8?q?a?=@b.c", "a|b@c.d", "a@b@c"),
        *("x" * 65 + "@b.c", "a@" + "b." * 130 + "c", "a@" + "b" * 64, "a@faß.de", "a\u2028@b.c"),
        *("\ud800@b.c", "a@\u200bb.c", "a@b\u3002c"),
    ],
)
def test_what_is_no_address(address):
    """The reason does not quote the text, which is a passenger's."""
    reason = why_no_mail(address)
    assert reason
    assert len(address) < 4 or address not in reason


@given(st.text(), st.text())
def test_no_address_has_more_than_one_line_or_recipient(local, domain):
    """Whatever the text is."""
    if why_no_mail(f"{local}@{domain}") is None:
        assert not set(f"{local}{domain}") & set(' \r\n\t,;<>()[]"\\\0')
        assert ascii_domain(domain).isascii()
