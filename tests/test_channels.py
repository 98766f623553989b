"""trainhub/channels.py: which sender each channel has."""

import asyncio
import stat

from notices import NOW

from trainhub.adapters.mail import SmtpMail
from trainhub.adapters.outbox import Outbox
from trainhub.adapters.web_push import WebPush
from trainhub.channels import senders
from trainhub.core.notifications import Channel
from trainhub.settings import Settings


def made(folder, **settings):
    async def story():
        found = senders(Settings(**settings), None, folder, lambda: NOW)
        for each in found.values():
            await each.close()
        return found

    return asyncio.run(story())


def test_without_settings_both_write_files(tmp_path, caplog):
    """The log says which setting would send them."""
    caplog.set_level("INFO")
    found = made(tmp_path)
    assert found[Channel.EMAIL] is found[Channel.PUSH]
    assert isinstance(found[Channel.EMAIL], Outbox)
    assert "--smtp-url sends them" in caplog.text
    assert "--push-subject sends them" in caplog.text
    assert not (tmp_path / "vapid.pem").exists()


def test_each_setting_brings_its_channel(tmp_path):
    """The key pair for pushes is made in the data folder, for its owner alone."""
    found = made(
        tmp_path, smtp_url="smtp://a", mail_from="a@b.c", push_subject="mailto:ops@example.org"
    )
    assert isinstance(found[Channel.EMAIL], SmtpMail)
    assert isinstance(found[Channel.PUSH], WebPush)
    assert stat.S_IMODE((tmp_path / "vapid.pem").stat().st_mode) == 0o600
