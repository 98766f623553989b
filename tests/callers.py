"""Callers of a hub in tests, and the steps that most tests begin with."""

from railway import RUN, TRAIN, register

from trainhub.access.identity import Identity
from trainhub.domain import commands as c
from trainhub.domain.model import Role

ADMIN = Identity("control", Role.ADMIN, frozenset({"*"}))
OPERATOR = Identity("operator", Role.ADMIN, frozenset({"*"}))
TTE = Identity("T1", Role.TTE, frozenset({"12345"}))
PASSENGER = Identity("IR_1", Role.PASSENGER, frozenset({"12345"}))


async def running(hub):
    """Bring train 12345 of a hub to its first station."""
    await hub.execute(register(), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    return hub.state(RUN)


async def join(hub, ear, identity, since=None):
    answers = []
    await hub.subscriptions.join(ear, identity, hub.state(RUN), since, answers.append)
    return answers[0]
