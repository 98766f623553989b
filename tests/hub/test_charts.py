"""trainhub/hub/charts.py: the charts of a folder, and the fate of faulty ones."""

import json
import logging

import pytest
from fakes import MemoryJournal
from railway import RUN, chart, person

from trainhub.access.identity import Identity
from trainhub.domain.model import Role
from trainhub.hub.charts import load_charts

OPERATOR = Identity("operator", Role.ADMIN, frozenset({"*"}))
HEADER = "pnr,index,irctcId,name,from,to,class,status,coach,berth,phone,email"
# Personal data, which must never be in a log.
SECRET = {
    "pnr": "4598765432",
    "irctcId": "IR_SECRET",
    "name": "Zarathustra Quux",
    "phone": "9198765432",
    "email": "quux@example.org",
}


def row(who=1, **fields):
    """A line of CSV for `person(who)`."""
    one = {**person(who), "phone": "", **fields}
    return ",".join(str(one[name]) for name in HEADER.split(","))


def csv_of(*rows):
    return "\n".join([HEADER, *rows]) + "\n"


@pytest.fixture
def folder(tmp_path):
    """Write charts and tables into a folder and return it. Values other than text become JSON."""

    def write(**files):
        for name, content in files.items():
            path = tmp_path / name.replace("_", ".")
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                text = content if isinstance(content, str) else json.dumps(content)
                path.write_text(text, "utf-8")
        return tmp_path

    return write


@pytest.fixture
def hub(make_hub):
    return make_hub()


@pytest.fixture
def logged(caplog):
    """The log's errors, as text."""
    caplog.set_level(logging.INFO)
    return lambda: [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


def without_coach(*people, **fields):
    data = chart(**fields)
    data["passengers"] = list(people)
    return data


@pytest.mark.gen_test
async def test_every_chart_of_a_folder_is_registered(hub, folder, logged):
    """Each NAME.json is registered as a chart, in the order of names."""
    path = folder(b_json=chart(trainNo="222"), a_json=chart(trainNo="111"))
    assert await load_charts(hub, OPERATOR, path) == 2
    assert [state.run for state in hub.runs.all()] == ["111/2026-11-23", "222/2026-11-23"]
    assert len(hub.state("111/2026-11-23").passengers) == 6
    assert logged() == []


@pytest.mark.gen_test
async def test_the_table_of_a_chart_replaces_its_passengers(hub, folder, logged):
    """NAME.csv replaces the passengers of NAME.json, with or without a byte order mark."""
    path = folder(
        a_json=chart(trainNo="111"),
        a_csv="\ufeff" + csv_of(row(1), row(2, phone="9198765432", name='"Person, Two"')),
        b_json=without_coach(trainNo="222"),
        b_csv=csv_of(),
    )
    assert await load_charts(hub, OPERATOR, path) == 2
    people = hub.state("111/2026-11-23").passengers
    assert [each.booking.name for each in people.values()] == ["Person 1", "Person, Two"]
    assert people["4512345602/1"].booking.phone == "9198765432"
    assert (people["4512345601/1"].coach, people["4512345601/1"].berth) == ("S1", 1)
    assert not hub.state("222/2026-11-23").passengers
    assert logged() == []


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "a chart is a JSON object"),
        ("7", "a chart is a JSON object"),
        (b"\xff\xfe\x00", "not JSON"),
        ({}, "missing"),
        (chart(stations=[]), "stations is a list of 2"),
        (chart(trainNo=None), "trainNo"),
        (chart(startDate="tomorrow"), "startDate is a date"),
        (chart(startDate="9999-12-31"), "startDate"),
        (chart(colour="red"), "unknown field"),
        (chart(passengers=5), "passengers is a list"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_a_broken_chart_is_left_out_and_the_others_load(hub, folder, logged, content, said):
    """A chart with a fault is logged with its name and reason."""
    path = folder(a_json=chart(trainNo="111"), b_json=content, c_json=chart(trainNo="333"))
    if isinstance(content, dict) and content.get("startDate") == "9999-12-31":
        content["stations"][4]["day"] = 2
        path = folder(b_json=content)
    assert await load_charts(hub, OPERATOR, path) == 2
    assert [state.run for state in hub.runs.all()] == ["111/2026-11-23", "333/2026-11-23"]
    (line,) = logged()
    assert line.startswith("b.json is left out: ")
    assert said in line


@pytest.mark.gen_test
async def test_a_file_that_cannot_be_read_is_left_out(hub, folder, logged):
    """A table that cannot be read costs its chart. A line that is not UTF-8 costs only itself."""
    path = folder(
        b_json=chart(trainNo="222"),
        b_csv=csv_of(row(2)).encode() + b"\n" + row(1, name="Jos\xe9").encode("latin-1"),
        c_json=chart(trainNo="333"),
        c_csv="pnr,name\n1,2\n",
        d_json=chart(trainNo="444"),
        d_csv=csv_of(row(1), row(2, name='"never closed')),
        e_json=chart(trainNo="555"),
    )
    (path / "a.json").mkdir()
    assert await load_charts(hub, OPERATOR, path) == 2
    lines = logged()
    assert [line.split()[0] for line in lines] == ["b.csv", "c.json", "d.json"]
    assert lines[0].endswith("save the table as CSV in UTF-8")
    assert "because c.csv cannot be read: the CSV header lacks" in lines[1]
    assert "line" in lines[2]
    assert "Person" not in "".join(lines)


@pytest.mark.gen_test
async def test_a_broken_line_is_logged_with_its_file_and_number(hub, folder, logged):
    """A faulty line is logged by its number: in CSV with the header as 1, in JSON from 1."""
    path = folder(
        a_json=chart(trainNo="111"),
        a_csv=csv_of(row(1), row(2, to="ZZZ"), row(3), row(4, pnr="12")),
        b_json=chart(person(1), person(1), trainNo="222"),
    )
    assert await load_charts(hub, OPERATOR, path) == 2
    lines = dict(line.split(" is left out: ") for line in logged())
    assert list(lines) == ["a.csv line 3", "a.csv line 5", "b.json line 2"]
    to, pnr, twice = lines.values()
    assert to.startswith("to: the train has no")
    assert pnr == "pnr is 5 to 16 letters and digits, with a digit among them"
    assert twice == "person 1 of the PNR is there twice: keep one"
    assert len(hub.state("111/2026-11-23").passengers) == 2


def shifted(by):
    """A line whose cells have moved by some columns."""
    cells = row(1, **SECRET).split(",")
    return ",".join(cells[by:] + cells[:by])


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "broken",
    [
        person(1, **SECRET, to="ZZZ"),
        person(1, **{**SECRET, "pnr": float(SECRET["pnr"]) + 0.5}),
        person(1, **{**SECRET, "pnr": [SECRET["pnr"]]}),
        person(1, **{**SECRET, "phone": int(SECRET["phone"])}),
        person(1, **{**SECRET, "index": SECRET["pnr"]}),
        person(1, **SECRET, age=SECRET["name"]),
        person(1, **SECRET, berth=99),
        person(1, **SECRET, berth=SECRET["name"]),
        person(1, **SECRET, status=SECRET["name"]),
        person(1, **SECRET, coach=SECRET["name"]),
        {**person(1, **SECRET, to="ZZZ"), SECRET["name"]: 1},
        {**person(1, **SECRET), "from": SECRET["name"]},
        [SECRET["name"], SECRET["pnr"]],
        SECRET["name"],
        *(shifted(by) for by in range(1, 12)),
        row(1, **{**SECRET, "name": "Zarathustra, Quux"}),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_no_line_brings_a_person_into_the_log(hub, folder, caplog, broken):
    """A reason in the log has no PNR, name, phone or e-mail address, even of misplaced cells."""
    caplog.set_level(logging.DEBUG)
    if isinstance(broken, str) and "," in broken:
        path = folder(a_json=chart(), a_csv=csv_of(broken, row(2)))
    else:
        path = folder(a_json=without_coach(broken, person(2)))
    assert await load_charts(hub, OPERATOR, path) == 1
    assert len(hub.state(RUN).passengers) == 1
    lines = [each.getMessage() for each in caplog.records if "is left out" in each.getMessage()]
    assert len(lines) == 1
    for value in (*SECRET.values(), "Zarathustra"):
        assert value.casefold() not in caplog.text.casefold()


@pytest.mark.gen_test
async def test_a_refused_chart_is_logged_without_its_people(hub, folder, caplog):
    """A refused chart is logged without its people."""
    caplog.set_level(logging.DEBUG)
    whole = json.dumps(chart(person(1, **SECRET), trainNo="111"))
    cut = [whole[: whole.index(value) + len(value)] for value in SECRET.values()]
    broken = {f"c{number}_json": text for number, text in enumerate(cut)}
    quoted = row(1, **{**SECRET, "name": '"' + SECRET["name"]})
    path = folder(**broken, d_json=chart(), d_csv=csv_of(quoted), e_json={"name": whole})
    assert await load_charts(hub, OPERATOR, path) == 0
    assert len([line for line in caplog.messages if "is left out" in line]) == len(cut) + 2
    for value in SECRET.values():
        assert value not in caplog.text


@pytest.mark.gen_test
async def test_a_run_that_is_there_already_stays_as_it_is(folder, logged, make_hub):
    """At a restart, a chart of a present run changes nothing and is no error."""
    journal = MemoryJournal()
    path = folder(a_json=chart())
    hub = make_hub(journal)
    assert await load_charts(hub, OPERATOR, path) == 1
    folder(a_json=chart(person(1)))
    assert await load_charts(hub, OPERATOR, path) == 0
    assert len(hub.state(RUN).passengers) == 6
    again = make_hub(journal)
    await again.upkeep.load()
    assert await load_charts(again, OPERATOR, path) == 0
    assert len(journal.records) == 1
    assert logged() == []


@pytest.mark.gen_test
async def test_a_folder_that_is_not_there_is_an_error(hub, tmp_path):
    """A missing folder is an error at the start."""
    with pytest.raises(FileNotFoundError):
        await load_charts(hub, OPERATOR, tmp_path / "nowhere")
    assert await load_charts(hub, OPERATOR, tmp_path) == 0


@pytest.mark.gen_test
async def test_suffixes_may_be_in_any_case(hub, folder, logged):
    """12951.CSV and 12951.JSON are read like 12951.csv and 12951.json."""
    path = folder(a_json=without_coach(trainNo="111"), a_CSV=csv_of(row(1)), b_JSON=chart())
    assert await load_charts(hub, OPERATOR, path) == 2
    assert len(hub.state("111/2026-11-23").passengers) == 1
    assert logged() == []


@pytest.mark.gen_test
async def test_each_file_that_is_not_used_is_named(hub, folder, caplog):
    """Each file that is not used has one line in the log."""
    caplog.set_level(logging.INFO)
    path = folder(a_json=chart(), lonely_csv=csv_of(row()), chart_xlsx=b"PK")
    assert await load_charts(hub, OPERATOR, path) == 1
    said = [record.getMessage() for record in caplog.records]
    assert sum("lonely.csv is not used: there is no lonely.json" in each for each in said) == 1
    assert sum("chart.xlsx is not used" in each for each in said) == 1


@pytest.mark.gen_test
async def test_an_old_copy_does_not_take_the_charts_place(hub, folder, logged):
    """If there is a 12345.json, a copy like "12345 (1).json" is left out."""
    path = folder(**{"12345_json": chart(trainName="NEW"), "12345 (1)_json": chart()})
    assert await load_charts(hub, OPERATOR, path) == 1
    assert hub.state(RUN).chart.train_name == "NEW"
    assert logged() == [
        "12345 (1).json is left out: 12345.json is the chart of that run: remove the other"
    ]


@pytest.mark.gen_test
async def test_of_two_charts_of_one_run_none_is_guessed(hub, folder, logged):
    """Two charts of one run are both left out and named."""
    path = folder(a_json=chart(trainName="A"), b_json=chart(trainName="B"))
    assert await load_charts(hub, OPERATOR, path) == 0
    assert [each.split(":")[0] for each in logged()] == ["a.json is left out", "b.json is left out"]


@pytest.mark.gen_test
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
async def test_files_may_be_in_utf_16(hub, folder, logged, encoding):
    """Files with a byte order mark or in UTF-16 are read."""
    path = folder(
        a_json=json.dumps(without_coach(trainNo="111")).encode(encoding),
        a_csv=csv_of(row(1, name="Ren\u00e9e")).encode("utf-16" if "16" in encoding else encoding),
    )
    assert await load_charts(hub, OPERATOR, path) == 1
    (passenger,) = hub.state("111/2026-11-23").passengers.values()
    assert passenger.booking.name == "Ren\u00e9e"
    assert logged() == []


@pytest.mark.gen_test
async def test_what_loads_and_cannot_be_used_is_a_warning(hub, folder, caplog):
    """A column without a field and an unusable e-mail address are warnings, without the address."""
    head, line = csv_of(row(1, email="asha@localhost")).splitlines()
    path = folder(a_json=without_coach(), a_csv=f"{head},remarks\n{line},VIP\n")
    assert await load_charts(hub, OPERATOR, path) == 1
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert said == [
        "a.csv line 1: the column remarks is not used",
        "a.csv line 2: the domain of the e-mail address is not a domain name: "
        "give one like asha@example.org",
    ]
