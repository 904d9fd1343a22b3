"""What every request passes on its way in and out; `api.app` says in which order and why."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem
from stac_ingest.stac import SCHEMA, SCHEMA_PATH

_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
_ASKED_BY_POST = re.compile(r"/search|(/collections/[^/]+)?/aggregate")


class WriteKeyMiddleware:
    """Ask for an API key on every request that may change something.

    That is each one that is not GET, HEAD, OPTIONS, a search or an aggregation, so no route can be forgotten.
    """

    def __init__(self, app: ASGIApp, api_keys: Sequence[str]) -> None:
        self.app = app
        self.api_keys = [key.encode() for key in api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or answer 401."""
        if scope["type"] != "http" or not self.api_keys or self._only_reads(scope) or self._has_key(scope):
            await self.app(scope, receive, send)
            return
        detail = "This changes the catalog and needs an API key; send it as `Authorization: Bearer KEY`."
        answer = problem(401, "UNAUTHORIZED", detail, {"WWW-Authenticate": "Bearer"})
        await answer(scope, receive, send)

    def _only_reads(self, scope: Scope) -> bool:
        asks = scope["method"] == "POST" and _ASKED_BY_POST.fullmatch(_route_path(scope))
        return scope["method"] in _SAFE_METHODS or bool(asks)

    def _has_key(self, scope: Scope) -> bool:
        scheme, _, sent = Headers(scope=scope).get("authorization", "").partition(" ")
        matches = [secrets.compare_digest(sent.strip().encode(), key) for key in self.api_keys]
        return scheme.lower() == "bearer" and any(matches)


class HeadMiddleware:
    """Answer HEAD wherever GET is answered: the same status and headers, without a body.

    Assets answer it themselves, so as not to open what is not sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask for GET, and stop once the headers are known; an answer without end would else never be over."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or _route_path(scope).startswith("/assets/"):
            await self.app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send(message)
            await send({"type": "http.response.body"})
            raise _HeadSentError

        with contextlib.suppress(_HeadSentError):
            await self.app({**scope, "method": "GET"}, receive, send_head)


class _HeadSentError(Exception):
    """All that is wanted of an answer has been sent."""


class PublicHrefsMiddleware:
    """Let JSON answers say where assets are reached, in place of where they are.

    The catalog records `file:///…` or `s3://…`. In the bytes that go out, the store's address becomes the address that
    was asked; so it does for the schema of our own fields. An answer that is sent in parts is divided between values.
    """

    def __init__(self, app: ASGIApp, store_url: str) -> None:
        self.app = app
        self.stored = f'"{store_url}/'.encode()
        self.schema = f'"{SCHEMA}"'.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Replace in a JSON answer; others pass as they come."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start: Message | None = None
        is_json = False

        async def replace(message: Message) -> None:
            nonlocal start, is_json
            if message["type"] == "http.response.start" and _is_json(message):
                start, is_json = message, True
            elif message["type"] == "http.response.body" and is_json:
                body = self._replaced(message.get("body", b""), scope)
                if start is not None:
                    await send(_with_length(start, None if message.get("more_body") else len(body)))
                    start = None
                await send({**message, "body": body})
            else:
                await send(message)

        await self.app(scope, receive, replace)

    def _replaced(self, body: bytes, scope: Scope) -> bytes:
        if self.stored not in body and self.schema not in body:
            return body
        base = str(Request(scope).base_url)
        changed = body.replace(self.stored, f'"{base}'.encode())
        return changed.replace(self.schema, f'"{base}{SCHEMA_PATH}"'.encode())


def _with_length(start: Message, length: int | None) -> Message:
    headers = MutableHeaders(raw=list(start["headers"]))
    if length is not None:
        headers["content-length"] = str(length)
    elif "content-length" in headers:
        del headers["content-length"]
    return {**start, "headers": headers.raw}


def _route_path(scope: Scope) -> str:
    root_path: str = scope.get("root_path", "")
    path: str = scope["path"]
    return path.removeprefix(root_path)


def _is_json(message: Message) -> bool:
    return "json" in Headers(raw=message["headers"]).get("content-type", "")
