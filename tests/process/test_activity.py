"""trainhub/process/activity.py: one line counts what the hub does, and DEBUG has each act."""

import logging

import pytest

from trainhub.process.activity import Act, Activity


@pytest.fixture
def activity(caplog):
    caplog.set_level(logging.INFO, "trainhub")
    return Activity()


def test_acts_are_counted_in_one_line(activity, caplog):
    """By kind, the most frequent first; the next line begins at zero."""
    for kind in ("ARRIVE", "MARK_BOARDED", "MARK_BOARDED"):
        activity.note(Act.COMMANDS, kind, "%s on %s", kind, "12345/2026-11-23")
    activity.refused("CONFLICT", "POST")
    activity.note(Act.CONNECTIONS, "opened")
    activity.summarize(7)
    assert caplog.messages == [
        "in 0 s: connections: 1 opened; commands: 2 MARK_BOARDED, 1 ARRIVE; "
        "refusals: 1 CONFLICT; 7 connections are open"
    ]
    caplog.clear()
    activity.summarize(7)
    assert caplog.messages == []


def test_details_are_for_debug(activity, caplog):
    """Each act has its line there, with a logger by its kind."""
    activity.note(Act.CUT_OFF, "too slow", "connection %s cut off", "c1")
    assert caplog.messages == []
    caplog.set_level(logging.DEBUG, "trainhub")
    activity.note(Act.CUT_OFF, "too slow", "connection %s cut off", "c1")
    assert caplog.record_tuples == [
        ("trainhub.activity.clients_cut_off", logging.DEBUG, "connection c1 cut off")
    ]
