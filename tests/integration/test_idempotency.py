"""Keys of requests, in the transaction of what they do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from stac_ingest import idempotency
from stac_ingest.errors import RequestError
from stac_ingest.uploads import Uploads
from tests.integration.conftest import Scenario

Play = Callable[[Scenario], Any]


def test_a_key_is_forgotten_after_a_day(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        async with uploads.pool.connection() as connection:
            for key in ("old", "new"):
                await idempotency.claim(connection, key, "x")
            await connection.execute("UPDATE requests SET created = now() - interval '25 h' WHERE key = 'old'")
            await idempotency.forget(connection)
            assert not (await idempotency.claim(connection, "old", "another")).repeated
            assert (await idempotency.claim(connection, "new", "x")).repeated
            with pytest.raises(RequestError) as caught:
                await idempotency.claim(connection, "new", "another")
            assert (caught.value.status, caught.value.code) == (422, "IDEMPOTENCY_KEY_REUSED")

    play(scenario)


def test_a_twin_waits_until_the_first_has_ended(play: Play) -> None:
    """A twin of what succeeds is a repetition; a twin of what fails is done."""

    async def scenario(uploads: Uploads) -> None:
        for fails in (False, True):
            claimed, go_on = asyncio.Event(), asyncio.Event()

            async def first(key: str, fails: bool, claimed: asyncio.Event, go_on: asyncio.Event) -> None:
                async with uploads.pool.connection() as connection:
                    write = await idempotency.claim(connection, key, "x")
                    await write.keep("made")
                    claimed.set()
                    await go_on.wait()
                    if fails:
                        raise RequestError(400, "WRONG", "It failed.")

            async def twin(key: str) -> idempotency.Write:
                async with uploads.pool.connection() as connection:
                    return await idempotency.claim(connection, key, "x")

            one = asyncio.create_task(first(f"key {fails}", fails, claimed, go_on))
            await claimed.wait()
            other = asyncio.create_task(twin(f"key {fails}"))
            await asyncio.sleep(0.2)
            assert not other.done()
            go_on.set()
            await asyncio.gather(one, return_exceptions=True)
            found = await other
            assert (found.repeated, found.result) == ((False, None) if fails else (True, "made"))

    play(scenario)
