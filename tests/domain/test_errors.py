"""trainhub/domain/errors.py: the errors of the railway."""

import pytest

from trainhub.core.errors import Conflict, HubError, Unknown
from trainhub.domain import errors

OWN = [each for each in vars(errors).values() if getattr(each, "__module__", "") == errors.__name__]


@pytest.mark.parametrize("cls", OWN, ids=lambda cls: cls.__name__)
def test_each_error_has_a_code_and_a_parent_that_decides_its_status(cls):
    """The module's docstring lists each error with its code and parent."""
    assert issubclass(cls, Unknown | Conflict)
    assert f"{cls.__name__} " in errors.__doc__
    assert f" {cls.code}" in errors.__doc__


def test_no_two_errors_share_a_code():
    """Each error has its own code."""

    def all_below(cls):
        return [cls, *(each for below in cls.__subclasses__() for each in all_below(below))]

    codes = [vars(cls)["code"] for cls in all_below(HubError) if "code" in vars(cls)]
    assert sorted(codes) == sorted(set(codes))
    assert {cls.code for cls in OWN} <= set(codes)
