"""Undelivered notifications in a file: those that are still tried, and those that were given up.

`undelivered.jsonl` in the data folder has a JSON object a line; the newest line of a job counts.
The file is written again from time to time, so that its size follows what it holds.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from trainhub.core.notifications import Channel, Notification, Undelivered, Urgency

logger = logging.getLogger("trainhub.undelivered")

UNDELIVERED_FILE = "undelivered.jsonl"
# Days after which dead letters are dropped, and the most of them: the oldest leave first.
_MOMENTS = ("expires", "queued", "due")
UNDELIVERED_DAYS = 30
MOST_GIVEN_UP = 10_000
# Lines that no longer count, from which on the file is written again.
SPARE_LINES = 1_000


class UndeliveredFile:
    """A notifications.UndeliveredJobs. It is written by a thread of its own."""

    def __init__(self, folder: Path) -> None:
        """Read the file, if it is there. Raises OSError."""
        self._path = folder / UNDELIVERED_FILE
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="undelivered")
        self._jobs = {each.job.id: each for each in read_undelivered(folder)}
        self._write_anew()

    @property
    def jobs(self) -> Sequence[Undelivered]:
        return list(self._jobs.values())

    async def note(self, jobs: Sequence[Undelivered], sent: Sequence[str]) -> None:
        call = asyncio.get_running_loop().run_in_executor(self._thread, self._note, jobs, sent)
        await asyncio.shield(call)

    def _note(self, jobs: Sequence[Undelivered], sent: Sequence[str]) -> None:
        self._jobs.update((each.job.id, each) for each in jobs)
        for name in sent:
            self._jobs.pop(name, None)
        self._lines += len(jobs) + len(sent)
        if self._lines > 2 * len(self._jobs) + SPARE_LINES:
            self._write_anew()
            return
        lines = [*map(_line, jobs), *(_json({"id": name, "sent": True}) for name in sent)]
        with open(self._path, "ab", opener=_for_its_owner) as file:
            # The newline first, in case a crash cut the last line short.
            file.write(b"\n" + b"".join(lines))
            file.flush()
            os.fsync(file.fileno())

    def _write_anew(self) -> None:
        before = time.time() - UNDELIVERED_DAYS * 24 * 3600
        dead = sorted(
            (each.given_up, name) for name, each in self._jobs.items() if each.given_up is not None
        )
        for place, (given_up, name) in enumerate(dead):
            if given_up < before or place < len(dead) - MOST_GIVEN_UP:
                del self._jobs[name]
        self._lines = len(self._jobs)
        if not self._jobs and not self._path.exists():
            return
        draft = self._path.with_name(f".{UNDELIVERED_FILE}.part")
        with open(draft, "wb", opener=_for_its_owner) as file:
            file.writelines(map(_line, self._jobs.values()))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self._path)


def read_undelivered(folder: Path) -> list[Undelivered]:
    """Return what the file in a data folder holds, the oldest first. Raises OSError."""
    path, bad = folder / UNDELIVERED_FILE, 0
    found: dict[str, Undelivered] = {}
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            fields = json.loads(line) if line else {}
            if fields.get("sent"):
                found.pop(fields["id"], None)
            elif fields:
                found[fields["id"]] = _undelivered(fields)
        except (ValueError, LookupError, TypeError, AttributeError):
            bad += 1  # a crash cut it short
    if bad:
        logger.warning("%d lines of %s cannot be read and are left out", bad, UNDELIVERED_FILE)
    return list(found.values())


def _line(each: Undelivered) -> bytes:
    job = asdict(each.job)
    job |= {name: job[name].isoformat() for name in _MOMENTS}
    return _json({"id": each.job.id, **asdict(each), "job": job})


def _json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def _undelivered(fields: Mapping[str, Any]) -> Undelivered:
    job = fields["job"]
    # An older hub wrote no moments, or null: then the usual ones.
    moments = {name: datetime.fromisoformat(job[name]) for name in _MOMENTS if job.get(name)}
    plain = {name: value for name, value in job.items() if name not in _MOMENTS}
    return Undelivered(
        job=_notification({**plain, **moments}),
        since=float(fields["since"]),
        tries=int(fields["tries"]),
        reason=str(fields["reason"]),
        given_up=fields["given_up"],
    )


def _notification(fields: dict[str, Any]) -> Notification:
    channel = Channel(fields["channel"])
    urgency = Urgency(fields.get("urgency", Urgency.NORMAL))
    return Notification(**{**fields, "channel": channel, "urgency": urgency})


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
