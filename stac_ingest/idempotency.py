"""Writes that may be sent again: `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

A key is claimed in the transaction of what the request does. So it is recorded exactly when its effect is: a request
that failed leaves its key free, and one whose answer was lost is not done twice. A twin that arrives meanwhile waits.
"""

from __future__ import annotations

from dataclasses import dataclass

from stac_ingest.database import Connection, queries
from stac_ingest.errors import RequestError

MAX_KEY_LENGTH = 255
REMEMBERED_SECONDS = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Write:
    """One request that changes something, inside its transaction.

    Attributes:
        connection: The connection whose transaction holds whatever the request does.
        key: The request's key, if it has one.
        repeated: Whether the same request was done before, so that all that is left is to answer it.
        result: What `keep` recorded when it was done.
    """

    connection: Connection
    key: str | None = None
    repeated: bool = False
    result: str | None = None

    async def keep(self, result: str | None) -> None:
        """Record what a repetition needs to give the same answer, such as the id of what was made, if there is any."""
        if self.key is not None:
            await self.connection.execute(queries()["keep_result"], {"key": self.key, "result": result})


async def claim(connection: Connection, key: str, fingerprint: str) -> Write:
    """Return the write that a key stands for, from now until a day later.

    Args:
        connection: The connection on which the request does what it does.
        key: The key as the client sent it.
        fingerprint: What distinguishes this request from others: equal for its repetitions only.

    Raises:
        RequestError: 400 `INVALID_IDEMPOTENCY_KEY`, or 422 `IDEMPOTENCY_KEY_REUSED` when it stands for another request.
    """
    if not (1 <= len(key) <= MAX_KEY_LENGTH and key.isascii() and key.isprintable()):
        raise RequestError(
            400,
            "INVALID_IDEMPOTENCY_KEY",
            f"Expected an Idempotency-Key of 1 to {MAX_KEY_LENGTH} printable ASCII characters, such as a UUID,"
            f" found {key[:100]!r}.",
        )
    values = {"key": key, "fingerprint": fingerprint}
    row = await (await connection.execute(queries()["claim_request"], values)).fetchone() or {}
    if row["fingerprint"] != fingerprint:
        raise RequestError(
            422,
            "IDEMPOTENCY_KEY_REUSED",
            f"Expected the request that Idempotency-Key {key!r} was first sent with, found another; choose a new key.",
        )
    return Write(connection=connection, key=key, repeated=row["repeated"], result=row["result"])


async def forget(connection: Connection) -> None:
    """Free the keys of requests that nobody repeats any more."""
    await connection.execute(queries()["forget_requests"], {"after": REMEMBERED_SECONDS})
