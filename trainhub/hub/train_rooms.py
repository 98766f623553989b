"""The rooms of the railway: each run's subscribers, and sending to all, to a user or to staff."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from trainhub.core.audience import Standing
from trainhub.core.journal import Record
from trainhub.core.presence import Presence
from trainhub.core.rooms import Delivery, Frame, Room, Rooms
from trainhub.domain.model import STAFF, Role, RunKey
from trainhub.hub.figures import SocketCounts
from trainhub.hub.protocol import event_message


def socket_counts(roles: Counter[str | None]) -> SocketCounts:
    """Return the number of sockets, in total and by role."""
    passengers, ttes, admins = roles[Role.PASSENGER], roles[Role.TTE], roles[Role.ADMIN]
    total = roles.total()
    return {
        "total": total,
        "passengers": passengers,
        "ttes": ttes,
        "admins": admins,
        "others": total - passengers - ttes - admins,
    }


class TrainRooms(Rooms):
    """The rooms of a hub, over the table run → room that the socket handlers share."""

    def __init__(
        self, table: dict[RunKey, Room], frame: Frame, delivery: Delivery | None = None
    ) -> None:
        # True for an event of which people are told elsewhere too, unless they acknowledge it.
        self.wants_ack: Callable[[Record], bool] = lambda _: False
        super().__init__(
            table, frame, self.message, Presence(socket_counts, {"ttes": Role.TTE}), delivery
        )

    def message(self, record: Record) -> dict[str, Any]:
        """Return an event as its audience gets it."""
        return event_message(record, ack=self.wants_ack(record))

    def broadcast_to_train(self, run: RunKey, frame: bytes) -> None:
        """Send to every socket in the run's room."""
        self.broadcast(run, frame)

    def send_to_user(self, run: RunKey, user: str, frame: bytes) -> None:
        """Send to one passenger, on each device that is in the run's room."""
        self.send_to(run, Standing(Role.PASSENGER, user), frame)

    def send_to_ttes(self, run: RunKey, frame: bytes) -> None:
        """Send to the run's staff in the room: its TTEs and the control room."""
        self.send_to_roles(run, STAFF, frame)
