"""Preferences and devices in a SQLite file of the data folder, all of them in memory as well."""

import json
import os
import sqlite3
from collections.abc import Sequence
from datetime import time
from pathlib import Path
from typing import Any

from trainhub.adapters.worker import Worker
from trainhub.core.contacts import MOST_DEVICES, Device, Preferences
from trainhub.core.notifications import Channel

CONTACTS_FILE = "contacts.db"
_TABLES = """
create table if not exists preferences (user text primary key, chosen text not null);
create table if not exists devices (
    endpoint text primary key, user text not null, p256dh text not null, auth text not null
);
"""


class ContactsFile:
    """A contacts.Contacts. A thread of its own writes; what is read is in memory."""

    def __init__(self, folder: Path) -> None:
        """Read the file, or make it for its owner alone. Raises OSError."""
        path = folder / CONTACTS_FILE
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        self._thread = Worker("contacts")
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.executescript(f"pragma synchronous=full; {_TABLES}")
            chosen = self._database.execute("select user, chosen from preferences").fetchall()
            devices = self._database.execute(
                "select user, endpoint, p256dh, auth from devices order by rowid"
            ).fetchall()
        except sqlite3.Error as error:
            raise OSError(f"{path} cannot be used: {error}: move it away for a new one") from error
        self._chosen = {user: _read(json.loads(text)) for user, text in chosen}
        self._devices: dict[str, dict[str, Device]] = {}
        for row in devices:
            device = Device(*row)
            self._devices.setdefault(device.user, {})[device.endpoint] = device

    def preferences(self, user: str) -> Preferences:
        return self._chosen.get(user, Preferences())

    async def set_preferences(self, user: str, preferences: Preferences) -> None:
        text = json.dumps(written(preferences))
        await self._write("replace into preferences values (?, ?)", (user, text))
        self._chosen[user] = preferences

    def devices(self, user: str) -> Sequence[Device]:
        return list(self._devices.get(user, {}).values())

    async def add_device(self, device: Device) -> None:
        for user in [user for user, own in self._devices.items() if device.endpoint in own]:
            await self.remove_device(user, device.endpoint)
        own = self._devices.setdefault(device.user, {})
        own[device.endpoint] = device  # first, so that many at once are counted
        while len(own) > MOST_DEVICES:
            await self.remove_device(device.user, next(iter(own)))
        row = (device.endpoint, device.user, device.p256dh, device.auth)
        await self._write("replace into devices values (?, ?, ?, ?)", row)

    async def remove_device(self, user: str, endpoint: str) -> bool:
        own = self._devices.get(user, {})
        if endpoint not in own:
            return False
        await self._write("delete from devices where endpoint = ?", (endpoint,))
        del own[endpoint]
        if not own:
            self._devices.pop(user, None)
        return True

    def close(self) -> None:
        """End the thread after the writes before."""
        self._thread.stop()
        self._database.close()

    async def _write(self, statement: str, values: Sequence[str]) -> None:
        try:
            await self._thread.run(lambda: self._database.execute(statement, values))
        except sqlite3.Error as error:
            raise OSError(f"contacts cannot be written: {error}") from error


def written(preferences: Preferences) -> dict[str, Any]:
    """Return preferences as JSON has them."""
    return {
        "language": preferences.language,
        "channels": sorted(preferences.channels),
        "muted": sorted(preferences.muted),
        "quietFrom": preferences.quiet_from and f"{preferences.quiet_from:%H:%M}",
        "quietTo": preferences.quiet_to and f"{preferences.quiet_to:%H:%M}",
    }


def _read(fields: dict[str, Any]) -> Preferences:
    known = frozenset(Channel)
    return Preferences(
        language=fields["language"],
        channels=frozenset(Channel(each) for each in fields["channels"] if each in known),
        muted=frozenset(fields["muted"]),
        quiet_from=fields["quietFrom"] and time.fromisoformat(fields["quietFrom"]),
        quiet_to=fields["quietTo"] and time.fromisoformat(fields["quietTo"]),
    )
