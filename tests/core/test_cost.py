"""trainhub/core/cost.py: callers pay for their work, and long work is cut into slices."""

import asyncio
import time

import pytest
from waiting import PATIENCE

from trainhub.core.cost import Bill, Gate, aside, in_slices, open_bill, paid


class Purse:
    """An account that remembers what was spent."""

    def __init__(self):
        self.spent = 0.0

    def spend(self, seconds):
        self.spent += seconds

    def check(self):
        pass


def burn(seconds):
    """Use the CPU for a number of seconds."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def pay_from(purse):
    bill = Bill()
    bill.account = purse
    open_bill(bill)


@pytest.mark.gen_test
async def test_the_caller_pays_for_each_step_and_not_for_waiting():
    """CPU time before and after a wait counts; the wait itself, and the work of others, do not."""
    purse = Purse()

    async def other():
        burn(0.05)

    async def work():
        burn(0.01)
        await asyncio.gather(asyncio.sleep(0.1), asyncio.ensure_future(other()))
        burn(0.01)
        return "done"

    pay_from(purse)
    assert await paid(work()) == "done"
    assert 0.02 <= purse.spent < 0.05


@pytest.mark.gen_test
async def test_errors_and_cancelling_pass_through():
    """Work that is paid for ends as it would by itself."""
    pay_from(Purse())

    async def failing():
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await paid(failing())
    caught = []

    async def waiting():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            caught.append(True)
            raise

    task = asyncio.ensure_future(paid_task(waiting()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert caught


async def paid_task(work):
    await paid(work)


@pytest.mark.gen_test
async def test_without_a_bill_work_is_free():
    """Timers and the hub's own hand have no account."""

    async def work():
        await asyncio.sleep(0)
        return 7

    assert await asyncio.create_task(paid_task(work())) is None
    assert await paid(work()) == 7


@pytest.mark.gen_test
async def test_tasks_and_threads_are_paid_by_whom_they_serve():
    """A look-up that a request starts, and a thread that compresses for it, are on its bill."""
    purse = Purse()
    pay_from(purse)

    async def look_up():
        burn(0.01)

    await asyncio.create_task(paid_task(look_up()))
    assert purse.spent >= 0.01
    await aside(burn, 0.02)
    assert purse.spent >= 0.03


@pytest.mark.gen_test
async def test_long_work_leaves_the_loop_to_others_after_each_slice():
    """While a second of work is done in slices, the loop turns hundreds of times."""
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(others())
    async for _ in in_slices(range(100)):
        burn(0.001)
    task.cancel()
    assert turns > 100


@pytest.mark.gen_test
async def test_callers_take_turns_however_many_pieces_each_has():
    """One caller's crowd delays another caller by a piece, not by the crowd."""
    gate, order = Gate(1), []

    async def piece(purse, name):
        pay_from(purse)
        async with gate.turn():
            await asyncio.sleep(0)
            order.append(name)

    greedy, modest = Purse(), Purse()
    tasks = [asyncio.create_task(piece(greedy, f"greedy {n}")) for n in range(50)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(piece(modest, "modest")))
    await asyncio.gather(*tasks)
    assert order.index("modest") <= 3
    assert len(order) == 51


@pytest.mark.gen_test
async def test_who_gives_up_waiting_leaves_the_turn_to_the_next():
    """No turn is lost, whether the waiting one was called already or not."""
    gate = Gate(1)
    done = []

    async def piece(name):
        async with gate.turn():
            done.append(name)

    async with gate.turn():
        first, second, third = (asyncio.create_task(piece(n)) for n in range(3))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
    second.cancel()  # its turn has come, and it has not begun
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert done == [2]
    async with asyncio.timeout(PATIENCE), gate.turn():
        pass
