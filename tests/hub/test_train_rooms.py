"""trainhub/hub/train_rooms.py: sending to all subscribers, to a passenger and to the staff."""

import pytest
from fakes import Ear, line
from railway import RUN

from trainhub.core.audience import Standing
from trainhub.domain.model import Role
from trainhub.hub.train_rooms import TrainRooms

STANDINGS = {
    "passenger": Standing(Role.PASSENGER, "IR_1"),
    "other passenger": Standing(Role.PASSENGER, "IR_2"),
    "TTE of that name": Standing(Role.TTE, "IR_1"),
    "control": Standing(Role.ADMIN, "C1"),
    "feed": Standing(Role.SERVICE, "F1"),
    "anonymous": Standing(),
}


@pytest.mark.made_up
@pytest.mark.parametrize(
    ("send", "heard"),
    [
        (lambda rooms, frame: rooms.broadcast_to_train(RUN, frame), set(STANDINGS)),
        (lambda rooms, frame: rooms.send_to_user(RUN, "IR_1", frame), {"passenger"}),
        (lambda rooms, frame: rooms.send_to_ttes(RUN, frame), {"TTE of that name", "control"}),
    ],
)
def test_each_way_reaches_its_own(send, heard):
    """A message goes to the whole room, to one passenger on each device, or to the staff."""
    rooms = TrainRooms({}, line)
    ears = {name: Ear() for name in STANDINGS}
    for name, ear in ears.items():
        rooms.join(RUN, ear, STANDINGS[name])
    send(rooms, rooms.frame({"seq": 1}))
    rooms.flush()
    assert {name for name, ear in ears.items() if ear.writes} == heard
