"""A sender that writes each notification into a folder: an e-mail as .eml, a push as .json.

For a station without a mail server or push service: another program takes the files away.
"""

import asyncio
import logging
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from email.policy import SMTPUTF8
from pathlib import Path

import ujson

from trainhub.adapters.email_message import DEFAULT_FROM, message, recipient, written
from trainhub.core.notifications import Channel, Notification, Undeliverable

logger = logging.getLogger("trainhub.outbox")

# Files that are written at once, each in a thread of its own.
MOST_WRITES = 40
# What the folder keeps at most: days, bytes and files. The oldest files leave first.
MOST_DAYS = 7.0
MOST_BYTES = 256 << 20
MOST_FILES = 100_000
# Seconds from one look at that to the next.
SWEEP_SECONDS = 60.0
# Seconds for which removed files are a complaint.
COMPLAIN_SECONDS = 24 * 3600.0
# Seconds for which the start waits for the folder.
FOLDER_SECONDS = 2.0


class Outbox:
    """A notifications.Sender. A notification sent twice is one file, which has its id as name.

    The folder is bounded in age and size, as there may be no program that takes the files away.

    Its file system may hang, as NFS does: that costs threads of the outbox, and nothing else.
    """

    def __init__(self, folder: Path, mail_from: str = DEFAULT_FROM, public_url: str = "") -> None:
        self._folder = folder
        self._from = mail_from
        self._public_url = public_url
        self._threads = ThreadPoolExecutor(MOST_WRITES, thread_name_prefix="outbox")
        # The writes whose outcome was not yet told, by their jobs' ids.
        self._writes: dict[str, Future[None]] = {}
        self._swept = float("-inf")
        self._sweep: Future[None] | None = None
        self._removed = 0
        self._removed_at = float("-inf")
        try:
            self._threads.submit(self._make_folder).result(FOLDER_SECONDS)
        except (OSError, TimeoutError) as error:
            logger.error("the outbox %s cannot be made, notifications wait: %r", folder, error)

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def complaints(self) -> list[str]:
        """Return a sentence if files were removed within a day that no program has taken away."""
        if time.monotonic() - self._removed_at > COMPLAIN_SECONDS:
            return []
        return [
            f"the outbox removed {self._removed} files that no program took away: "
            "set --smtp-url and --push-subject"
        ]

    async def send(self, notification: Notification) -> str:
        """Write the file. If an earlier try for it still hangs, wait for that one."""
        self._sweep_sometimes()
        write = self._writes.get(notification.id) or self._begin(notification)
        try:
            await asyncio.shield(asyncio.wrap_future(write))  # a thread cannot be broken off
        finally:
            if write.done():
                self._writes.pop(notification.id, None)
        return "a file in the outbox"

    async def close(self) -> None:
        """Let go of the threads that wait for work; those that hang end with the process."""
        self._threads.shutdown(wait=False)

    def _begin(self, notification: Notification) -> "Future[None]":
        if notification.channel is Channel.EMAIL:
            made = message(notification, self._from, self._public_url, datetime.now(UTC))
            ascii_only = recipient(notification).addr_spec.isascii()
            content = written(made) if ascii_only else written(made, SMTPUTF8)
            name = f"{notification.id}.eml"
        else:
            name, content = f"{notification.id}.json", _push(notification)
        if len(self._writes) >= MOST_WRITES:
            self._writes = {name: each for name, each in self._writes.items() if not each.done()}
        if len(self._writes) >= MOST_WRITES:
            raise OSError("the outbox's file system hangs")
        write = self._threads.submit(self._write, name, content)
        self._writes[notification.id] = write
        return write

    def _write(self, name: str, content: bytes) -> None:
        """Write under another name first: a program that takes files away sees whole ones only."""
        draft = self._folder / f".{name}.part"
        draft.write_bytes(content)
        os.replace(draft, self._folder / name)

    def _sweep_sometimes(self) -> None:
        now = time.monotonic()
        if now - self._swept >= SWEEP_SECONDS and (self._sweep is None or self._sweep.done()):
            self._swept = now
            self._sweep = self._threads.submit(self._remove_old)

    def _remove_old(self) -> None:
        """Remove the oldest files until the folder is within its bounds."""
        files: list[tuple[float, int, str]] = []
        with suppress(OSError), os.scandir(self._folder) as found:
            for each in found:
                if each.name.endswith((".eml", ".json", ".part")):
                    with suppress(FileNotFoundError):  # another program has just taken it
                        status = each.stat(follow_symlinks=False)
                        files.append((status.st_mtime, status.st_size, each.name))
        files.sort()
        oldest = time.time() - MOST_DAYS * 24 * 3600
        size, left, removed = sum(size for _, size, _ in files), len(files), 0
        for changed, bytes_of_it, name in files:
            if changed >= oldest and size <= MOST_BYTES and left <= MOST_FILES:
                break
            with suppress(OSError):
                os.unlink(self._folder / name)
                removed += 1
            size, left = size - bytes_of_it, left - 1
        if removed:
            self._removed += removed
            self._removed_at = time.monotonic()
            logger.warning(
                "the outbox removed %d files: it keeps %g days, %d MB and %d files; "
                "let a program send them, or set --smtp-url and --push-subject",
                removed,
                MOST_DAYS,
                MOST_BYTES >> 20,
                MOST_FILES,
            )


def _push(notification: Notification) -> bytes:
    fields = {
        "id": notification.id,
        "user": notification.to,
        "title": notification.subject,
        "body": notification.body,
        "link": notification.link,
        "expires": notification.expires.isoformat(),
    }
    text: str = ujson.dumps(fields, ensure_ascii=False, escape_forward_slashes=False)
    try:
        return text.encode()
    except UnicodeError as error:
        # A UnicodeError quotes the text, which is a passenger's.
        raise Undeliverable("the text has characters that no file can have") from error
