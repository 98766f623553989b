"""README.md, CONTRIBUTING.md, docs/: links lead somewhere, and each option is documented."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from trainhub.core.errors import HubError
from trainhub.domain import errors as domain_errors
from trainhub.hub.letters import KINDS
from trainhub.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def without_code(text):
    """Return a page without its code blocks."""
    return re.sub(r"^ *(```|~~~).*?^ *\1", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ +(.*?) *$", without_code(page.read_text()), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = 0
        while (numbered := f"{anchor}-{count}" if count else anchor) in found:
            count += 1
        found.add(numbered)
    return found


def links(page):
    """Return the targets of a page's links and pictures that lead into this repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text()))
    return [each for each in targets if not re.match(r"[a-z]+:", each)]


@pytest.mark.parametrize("page", PAGES, ids=lambda each: str(each.relative_to(ROOT)))
def test_links_lead_to_a_file_and_a_heading(page):
    """Every link leads to a file that exists, and to one of its headings."""
    for target in links(page):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} leads to no file"
        assert not anchor or anchor in anchors(found), f"{target} leads to no heading"


def test_every_page_is_reached_from_the_readme():
    """Every page can be reached by links from README.md."""
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            todo += [(page.parent / each.partition("#")[0]).resolve() for each in links(page)]
    assert {page.resolve() for page in PAGES} - reached == set()


def first_cells(page, heading):
    """Return the words in the first column of the table below a heading of a reference page."""
    text = (ROOT / "docs" / "reference" / page).read_text()
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE)[2:]
    return {word.strip(" `") for row in rows for word in row.split(",")}


def subclasses(cls):
    """Return all classes below a class."""
    return {each for sub in cls.__subclasses__() for each in {sub, *subclasses(sub)}}


def test_every_error_code_is_documented():
    """docs/reference/errors.md has the code of each error that the hub answers with."""
    classes = {each for each in subclasses(HubError) if each.__module__.startswith("trainhub.")}
    assert domain_errors.UnknownTrain in classes
    codes = {each.code for each in classes if "code" in vars(each)}
    assert codes == first_cells("errors.md", "Error codes")


def test_every_kind_of_letter_is_documented():
    """docs/reference/notifications.md has each kind of letter, and no other."""
    assert {kind.name for kind in KINDS} == first_cells("notifications.md", "Kinds")


def test_every_option_is_documented():
    """docs/reference/options.md has each setting of the hub, and no other."""
    options = {f"--{each.name.replace('_', '-')}" for each in fields(Settings)} - {
        "--unused",
        "--sources",
    }
    assert options == first_cells("options.md", "Options of the hub")
