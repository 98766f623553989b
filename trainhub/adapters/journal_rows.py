"""The journal's tables, and the checksum that protects each row.

The last value of every row is a checksum of the table's name and of all other values that are not
NULL. So a damaged or misplaced value is noticed. Reading such a row raises JournalFailed, which
names the row.
"""

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ujson

from trainhub.core.codec import dump, reload
from trainhub.core.journal import (
    Deed,
    JournalFailed,
    Record,
    Retired,
    StoredAnswer,
    StreamSnapshot,
    Vocabulary,
)
from trainhub.core.stream import Stream

# The format of the tables.
FORMAT = "5"
# The version of events and snapshots as JSON. Each record and snapshot has it.
ROW_VERSION = 1

TABLES_SQL = """
CREATE TABLE IF NOT EXISTS meta (
    name     TEXT PRIMARY KEY,
    value    TEXT NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    position INTEGER PRIMARY KEY,
    run      TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    type     TEXT NOT NULL,
    event    TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    deed     TEXT
);
CREATE TABLE IF NOT EXISTS snapshots (
    run      TEXT PRIMARY KEY,
    seq      INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    state    TEXT NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    user     TEXT NOT NULL,
    key      TEXT NOT NULL,
    command  TEXT NOT NULL,
    result   TEXT NOT NULL,
    at       REAL NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (user, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS places (
    reader   TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ahead (
    reader   TEXT NOT NULL,
    id       TEXT NOT NULL,
    position INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (reader, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retired (
    run      TEXT PRIMARY KEY,
    at       REAL NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID;
"""

# A record's columns by name: in a file that was brought up to date their order differs.
RECORD = "position, run, seq, version, type, event, deed, checksum"

Row = tuple[Any, ...]


def seal(table: str, *values: Any) -> Row:
    """Return a row of these values and their checksum."""
    return *values, _checksum(table, values)


def unseal(path: Path, table: str, row: Row) -> Row:
    """Return a row's values without the checksum. Raises JournalFailed if that is wrong."""
    values = row[:-1]
    if row[-1] != _checksum(table, values):
        raise unbelievable(path, f"{table} {_shown(values[0])}", "its checksum is wrong")
    return values


def _checksum(table: str, values: Iterable[Any]) -> int:
    text = "\n".join([table, *[str(value) for value in values if value is not None]])
    return zlib.crc32(text.encode(errors="surrogateescape"))


def unbelievable(path: Path, what: str, why: object) -> JournalFailed:
    return JournalFailed(
        f"{what} of the journal {path} cannot be believed ({one_line(why)}): "
        "restore the data folder from a copy"
    )


def one_line(why: object) -> str:
    """Return a reason on one line and cut short: SQLite may quote a table's whole definition."""
    return " ".join(str(why).split())[:200]


def _shown(name: object) -> str:
    """Return a row's name for a message, safe to print even if damaged."""
    return ascii(name)[:60] if isinstance(name, str) else str(name)[:60]


def record_row(vocabulary: Vocabulary, record: Record) -> Row:
    kind, text = vocabulary.type_of(record.event), to_text(dump(record.event))
    place = (record.position, record.stream, record.seq)
    return seal("records", *place, ROW_VERSION, kind, text, _deed_text(record.deed))


def _deed_text(deed: Deed | None) -> str | None:
    """Return a deed's fields as a list: in an object, the names would be half of the text."""
    if deed is None:
        return None
    return to_text([deed.user, deed.role, deed.address, deed.command, deed.about])


def _read_deed(text: str | None) -> Deed | None:
    if text is None:
        return None
    user, role, address, command, about = ujson.loads(text)
    return Deed(user, role, address, command, about)


def read_record(path: Path, vocabulary: Vocabulary, row: Row) -> Record:
    """Read a row of `records`. Raises JournalFailed if it is damaged."""
    position, run, seq, version, kind, text, deed, checksum = row
    if checksum != _checksum("records", row[:-1]):
        raise unbelievable(path, f"record {_shown(position)}", "its checksum is wrong")
    _check_version(path, "record", position, version)
    try:
        event = reload(vocabulary.events[kind], ujson.loads(text))
        return Record(position, Stream(run), seq, event, _read_deed(deed))
    except (KeyError, TypeError, ValueError) as error:
        raise unbelievable(path, f"record {_shown(position)}", error) from error


def snapshot_row(stream: Stream, snapshot: StreamSnapshot) -> Row:
    return seal("snapshots", stream, snapshot.seq, ROW_VERSION, to_text(dump(snapshot)))


def read_snapshot(path: Path, vocabulary: Vocabulary, row: Row) -> tuple[Stream, Any]:
    """Read a row of `snapshots`. Raises JournalFailed if it is damaged."""
    run, seq, version, text = unseal(path, "snapshots", row)
    _check_version(path, "the snapshot of", run, version)
    try:
        snapshot = reload(vocabulary.snapshot, ujson.loads(text))
        if snapshot.seq != seq:
            raise ValueError(f"it says seq {snapshot.seq}, not {seq}")
    except (KeyError, TypeError, ValueError) as error:
        raise unbelievable(path, f"the snapshot of {_shown(run)}", error) from error
    return Stream(run), snapshot


def answer_row(answer: StoredAnswer) -> Row:
    return seal("answers", answer.user, answer.key, answer.command, answer.result, float(answer.at))


def retired_row(retired: Retired) -> Row:
    return seal("retired", retired.stream, float(retired.at))


def to_text(data: object) -> str:
    text: str = ujson.dumps(data, ensure_ascii=False, escape_forward_slashes=False)
    return text


def as_text(stored: bytes) -> str:
    """Decode for sqlite3's text_factory: damage gives a wrong checksum, not an error of SQLite."""
    return stored.decode(errors="surrogateescape")


def _check_version(path: Path, what: str, name: object, version: int) -> None:
    if version > ROW_VERSION:
        raise JournalFailed(
            f"{what} {_shown(name)} of the journal {path} has version {version}, "
            f"this hub reads {ROW_VERSION}: use the version of trainhub that wrote it"
        )
