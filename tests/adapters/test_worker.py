"""trainhub/adapters/worker.py: calls run on one thread, in order."""

import asyncio
import threading

import pytest

from trainhub.adapters.worker import Worker


@pytest.fixture
def worker():
    worker = Worker("test")
    yield worker
    worker.stop()


@pytest.mark.gen_test
async def test_calls_run_in_order_on_one_other_thread(worker):
    """Each future has the result of its own call."""
    ran = []
    calls = [worker.run(lambda n=n: (ran.append(n), threading.get_ident())) for n in range(50)]
    threads = {thread for _, thread in await asyncio.gather(*calls)}
    assert ran == list(range(50))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


@pytest.mark.gen_test
async def test_a_call_that_raises_leaves_the_thread_at_work(worker):
    """The future has the exception, and the next call runs."""
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 / 0)
    assert await worker.run(lambda: "alive") == "alive"


@pytest.mark.gen_test
async def test_a_call_whose_caller_has_gone_is_carried_out_all_the_same(worker):
    """A call goes on if its caller is cancelled."""
    hold, ran = threading.Event(), []
    worker.run(hold.wait)
    gone = worker.run(lambda: ran.append(1))
    gone.cancel()
    hold.set()
    await worker.run(lambda: None)
    assert ran == [1]


@pytest.mark.gen_test
async def test_stop_waits_for_what_was_handed_in():
    """`stop` waits for all queued calls."""
    worker, ran = Worker("test"), []
    for n in range(20):
        worker.run(lambda n=n: ran.append(n))
    worker.stop()
    assert ran == list(range(20))
