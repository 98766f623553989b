"""trainhub/domain/normal.py: one form for values that are written in several ways."""

import pytest

from trainhub.domain import normal


@pytest.mark.parametrize("given", [12345, "12345", " 12345 ", "\t12345\n"])
def test_a_train_number_has_one_form(given):
    """12345, "12345" and " 12345 " are the same train."""
    assert normal.train_no(given) == "12345"


def test_letters_of_a_train_number_are_capitals():
    """The letters of a train number become capitals."""
    assert normal.train_no(" 0123a ") == "0123A"


def test_codes_are_capitals_without_blanks():
    """Codes become capitals without blanks around them."""
    assert [normal.code(each) for each in ("BB", " bb ", "Bb")] == ["BB"] * 3


def test_a_user_keeps_its_letters():
    """Users keep their capitals and small letters, and lose the blanks around them."""
    assert normal.text(" Asha_1 ") == "Asha_1"


def test_a_pnr_may_be_a_number():
    """A PNR may be a text or a number."""
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
    """The railway's names of classes become codes, and other names stay."""
    assert normal.travel_class(given) == code


@pytest.mark.parametrize("given", ["09:05", " 9:05", "9:05:00", "09:05:00 "])
def test_a_time_has_one_form(given):
    """A time of the clock is HH:MM."""
    assert normal.clock(given) == "09:05"


@pytest.mark.parametrize("given", [None, True, 1.5, [], {}, "9.05", "09:05:30"])
def test_another_time_stays_as_it_is(given):
    """Seconds are no part of a timetable, so the field's check refuses them."""
    assert normal.clock(given) is given


@pytest.mark.parametrize("given", [None, True, 1.5, [], {}])
def test_what_is_no_text_stays_as_it_is(given):
    """A value that is not a text stays, and the field's check refuses it."""
    every = (normal.train_no, normal.code, normal.text, normal.pnr, normal.travel_class)
    assert all(each(given) is given for each in every)
