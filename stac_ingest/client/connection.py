"""Requests to the service, and its errors as exceptions."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

import httpx2

from stac_ingest.errors import (
    BadRequestError,
    ClientError,
    ConflictError,
    ForbiddenError,
    GatewayTimeoutError,
    GoneError,
    MethodNotAllowedError,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnauthorizedError,
    ValidationError,
)

DEFAULT_URL = "http://127.0.0.1:8000"

ERRORS: dict[int, type[ClientError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: MethodNotAllowedError,
    409: ConflictError,
    410: GoneError,
    412: ConflictError,
    422: ValidationError,
    429: RateLimitError,
    504: GatewayTimeoutError,
}
"""HTTP status -> exception; others of 4xx are ClientError, of 5xx ServerError."""

RETRIES = 3
_RETRIED = frozenset((429, 502, 503, 504))
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 60.0

Chunks = Callable[[], Iterator[bytes | memoryview]]
"""Yields the bytes of one file, anew at each call."""


@dataclass(frozen=True)
class Answer:
    """What the service answered."""

    body: Any
    """The JSON, or None when there was none."""
    etag: str | None = None
    """Which version of the object it is."""


class Client:
    """A connection to one service; threads may share it.

    A request that gets no answer, or 429, 502, 503 or 504, is sent again after a pause (0.5, 1, 2 … seconds, or what
    `Retry-After` asks). That is safe for writes too: each carries an `Idempotency-Key`, by which the service
    knows what it has done already.

    Args:
        url: Address of the service; unset: `STAC_INGEST_URL`, else http://127.0.0.1:8000.
        api_key: Key for writing; unset: `STAC_INGEST_API_KEY`.
        retries: How many times a request is sent again.
        transport: How requests travel; unset: over the network.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        retries: int = RETRIES,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.url = (url or os.environ.get("STAC_INGEST_URL") or DEFAULT_URL).rstrip("/")
        self.retries = retries
        key = (api_key or os.environ.get("STAC_INGEST_API_KEY") or "").strip()
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(30, connect=9.5, write=300, read=300),
            transport=transport,
        )

    def close(self) -> None:
        """Close the connections; a client can also be used in a `with` block."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __reduce__(self) -> tuple[Callable[..., Client], tuple[str, int]]:
        """Let objects travel to other processes, which connect by themselves with the API key of their environment."""
        return _connected, (self.url, self.retries)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON at a path."""
        return self.fetch(path, params).body

    def fetch(self, path: str, params: Mapping[str, Any] | None = None) -> Answer:
        """Return the JSON at a path, and which version of it that is."""
        return self._ask("GET", path, params=params)

    def exists(self, *parts: str) -> bool:
        """Return whether there is something at the path that `path` makes of the parts."""
        try:
            self._ask("HEAD", path(*parts))
        except NotFoundError:
            return False
        return True

    def post(self, path: str, body: Any = None) -> Any:
        """Send JSON, and return the JSON of the answer."""
        return self.write("POST", path, body).body

    def write(self, method: str, path: str, body: Any = None, *, etag: str | None = None) -> Answer:
        """Change what is at a path, once, however often the request has to be sent.

        Args:
            method: POST, PUT, PATCH (a JSON Merge Patch, RFC 7396) or DELETE.
            path: The path.
            body: JSON to send.
            etag: The version that is to be changed; the service refuses to change any other.

        Raises:
            ConflictError: The object is not as `etag` says any more, or its state does not allow this.
        """
        headers = {"Idempotency-Key": str(uuid4())}
        if etag is not None:
            headers["If-Match"] = etag
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        return self._ask(method, path, headers=headers, **({} if body is None else {"json": body}))

    def send(self, path: str, chunks: Chunks, size: int | None = None) -> Any:
        """Stream bytes to a path, and return the JSON of the answer; a transfer that breaks off begins anew.

        Args:
            path: The path.
            chunks: Yields the bytes, from the first one at each call.
            size: How many they are, if known.
        """
        headers = {"Content-Type": "application/octet-stream"}
        if size is not None:
            headers["Content-Length"] = str(size)
        return self._ask("PUT", path, chunks=chunks, headers=headers).body

    def _ask(self, method: str, path: str, *, chunks: Chunks | None = None, **options: Any) -> Answer:
        attempt = 0
        while True:
            content = {"content": chunks()} if chunks else {}
            try:
                return self._ask_once(method, path, **content, **options)
            except ClientError as error:
                if attempt >= self.retries or not _may_pass(error):
                    raise
                time.sleep(_pause(error, attempt))
            attempt += 1

    def _ask_once(self, method: str, path: str, **options: Any) -> Answer:
        url = f"{self.url}{path}"
        try:
            answer = self._http.request(method, url, **options)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeEncodeError) as error:
            raise ClientError(f"{url} cannot be asked ({error}); are STAC_INGEST_URL and the API key right?") from error
        except httpx2.TimeoutException as error:
            raise GatewayTimeoutError(f"{method} {url} was not answered in time: {error}") from error
        except httpx2.TransportError as error:
            raise ServerError(
                f"The service at {self.url} cannot be reached ({error}); is it running, and is STAC_INGEST_URL right?"
            ) from error
        if answer.is_error:
            raise _error_of(answer)
        if not answer.is_success:
            raise ClientError(
                f"{method} {url} was answered with {answer.status_code}, which leads to"
                f" {answer.headers.get('location')!r}; give the service's own address, for example in STAC_INGEST_URL.",
                status=answer.status_code,
            )
        try:
            body = answer.json() if answer.content else None
        except ValueError as error:
            raise ClientError(
                f"{method} {url} was not answered with JSON, but with {answer.text[:100]!r}; is STAC_INGEST_URL right?"
            ) from error
        return Answer(body=body, etag=answer.headers.get("etag"))


def _connected(url: str, retries: int) -> Client:
    return Client(url, retries=retries)


def _may_pass(error: ClientError) -> bool:
    unanswered = isinstance(error, ServerError) and error.status is None
    return unanswered or error.status in _RETRIED


def _pause(error: ClientError, attempt: int) -> float:
    """Return the seconds to wait: those that the service asks for, else twice as many each time, never quite equal."""
    asked = error.retry_after
    pause = _FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.75, 1.25) if asked is None else asked  # noqa: S311
    return min(pause, _LONGEST_PAUSE_SECONDS)


def _error_of(answer: httpx2.Response) -> ClientError:
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": answer.text[:500] or answer.reason_phrase}
    message = problem.get("detail") or problem.get("description") or answer.reason_phrase
    fallback: Callable[..., ClientError] = ServerError if answer.is_server_error else ClientError
    make = ERRORS.get(answer.status_code, fallback)
    asked = answer.headers.get("retry-after", "")
    return make(
        str(message),
        status=answer.status_code,
        code=problem.get("code"),
        retry_after=float(asked) if asked.isdecimal() else None,
    )


def path(*parts: str) -> str:
    """Return a path of the API from its parts, each encoded.

    Raises:
        NotFoundError: A part is empty or dots alone, as no id is; the path would lead elsewhere.
    """
    if nowhere := [part for part in parts if not part.strip(".")]:
        raise NotFoundError(f"Nothing in the catalog is called {nowhere[0]!r}.", status=404)
    return "".join(f"/{quote(part, safe=':')}" for part in parts)


def default_client() -> Client:
    """Return the client that the environment names."""
    return _client_for(os.environ.get("STAC_INGEST_URL"), os.environ.get("STAC_INGEST_API_KEY"))


@cache
def _client_for(url: str | None, api_key: str | None) -> Client:
    return Client(url, api_key=api_key)
