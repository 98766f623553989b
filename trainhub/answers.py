"""What commands that came with an idempotency key were answered, for a day.

A client that does not know whether its command was heard sends it again under the same key: it
gets the first answer, and nothing happens twice. Failures are not kept, as they changed nothing.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import ujson

from trainhub.domain.commands import Command
from trainhub.domain.errors import BadMessage, Conflict
from trainhub.journal import Answer
from trainhub.protocol import encode

KEPT_SECONDS = 24 * 3600
# More than a day's marks of a thousand trains; the oldest go first.
MOST = 500_000
LONGEST_KEY = 64


def check_key(key: object) -> str:
    """The key, if it can be one; else BadMessage."""
    if isinstance(key, str) and 0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable():
        return key
    raise BadMessage(f"an idempotency key is 1 to {LONGEST_KEY} printable ASCII characters")


class Answers:
    """The answers of the last day, by user and key."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._answers: dict[tuple[str, str], Answer] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, user: str, key: str, command: Command) -> dict[str, Any] | None:
        """The first answer to this command. Raises Conflict if the key was another command's."""
        found = self._answers.get((user, key))
        if found is None:
            return None
        if found.command != _mark_of(command):
            raise Conflict("this idempotency key was used for another command: take a new one")
        result: dict[str, Any] = ujson.loads(found.result)
        return result

    def keep(
        self, user: str, key: str, command: Command, result: dict[str, Any], at: float
    ) -> Answer:
        """Take note of an answer; returns it for the log."""
        answer = Answer(user, key, _mark_of(command), encode(result).decode(), at)
        self.load((answer,))
        return answer

    def load(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            self._answers[answer.user, answer.key] = answer
        while len(self._answers) > self._most:
            del self._answers[next(iter(self._answers))]

    def forget(self, before: float) -> float:
        """Let go of the answers given before that time; they stand in the order of their times.

        Returns the time before which none is held any more, which is later if there were too many.
        """
        while self._answers:
            name = next(iter(self._answers))
            oldest = self._answers[name].at
            if oldest >= before:
                return oldest if len(self._answers) >= self._most else before
            del self._answers[name]
        return before


def _mark_of(command: Command) -> str:
    return hashlib.blake2b(repr(command).encode(), digest_size=16).hexdigest()
