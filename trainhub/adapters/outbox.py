"""A sender that writes each job into a folder: an e-mail as .eml, a push as .json.

For a station without a mail server or push service: another program takes the files away.
"""

import asyncio
import logging
import os
import re
from concurrent.futures import Future, ThreadPoolExecutor
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import ujson

from trainhub.core.notifications import SENDS_AT_ONCE, Channel, Notification, Undeliverable

logger = logging.getLogger("trainhub.outbox")

FROM = "trainhub <trainhub@localhost>"
# Files that are written at once, each in a thread of its own.
MOST_WRITES = 2 * SENDS_AT_ONCE
# Seconds for which the start waits for the folder.
FOLDER_SECONDS = 2.0
# A plain address and nothing else: whatever the email package might take for more is refused.
_ADDRESS = re.compile(r"[A-Za-z0-9._%+'/-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,8}")


class Outbox:
    """A notifications.Sender. A job sent twice is one file, as its name is the job's id.

    Its file system may hang, as NFS does: that costs threads of the outbox, and nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(MOST_WRITES, thread_name_prefix="outbox")
        # The writes whose outcome was not yet told, by their jobs' ids.
        self._writes: dict[str, Future[None]] = {}
        try:
            self._threads.submit(self._make_folder).result(FOLDER_SECONDS)
        except (OSError, TimeoutError) as error:
            logger.error("the outbox %s cannot be made, notifications wait: %r", folder, error)

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def send(self, job: Notification) -> None:
        """Write the file. If an earlier try for the job still hangs, wait for that one."""
        write = self._writes.get(job.id) or self._begin(job)
        try:
            await asyncio.shield(asyncio.wrap_future(write))  # a thread cannot be broken off
        finally:
            if write.done():
                self._writes.pop(job.id, None)

    async def close(self) -> None:
        """Let go of the threads that wait for work; those that hang end with the process."""
        self._threads.shutdown(wait=False)

    def _begin(self, job: Notification) -> "Future[None]":
        try:
            content = _email(job) if job.channel is Channel.EMAIL else _push(job)
        except (ValueError, MessageError) as error:
            # A UnicodeError quotes the text, which is a passenger's.
            kind = type(error).__name__
            raise Undeliverable(kind if isinstance(error, UnicodeError) else str(error)) from error
        if len(self._writes) >= MOST_WRITES:
            self._writes = {name: each for name, each in self._writes.items() if not each.done()}
        if len(self._writes) >= MOST_WRITES:
            raise OSError("the outbox's file system hangs")
        name = f"{job.id}.eml" if job.channel is Channel.EMAIL else f"{job.id}.json"
        write = self._writes[job.id] = self._threads.submit(self._write, name, content)
        return write

    def _write(self, name: str, content: bytes) -> None:
        """Under another name first, so that whoever takes files away sees only whole ones."""
        draft = self._folder / f".{name}.part"
        draft.write_bytes(content)
        os.replace(draft, self._folder / name)


def _email(job: Notification) -> bytes:
    """The message. Raises ValueError for an address that is not plainly one."""
    if not _ADDRESS.fullmatch(job.to):
        raise ValueError("the address is not one that an e-mail can go to")
    message = EmailMessage(policy=SMTP)
    message["From"] = FROM
    message["To"] = job.to
    message["Subject"] = _line(job.subject)
    message["Message-ID"] = f"<{job.id}@trainhub.localhost>"
    message.set_content(job.body)
    return message.as_bytes()


def _line(text: str) -> str:
    """A header's text: on one line, and without the mark that begins an encoded word."""
    return " ".join(text.replace("=?", "= ?").split())


def _push(job: Notification) -> bytes:
    fields = {"id": job.id, "user": job.to, "title": job.subject, "body": job.body}
    text: str = ujson.dumps(fields, ensure_ascii=False, escape_forward_slashes=False)
    return text.encode()
