import asyncio

import pytest

from service.errors import DisconnectedError
from service.http.disconnect import cancel_when_client_leaves


def receiver(*messages):
    waiting = list(messages)

    async def receive():
        if not waiting:
            await asyncio.sleep(3600)
        return waiting.pop(0)

    return receive


LEFT = {"type": "http.disconnect"}
END = {"type": "http.request", "body": b""}


async def test_a_client_that_leaves_cancels_the_block():
    reached = []

    async def wait_long():
        async with cancel_when_client_leaves(receiver(END, LEFT)):
            reached.append("in")
            await asyncio.sleep(3600)
            reached.append("never")

    with pytest.raises(DisconnectedError):
        await wait_long()
    assert reached == ["in"]
    assert asyncio.current_task().cancelling() == 0


async def test_a_client_that_stays_changes_nothing():
    async with cancel_when_client_leaves(receiver()):
        await asyncio.sleep(0)


async def test_another_cancellation_stays_a_cancellation():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), cancel_when_client_leaves(receiver()):
            await asyncio.sleep(3600)


async def test_an_error_of_the_block_is_passed_on():
    with pytest.raises(ZeroDivisionError):
        async with cancel_when_client_leaves(receiver()):
            raise ZeroDivisionError
