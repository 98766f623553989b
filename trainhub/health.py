"""What does not work at the moment although the hub runs: one list, asked of every part."""

from collections.abc import Callable, Iterable

Complaints = Callable[[], Iterable[str]]


class Health:
    """The parts that can say what is wrong with them.

    `/readyz` and the monitor page show every complaint to anyone, so a complaint names no person
    and quotes no error text of a driver.
    """

    def __init__(self) -> None:
        self._parts: list[Complaints] = []

    def watch(self, *parts: Complaints) -> None:
        """Ask these parts too. Each returns a sentence per fault, and nothing when it is well."""
        self._parts += parts

    def complaints(self) -> list[str]:
        """Return what is wrong now, one sentence per fault."""
        return [sentence for part in self._parts for sentence in part()]
