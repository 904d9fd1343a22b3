"""Requests to the service, and its errors as exceptions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Self
from urllib.parse import quote

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
    422: ValidationError,
    429: RateLimitError,
    504: GatewayTimeoutError,
}
"""HTTP status -> exception; others of 4xx are ClientError, of 5xx ServerError."""

Json = dict[str, Any]


class Client:
    """A connection to one service.

    Args:
        url: Address of the service; unset: `STAC_INGEST_URL`, else http://127.0.0.1:8000.
        api_key: Key for writing; unset: `STAC_INGEST_API_KEY`.
        transport: How requests travel; unset: over the network, with two attempts more when connecting fails.
    """

    def __init__(
        self, url: str | None = None, *, api_key: str | None = None, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self.url = (url or os.environ.get("STAC_INGEST_URL") or DEFAULT_URL).rstrip("/")
        key = api_key or os.environ.get("STAC_INGEST_API_KEY")
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(30, connect=9.5, write=300, read=300),
            transport=transport or httpx2.HTTPTransport(retries=2),
        )

    def close(self) -> None:
        """Close the connections; a client can also be used in a `with` block."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON at a path."""
        return self._answer("GET", path, params=params)

    def post(self, path: str, body: Any = None) -> Any:
        """Send JSON, and return the JSON of the answer."""
        return self._answer("POST", path, json=body)

    def put(self, path: str, body: Any) -> Any:
        """Send JSON in place of what is at a path, and return the JSON of the answer."""
        return self._answer("PUT", path, json=body)

    def patch(self, path: str, body: Any) -> Any:
        """Send a JSON Merge Patch (RFC 7396), and return the JSON of the answer."""
        return self._answer("PATCH", path, json=body, headers={"Content-Type": "application/merge-patch+json"})

    def send(self, path: str, chunks: Iterator[bytes | memoryview], size: int) -> Any:
        """Stream `size` bytes to a path, and return the JSON of the answer."""
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        return self._answer("PUT", path, content=chunks, headers=headers)

    def _answer(self, method: str, path: str, **options: Any) -> Any:
        url = f"{self.url}{path}"
        try:
            answer = self._http.request(method, url, **options)
        except httpx2.TimeoutException as error:
            raise GatewayTimeoutError(f"{method} {url} was not answered in time: {error}") from error
        except httpx2.TransportError as error:
            raise ServerError(
                f"The service at {self.url} cannot be reached ({error}); is it running, and is STAC_INGEST_URL right?"
            ) from error
        if answer.is_error:
            raise _error_of(answer)
        return answer.json() if answer.content else None


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
    return make(str(message), status=answer.status_code, code=problem.get("code"))


def path(*parts: str) -> str:
    """Return a path of the API from its parts, each encoded."""
    return "".join(f"/{quote(part, safe=':')}" for part in parts)


def default_client() -> Client:
    """Return the client that the environment names."""
    return _client_for(os.environ.get("STAC_INGEST_URL"), os.environ.get("STAC_INGEST_API_KEY"))


@cache
def _client_for(url: str | None, api_key: str | None) -> Client:
    return Client(url, api_key=api_key)
