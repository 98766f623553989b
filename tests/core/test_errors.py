"""trainhub/core/errors.py: one tree, one code for each class."""

import re

import pytest

from trainhub.core import errors
from trainhub.core.errors import HubError


def classes():
    """Every error class of the module by name."""
    return {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, HubError)
    }


def drawn():
    """The tree in the module's docstring: class name → (name of its parent, code or None)."""
    tree, branch = {}, []
    for line in errors.__doc__.splitlines():
        found = re.match(r"    ([│├└─ ]*)([A-Z]\w+)\s*([A-Z_]{5,}|…)?", line)
        if found:
            depth = len(found[1]) // 4
            parent = branch[depth - 1] if depth else "Exception"
            branch[depth:] = [found[2]]
            tree[found[2]] = (parent, found[3])
    return tree


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    """The error tree is drawn in one file's docstring, with each class's code."""
    made = {}
    for name, cls in classes().items():
        code = vars(cls).get("code")
        made[name] = (cls.__base__.__name__, code or ("…" if name == "Unknown" else None))
    assert drawn() == made


def test_each_code_belongs_to_one_class():
    """Each class is one error code of the protocol."""
    codes = [cls.code for cls in classes().values() if "code" in vars(cls)]
    assert sorted(codes) == sorted(set(codes))
    assert set(codes) == {
        *("BAD_MESSAGE", "UNKNOWN_TYPE", "NOT_IDENTIFIED", "BAD_TOKEN", "FORBIDDEN", "CONFLICT"),
        *("TOO_MANY_ROOMS", "RATE_LIMITED", "UNAVAILABLE"),
    }


@pytest.mark.parametrize("cls", [each for each in classes().values() if hasattr(each, "code")])
def test_an_error_keeps_its_words_and_its_details(cls):
    """Each says in words what to do; details may be empty."""
    error = cls("the next station is BBB", next="BBB")
    assert (str(error), error.message) == ("the next station is BBB",) * 2
    assert error.details == {"next": "BBB"}
    assert cls("no more to say").details == {}
