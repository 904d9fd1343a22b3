"""The one border where errors become answers: `application/problem+json` (RFC 9457) with a `code`.

`description` repeats `detail`, because STAC Browser reads that name. A wrong request is 4xx; a database that is away is
503. What nobody foresaw is 500, is logged with its traceback, and tells the client nothing of the inside.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import asyncpg
import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from procrastinate.exceptions import ConnectorException
from stac_fastapi.types import errors as stac_errors
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from stac_ingest.errors import AttributeValidationError, RequestError

logger = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
RETRY_SECONDS = "5"

_SENTENCES = {
    404: "There is nothing at this address; `/api.html` lists those that there are.",
}
"""What Starlette leaves unsaid."""
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_NOT_OFFERED = "This address does not take requests of this method; the header `Allow` lists those that it takes."
_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "description"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable upper-case name of the reason, listed in docs/errors.md."},
        "detail": {"type": "string", "description": "What was expected, what was found and what to do."},
        "description": {"type": "string", "description": "The same as `detail`."},
    },
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {PROBLEM: {"schema": _PROBLEM_SCHEMA}}}
    for status, description in (("4XX", "What is wrong with the request"), (503, "The database cannot be reached"))
}
"""How OpenAPI describes the errors of every route."""

_TOO_DEEP = "Expected JSON that does not nest so deeply."
_TOO_FAR = "Expected times of the years 1 to 9999 in UTC, and numbers of at most 64 bits; found one beyond"
_TOO_LONG = "The search took too long; narrow it by collection, time or place, or sort it by datetime."
_UNAVAILABLE = "The database cannot be reached at the moment; try again in a few seconds."

STATUS_AND_CODE: dict[type[Exception], tuple[int, str | None]] = {
    AttributeValidationError: (422, "INVALID_ATTRIBUTE"),
    json.JSONDecodeError: (400, "INVALID_PARAMETER"),
    stac_errors.NotFoundError: (404, "NOT_FOUND"),
    stac_errors.ConflictError: (409, "CONFLICT"),
    stac_errors.InvalidQueryParameter: (400, "INVALID_PARAMETER"),
    stac_errors.ForeignKeyError: (404, "NOT_FOUND"),
    stac_errors.DatabaseError: (400, "INVALID_REQUEST"),
    # What PostgreSQL says of values that the request brought along.
    asyncpg.DataError: (400, "INVALID_REQUEST"),
    asyncpg.RaiseError: (400, "INVALID_REQUEST"),
    asyncpg.SyntaxOrAccessError: (400, "INVALID_REQUEST"),
    asyncpg.FeatureNotSupportedError: (400, "INVALID_REQUEST"),
    asyncpg.ProgramLimitExceededError: (400, "INVALID_REQUEST"),
    asyncpg.InternalServerError: (400, "INVALID_REQUEST"),
    psycopg.DataError: (400, "INVALID_REQUEST"),
    psycopg.errors.RaiseException: (400, "INVALID_REQUEST"),
    psycopg.errors.ProgramLimitExceeded: (400, "INVALID_REQUEST"),
    psycopg.errors.InternalError_: (400, "INVALID_REQUEST"),  # so PostGIS says what it does not support
    # A database that is away, starting, stopping or out of connections.
    OSError: (503, None),
    TimeoutError: (503, None),
    asyncpg.PostgresConnectionError: (503, None),
    asyncpg.InterfaceError: (503, None),
    asyncpg.OperatorInterventionError: (503, None),
    asyncpg.InsufficientResourcesError: (503, None),
    psycopg.OperationalError: (503, None),
    ConnectorException: (503, None),
}


def problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None, **more: object) -> JSONResponse:
    """Return an answer that says what went wrong."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "description": detail,
        **more,
    }
    return JSONResponse(body, status_code=status, media_type=PROBLEM, headers=headers)


def add_error_handlers(app: FastAPI) -> None:
    """Let every error that a route raises end here."""
    app.add_exception_handler(RequestError, _handler(_refused))
    app.add_exception_handler(RequestValidationError, _handler(_malformed))
    app.add_exception_handler(HTTPException, _handler(_http))
    app.add_exception_handler(405, _not_offered)
    for error, (status, code) in STATUS_AND_CODE.items():
        app.add_exception_handler(error, _handler(_unavailable if code is None else _listed(status, code)))
    app.add_exception_handler(RecursionError, _handler(_too_deep))
    app.add_exception_handler(OverflowError, _handler(_too_far))
    app.add_exception_handler(Exception, _handler(_unforeseen))


def _handler(answer: Callable[[Any], Response]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        return answer(error)

    return handle


async def _not_offered(request: Request, error: Exception) -> Response:
    """Say which methods the address takes, which is what OPTIONS asks for; no route takes OPTIONS itself."""
    routes = request.app.routes
    offered = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    if "GET" in offered:
        offered.append("HEAD")
    allowed = {"Allow": ", ".join([*offered, "OPTIONS"])}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=allowed)
    return problem(405, "METHOD_NOT_ALLOWED", _NOT_OFFERED, allowed)


def _refused(error: RequestError) -> Response:
    return problem(error.status, error.code, str(error))


def _malformed(error: RequestValidationError) -> Response:
    found = [f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}" for detail in error.errors()]
    return problem(400, "INVALID_REQUEST", f"The request is not as expected: {'; '.join(found)[:1000]}.")


def _http(error: HTTPException) -> Response:
    codes = {404: "NOT_FOUND", 400: "INVALID_PARAMETER", 413: "PAYLOAD_TOO_LARGE"}
    headers = dict(error.headers) if error.headers else None
    unsaid = str(error.detail) == HTTPStatus(error.status_code).phrase
    detail = _SENTENCES.get(error.status_code, error.detail) if unsaid else error.detail
    return problem(error.status_code, codes.get(error.status_code, "ERROR"), str(detail), headers)


def _listed(status: int, code: str) -> Callable[[Exception], Response]:
    def answer(error: Exception) -> Response:
        text = str(error).splitlines()[0] if str(error) else HTTPStatus(status).phrase
        return problem(status, code, text)

    return answer


def _too_deep(error: RecursionError) -> Response:
    return problem(400, "INVALID_REQUEST", _TOO_DEEP)


def _too_far(error: OverflowError) -> Response:
    return problem(400, "INVALID_REQUEST", f"{_TOO_FAR} ({error}).")


def _unavailable(error: Exception) -> Response:
    if isinstance(error, asyncpg.QueryCanceledError):
        return problem(503, "SEARCH_TOO_LONG", _TOO_LONG)
    logger.warning("database unavailable: %s", error)
    return problem(503, "DATABASE_UNAVAILABLE", _UNAVAILABLE, {"Retry-After": RETRY_SECONDS})


def _unforeseen(error: Exception) -> Response:
    return problem(500, "INTERNAL_ERROR", "The service failed; the reason is in its log.")
