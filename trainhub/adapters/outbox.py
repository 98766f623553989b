"""A sender that writes each job into a folder: an e-mail as .eml, a push as .json.

For a station without a mail server or push service: another program takes the files away.
"""

import asyncio
import os
import re
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import ujson

from trainhub.notifications import Channel, Job

FROM = "trainhub <trainhub@localhost>"
# A plain address and nothing else: whatever the email package might take for more is refused.
_ADDRESS = re.compile(r"[A-Za-z0-9._%+'/-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,8}")


class Outbox:
    """A notifications.Sender. A job sent twice is one file, as its name is the job's id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def send(self, job: Job) -> None:
        if job.channel is Channel.EMAIL:
            await asyncio.to_thread(self._write, f"{job.id}.eml", _email(job))
        else:
            await asyncio.to_thread(self._write, f"{job.id}.json", _push(job))

    async def close(self) -> None:
        pass

    def _write(self, name: str, content: bytes) -> None:
        """Under another name first, so that whoever takes files away sees only whole ones."""
        draft = self._folder / f".{name}.part"
        draft.write_bytes(content)
        os.replace(draft, self._folder / name)


def _email(job: Job) -> bytes:
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


def _push(job: Job) -> bytes:
    fields = {"id": job.id, "user": job.to, "title": job.subject, "body": job.body}
    text: str = ujson.dumps(fields, ensure_ascii=False, escape_forward_slashes=False)
    return text.encode()
