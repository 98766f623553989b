"""Dead letters: the documents that MongoDB refuses for good, in a file and in a collection.

The file `dead_letters.jsonl` has one letter a line, in the order of the refusals. A large file
becomes `dead_letters.jsonl.1`, and replaces the file of that name. A file is deleted LETTER_DAYS
after its newest letter. The collection `dead_letters` has the newest letter of each document, cut
short. The hub goes on if the file or the collection cannot be written.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from trainhub.adapters.schema import SCHEMA_VERSION
from trainhub.core.write_buffer import DeadLetter, Document, Store, StoreAway

logger = logging.getLogger("trainhub.dead_letters")

COLLECTION = "dead_letters"
# Bytes of one file; a single letter may be larger.
MOST_FILE_BYTES = 64 * 1024 * 1024
# Days after which a file is deleted, counted from its newest letter.
LETTER_DAYS = 90
# Seconds for a write to the file: a disk that hangs must not delay other documents.
FILE_SECONDS = 10.0
# Characters of a document's text in the file: enough for every body over HTTP.
MOST_IN_FILE = 20_000_000
# Characters of a document's text in the collection, which may have thousands of letters.
MOST_IN_COLLECTION = 32_768
# Characters of a document's id in a letter.
LONGEST_DOCUMENT_ID = 1_000
# Integers that BSON can hold.
BSON_INTS = range(-(2**63), 2**63)


class DeadLettersFile:
    """A write_buffer.DeadLetters that writes to the file first, then to `store`."""

    def __init__(self, path: Path, store: Store) -> None:
        self._path, self._turned = path, path.with_name(f"{path.name}.1")
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dead letters")
        self._writing: Future[None] | None = None
        # One write at a time: a letter's order in the file is that of the refusals.
        self._busy = asyncio.Lock()

    async def store(self, letters: Sequence[DeadLetter]) -> None:
        at = datetime.now(UTC)
        async with self._busy:
            # In a thread: making the text of a large document takes long.
            whole = await asyncio.to_thread(lambda: [_letter(each, at) for each in letters])
            try:
                await self._to_file(whole)
            except (OSError, TimeoutError) as error:
                logger.error("%s cannot be written: %s", self._path, error.strerror or "no answer")
            kept = [{**each, "document": each["document"][:MOST_IN_COLLECTION]} for each in whole]
            try:
                await self._store.write(COLLECTION, kept)
            except StoreAway as error:
                logger.warning(
                    "%d letters are in %s and not in MongoDB (%s)",
                    len(kept),
                    self._path.name,
                    type(error).__name__,
                )

    async def _to_file(self, letters: Sequence[Document]) -> None:
        """Append the letters to the file. Raises OSError, or TimeoutError if the disk hangs."""
        if self._writing is not None and not self._writing.done():
            raise TimeoutError
        self._writing = self._thread.submit(self._append_all, letters)
        async with asyncio.timeout(FILE_SECONDS):
            await asyncio.shield(asyncio.wrap_future(self._writing))

    def _append_all(self, letters: Sequence[Document]) -> None:
        self._drop_old()
        for letter in letters:
            self._append(_line(letter))

    def _drop_old(self) -> None:
        before = time.time() - LETTER_DAYS * 24 * 3600
        for file in (self._path, self._turned):
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < before:
                    file.unlink()

    def _append(self, line: bytes) -> None:
        """Append a line, and return when it is on disk."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        file = os.open(self._path, flags, 0o600)
        try:
            size = os.fstat(file).st_size
            if size and size + len(line) > MOST_FILE_BYTES:
                os.replace(self._path, self._turned)
                os.close(file)
                file, size = os.open(self._path, flags, 0o600), 0
            if size and os.pread(file, 1, size - 1) != b"\n":
                line = b"\n" + line  # a crash cut the last line short
            while line:
                line = line[os.write(file, line) :]
            os.fsync(file)
        finally:
            os.close(file)


def _letter(letter: DeadLetter, at: datetime) -> Document:
    """Return the stored form of a letter, which MongoDB accepts for every document."""
    document, collection = letter.document or {}, letter.change.collection
    name, seq = _plain(letter.change.id), document.get("seq")
    text = as_text(letter.document)
    return {
        "_id": f"{collection}/{name}",
        "epoch": _plain(document.get("epoch")),
        # A letter of a document without a valid seq gives way to any other letter.
        "seq": seq if type(seq) is int and seq in BSON_INTS else -1,
        "schema": SCHEMA_VERSION,
        "at": at,
        "collection": collection,
        "documentId": name,
        "reason": letter.reason,
        "characters": len(text),
        "document": text[:MOST_IN_FILE],
    }


def _line(letter: Document) -> bytes:
    fields = {**letter, "at": letter["at"].isoformat(timespec="milliseconds")}
    return json.dumps(fields).encode() + b"\n"


def _plain(value: Any) -> str:
    """Return a value as text that UTF-8 can hold, cut to LONGEST_DOCUMENT_ID."""
    text = value if isinstance(value, str) else _part(value)
    return text[:LONGEST_DOCUMENT_ID].encode("utf-8", "replace").decode()


def as_text(document: Any) -> str:
    """Return a document as JSON in ASCII.

    Values that JSON cannot hold appear as Python shows them, or by their type. Lone surrogates, NUL
    and integers of any size are kept.
    """
    try:
        return json.dumps(document, default=_shown)
    except Exception:  # every document gets a letter
        if isinstance(document, Mapping):
            fields = (f"{as_text(_plain(key))}: {_part(value)}" for key, value in document.items())
            return "{" + ", ".join(fields) + "}"
        return _part(document)


def _part(value: Any) -> str:
    try:
        return json.dumps(value, default=_shown)
    except Exception:
        return json.dumps(f"<{type(value).__name__}>")


def _shown(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else ascii(value)
