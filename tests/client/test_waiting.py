"""trainhub_client/waiting.py: the commands' users, their time limits, and faults of the storage."""

import asyncio
import json
import time

import jwt
import pytest

from trainhub_client import HubError
from trainhub_client.waiting import KEPT_SECONDS, CommandQueue, Login, subject_of

T1, T2 = Login("a", "T1"), Login("b", "T2")


def mark(key="k", **fields):
    return {"type": "MARK_BOARDED", "key": key, "pnr": "4512345601", "index": 1, **fields}


def stored(user="T1", asked_at=None, until=None, key="k"):
    asked_at = time.time() - 60 if asked_at is None else asked_at
    until = asked_at + KEPT_SECONDS if until is None else until
    return json.dumps({"message": mark(key), "user": user, "askedAt": asked_at, "until": until})


def restored(*texts):
    told = []
    queue = CommandQueue({str(place): text for place, text in enumerate(texts)}, told.append)
    queue.restore()
    return queue, told


@pytest.mark.gen_test
async def test_each_user_is_asked_only_their_own():
    """Each user's commands are sent only as that user, in any order of users."""
    queue, unknown = CommandQueue(None, print), Login(print)
    for login, key in ((T1, "1"), (T2, "2"), (T1, "3"), (unknown, "4")):
        queue.add(mark(key), login, 60)
    assert queue.next("T1", T1, 0).message["key"] == "1"
    assert queue.next("T2", T2, 0).message["key"] == "2"
    assert queue.next("T3", Login("c", "T3"), 0) is None
    assert queue.others("T2", T2) == ["1", "3", "4"]
    unknown.user = "T3"
    queue.name(unknown)
    assert queue.next("T3", Login("c", "T3"), 0).message["key"] == "4"


@pytest.mark.gen_test
async def test_what_no_user_is_known_for_is_not_given_to_the_next_one():
    """A command without a user waits for claim or discard."""
    queue, _ = restored(stored(user=None))
    assert queue.next("T2", T2, 0) is None
    queue.claim("k", "T2")
    entry = queue.next("T2", T2, 0)
    assert entry.message["key"] == "k"
    with pytest.raises(HubError, match="FORBIDDEN"):
        queue.claim("k", "T1")
    queue.discard("k")
    with pytest.raises(HubError, match="DISCARDED"):
        await entry.answer
    with pytest.raises(HubError, match="UNKNOWN_COMMAND"):
        queue.discard("k")


@pytest.mark.gen_test
async def test_a_clock_that_was_set_back_makes_no_command_wait_longer():
    """A command's remaining time never exceeds its whole time."""
    ahead = time.time() + 365 * 86_400
    queue, _ = restored(stored(asked_at=ahead), stored(asked_at=ahead, until=ahead + 60, key="l"))
    now = asyncio.get_running_loop().time()
    left = [entry.timer.when() - now for entry in queue.entries]
    assert left[0] <= KEPT_SECONDS
    assert left[1] <= 60


@pytest.mark.gen_test
async def test_what_was_sent_a_day_ago_is_not_sent_again():
    """After a laptop's sleep a command with an expired key is not sent again."""
    queue = CommandQueue(None, print)
    entry = queue.add(mark(), T1, KEPT_SECONDS)
    assert queue.next("T1", T1, 1000) is entry
    assert queue.next("T1", T1, 1000 + KEPT_SECONDS) is entry
    assert queue.next("T1", T1, float("nan")) is entry  # a hub that does not say its time
    assert queue.next("T1", T1, 1001 + KEPT_SECONDS) is None
    with pytest.raises(HubError, match="LAPSED"):
        await entry.answer


@pytest.mark.gen_test
async def test_what_is_no_command_is_left_alone_and_told():
    """Other entries of a storage are reported and stay."""
    other = ('"x"', "[]", "not json", '{"message": {}}', '{"message": {"type": 1, "key": "k"}}', 5)
    damaged = json.dumps({**json.loads(stored()), "askedAt": "soon"})
    queue, told = restored(*other, damaged, stored())
    assert [each.message["key"] for each in queue.entries] == ["k"]
    assert [each.code for each in told] == ["NOT_STORED"]


class FullDisk(dict):
    """A storage that neither stores nor returns anything."""

    def __setitem__(self, *_):
        raise OSError(28, "No space left on device")

    def pop(self, *_):
        raise OSError(5, "Input/output error")

    def values(self):
        raise RuntimeError("the file is locked")


@pytest.mark.gen_test
async def test_a_storage_that_fails_holds_up_no_command():
    """Each failure is reported, and the command is answered."""
    told = []
    queue = CommandQueue(FullDisk(), told.append)
    queue.restore()
    entry = queue.add(mark(), T1, 60)
    queue.succeed(entry, {"seq": 1})
    assert await entry.answer == {"seq": 1}
    assert [each.code for each in told] == ["NOT_STORED"] * 3


@pytest.mark.gen_test
@pytest.mark.parametrize("fields", [{"at": float("nan")}, {"at": {1, 2}}, {"text": "\ud800"}])
async def test_what_is_no_json_is_refused_at_once(fields):
    """Fields that JSON cannot hold raise at once."""
    queue = CommandQueue(None, print)
    with pytest.raises((ValueError, TypeError)):
        queue.add(mark(**fields), T1, 60)
    assert not queue.entries


def test_a_tokens_subject():
    """The user is read without the key; an invalid token has none."""
    assert subject_of(jwt.encode({"sub": "T17"}, "x" * 32, "HS256")) == "T17"
    assert subject_of(jwt.encode({"sub": "Żółć/ü"}, "x" * 32, "HS256")) == "Żółć/ü"
    for text in ("", "a.b.c", "opaque", "a.e30.c", "a.W10.c"):
        assert subject_of(text) is None
