"""What every request passes: keys, the prefix of a proxy, and public addresses in answers."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import brotli
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.compression import CompressionMiddleware
from api.forwarded import ForwardedMiddleware
from api.limits import MAX_BODY_BYTES, MAX_BULK_BYTES, LimitsMiddleware
from api.middleware import HeadMiddleware, PublicHrefsMiddleware, WriteKeyMiddleware
from stac_ingest.stac import SCHEMA, SCHEMA_PATH

Headers = dict[str, str]


def ask(app: ASGIApp, method: str = "GET", path: str = "/", headers: Headers | None = None, **more: Any) -> Response:
    """Send one request, and return the answer."""
    scope: Scope = {
        "type": "http",
        "method": method,
        "scheme": "https",
        "server": ("eo.example", 443),
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [
            (k.lower().encode(), v.encode("latin-1")) for k, v in {"Host": "eo.example", **(headers or {})}.items()
        ],
        **more,
    }
    messages: list[Message] = []

    waiting = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        for message in waiting:
            return message
        await asyncio.Future()  # nobody disconnects
        raise AssertionError

    async def send(message: Message) -> None:
        messages.append(dict(message))

    async def run() -> None:
        await app(scope, receive, send)

    asyncio.run(run())
    assert [message["type"] for message in messages].count("http.response.start") == 1
    answer = Response(b"".join(message.get("body", b"") for message in messages[1:]), status_code=messages[0]["status"])
    answer.raw_headers = list(messages[0]["headers"])
    return answer


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the address that the service believes to have."""
    await JSONResponse({"base": str(Request(scope).base_url)})(scope, receive, send)


# --- HEAD


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer for ever."""

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0)

    await StreamingResponse(chunks(), headers={"Method": scope["method"]})(scope, receive, send)


def test_head_is_answered_as_get_without_a_body() -> None:
    got, asked = ask(HeadMiddleware(echo), "GET"), ask(HeadMiddleware(echo), "HEAD")
    assert bytes(got.body)
    assert bytes(asked.body) == b""
    assert (asked.status_code, asked.raw_headers) == (got.status_code, got.raw_headers)


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
def test_head_does_not_wait_for_an_answer_without_end(spec_version: str) -> None:
    answer = ask(HeadMiddleware(endless), "HEAD", asgi={"spec_version": spec_version})
    assert answer.headers["method"] == "GET"
    assert bytes(answer.body) == b""


def test_head_of_assets_and_other_methods_pass_as_they_are() -> None:
    async def method(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse(scope["method"])(scope, receive, send)

    assert bytes(ask(HeadMiddleware(method), "HEAD", "/assets/a").body) == b'"HEAD"'
    assert bytes(ask(HeadMiddleware(method), "HEAD", "/stac/assets/a", root_path="/stac").body) == b'"HEAD"'
    for other in ("GET", "POST", "OPTIONS"):
        assert bytes(ask(HeadMiddleware(method), other).body) == f'"{other}"'.encode()


def test_what_fails_under_head_fails() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        ask(HeadMiddleware(broken), "HEAD")


# --- Keys


def guarded(keys: Sequence[str] = ("one", "two")) -> ASGIApp:
    return WriteKeyMiddleware(echo, api_keys=keys)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "MKCOL", "CONNECT", "TRACE", "post"])
def test_writing_needs_a_key(method: str) -> None:
    for path in ("/", "/search/", "//search", "/search/x", "/collections", "/uploads/search", "/SEARCH", ""):
        answer = ask(guarded(), method, path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"
        assert json.loads(bytes(answer.body))["code"] == "UNAUTHORIZED"
        for key in ("one", "two"):
            assert ask(guarded(), method, path, {"Authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        *("", "Bearer", "Bearer ", "Bearer three", "Bearer on", "Bearer onee", "Bearer One"),
        *("Basic one", "one", "Bearer one,two", "Bearer é", "Bearer one two"),
    ],
)
def test_what_is_no_key(sent: str) -> None:
    assert ask(guarded(), "POST", "/collections", {"Authorization": sent}).status_code == 401


def test_the_scheme_is_told_in_any_case() -> None:
    for sent in ("bearer one", "BEARER one", "Bearer   one"):
        assert ask(guarded(), "POST", "/collections", {"Authorization": sent}).status_code == 200


def test_reading_needs_none() -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        assert ask(guarded(), method, "/collections").status_code == 200
    assert ask(guarded(), "POST", "/search").status_code == 200
    assert ask(guarded(), "POST", "/stac/search", root_path="/stac").status_code == 200
    assert ask(guarded(), "POST", "/stac/collections", root_path="/stac").status_code == 401


def test_without_keys_everything_is_open() -> None:
    assert ask(guarded(()), "DELETE", "/collections/x").status_code == 200


def test_other_protocols_pass() -> None:
    seen = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any: ...

    for middleware in (
        WriteKeyMiddleware(inner, ["one"]),
        ForwardedMiddleware(inner),
        LimitsMiddleware(inner),
        PublicHrefsMiddleware(inner, "file:///x"),
    ):
        asyncio.run(middleware({"type": "lifespan"}, nothing, nothing))
    assert seen == ["lifespan"] * 4


# --- Compression


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with 10 kB, or as many as the path ends with."""
    size = scope["path"].rpartition("-")[2]
    await JSONResponse("x" * (int(size) if size.isdigit() else 10_000))(scope, receive, send)


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("br", "br"), ("gzip, br", "br"), ("gzip, deflate", "gzip"), ("identity", None), ("", None)],
)
def test_large_answers_are_compressed_as_the_client_accepts_it(accepted: str, encoding: str | None) -> None:
    answer = ask(CompressionMiddleware(large), "GET", "/search", {"Accept-Encoding": accepted})
    assert answer.headers.get("content-encoding") == encoding
    body = bytes(answer.body)
    whole = {"br": brotli.decompress, "gzip": gzip.decompress}.get(encoding or "", bytes)(body)
    assert json.loads(whole) == "x" * 10_000
    assert answer.headers["content-length"] == str(len(body))


@pytest.mark.parametrize("path", ["/search-1000", "/assets/a/b.tif", "/stac/assets/b.tif", "/uploads/x/events"])
def test_what_is_small_or_read_in_ranges_is_not_compressed(path: str) -> None:
    for accepted in ("br", "gzip"):
        answer = ask(CompressionMiddleware(large), "GET", path, {"Accept-Encoding": accepted})
        assert "content-encoding" not in answer.headers


# --- What proxies say


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "https://eo.example/"),
        ({"Host": "[::1]:8000"}, "https://[::1]:8000/"),
        ({"X-Forwarded-Host": "a.example"}, "https://a.example/"),
        ({"X-Forwarded-Host": "a.example, b.internal:81"}, "https://a.example/"),
        ({"X-Forwarded-Host": "a.example:8443"}, "https://a.example:8443/"),
        ({"X-Forwarded-Host": "a.example", "X-Forwarded-Port": "8443"}, "https://a.example:8443/"),
        ({"X-Forwarded-Host": "a.example:8443", "X-Forwarded-Port": "443"}, "https://a.example/"),
        ({"X-Forwarded-Host": "a.example:80", "X-Forwarded-Proto": "http"}, "http://a.example/"),
        ({"X-Forwarded-Proto": "http, https"}, "http://eo.example/"),
        ({"X-Forwarded-Proto": "HTTP", "Host": "eo.example:8080"}, "http://eo.example:8080/"),
        ({"X-Forwarded-Proto": "ftp"}, "https://eo.example/"),
        ({"X-Forwarded-Port": "x"}, "https://eo.example/"),
        ({"X-Forwarded-Host": "evil/?"}, "https://eo.example/"),
        ({"X-Forwarded-Host": ""}, "https://eo.example/"),
        ({"Forwarded": "for=1.2.3.4;proto=http;host=a.example"}, "http://a.example/"),
        ({"Forwarded": 'host="a.example:8443"; Proto=HTTPS'}, "https://a.example:8443/"),
        ({"Forwarded": 'for="[::1]", host="[::1]:81";proto=http'}, "http://[::1]:81/"),
        ({"Forwarded": "host=a.example;proto=http, host=b.internal;proto=https"}, "http://a.example/"),
        ({"Forwarded": "host=a.example", "X-Forwarded-Host": "b.example"}, "https://a.example/"),
        ({"Forwarded": "nonsense"}, "https://eo.example/"),
    ],
    ids=lambda value: str(value)[:80],
)
def test_the_address_is_the_one_that_the_client_used(headers: Headers, expected: str) -> None:
    answer = ask(ForwardedMiddleware(echo), headers=headers)
    assert json.loads(bytes(answer.body)) == {"base": expected}


@pytest.mark.parametrize("host", ["evil/?", "a b", "a@b", "a:b", "a:123456", '"', "é"])
def test_a_host_is_a_host(host: str) -> None:
    answer = ask(ForwardedMiddleware(echo), headers={"Host": host})
    assert answer.status_code == 400
    assert json.loads(bytes(answer.body))["code"] == "INVALID_REQUEST"


# --- Limits


@pytest.mark.parametrize(
    ("path", "most"), [("/collections", MAX_BODY_BYTES), ("/x/collections/c/bulk_items", MAX_BULK_BYTES)]
)
def test_a_body_that_is_announced_as_too_large_is_not_read(path: str, most: int) -> None:
    limited = LimitsMiddleware(echo)
    assert ask(limited, "POST", path, {"Content-Length": str(most)}).status_code == 200
    answer = ask(limited, "POST", path, {"Content-Length": str(most + 1)})
    assert answer.status_code == 413
    assert json.loads(bytes(answer.body))["code"] == "PAYLOAD_TOO_LARGE"


def test_files_are_measured_by_their_route() -> None:
    announced = {"Content-Length": str(MAX_BULK_BYTES + 1)}
    assert ask(LimitsMiddleware(echo), "PUT", "/uploads/u/files/0", announced).status_code == 200


@pytest.mark.parametrize(("path", "query"), [("/a\x00b", b""), ("/", b"x=%00"), ("/", b"x=1&y%00=a")])
def test_no_address_has_a_nul(path: str, query: bytes) -> None:
    answer = ask(LimitsMiddleware(echo), "GET", path, query_string=query)
    assert answer.status_code == 400
    assert json.loads(bytes(answer.body))["code"] == "INVALID_REQUEST"
    assert ask(LimitsMiddleware(echo), "GET", "/", query_string=b"x=%2500").status_code == 200


# --- The prefix


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("/stac", "https://eo.example/stac/"),
        ("/stac/", "https://eo.example/stac/"),
        ("/a/b-c_d.e~f", "https://eo.example/a/b-c_d.e~f/"),
        ("/.hidden/v1..2", "https://eo.example/.hidden/v1..2/"),
        ("", "https://eo.example/"),
        ("/", "https://eo.example/"),
        ("stac", "https://eo.example/"),
        ("//evil.example", "https://eo.example/"),
        ("/a//b", "https://eo.example/"),
        ("/../x", "https://eo.example/"),
        ("/a/..", "https://eo.example/"),
        ("/./a", "https://eo.example/"),
        ("https://evil.example/", "https://eo.example/"),
        ('/"><script>', "https://eo.example/"),
        ("/a b", "https://eo.example/"),
        ("/a%2fb", "https://eo.example/"),
        ("/a?b", "https://eo.example/"),
        ("/é", "https://eo.example/"),
    ],
)
def test_a_prefix_is_a_plain_path(sent: str, expected: str) -> None:
    answer = ask(ForwardedMiddleware(echo), headers={"X-Forwarded-Prefix": sent})
    assert json.loads(bytes(answer.body)) == {"base": expected}


# --- Public addresses


def public(content: Any, media_type: str = "application/json", *, pieces: int = 1, root_path: str = "") -> Response:
    """Return an answer of `content` as it goes out."""
    sent = content if isinstance(content, bytes) else json.dumps(content).encode()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def parts() -> Any:
            values = sent.split(b",")  # an answer that is sent in parts is divided between values
            step = -(-len(values) // pieces)
            for start in range(0, len(values), step):
                yield (b"," if start else b"") + b",".join(values[start : start + step])

        headers = {"Content-Length": str(len(sent))}
        answer = StreamingResponse(parts(), media_type=media_type, headers=headers)
        await (answer if pieces else Response(sent, media_type=media_type))(scope, receive, send)

    return ask(PublicHrefsMiddleware(app, "file:///srv/store"), root_path=root_path)


@pytest.mark.parametrize("media_type", ["application/json", "application/geo+json", "application/schema+json"])
@pytest.mark.parametrize("pieces", [1, 2, 6])
def test_stored_addresses_become_public(media_type: str, pieces: int) -> None:
    answer = public(
        {
            "href": "file:///srv/store/assets/c/i/a.tif",
            "schema": SCHEMA,
            "text": "it was file:///srv/store/assets/x before",
            "other": ["file:///srv/storeroom/x", "s3://bucket/y", f"{SCHEMA}#"],
        },
        media_type,
        pieces=pieces,
    )
    assert json.loads(bytes(answer.body)) == {
        "href": "https://eo.example/assets/c/i/a.tif",
        "schema": f"https://eo.example/{SCHEMA_PATH}",
        "text": "it was file:///srv/store/assets/x before",
        "other": ["file:///srv/storeroom/x", "s3://bucket/y", f"{SCHEMA}#"],
    }
    assert answer.headers.get("content-length") is None


def test_an_answer_in_one_part_says_its_new_length() -> None:
    answer = public({"href": "file:///srv/store/assets/a.tif"}, pieces=0)
    assert answer.headers["content-length"] == str(len(answer.body))


def test_the_prefix_is_in_public_addresses() -> None:
    answer = public({"href": "file:///srv/store/assets/a.tif"}, root_path="/stac")
    assert json.loads(bytes(answer.body)) == {"href": "https://eo.example/stac/assets/a.tif"}


def test_other_answers_pass_as_they_come() -> None:
    content = b'II*\x00"file:///srv/store/assets/a.tif"'
    for media_type in ("image/tiff", "text/html", "text/event-stream"):
        answer = public(content, media_type, pieces=3)
        assert bytes(answer.body) == content
        assert answer.headers["content-length"] == str(len(content))


def test_empty_answers() -> None:
    assert public(b"", pieces=0).headers["content-length"] == "0"
