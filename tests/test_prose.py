"""tools/prose.py: the words and lines that the check of the project's English rejects."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def check(path, *options):
    """Run the check on a path: return its lines with the path left out, and its exit code."""
    ran = subprocess.run(
        [sys.executable, ROOT / "tools" / "prose.py", *options, path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stderr == ""
    return ran.stdout.replace(f"{path}:", "").splitlines(), ran.returncode


@pytest.fixture
def markdown(tmp_path):
    def run(text):
        page = tmp_path / "page.md"
        page.write_text(text)
        return check(page)[0]

    return run


def plain(text):
    """Return a text without its marks `~`, which hide banned words from the check of this file."""
    return text.replace("~", "")


WORDS = plain(
    "who~ever, who~m, some~body, no~body, any~body, every~body, a~new, be~side, but~ for,"
    "one~ that, at~ the most, so~ many, is~ none, was~ none"
)


@pytest.mark.parametrize("word", [" ".join(each.split()) for each in WORDS.split(",")])
def test_a_banned_word_is_named_with_its_line(markdown, word):
    """The check finds it in text, in tables and at the start of a sentence."""
    assert markdown(f"# Page\n\nIt says {word} here.\n") == [f'3: "{word}"']
    assert markdown(f"| a | {word} |\n") == [f'1: "{word}"']
    assert markdown(f"{word.capitalize()} here.\n") == [f'1: "{word.capitalize()}"']


def test_words_that_only_contain_a_banned_word_pass(markdown):
    """`besides` passes, and so do code spans and Python's `is None`."""
    assert markdown(plain("Besides, `who~m` is a name: if it is None.\n")) == []


def test_code_blocks_are_not_checked(markdown):
    """A block of code shows what a program prints, in the program's words."""
    word = plain("who~ever")
    assert markdown(f"```text\n{word} {'x' * 200}\n```\n\n    {word}. And more.\n") == []
    assert markdown(f"```\n{word}\n```\n{word}\n") == [f'4: "{word}"']


def test_a_line_has_at_most_120_characters(markdown):
    """Rows of tables may be longer, and the target of a link does not count."""
    assert markdown("x" * 120) == []
    assert markdown("x" * 121) == ["1: 121 characters; at most 120"]
    assert markdown("| " + "x" * 200 + " |") == []
    assert markdown(f"See [there](https://{'x' * 200}).") == []


def test_a_line_has_one_sentence(markdown):
    """Numbers of a list, abbreviations and file names end no sentence."""
    two = ["1: two sentences; one per line"]
    assert markdown("The hub stops. It says why.\n") == two
    assert markdown("Is it up? Ask `/readyz`: it says. [More](a.md).\n") == two
    for one in ("1. Start it.", "- See a.b.C, e.g. Chromium.", "Python 3.11 and U.S. English."):
        assert markdown(one + "\n") == []


def test_code_is_checked_in_comments_and_texts_alone(tmp_path):
    """Names and code pass: names may come from the protocol, and `is None` is Python."""
    source = tmp_path / "source.py"
    text = (
        '"""Module.\n\nFor who~m it may concern.\n"""\n'
        "who~ever = 1 if x is None else 2  # is~ none\n"
        'raise ValueError(f"{1!r} and no~body".strip())\n'
    )
    source.write_text(plain(text))
    words = plain('3: "who~m"|5: "is~ none"|6: "no~body"').split("|")
    assert check(source, "--code") == (words, 1)


def test_javascript_is_checked_likewise(tmp_path):
    """The check reads comments of both kinds, and texts in all three quotes."""
    source = tmp_path / "source.js"
    text = (
        "/* a\n * no~body */\nlet no~body = 'a~new'; // who~m\n"
        'f("it\\"s some~body", `a\nwho~ever`, "https://a");\n'
    )
    source.write_text(plain(text))
    words = plain('2: "no~body"|3: "a~new"|3: "who~m"|4: "some~body"|5: "who~ever"').split("|")
    assert check(source, "--code") == (words, 1)


def test_a_folder_is_searched_for_its_kind_of_file(tmp_path):
    """It finds Markdown, or with --code sources, but not hidden or installed files."""
    word = plain("who~m")
    for name in ("a.md", "b/c.md", "node_modules/d.md", ".venv/e.md", "f.txt", "g.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"# {word}\n")
    found = [line.rpartition(str(tmp_path))[2] for line in check(tmp_path)[0]]
    assert found == [f'/a.md:1: "{word}"', f'/b/c.md:1: "{word}"']
    assert check(tmp_path, "--code")[0] == [f'{tmp_path}/g.py:1: "{word}"']


def test_a_page_without_faults_is_exit_code_0(tmp_path):
    """A page without faults prints nothing."""
    page = tmp_path / "page.md"
    page.write_text("# Page\n\nAll is well.\n")
    assert check(page) == ([], 0)
