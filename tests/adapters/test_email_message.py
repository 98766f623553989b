"""trainhub/adapters/email_message.py: one message in text and HTML, with nothing slipped in."""

import email
import re
from datetime import UTC, datetime
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notices import NOW, notice

from trainhub.adapters.email_message import message, written
from trainhub.core.notifications import Undeliverable

FROM = "Trainhub <hub@example.org>"
URL = "https://hub.example"
HEADERS = {
    *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References"),
    *("List-Unsubscribe", "Auto-Submitted", "Content-Language", "MIME-Version", "Content-Type"),
}


def made(url=URL, **fields):
    content = written(message(notice(**fields), FROM, url, NOW))
    return email.message_from_bytes(content, policy=default)


def text_of(found, kind="plain"):
    return found.get_body((kind,)).get_content().replace("\r\n", "\n")


def test_a_message():
    """All headers are there, once, and both forms say the same."""
    found = made()
    assert set(found) == HEADERS
    assert found.defects == []
    assert found["From"] == FROM
    assert found["To"] == "asha@example.org"
    assert found["Date"].datetime == datetime(2026, 11, 27, 12, tzinfo=UTC)
    assert found["Message-ID"] == "<12951_2026-11-27_17-a1-email@example.org>"
    assert found["List-Unsubscribe"] == "<https://hub.example/passenger.html#preferences>"
    assert text_of(found) == (
        "Berth B1-23 is held for Asha.\n\nAnswer before 12:30.\n\n"
        "https://hub.example/passenger.html#offer=1\n"
    )
    page = text_of(found, "html")
    assert "<p>Berth B1-23 is held for Asha.</p>" in page
    assert 'href="https://hub.example/passenger.html#offer=1"' in page


def test_follow_ups_of_one_offer_are_one_conversation():
    """Another offer, or another person's, is another conversation."""
    first, second = made(id="a"), made(id="b")
    assert first["Message-ID"] != second["Message-ID"]
    assert first["References"] == second["References"] == second["In-Reply-To"]
    assert "offer-1" not in first["References"]
    assert made(topic="offer-2")["References"] != first["References"]
    assert made(to="b@example.org")["References"] != first["References"]
    assert made(to="ASHA@example.org")["References"] == first["References"]
    assert "References" not in made(topic="")


def test_the_same_notification_has_the_same_message_id():
    """A server or a reader that gets it twice can tell."""
    assert made()["Message-ID"] == made(body="other words")["Message-ID"]
    strange = made(id="a>\r\nBcc: <x@y>")["Message-ID"]
    assert re.fullmatch(r"<[0-9a-f]{32}@example\.org>", strange)


def test_without_a_public_url():
    """There is no link, and people unsubscribe by e-mail."""
    found = made(url="")
    assert found["List-Unsubscribe"] == "<mailto:hub@example.org?subject=unsubscribe>"
    assert "passenger.html" not in text_of(found)


def test_names_are_escaped():
    """A passenger may be called what they like."""
    name = '<script>alert("&")</script>'
    found = made(body=f"Held for {name}.", subject=name, link='x"><b>')
    page = text_of(found, "html")
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    assert found["Subject"] == name
    assert name in text_of(found)


@given(st.text(), st.text(), st.text(), st.text())
def test_no_header_can_be_slipped_in(subject, body, identity, topic):
    """Whatever the texts are: the headers are those, and the recipient is that one."""
    try:
        found = made(subject=f"a\r\nBcc: x@y.z{subject}", body=body, id=identity, topic=topic)
    except Undeliverable:
        return
    assert set(found) - HEADERS == set()
    assert len(found.keys()) == len(set(found.keys()))
    assert found["To"] == "asha@example.org"


@pytest.mark.parametrize("language", ["hi", "en", 'x"><script>', ""])
def test_the_language_is_said(language):
    """Readers for the blind pronounce it right."""
    shown = language if language in ("hi", "en") else "en"
    found = made(language=language, subject="नमस्ते", body="एक बर्थ")
    assert found["Content-Language"] == shown
    assert f'<html lang="{shown}">' in text_of(found, "html")
    assert found["Subject"] == "नमस्ते"


def test_seven_bits_are_enough():
    """A relay without 8BITMIME passes it on unchanged."""
    assert written(message(notice(body="एक बर्थ"), FROM, URL, NOW)).isascii()
    assert text_of(made(body="एक बर्थ " * 100)).startswith("एक बर्थ एक")
