"""The answers to commands with an idempotency key, stored for a day.

A client that does not know whether its command took effect repeats it under the same key. It gets
the first answer, and the command takes effect once. Failures are not stored: they changed nothing.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import ujson

from trainhub.core.errors import BadMessage, Conflict
from trainhub.core.journal import StoredAnswer
from trainhub.core.shares import Shares
from trainhub.core.wire import encode

# Seconds for which an answer is stored: a day.
KEPT_SECONDS = 24 * 3600
# Answers in all: more than the marks of a thousand trains in a day.
MOST = 500_000
# Answers of one passenger: more than a passenger needs in a day.
MOST_OF_PASSENGER = 1_000
# Characters.
LONGEST_KEY = 64


def check_key(key: object) -> str:
    """Return the key. Raises BadMessage if it is not a valid idempotency key."""
    if isinstance(key, str) and 0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable():
        return key
    raise BadMessage(f"an idempotency key is 1 to {LONGEST_KEY} printable ASCII characters")


class Answers:
    """The answers of the last day, by user and key.

    When the table is full, the user with the most answers loses the oldest one.
    """

    def __init__(self, most: int = MOST) -> None:
        self._answers: Shares[str, str, StoredAnswer] = Shares(most)

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, user: str, key: str, command: object) -> dict[str, Any] | None:
        """Return the answer to this command, None if it has no answer yet.

        Raises Conflict if the key was used for another command.
        """
        found = self._answers.get(user, key)
        if found is None:
            return None
        if found.command != _mark_of(command):
            raise Conflict("this idempotency key was used for another command: send a new key")
        result: dict[str, Any] = ujson.loads(found.result)
        return result

    def store(
        self,
        user: str,
        key: str,
        command: object,
        result: dict[str, Any],
        at: float,
        most: float = MOST,
    ) -> tuple[StoredAnswer, list[tuple[str, str]]]:
        """Store an answer, and at most `most` answers of its user.

        Returns the answer, and the users and keys of the answers that were dropped for it.
        """
        answer = StoredAnswer(user, key, _mark_of(command), encode(result).decode(), at)
        return answer, self._answers.put(user, key, answer, most)

    def load(self, answers: Iterable[StoredAnswer]) -> None:
        for answer in answers:
            self._answers.put(answer.user, answer.key, answer)

    def prune(self, before: float) -> None:
        """Drop the answers that were given before that time. Each user's are in order of time."""
        while old := [each for each in self._answers.oldest() if each[2].at < before]:
            for user, key, _ in old:
                self._answers.drop(user, key)


def _mark_of(command: object) -> str:
    return hashlib.blake2b(repr(command).encode(), digest_size=16).hexdigest()
