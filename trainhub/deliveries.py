"""On how many of a passenger's devices an open offer has arrived, as their apps acknowledge it.

Kept in memory alone: after a restart the apps are told of their open offers anew.
"""

from collections.abc import Iterable

from trainhub.domain.events import UpgradeClosed, UpgradeConfirmed
from trainhub.domain.model import OfferState, Role
from trainhub.domain.offers import offer_id
from trainhub.domain.train import TrainState
from trainhub.identity import Standing
from trainhub.journal import Record


class Deliveries:
    """The devices of each open offer; a device is whatever has a socket of its own."""

    def __init__(self) -> None:
        self._devices: dict[str, set[int]] = {}

    def acknowledge(self, state: TrainState, seq: int, standing: Standing, device: object) -> None:
        """The UPGRADE_OFFER numbered `seq` is on the device. Nothing if it is not theirs, or over.

        The event before it made the offer, and gave it its name.
        """
        name = offer_id(state.run, seq - 1)
        offer = state.offers.get(name)
        if offer is None or offer.state is not OfferState.OPEN:
            return
        if standing == Standing(Role.PASSENGER, offer.made.user):
            self._devices.setdefault(name, set()).add(id(device))

    def count(self, offer: str) -> int:
        return len(self._devices.get(offer, ()))

    def forget(self, records: Iterable[Record]) -> None:
        """Let go of the offers that these records close."""
        for record in records:
            event = record.event
            if isinstance(event, UpgradeClosed | UpgradeConfirmed) and event.offer_id is not None:
                self._devices.pop(event.offer_id, None)
