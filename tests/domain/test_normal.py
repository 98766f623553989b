"""trainhub/domain/normal.py: what is written in several ways has one form."""

import pytest

from trainhub.domain import normal


@pytest.mark.parametrize("given", [12345, "12345", " 12345 ", "\t12345\n"])
def test_a_train_number_has_one_form(given):
    """12345, "12345" and " 12345 " are the same train."""
    assert normal.train_no(given) == "12345"


def test_letters_of_a_train_number_are_capitals():
    """A number with a letter is one train, in capitals or not."""
    assert normal.train_no(" 0123a ") == "0123A"


def test_codes_are_capitals_without_blanks():
    """Cells of fixed width are filled with blanks: "bb " is the station BB."""
    assert [normal.code(each) for each in ("BB", " bb ", "Bb")] == ["BB"] * 3


def test_a_user_keeps_its_letters():
    """Users differ by capitals; blanks around them are nothing."""
    assert normal.text(" Asha_1 ") == "Asha_1"


def test_a_pnr_may_be_a_number():
    """JSON writes a PNR as a text or as a number."""
    assert normal.pnr(4512345678) == normal.pnr(" 4512345678 ") == "4512345678"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("Sleeper", "SL"),
        ("AC_3_Tier", "3A"),
        ("ac 2 tier", "2A"),
        ("AC First Class", "1A"),
        ("AC 3 Tier Economy", "3E"),
        ("Second Sitting", "2S"),
        (" 3a ", "3A"),
        ("STANDARD", "STANDARD"),
    ],
)
def test_classes_have_codes(given, code):
    """The railway's own names are known; the classes of other railways stay as they are."""
    assert normal.travel_class(given) == code


@pytest.mark.parametrize("given", [None, True, 1.5, [], {}])
def test_what_is_no_text_stays_as_it_is(given):
    """The field's own check says what is wrong."""
    every = (normal.train_no, normal.code, normal.text, normal.pnr, normal.travel_class)
    assert all(each(given) is given for each in every)
