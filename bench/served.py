"""A server under measure with its clients, and what is measured of it round by round.

A round fails if a frame is missing or comes twice.
"""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count, cycle, islice

from crowd import Call, Crowd, Opening, Round
from servers import Hub, Peer

# Sockets of a room.
EACH = 200
ANSWER = b"HTTP/1.1 2"


class Served:
    """A hub or a peer with its clients: rooms of `each` sockets, and a room without any."""

    def __init__(self, stack: ExitStack, server: Hub | Peer, rooms: int, each: int = EACH) -> None:
        self.server, self._rooms, self._each = server, rooms, each
        sockets = rooms * each
        self._numbers = count(1)
        server.register(rooms + 1)
        self._crowd = Crowd(server.port, server.door)
        stack.callback(self._crowd.close)
        before, used = server.process.memory(), server.process.cpu()
        self._crowd.open([server.listener(n, n % rooms) for n in range(sockets)])
        self.once = {
            "open": (server.process.cpu() - used) / sockets * 1e6,
            "memory": (server.process.memory() - before) / sockets / 1024,
        }

    def publish(self, publishers: int, events: int) -> float:
        """Return the microseconds of CPU of an event, with all that its delivery costs."""
        return self._cost(self._calls_over_http(publishers, events, range(self._rooms)))

    def command(self, callers: int, commands: int) -> float:
        """Return the microseconds of CPU of a command without fan-out."""
        return self._cost(self._calls_over_http(callers, commands, ()))

    def command_by_socket(self, callers: int, commands: int) -> float | None:
        """Return the same for commands over a WebSocket, None for a peer."""
        if not isinstance(self.server, Hub):
            return None
        numbers = [next(self._numbers) for _ in range(commands)]
        self._crowd.call_on([self.server.caller(n) for n in range(callers)], b'"DONE"')
        return self._cost([Call(n, self.server.send(n, self._rooms)) for n in numbers])

    def deliver(self, rate: float, seconds: float, callers: int) -> Round:
        """Let events fall due at a rate, in random rooms, and return what came of them."""
        rooms = random.choices(range(self._rooms), k=int(rate * seconds))
        return self._round(self._calls_over_http(callers, len(rooms), rooms), rate)

    def _calls_over_http(self, callers: int, count: int, rooms: Sequence[int]) -> list[Call]:
        """Open the connections of callers, and return calls to these rooms in turn.

        Without rooms, the calls go to the empty room.
        """
        # The first call of each connection is not measured.
        firsts = [self.server.post(0, self._rooms, n) for n in range(callers)]
        self._crowd.call_on([Opening(each, ANSWER) for each in firsts], ANSWER)
        hearers = self._each if rooms else 0
        turns = islice(cycle(rooms or (self._rooms,)), count)
        numbers = [(next(self._numbers), room) for room in turns]
        return [
            Call(number, self.server.post(number, room, n % callers), hearers)
            for n, (number, room) in enumerate(numbers)
        ]

    def _cost(self, calls: Sequence[Call]) -> float:
        used = self.server.process.cpu()
        self._round(calls)
        return (self.server.process.cpu() - used) / len(calls) * 1e6

    def _round(self, calls: Sequence[Call], rate: float | None = None) -> Round:
        result = self._crowd.round(calls, rate=rate)
        assert not result.missing, f"{result.missing} frames are missing"
        assert not result.twice, f"{result.twice} frames came twice"
        return result
