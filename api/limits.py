"""What no request may bring along: the character NUL in its address, or a larger body than its route needs."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem

MAX_BODY_BYTES = 8 * 1024**2
MAX_BULK_BYTES = 64 * 1024**2
"""Of the items of one bulk request: some ten thousand with six assets each."""
_BULK = re.compile(r".*/collections/[^/]+/bulk_items")
_FILE = re.compile(r".*/uploads/[^/]+/files/[^/]+")


class LimitsMiddleware:
    """Refuse what is too large before it is held in memory, and what PostgreSQL has no character for.

    The bytes of files are not held; their route measures them itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or answer 400 or 413; a body without a length is measured as it comes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            answer = problem(400, "INVALID_REQUEST", "Expected an address without the character NUL, found %00.")
            await answer(scope, receive, send)
            return
        if _FILE.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
            return
        most = MAX_BULK_BYTES if _BULK.fullmatch(scope["path"]) else MAX_BODY_BYTES
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdigit() and int(announced) > most:
            await problem(413, "PAYLOAD_TOO_LARGE", _sentence(most))(scope, receive, send)
            return
        received = 0

        async def measured() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(413, _sentence(most))
            return message

        await self.app(scope, measured, send)


def _sentence(most: int) -> str:
    return f"Expected a body of at most {most} bytes, found more; send less at a time."
