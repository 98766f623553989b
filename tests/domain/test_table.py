"""trainhub/domain/table.py: tables as people and their programs write them."""

import pytest

from trainhub.core.errors import BadMessage
from trainhub.domain.table import BadRow, BadTable, read_rows, read_table

COLUMNS = "pnr,index,irctcId,name,from,to,class,status,coach,berth"
CELLS = "4512345601,1,IR_1,Asha Rao,AAA,EEE,SL,CNF,S1,1"
ROW = {
    "pnr": "4512345601",
    "index": 1,
    "irctcId": "IR_1",
    "name": "Asha Rao",
    "from": "AAA",
    "to": "EEE",
    "class": "SL",
    "status": "CNF",
    "coach": "S1",
    "berth": 1,
}
PLAIN = f"{COLUMNS}\n{CELLS}\n"


def rows(text):
    return [row for _, row in read_table(text).rows]


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "\ufeff" + PLAIN,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        "sep=,\r\n" + PLAIN,
        "SEP=;\n" + PLAIN.replace(",", ";"),
        PLAIN.replace(COLUMNS, COLUMNS.upper()),
        PLAIN.replace("irctcId", "irctc_id"),
        PLAIN.replace("irctcId", " IRCTC Id "),
        PLAIN.replace(",1,IR_1", ",1.0,IR_1").replace("S1,1", "S1,1.00"),
        PLAIN.replace(",", ";").replace(";1;IR_1", ";1,0;IR_1"),
        PLAIN.replace("4512345601", "4512345601.0"),
        PLAIN.replace("4512345601", '"=""4512345601"""'),
        "\n  \r\n" + PLAIN,
        PLAIN.replace("\n", ",\n"),
        PLAIN + ",,,,,,,,,\n\n",
    ],
)
def test_a_table_of_any_program_is_read(text):
    """Tables with other separators, line ends, capitals and fractions give the same people."""
    table = read_table(text)
    assert [row for _, row in table.rows] == [ROW]
    assert list(table.unused) == []


def test_a_name_may_hold_the_separator():
    """A quoted comma is part of the text."""
    text = PLAIN.replace(",", ";").replace("Asha Rao", '"Rao; Asha, Dr."')
    assert rows(text)[0]["name"] == "Rao; Asha, Dr."


@pytest.mark.parametrize("none", ["-", "--", "\u2013", "NULL", "NaN", "N/A", "#N/A", " "])
def test_a_word_for_an_empty_cell_is_no_value(none):
    """Programs fill empty cells with such words. Only a name may be one of them."""
    text = PLAIN.replace("IR_1", none).replace("Asha Rao", "Null")
    expected = {name: value for name, value in ROW.items() if name != "irctcId"}
    assert rows(text) == [{**expected, "name": "Null"}]


def test_a_list_is_read_as_a_table():
    """A program that has no whole numbers or no null writes them in JSON as it does in CSV."""
    row = {**ROW, "pnr": 4512345601.0, "index": 1.0, "berth": "1", "quota": "", "number": "NaN"}
    ((line, read),) = read_rows([row]).rows
    assert (line, read) == (1, {**ROW, "pnr": 4512345601})


def test_unknown_columns_are_named_once():
    """A column without a field is named once, unless its name may be a person's."""
    header = f"{COLUMNS},remarks,wing,a@b.example,remarks"
    table = read_table(f"{header}\n{CELLS},VIP,,x,\n{CELLS},,LD,,\n")
    assert list(table.unused) == ["remarks", "wing", "a column without a plain name"]
    assert [row for _, row in table.rows] == [ROW, ROW]


def test_lines_are_numbered_as_an_editor_does():
    """The header is line 1. A line of Excel before it counts too."""
    assert [line for line, _ in read_table(PLAIN + "\n" + CELLS).rows] == [2, 4]
    assert [line for line, _ in read_table("sep=,\n" + PLAIN).rows] == [3]
    assert [line for line, _ in read_table("\n\n" + PLAIN).rows] == [4]


def test_a_line_in_another_encoding_is_a_fault_of_that_line():
    """A line in another encoding is rejected, and the other lines load."""
    spoilt = CELLS.replace("Asha", "Ren\udce9e")
    first, second = rows(f"{COLUMNS}\n{spoilt}\n{CELLS}\n")
    assert isinstance(first, BadRow)
    assert "save the table as CSV in UTF-8" in first.reason
    assert second == ROW


@pytest.mark.parametrize("cells", [CELLS + ",x", CELLS.rpartition(",")[0]])
def test_a_line_has_the_headers_cells(cells):
    """A line must have as many cells as the header."""
    (row,) = rows(f"{COLUMNS}\n{cells}\n")
    assert isinstance(row, BadRow)
    assert "the header 10" in row.reason


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", "lacks pnr, index"),
        (COLUMNS.replace("status,", ""), "lacks status"),
        (COLUMNS + ",PNR", "has pnr twice"),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused(header, said):
    """A bad header is refused, and the error names its columns."""
    with pytest.raises(BadTable, match=said) as raised:
        read_table(f"{header}\n{CELLS}\n")
    assert isinstance(raised.value, BadMessage)
