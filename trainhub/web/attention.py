"""What needs the staff's attention beyond the figures: offers that no device has, late readers."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Annotated, TypedDict

from trainhub.core.about import About
from trainhub.core.codec import dump
from trainhub.core.cost import in_slices
from trainhub.domain.fields import Moment, OfferId, PersonName, StartDate, TrainNo
from trainhub.domain.model import Role
from trainhub.domain.train import TrainState
from trainhub.hub.figures import Seconds
from trainhub.hub.protocol import run_fields
from trainhub.web.base import Api, Web
from trainhub.web.monitor import Monitor

# An open offer that no device has acknowledged is told within this time before its end.
LAPSE_SOON = timedelta(minutes=2)
# The most offers in one answer.
MOST_OFFERS = 50


class UnseenOffer(TypedDict):
    """An open offer that has arrived on no device, and ends soon."""

    trainNo: TrainNo
    startDate: StartDate
    offerId: OfferId
    name: PersonName
    berth: Annotated[str, About("The berth.", example="S1-7")]
    expiresAt: Moment


class Attention(TypedDict):
    """What needs attention on the runs that the token covers, and in the hub."""

    at: Annotated[Moment, About("The hub's time.")]
    unseenOffers: Annotated[
        list[UnseenOffer],
        About("Open offers that no device has, and that end within two minutes; the first 50."),
    ]
    late: Annotated[
        dict[str, Seconds],
        About("Seconds that the oldest record waits for each reader of the journal."),
    ]


class AttentionHandler(Api):
    """For the staff's page, which asks every few seconds."""

    def initialize(  # type: ignore[override]
        self, web: Web, monitor: Monitor, roles: Collection[Role]
    ) -> None:
        super().initialize(web, roles)
        self._monitor = monitor

    async def get(self) -> None:
        until = self.hub.now() + LAPSE_SOON
        runs = [state for state in self.hub.runs.all() if self.identity.covers(state.run)]
        found = in_slices(list(_unseen(state, until)) for state in runs)
        offers = [offer async for each in found for offer in each]
        offers.sort(key=itemgetter(0))
        answer: Attention = {
            "at": dump(self.hub.now()),
            "unseenOffers": [view for _, view in offers[:MOST_OFFERS]],
            "late": self._monitor.readiness()["late"],
        }
        await self.hub.read(lambda: None)
        self.answer(answer)


def _unseen(state: TrainState, until: datetime) -> Iterator[tuple[datetime, UnseenOffer]]:
    """Yield the end and the view of each open offer that no device has, if it ends by `until`."""
    for offer in state.open_by_person.values():
        made = offer.made
        if not offer.devices and made.expires_at <= until:
            view: UnseenOffer = {
                **run_fields(state.run),
                "offerId": offer.id,
                "name": made.name,
                "berth": offer.key,
                "expiresAt": dump(made.expires_at),
            }
            yield made.expires_at, view
