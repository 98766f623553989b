"""trainhub_client/callbacks.py: a handler's error is reported, and the client goes on."""

import asyncio

import pytest

from trainhub_client.callbacks import call, start


@pytest.fixture
def faults(io_loop):
    """Return the errors that asyncio was told of."""
    found = []
    io_loop.asyncio_loop.set_exception_handler(lambda _, context: found.append(context))
    return found


@pytest.mark.gen_test
@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError()])
async def test_a_handler_that_raises_is_reported(faults, error):
    """A handler's CancelledError is reported too, and does not cancel the client."""

    def stumble(_):
        raise error

    assert call(stumble, 1) is None
    assert [each["exception"] for each in faults] == [error]


@pytest.mark.gen_test
async def test_an_async_handler_is_awaited_and_its_error_reported(faults):
    """What follows waits for the handler, also if it fails."""
    done = []

    async def stumble(number):
        await asyncio.sleep(0)
        raise ValueError(number)

    start(call(stumble, 7), lambda: done.append(7))
    assert not done
    for _ in range(5):
        await asyncio.sleep(0)
    assert done == [7]
    assert [str(each["exception"]) for each in faults] == ["7"]


@pytest.mark.gen_test
async def test_what_is_not_async_needs_no_task(faults):
    """None and a missing handler have nothing to await."""
    assert call(None, 1) is None
    assert call(lambda value: value, 1) is None
    start(None)
    assert not faults
