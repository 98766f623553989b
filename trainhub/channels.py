"""The channels: the one list of who sends e-mails and who sends pushes."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from trainhub.access.vapid import VAPID_FILE, load_vapid_key, public_text
from trainhub.adapters.email_message import DEFAULT_FROM
from trainhub.adapters.mail import SmtpMail
from trainhub.adapters.outbox import Outbox
from trainhub.adapters.web_push import Devices, WebPush
from trainhub.core.notifications import Channel, Sender
from trainhub.core.push_hosts import PushHosts
from trainhub.process.health import Complaints
from trainhub.settings import Settings

logger = logging.getLogger("trainhub.channels")


def push_key(settings: Settings, folder: Path) -> str | None:
    """Return the public key that browsers subscribe with; None if the hub sends no pushes."""
    if settings.push_subject is None:
        return None
    return public_text(load_vapid_key(folder / VAPID_FILE))


def senders(
    settings: Settings,
    contacts: Devices,
    folder: Path,
    now: Callable[[], datetime],
    watch: Callable[[Complaints], None] = lambda _: None,
) -> dict[Channel, Sender]:
    """Return the sender of each channel; SMS would be one more line.

    A channel without settings has the outbox in the data folder. `now` is the hub's clock.
    `watch` gets what says that the outbox loses notifications.
    Raises BadKeys if the VAPID key cannot be used.
    """
    outbox = Outbox(
        folder / "outbox", settings.mail_from or DEFAULT_FROM, settings.public_url or ""
    )
    watch(outbox.complaints)
    made: dict[Channel, Sender] = {Channel.EMAIL: outbox, Channel.PUSH: outbox}
    if settings.smtp_url is not None and settings.mail_from is not None:
        made[Channel.EMAIL] = SmtpMail(
            settings.smtp_url, settings.mail_from, settings.public_url or ""
        )
    else:
        logger.info("e-mails go into the folder %s: --smtp-url sends them", folder / "outbox")
    if settings.push_subject is not None:
        key = load_vapid_key(folder / VAPID_FILE)
        hosts = PushHosts(settings.push_hosts)
        made[Channel.PUSH] = WebPush(key, contacts, settings.push_subject, hosts, now)
    else:
        logger.info("pushes go into the folder %s: --push-subject sends them", folder / "outbox")
    return made
