"""`run.py check`: what a data folder's journal holds, and whether all of it can be believed.

It only reads, and may run beside a hub.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from trainhub.adapters.sqlite_journal import FORMAT, read_record
from trainhub.journal import JournalFailed

# Faults are named up to this many; a file that is torn has very many.
MOST_NAMED = 20


@dataclass
class Finding:
    """`lines` say what is there, `faults` what is wrong with it."""

    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def check_journal(path: Path) -> Finding:
    """Read all of a journal. Raises JournalFailed if it is no journal at all."""
    if not path.is_file():
        raise JournalFailed(f"there is no journal {path}: name a hub's data folder")
    finding = Finding()
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            _check(db, path, finding)
    except sqlite3.Error as error:
        finding.faults.append(f"SQLite cannot read it: {error}")
    return finding


def _check(db: sqlite3.Connection, path: Path, finding: Finding) -> None:
    for (line,) in db.execute(f"PRAGMA integrity_check({MOST_NAMED})"):
        if line != "ok":
            finding.faults.append(f"SQLite finds: {line}")
    meta = dict(db.execute("SELECT name, value FROM meta"))
    if meta.get("format") != FORMAT:
        finding.faults.append(f"it has format {meta.get('format')}, this trainhub reads {FORMAT}")
        return
    finding.lines.append(f"format {FORMAT}, epoch {meta.get('epoch')}")
    seqs: dict[str, int] = {}
    count = last = 0
    for fault, position, run, seq in _records(db, path):
        count, last = count + 1, position
        if fault is None and seq != seqs.get(run, 0) + 1:
            fault = f"record {position}: {run} has seq {seq} after {seqs.get(run, 0)}"
        seqs[run] = seq
        if fault is not None and len(finding.faults) < MOST_NAMED:
            finding.faults.append(fault)
    if last != count:
        finding.faults.append(f"{count} records go up to position {last}: some are missing")
    finding.lines.append(f"{count} records of {len(seqs)} runs, {path.stat().st_size} bytes")
    (answers,) = db.execute("SELECT count(*) FROM answers").fetchone()
    finding.lines.append(f"{answers} answers kept for idempotency keys")
    for name, position in db.execute("SELECT name, position FROM readers ORDER BY name"):
        finding.lines.append(f"{name}: done up to {position}, {last - position} behind")


def _records(db: sqlite3.Connection, path: Path) -> Iterator[tuple[str | None, int, str, int]]:
    """Each record's fault, if it has one, with its position, run and seq."""
    rows = db.execute(
        "SELECT position, run, seq, type, event, checksum FROM records ORDER BY position"
    )
    for row in rows:
        try:
            read_record(path, *row)
        except JournalFailed as error:
            yield str(error), row[0], row[1], row[2]
        else:
            yield None, row[0], row[1], row[2]
