"""trainhub/access/revocations.py: a revocation is never lost, even with several writers."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from trainhub.access.keys import BadKeys
from trainhub.access.revocations import (
    KEEP_OVER_SECONDS,
    NONE,
    Revocations,
    read_revocations,
    revoke_token,
    revoke_user,
)

NOW = 1_764_000_000.0


@pytest.fixture
def path(tmp_path):
    return tmp_path / "revoked.json"


def test_without_a_file_nothing_is_revoked(path):
    """And reading makes none."""
    assert read_revocations(path) == NONE
    assert not path.exists()
    assert not NONE.cover("IR_1", "a1", NOW)
    assert not NONE.cover(None, None, None)


def test_a_token_is_revoked_by_its_id(path):
    """Revoking a token affects only that token, for every user."""
    revoke_token(path, "a1", NOW + 60, NOW)
    found = read_revocations(path)
    assert found.cover("IR_1", "a1", NOW)
    assert not found.cover("IR_1", "a2", NOW)
    assert not found.cover("IR_1", None, NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_user_is_revoked_up_to_a_moment(path):
    """What was issued then or before, or does not say when; the last revocation counts."""
    revoke_user(path, "IR_1", NOW)
    found = read_revocations(path)
    assert found.cover("IR_1", "a1", NOW - 1)
    assert found.cover("IR_1", "a1", NOW)
    assert found.cover("IR_1", None, None)
    assert not found.cover("IR_1", "a1", NOW + 0.001)
    assert not found.cover("IR_2", "a1", NOW)
    assert not found.cover(None, None, None)
    revoke_user(path, "IR_1", NOW + 10)
    assert read_revocations(path).cover("IR_1", "a1", NOW + 10)


def test_tokens_that_are_over_are_let_go(path):
    """A month after their end they are refused anyway, and the file stays small."""
    revoke_token(path, "a1", NOW + 60, NOW)
    revoke_user(path, "IR_1", NOW)
    month = KEEP_OVER_SECONDS
    revoke_token(path, "a2", NOW + 2 * month, NOW + month + 59)
    assert read_revocations(path).cover(None, "a1", None)
    revoke_token(path, "a2", NOW + 2 * month, NOW + month + 60)
    assert read_revocations(path) == Revocations({"a2": NOW + 2 * month}, {"IR_1": NOW})


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", "null", '{"tokens": {}}', '{"tokens": [], "users": {}}'),
        *('{"tokens": {"a": "b"}, "users": {}}', '{"tokens": {}, "users": {"a": true}}'),
        "[" * 100_000,
    ],
    ids=lambda text: text[:30],
)
def test_a_broken_file_is_refused_and_left_as_it_is(path, content):
    """A broken file must not make revoked tokens valid again."""
    path.write_text(content)
    with pytest.raises(BadKeys, match="restore it from a copy"):
        read_revocations(path)
    with pytest.raises(BadKeys):
        revoke_user(path, "IR_1", NOW)
    assert path.read_text() == content


def test_many_at_a_time_lose_nothing(path):
    """Each waits for the one before: no revocation is written over."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: revoke_user(path, f"IR_{n}", NOW), range(100)))
    assert len(json.loads(path.read_text())["users"]) == 100
