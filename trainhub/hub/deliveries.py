"""Which devices have acknowledged an offer: each counts once for each offer.

An acknowledgement is an event of the run (UPGRADE_DELIVERED), and durable. Which device sent it is
only in memory. A device is a socket, and its entry ends with the socket.
"""

from weakref import WeakKeyDictionary

from trainhub.core.audience import Standing
from trainhub.domain.model import Role
from trainhub.domain.offers import offer_id
from trainhub.domain.train import TrainState


class Deliveries:
    """The offers that each device has acknowledged."""

    def __init__(self) -> None:
        self._acknowledged: WeakKeyDictionary[object, set[str]] = WeakKeyDictionary()

    def arrived(
        self, state: TrainState, seq: int, standing: Standing, device: object
    ) -> str | None:
        """Return the id of the offer that is new on the device, by the seq of its UPGRADE_OFFER.

        None if the offer is not the user's, or the device has acknowledged it before. The offer's
        id has the seq of UPGRADE_PENDING, the event before.
        """
        name = offer_id(state.run, seq - 1)
        offer = state.offers.get(name)
        if offer is None or standing != Standing(Role.PASSENGER, offer.made.user):
            return None
        before = self._acknowledged.setdefault(device, set())
        if name in before:
            return None
        before.add(name)
        return name
