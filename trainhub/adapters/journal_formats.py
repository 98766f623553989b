"""The journal's format: read from the file, brought up to date, or refused if it is newer.

Each step of `_STEPS` makes the next format in one transaction, so a crash leaves the old one.
"""

import logging
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

from trainhub.adapters.journal_rows import FORMAT, RECORD, TABLES_SQL, seal, unbelievable
from trainhub.core.journal import JournalFailed

logger = logging.getLogger("trainhub.journal")


def bring_up_to_date(db: sqlite3.Connection, path: Path) -> None:
    """Bring the file to this hub's format. Raises JournalFailed if its format is later."""
    found = read_format(db)
    if found is None:
        db.executescript(TABLES_SQL)
        db.execute("INSERT INTO meta VALUES (?, ?, ?)", seal("meta", "format", FORMAT))
        return
    while found != FORMAT:
        step = _STEPS.get(str(found))
        if step is None:
            raise JournalFailed(
                f"the journal {path} has format {found}, this hub reads {FORMAT} and older: "
                "use the version of trainhub that wrote it"
            )
        db.execute("BEGIN IMMEDIATE")
        try:
            step(db, path)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        logger.info("the journal was brought from format %s up to %s", found, read_format(db))
        found = read_format(db)


def read_format(db: sqlite3.Connection) -> str | None:
    """Return the format that the file names. None means that the file is empty."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return None
    row = db.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
    return None if row is None else str(row[0])


def _to_2(db: sqlite3.Connection, path: Path) -> None:
    """Add a checksum to records, and the answers under idempotency keys."""
    db.execute("ALTER TABLE records ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0")
    rows = db.execute("SELECT position, run, seq, type, event FROM records").fetchall()
    for position, run, seq, kind, text in rows:
        checksum = zlib.crc32(f"{position}\n{run}\n{seq}\n{kind}\n{text}".encode())
        db.execute("UPDATE records SET checksum = ? WHERE position = ?", (checksum, position))
    db.execute(
        "CREATE TABLE answers (user TEXT NOT NULL, key TEXT NOT NULL, command TEXT NOT NULL,"
        " result TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (user, key)) WITHOUT ROWID"
    )
    db.execute("UPDATE meta SET value = '2' WHERE name = 'format'")


def _to_3(db: sqlite3.Connection, path: Path) -> None:
    """Add a version to records and a checksum to every row, and rename the readers."""
    for table in ("meta", "records", "answers"):
        db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in filter(str.strip, TABLES_SQL.split(";")):
        db.execute(statement)
    for name, value in db.execute("SELECT name, value FROM old_meta").fetchall():
        value = "3" if name == "format" else value
        db.execute("INSERT INTO meta VALUES (?, ?, ?)", seal("meta", name, value))
    for row in db.execute("SELECT position, run, seq, type, event, checksum FROM old_records"):
        position, run, seq, kind, text, checksum = row
        if checksum != zlib.crc32(f"{position}\n{run}\n{seq}\n{kind}\n{text}".encode()):
            raise unbelievable(path, f"record {position}", "its checksum is wrong")
        sealed = seal("records", position, run, seq, 1, kind, text, None)
        db.execute(f"INSERT INTO records ({RECORD}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", sealed)
    for answer in db.execute("SELECT user, key, command, result, at FROM old_answers"):
        db.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?)", seal("answers", *answer))
    for was, now in (("notifications", "notified"), ("write buffer", "flushed")):
        found = db.execute("SELECT position FROM readers WHERE name = ?", (was,)).fetchone()
        if found is not None:
            db.execute("INSERT INTO places VALUES (?, ?, ?)", seal("places", now, *found))
    for table in ("old_meta", "old_records", "old_answers", "readers"):
        db.execute(f"DROP TABLE {table}")


def _to_4(db: sqlite3.Connection, _: Path) -> None:
    """Add a deed to records. Older records have none, and their checksums stay valid."""
    if not db.execute("SELECT 1 FROM pragma_table_info('records') WHERE name = 'deed'").fetchone():
        db.execute("ALTER TABLE records ADD COLUMN deed TEXT")
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", seal("meta", "format", "4"))


def _to_5(db: sqlite3.Connection, _: Path) -> None:
    """Change nothing: from this format on there are records of no stream."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", seal("meta", "format", "5"))


_STEPS: dict[str, Callable[[sqlite3.Connection, Path], None]] = {
    "1": _to_2,
    "2": _to_3,
    "3": _to_4,
    "4": _to_5,
}
