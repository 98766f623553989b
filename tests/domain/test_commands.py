"""trainhub/domain/commands.py: the commands, and their table by message type."""

import dataclasses
import re
from datetime import UTC, date, datetime

import pytest
from railway import TRAIN
from samples import MESSAGES, shortest

from trainhub.core.codec import load
from trainhub.core.errors import BadMessage
from trainhub.domain import commands as c
from trainhub.domain.model import Level

# These are read by chart.py.
KINDS = [kind for kind in c.COMMANDS if kind not in ("REGISTER_TRAIN", "AMEND_CHART")]


def concrete(cls):
    """The classes below `cls` that have no subclasses."""
    below = cls.__subclasses__()
    return {cls} if not below else set().union(*(concrete(each) for each in below))


def test_every_command_is_in_the_table_under_its_own_name():
    """COMMANDS has each command by its type, except the four that only the hub gives."""
    own = {c.ExpireOffers, c.CloseRun, c.AcknowledgeOffer, c.CorrectClock}
    assert {*c.COMMANDS.values(), *own} == concrete(c.Command)
    assert not own & set(c.COMMANDS.values())
    for name, cls in c.COMMANDS.items():
        assert name == re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()


@pytest.mark.parametrize("name", KINDS)
def test_a_command_needs_its_fields_and_no_more(name):
    """The start date may be missing. Every other field without a default is required."""
    message = shortest(name)
    command = load(c.COMMANDS[name], message)
    assert command.start_date is None
    for field in message:
        rest = {key: value for key, value in message.items() if key != field}
        with pytest.raises(BadMessage, match=f"^{field} is missing$"):
            load(c.COMMANDS[name], rest)
    dated = load(c.COMMANDS[name], {**message, "startDate": "2026-11-23"})
    assert dated.start_date == date(2026, 11, 23)


def test_there_is_a_sample_of_every_command():
    """Each command has a sample, so tests of all commands include it."""
    assert c.COMMANDS.keys() <= MESSAGES.keys()


def test_an_arrival_may_bring_its_time_and_platform():
    """ARRIVE and DEPART have `stationCode`, and may have `at` and `platform`."""
    message = {**shortest("ARRIVE"), "at": "2026-11-23T10:00:00+05:30", "platform": "4A"}
    for cls in (c.Arrive, c.Depart):
        command = load(cls, message)
        assert command.at == datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
        assert command.platform == "4A"
        assert load(cls, shortest("ARRIVE")).at is None


def test_an_announcement_is_for_everyone_by_default():
    """An announcement without an audience and a level is an INFO for everyone."""
    command = load(c.Announce, shortest("ANNOUNCE"))
    assert (command.level, command.to, command.user) == (Level.INFO, c.To.EVERYONE, None)
    message = {**shortest("ANNOUNCE"), "to": "USER", "user": "IR_1", "level": "EMERGENCY"}
    command = load(c.Announce, message)
    assert (command.level, command.to, command.user) == (Level.EMERGENCY, c.To.USER, "IR_1")


@pytest.mark.parametrize("index", [True, "1", 1.0, None])
def test_the_index_on_a_pnr_is_a_whole_number(index):
    """`index` is a whole number, and other values are not converted."""
    with pytest.raises(BadMessage, match=r"^index is a whole number"):
        load(c.MarkBoarded, {**shortest("MARK_BOARDED"), "index": index})


def test_a_command_cannot_be_changed():
    """A command is immutable."""
    command = c.StartJourney(**TRAIN)
    with pytest.raises(dataclasses.FrozenInstanceError):
        command.train_no = "54321"


def test_every_mark_is_a_command():
    """Each kind of mark in a BATCH has its command."""
    assert {kind.value: cls for kind, cls in c.MARKS.items()} == {
        "BOARDED": c.MarkBoarded,
        "NO_SHOW": c.MarkNoShow,
        "UNDO_BOARDED": c.UndoBoarded,
        "UNDO_NO_SHOW": c.UndoNoShow,
    }
    batch = load(c.Batch, shortest("BATCH"))
    assert batch.marks[0] == c.Mark(mark=c.MarkKind.BOARDED, pnr="4512345610", index=1)
    odd = {**shortest("BATCH"), "marks": [{"mark": "O", "pnr": "4512345601", "index": 1}]}
    with pytest.raises(BadMessage, match=r"^marks\[0\]\.mark is one of BOARDED, NO_SHOW, UNDO"):
        load(c.Batch, odd)


def test_a_platform_is_confirmed_unless_it_says_not():
    """SET_PLATFORM confirms the platform unless `confirmed` is false."""
    message = shortest("SET_PLATFORM")
    assert load(c.SetPlatform, message).confirmed
    assert not load(c.SetPlatform, {**message, "confirmed": False}).confirmed


@pytest.mark.parametrize("minutes", [5.0, "5", True, None])
def test_a_delay_is_in_whole_minutes(minutes):
    """A delay is in whole minutes, and may be negative."""
    with pytest.raises(BadMessage, match=r"^delayMinutes is a whole number"):
        load(c.SetDelay, {**shortest("SET_DELAY"), "delayMinutes": minutes})
    assert load(c.SetDelay, {**shortest("SET_DELAY"), "delayMinutes": -7}).delay_minutes == -7
