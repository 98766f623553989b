"""What commands that came with an idempotency key were answered, for a day.

A client that does not know whether its command was heard sends it again under the same key: it
gets the first answer, and nothing happens twice. Failures are not kept, as they changed nothing.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import ujson

from trainhub.core.errors import BadMessage, Conflict
from trainhub.core.journal import StoredAnswer
from trainhub.core.shares import Shares
from trainhub.core.wire import encode

KEPT_SECONDS = 24 * 3600
# More than a day's marks of a thousand trains; and far more than a passenger can need in a day.
MOST = 500_000
MOST_OF_PASSENGER = 1_000
LONGEST_KEY = 64


def check_key(key: object) -> str:
    """The key, if it can be one; else BadMessage."""
    if isinstance(key, str) and 0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable():
        return key
    raise BadMessage(f"an idempotency key is 1 to {LONGEST_KEY} printable ASCII characters")


class Answers:
    """The answers of the last day, by user and key.

    When there are too many, the user with the most loses the oldest one.
    """

    def __init__(self, most: int = MOST) -> None:
        self._answers: Shares[str, str, StoredAnswer] = Shares(most)

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, user: str, key: str, command: object) -> dict[str, Any] | None:
        """The first answer to this command. Raises Conflict if the key was another command's."""
        found = self._answers.get(user, key)
        if found is None:
            return None
        if found.command != _mark_of(command):
            raise Conflict("this idempotency key was used for another command: take a new one")
        result: dict[str, Any] = ujson.loads(found.result)
        return result

    def keep(
        self,
        user: str,
        key: str,
        command: object,
        result: dict[str, Any],
        at: float,
        most: float = MOST,
    ) -> tuple[StoredAnswer, list[tuple[str, str]]]:
        """Remember an answer, and at most `most` answers of its user.

        Returns the answer, and the users and keys of those that are forgotten for it.
        """
        answer = StoredAnswer(user, key, _mark_of(command), encode(result).decode(), at)
        return answer, self._answers.put(user, key, answer, most)

    def load(self, answers: Iterable[StoredAnswer]) -> None:
        for answer in answers:
            self._answers.put(answer.user, answer.key, answer)

    def forget(self, before: float) -> None:
        """Let go of the answers given before that time; a user's stand in the order of time."""
        while old := [each for each in self._answers.oldest() if each[2].at < before]:
            for user, key, _ in old:
                self._answers.drop(user, key)


def _mark_of(command: object) -> str:
    return hashlib.blake2b(repr(command).encode(), digest_size=16).hexdigest()
