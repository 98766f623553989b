"""A chart's passengers as a table: CSV as people and their programs write it.

The header tells the separator, and its names may be in any case. A line whose meaning is not
certain is a fault, which says what to do.
"""

import csv
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from trainhub.core.codec import camel
from trainhub.core.errors import BadMessage
from trainhub.domain.model import Booking

SEPARATORS = (",", ";", "\t", "|")
# Columns of numbers. Programs that know only fractions write 1 as 1.0.
_NUMBERS = ("index", "number", "berth", "age")
_WHOLE = re.compile(r"([0-9]+)(?:[.,]0{1,6})?")
# Words and signs of programs for an empty cell.
_EMPTY_WORDS = frozenset({"null", "none", "nan", "n/a", "#n/a"})
_DASHES = "-\u2013\u2014"
# Excel writes a number that is to stay a text like this: ="4512345602".
_EXCEL_TEXT = re.compile(r'="(.*)"')
# Excel writes a line like "sep=;" before the header.
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[ \t]*\r?\n', re.IGNORECASE)
_FIELD_NAME = re.compile(r"[a-z][A-Za-z0-9_]{0,39}")
# Columns without a meaning that an answer names.
MOST_UNUSED = 50
_COLUMN_NAME = re.compile(r"[\w .()/-]{1,40}")

_COLUMNS = {
    camel(field.name).casefold(): camel(field.name) for field in dataclasses.fields(Booking)
}
_NEEDED = [
    camel(field.name)
    for field in dataclasses.fields(Booking)
    if field.default is dataclasses.MISSING
]


class BadTable(BadMessage):
    """The table cannot be read at all."""


class BadRow(NamedTuple):
    """A row that cannot be read, and why."""

    reason: str


class Table(NamedTuple):
    """A table's rows, each with the number of its line, and the columns without a field.

    A row is a mapping of its filled cells, or a BadRow.
    """

    rows: Sequence[tuple[int, Any]]
    unused: Sequence[str]


def read_rows(rows: Sequence[Any]) -> Table:
    """Read a list of objects, from 1. Their fields without a meaning are left out, as columns."""
    known = set(_COLUMNS.values())
    unused: dict[str, None] = {}
    kept: list[tuple[int, Any]] = []
    for line, row in enumerate(rows, start=1):
        others = [name for name in row if name not in known] if isinstance(row, Mapping) else []
        unused |= dict.fromkeys(map(_shown_field, others[:MOST_UNUSED]))
        if isinstance(row, Mapping):
            row = _filled({name: value for name, value in row.items() if name in known})
        kept.append((line, row))
    return Table(kept, list(unused)[:MOST_UNUSED])


def read_table(text: str) -> Table:
    """Read a table. The header is line 1. Raises BadTable if the table as a whole is at fault.

    Bytes that are not UTF-8 are in the text as Python's `surrogateescape` decodes them.
    """
    text = text.removeprefix("\ufeff")
    if "\n" not in text:
        text = text.replace("\r", "\n")  # the line ends of an old Mac
    named = _SEPARATOR_LINE.match(text)
    skipped = 0
    if named is not None:
        text = text[named.end() :]
        skipped = 1
    first = re.match(r"(?:[ \t]*\r?\n)*", text)
    if first is not None:
        skipped += first[0].count("\n")
        text = text[first.end() :]
    header = text.partition("\n")[0]
    separator = named[1] if named is not None else max(SEPARATORS, key=header.count)
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    try:
        columns = [_column(name) for name in next(reader, [])]
        _check_columns(columns)
        rows = [
            (reader.line_num + skipped, _row(columns, cells))
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        line = max(reader.line_num, 1) + skipped
        raise BadTable(
            f"the CSV cannot be read at line {line}: {error}: save the table again"
        ) from None
    known = set(_COLUMNS.values())
    unused = dict.fromkeys(_shown(name) for name in columns if name and name not in known)
    return Table(rows, list(unused))


def _column(name: str) -> str:
    """Return the field that a column is for, or the column's own name."""
    name = name.strip()
    return _COLUMNS.get(re.sub(r"[ _-]", "", name.casefold()), name)


def _check_columns(columns: Sequence[str]) -> None:
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        separators = "comma, semicolon, tab or |"
        raise BadTable(
            f"the CSV header lacks {', '.join(missing)}: its first line names the columns, with "
            f"{separators} between them"
        )
    twice = [name for name in _COLUMNS.values() if columns.count(name) > 1]
    if twice:
        raise BadTable(f"the CSV header has {twice[0]} twice: leave one out")


def _row(columns: Sequence[str], cells: Sequence[str]) -> Mapping[str, Any] | BadRow:
    """Return the row's fields, or a BadRow with the fault."""
    given = len(cells)
    if given > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
        return BadRow(
            f"the line has {given} cells, the header {len(columns)}: quote texts with separators"
        )
    if given < len(columns):
        return BadRow(f"the line has {given} cells, the header {len(columns)}: fill the line up")
    row: dict[str, Any] = {}
    for name, cell in zip(columns, cells, strict=False):
        found = cell.strip()
        if any("\udc80" <= letter <= "\udcff" for letter in found):
            return BadRow("the line is not in UTF-8: save the table as CSV in UTF-8")
        if found and name in _COLUMNS.values():
            row[name] = found
    return _filled(row)


def is_empty(value: Any) -> bool:
    """Return whether a text is empty, or a word or sign for an empty cell like "NaN" or "--"."""
    if not isinstance(value, str):
        return False
    found = value.strip()
    return not found.strip(_DASHES) or found.casefold() in _EMPTY_WORDS


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row without its empty cells, and with the numbers that programs write as text."""
    read = ((name, _cell(name, value)) for name, value in row.items())
    return {name: value for name, value in read if value != ""}


def _cell(name: str, value: Any) -> Any:
    """Return what a cell means; an empty text if it is empty."""
    numeric = name in _NUMBERS or name == "pnr"
    if not isinstance(value, str):
        whole_float = numeric and isinstance(value, float) and value.is_integer()
        return int(value) if whole_float else value
    found = value.strip()
    excel = _EXCEL_TEXT.fullmatch(found) if found.startswith("=") else None
    if excel is not None:
        value = found = excel[1].strip()
    if not found or (name != "name" and is_empty(found)):
        return ""
    whole = _WHOLE.fullmatch(found) if numeric else None
    if whole is None:
        return value
    # 18 digits are enough to exceed every bound of a field.
    return whole[1] if name == "pnr" else int(whole[1][:18])


def _shown_field(name: Any) -> str:
    """Return the name of an object's field if it is a plain one. Others may be a person's data."""
    plain = isinstance(name, str) and _FIELD_NAME.fullmatch(name)
    return str(name) if plain else "a field without a plain name"


def _shown(name: str) -> str:
    """Return a column's name if it is a plain one. Without a header it may be a person's data."""
    return name if _COLUMN_NAME.fullmatch(name) else "a column without a plain name"
