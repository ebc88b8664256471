"""Both clients by the same calls."""

import asyncio

import pytest

from expofuse.client import AsyncClient, Client


class Awaited:
    """The calls of `AsyncClient`, each awaited in an event loop of its own."""

    def __init__(self, *arguments, **options):
        self._arguments, self._options = arguments, options
        asyncio.run(self._nothing())

    def __getattr__(self, name):
        async def call(*arguments, **options):
            async with AsyncClient(*self._arguments, **self._options) as client:
                return await getattr(client, name)(*arguments, **options)

        return lambda *arguments, **options: asyncio.run(call(*arguments, **options))

    async def _nothing(self):
        async with AsyncClient(*self._arguments, **self._options):
            pass


class Blocking:
    """The calls of `Client`, each with one of its own."""

    def __init__(self, *arguments, **options):
        self._arguments, self._options = arguments, options
        Client(*arguments, **options).close()

    def __getattr__(self, name):
        def call(*arguments, **options):
            with Client(*self._arguments, **self._options) as client:
                return getattr(client, name)(*arguments, **options)

        return call


@pytest.fixture(params=[Blocking, Awaited], ids=["sync", "async"])
def make_client(request):
    """Makes a client of either kind."""
    return request.param
