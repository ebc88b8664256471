import asyncio
import logging

from service.reloads import Reloads


async def test_everything_is_read_again_in_the_order_of_adding():
    read = []
    reloads = Reloads()
    for name in ("certificate", "keys"):

        async def reload(name=name):
            read.append(name)

        reloads.add(name, reload)
    await reloads.run()
    await reloads.run()
    assert read == ["certificate", "keys"] * 2


async def test_one_that_fails_is_logged_and_keeps_no_other(caplog):
    read = []

    async def fail():
        raise ValueError("expected keys, got none")

    async def reload():
        read.append(1)

    reloads = Reloads()
    reloads.add("keys", fail)
    reloads.add("weights", reload)
    with caplog.at_level(logging.INFO):
        await reloads.run()
    assert read == [1]
    failed, done = caplog.records
    assert (failed.levelname, failed.of) == ("ERROR", "keys")
    assert (done.levelname, done.of) == ("INFO", "weights")


async def test_a_second_call_waits_for_the_first():
    running, most = 0, 0

    async def reload():
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    reloads = Reloads()
    reloads.add("weights", reload)
    await asyncio.gather(reloads.run(), reloads.run())
    assert most == 1
