"""The commands that wait for an answer, and the storage that keeps them after the program's end."""

import asyncio
import base64
import json
import math
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from trainhub_client.callbacks import HubError, Message, Token

# Seconds that a command may wait. The hub keeps a key's answer for 24 hours: after that, a command
# that is sent again could happen twice.
KEPT_SECONDS = 23.5 * 3600
# Bytes of one message, without its id.
MOST_BYTES = 64 * 1024 - 100
# Commands that may wait at once.
MOST_WAITING = 1000


@dataclass(eq=False)
class Login:
    """A token or the function that fetches it, and its user; None means not known yet.

    Commands that are sent under a login belong to its user. `fixed` means that the app named the
    user.
    """

    source: Token | None
    user: str | None = None
    fixed: bool = False
    token: str | None = None
    refused: str | None = None


@dataclass(eq=False)
class Waiting:
    """An unanswered command. Any number of tasks may await `answer`."""

    message: Message
    user: str | None  # None means not known
    asked_at: float  # wall time, for people
    until: float  # wall time
    answer: asyncio.Future[Any] = field(repr=False)
    login: Login | None = field(default=None, repr=False)
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    sent_at: float | None = field(default=None, repr=False)  # by the hub's clock
    size: int = 0  # bytes


class CommandQueue:
    """The commands that wait for an answer, oldest first."""

    def __init__(
        self, storage: MutableMapping[str, str] | None, complain: Callable[[HubError], None]
    ) -> None:
        self.entries: list[Waiting] = []
        self._storage = storage
        self._complain = complain
        self._last = 0.0

    def restore(self) -> None:
        """Load the commands that an earlier program left in the storage."""
        texts: list[object] = []
        self._store(lambda storage: texts.extend(storage.values()))
        found = [entry for entry in map(_read_entry, texts) if entry is not None]
        if len(found) < len(texts):
            strange = f"{len(texts) - len(found)} entries of the storage are not commands"
            self._complain(HubError("NOT_STORED", f"{strange} and stay there", final=False))
        for message, user, asked_at, until in sorted(found, key=lambda each: each[2]):
            self._last = max(self._last, asked_at)
            # The clock may have been set back: a command never waits longer than it first was to.
            left = min(until - time.time(), until - asked_at, KEPT_SECONDS)
            self._put(message, user, asked_at, until, left)

    def add(self, message: Message, login: Login, within: float) -> Waiting:
        size = len(json.dumps(message, ensure_ascii=False, allow_nan=False).encode())
        if size > MOST_BYTES:
            raise HubError("BAD_MESSAGE", "the message has more than 64 KB: send several")
        if len(self.entries) >= MOST_WAITING:
            full = f"{MOST_WAITING} commands wait for the hub: wait until some are answered"
            raise HubError("QUEUE_FULL", full)
        self._last = max(time.time(), self._last + 1e-3)  # always rises, so it gives the order
        entry = self._put(message, login.user, self._last, self._last + within, within)
        entry.login, entry.size = login, size
        self._keep(entry)
        return entry

    def next(self, user: str | None, login: Login, at: float) -> Waiting | None:
        """Return the next command of a user. Without a user, return the next one of a login.

        `at` is the hub's time.
        """
        while True:
            mine = (each for each in self.entries if _is_of(each, user, login))
            entry = next(mine, None)
            if entry is None:
                return None
            # A command could happen twice if it reached the hub before and its key has expired
            # there. The entry's own timer is not enough: timers stop while a machine sleeps.
            if entry.sent_at is not None and at - entry.sent_at > KEPT_SECONDS:
                self.fail(entry, _lapsed())
                continue
            entry.sent_at = at if entry.sent_at is None else entry.sent_at
            return entry

    def others(self, user: str | None, login: Login) -> list[str]:
        """Return the keys of the commands that are not sent as this user."""
        return [each.message["key"] for each in self.entries if not _is_of(each, user, login)]

    def name(self, login: Login) -> None:
        """Give the commands of a login its user, which is known now."""
        for entry in self.entries:
            if entry.login is login and entry.user is None:
                entry.user = login.user
                self._keep(entry)

    def claim(self, key: str, user: str) -> None:
        entry = self._find(key)
        if entry.user not in (None, user):
            raise HubError("FORBIDDEN", "another user sent this command: identify as that user")
        entry.user = user
        self._keep(entry)

    def discard(self, key: str) -> None:
        self.fail(self._find(key), HubError("DISCARDED", "the app discarded this command"))

    def succeed(self, entry: Waiting, result: Any) -> None:
        if self._drop(entry) and not entry.answer.done():
            entry.answer.set_result(result)

    def fail(self, entry: Waiting, error: HubError) -> None:
        if self._drop(entry) and not entry.answer.done():
            entry.answer.set_exception(error)

    def close(self, error: HubError) -> None:
        for entry in self.entries:
            if entry.timer is not None:
                entry.timer.cancel()
            if not entry.answer.done():
                entry.answer.set_exception(error)
        self.entries.clear()

    def _find(self, key: str) -> Waiting:
        found = (each for each in self.entries if each.message["key"] == key)
        if (entry := next(found, None)) is None:
            raise HubError("UNKNOWN_COMMAND", "no command waits with this key: see `waiting`")
        return entry

    def _put(
        self, message: Message, user: str | None, asked_at: float, until: float, left: float
    ) -> Waiting:
        loop = asyncio.get_running_loop()
        entry = Waiting(message, user, asked_at, until, loop.create_future())
        # No caller awaits a command of an earlier program: its error must not be reported as lost.
        entry.answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        entry.timer = loop.call_later(left, self.fail, entry, _lapsed())
        self.entries.append(entry)
        return entry

    def _drop(self, entry: Waiting) -> bool:
        if entry not in self.entries:
            return False
        self.entries.remove(entry)
        if entry.timer is not None:
            entry.timer.cancel()
        self._store(lambda storage: storage.pop(entry.message["key"], None))
        return True

    def _keep(self, entry: Waiting) -> None:
        kept = {
            "message": entry.message,
            "user": entry.user,
            "askedAt": entry.asked_at,
            "until": entry.until,
        }
        text = json.dumps(kept)
        self._store(lambda storage: storage.__setitem__(entry.message["key"], text))

    def _store(self, change: Callable[[MutableMapping[str, str]], object]) -> None:
        """Change the storage. If that fails, commands go on, but a restart loses them."""
        if self._storage is None:
            return
        try:
            change(self._storage)
            sync = getattr(self._storage, "sync", None)  # a shelf has it, a dict has not
            if sync is not None:
                sync()
        except Exception as error:
            fails = f"the storage fails, so a restart loses commands: {type(error).__name__}"
            self._complain(HubError("NOT_STORED", fails, final=False))


def _is_of(entry: Waiting, user: str | None, login: Login) -> bool:
    return entry.user == user and (user is not None or entry.login is login)


def _read_entry(text: object) -> tuple[Message, str | None, float, float] | None:
    """Read a stored command. None means that the text is not one."""
    try:
        found = json.loads(text)  # type: ignore[arg-type]
        message, user = found["message"], found["user"]
        asked_at, until = float(found["askedAt"]), float(found["until"])
        named = all(isinstance(message[name], str) for name in ("type", "key"))
    except (ValueError, TypeError, LookupError):
        return None
    sound = named and (user is None or isinstance(user, str)) and math.isfinite(asked_at + until)
    return (message, user, asked_at, until) if sound else None


def subject_of(token: str) -> str | None:
    """Return a token's user, or None if it has none. Only the hub checks the signature."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return claims["sub"] if isinstance(claims["sub"], str) else None
    except (ValueError, TypeError, LookupError):
        return None


def _lapsed() -> HubError:
    lapsed = "the hub did not answer in time: this command may or may not have happened"
    return HubError("LAPSED", lapsed)
