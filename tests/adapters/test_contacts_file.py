"""trainhub/adapters/contacts_file.py: preferences and devices survive a restart."""

import asyncio
import stat
from datetime import time

import pytest

from trainhub.adapters.contacts_file import CONTACTS_FILE, ContactsFile
from trainhub.core.contacts import MOST_DEVICES, Device, Preferences
from trainhub.core.notifications import Channel


def device(number, user="IR_1"):
    return Device(user, f"https://push.example/{number}", f"key{number}", f"auth{number}")


def opened(folder, story):
    """Run a story on the file, and close it."""

    async def run():
        contacts = ContactsFile(folder)
        try:
            return await story(contacts)
        finally:
            contacts.close()

    return asyncio.run(run())


def test_what_is_written_is_there_after_a_restart(tmp_path):
    """Nothing of it is readable for others."""
    chosen = Preferences(
        language="hi",
        channels=frozenset({Channel.PUSH}),
        muted=frozenset({"DELAY"}),
        quiet_from=time(22, 15),
        quiet_to=time(6, 0),
    )

    async def write(contacts):
        await contacts.set_preferences("IR_1", chosen)
        await contacts.add_device(device(1))
        await contacts.add_device(device(2))
        assert await contacts.remove_device("IR_1", device(1).endpoint)
        assert not await contacts.remove_device("IR_1", device(1).endpoint)

    async def read(contacts):
        assert contacts.preferences("IR_1") == chosen
        assert contacts.preferences("IR_2") == Preferences()
        assert contacts.devices("IR_1") == [device(2)]

    opened(tmp_path, write)
    opened(tmp_path, read)
    assert stat.S_IMODE((tmp_path / CONTACTS_FILE).stat().st_mode) == 0o600


def test_a_browser_belongs_to_the_user_who_came_last(tmp_path):
    """A phone that is handed on gets nothing of its owner before."""

    async def story(contacts):
        await contacts.add_device(device(1, "IR_1"))
        await contacts.add_device(device(1, "IR_2"))
        assert contacts.devices("IR_1") == []
        assert contacts.devices("IR_2") == [device(1, "IR_2")]

    opened(tmp_path, story)


def test_devices_of_a_user_are_bounded(tmp_path):
    """The oldest makes room."""

    async def story(contacts):
        for number in range(MOST_DEVICES + 2):
            await contacts.add_device(device(number))
        return contacts.devices("IR_1")

    assert opened(tmp_path, story) == [device(n) for n in range(2, MOST_DEVICES + 2)]


def test_a_file_that_is_no_database_is_named(tmp_path):
    """The error says which file, and what to do."""
    (tmp_path / CONTACTS_FILE).write_bytes(b"x" * 5000)
    with pytest.raises(OSError, match=r"contacts\.db cannot be used.*move it away"):
        ContactsFile(tmp_path)
