"""A notification for tests: each field has a value that a test may replace."""

from datetime import UTC, datetime, timedelta

from trainhub.core.notifications import Channel, Notification, Urgency

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def notice(channel=Channel.EMAIL, **fields):
    """Return a notification about one offer."""
    values = {
        "id": "12951_2026-11-27_17-a1-email",
        "position": 1,
        "stream": "12951/2026-11-27",
        "seq": 17,
        "kind": "OFFER",
        "user": "IR_1",
        "about": "1234567890/1",
        "channel": channel,
        "to": "asha@example.org" if channel is Channel.EMAIL else "IR_1",
        "topic": "offer-1",
        "language": "en",
        "subject": "Train 12951: a berth is offered to you",
        "body": "Berth B1-23 is held for Asha.\n\nAnswer before 12:30.",
        "link": "passenger.html#offer=1",
        "urgency": Urgency.HIGH,
        "due": NOW,
        "expires": NOW + timedelta(minutes=30),
    }
    return Notification(**values | fields)


def push(**fields):
    return notice(Channel.PUSH, **fields)
