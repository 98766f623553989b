"""How people want to be told: their preferences, and the devices that take their pushes.

No event of a run, and nothing that a chart has: people set it themselves, and it stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Protocol

from trainhub.core.notifications import Channel, Urgency

# Devices of one user; a new one takes the place of the oldest.
MOST_DEVICES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a user has chosen. In quiet hours only urgent notifications are sent.

    `muted` are kinds that the user does not want. Quiet hours are by the train's clock, and may go
    over midnight; both are None for no quiet hours.
    """

    language: str = "en"
    channels: frozenset[Channel] = field(default_factory=lambda: frozenset(Channel))
    muted: frozenset[str] = frozenset()
    quiet_from: time | None = None
    quiet_to: time | None = None

    def wants(self, kind: str, channel: Channel) -> bool:
        """True if the user wants this kind over this channel."""
        return channel in self.channels and kind not in self.muted

    def due(self, at: datetime, urgency: Urgency) -> datetime:
        """Return `at`, or the end of the quiet hours that it lies in. `at` is local time."""
        if urgency is Urgency.HIGH or self.quiet_from is None or self.quiet_to is None:
            return at
        begin, end, clock = self.quiet_from, self.quiet_to, at.timetz().replace(tzinfo=None)
        quiet = begin <= clock < end if begin <= end else clock >= begin or clock < end
        if not quiet:
            return at
        over = at.replace(hour=end.hour, minute=end.minute, second=0, microsecond=0)
        return over if over > at else over + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Device:
    """A browser that takes pushes (RFC 8030): its endpoint and its keys, in base64url."""

    user: str
    endpoint: str
    p256dh: str
    auth: str


class Contacts(Protocol):
    """The preferences and devices of all users. Reading is from memory; writing is durable."""

    def preferences(self, user: str) -> Preferences: ...

    async def set_preferences(self, user: str, preferences: Preferences) -> None:
        """Keep what a user has chosen. Raises OSError."""

    def devices(self, user: str) -> Sequence[Device]:
        """Return the user's devices, the oldest first."""

    async def add_device(self, device: Device) -> None:
        """Keep a device, in place of the one with its endpoint. Raises OSError."""

    async def remove_device(self, user: str, endpoint: str) -> bool:
        """Forget a device. Returns whether it was there. Raises OSError."""
