"""trainhub/hub/wording.py: every language has every text, with the same names to fill in."""

import string
import tomllib
from datetime import UTC, date, datetime
from importlib import resources
from zoneinfo import ZoneInfo

import pytest

from trainhub.domain.model import BerthType
from trainhub.hub.letters import KINDS
from trainhub.hub.wording import LANGUAGES, words_of

INDIA = ZoneInfo("Asia/Kolkata")


def data(language):
    return tomllib.loads(
        (resources.files("trainhub.hub.languages") / f"{language}.toml").read_text("utf-8")
    )


def names_in(template):
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def flat(tree, path=()):
    """Return path → text of a file."""
    if isinstance(tree, str):
        return {path: tree}
    if isinstance(tree, list):
        return {(*path, "length"): str(len(tree))}
    return {key: text for name in tree for key, text in flat(tree[name], (*path, name)).items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_texts_with_the_same_names(language):
    """The texts of all languages have the same names to fill in."""
    english, other = flat(data("en")), flat(data(language))
    assert other.keys() == english.keys()
    assert {key: names_in(text) for key, text in other.items()} == {
        key: names_in(text) for key, text in english.items()
    }


def test_every_kind_and_type_of_berth_has_words():
    """Each language has a text for each kind of notification and a name for each berth type."""
    assert data("en").keys() - {"dates", "berths", "parts"} == {kind.name for kind in KINDS}
    assert data("en")["berths"].keys() == set(BerthType)


def test_numbers_have_the_form_of_their_language():
    """English has a form for 1, and Hindi one form for 0 and 1."""
    fields = {"train": "X", "station": "Y", "expected": "10:00"}
    assert "1 minute late" in words_of("en").body("DELAY", {**fields, "count": 1})
    assert "0 minutes late" in words_of("en").body("DELAY", {**fields, "count": 0})
    assert "2 minutes late" in words_of("en").body("DELAY", {**fields, "count": 2})
    assert words_of("hi")._form(0) == words_of("hi")._form(1) == "one"


def test_days_and_times_are_written_as_the_language_has_them():
    """A time has its offset: some nights have an hour twice."""
    moment = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)
    assert words_of("en").moment(moment, INDIA) == "18:00 on 27 November 2026 (UTC+05:30)"
    assert words_of("hi").day(date(2026, 11, 27)) == "27 \u0928\u0935\u0902\u092c\u0930 2026"


def test_a_language_that_is_not_there_is_english():
    """An unknown language becomes the default one."""
    assert words_of("xx").language == "en"


def test_what_is_filled_in_is_no_template():
    """Braces in a name stay unchanged in the text."""
    fields = {"train_no": "1", "coach": "S1", "berth": 7}
    assert words_of("en").subject("CONFIRMED", {**fields, "coach": "{berth}"}).endswith("{berth}-7")
