"""trainhub/core/contacts.py: what a user has chosen decides what is sent, and when."""

from datetime import datetime, time

import pytest

from trainhub.core.contacts import Preferences
from trainhub.core.notifications import Channel, Urgency

NIGHT = Preferences(quiet_from=time(22, 0), quiet_to=time(6, 30))
NOON = Preferences(quiet_from=time(12, 0), quiet_to=time(14, 0))


def at(text):
    return datetime.fromisoformat(f"2026-11-27T{text}:00+05:30")


@pytest.mark.parametrize(
    ("chosen", "moment", "due"),
    [
        (NIGHT, at("21:59"), at("21:59")),
        (NIGHT, at("22:00"), datetime.fromisoformat("2026-11-28T06:30:00+05:30")),
        (NIGHT, at("03:00"), at("06:30")),
        (NIGHT, at("06:30"), at("06:30")),
        (NOON, at("13:00"), at("14:00")),
        (NOON, at("14:00"), at("14:00")),
        (Preferences(), at("03:00"), at("03:00")),
    ],
)
def test_quiet_hours_hold_back_to_their_end(chosen, moment, due):
    """They may go over midnight; what is urgent does not wait."""
    assert chosen.due(moment, Urgency.NORMAL) == due
    assert chosen.due(moment, Urgency.HIGH) == moment


def test_kinds_and_channels_are_chosen():
    """Without a choice everything is wanted."""
    assert Preferences().wants("DELAY", Channel.EMAIL)
    muted = Preferences(muted=frozenset({"DELAY"}), channels=frozenset({Channel.PUSH}))
    assert not muted.wants("DELAY", Channel.PUSH)
    assert not muted.wants("OFFER", Channel.EMAIL)
    assert muted.wants("OFFER", Channel.PUSH)
