"""Requests of the SDK: what is sent, and what its errors are called."""

from __future__ import annotations

import copy
import json
import pickle
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

import stac_ingest
from stac_ingest import errors
from stac_ingest.client.connection import DEFAULT_URL, Client, default_client, path

Answer = Callable[[httpx2.Request], httpx2.Response]


def connected(answer: Answer, **options: Any) -> Client:
    return Client("http://service.invalid/base/", transport=httpx2.MockTransport(answer), **options)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.BadRequestError),
        (401, errors.UnauthorizedError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (405, errors.MethodNotAllowedError),
        (409, errors.ConflictError),
        (410, errors.GoneError),
        (412, errors.ConflictError),
        (413, errors.ClientError),
        (418, errors.ClientError),
        (422, errors.ValidationError),
        (429, errors.RateLimitError),
        (500, errors.ServerError),
        (502, errors.ServerError),
        (503, errors.ServerError),
        (504, errors.GatewayTimeoutError),
    ],
)
def test_a_status_is_an_exception(status: int, expected: type[errors.ClientError]) -> None:
    problem = {"code": "SOME_CODE", "detail": "Why it is so.", "description": "no"}
    asks: list[Callable[[Client], Any]] = [
        lambda client: client.get("/x"),
        lambda client: client.post("/x", {}),
        lambda client: client.write("PATCH", "/x", {}),
        lambda client: client.send("/x", lambda: iter([b"x"]), 1),
    ]
    with connected(lambda _: httpx2.Response(status, json=problem), retries=0) as client:
        for ask in asks:
            with pytest.raises(errors.ClientError, match=r"^Why it is so\.$") as caught:
                ask(client)
            assert type(caught.value) is expected
            assert (caught.value.status, caught.value.code) == (status, "SOME_CODE")


def test_the_tree_of_exceptions() -> None:
    assert issubclass(errors.ValidationError, errors.BadRequestError)
    assert issubclass(errors.GatewayTimeoutError, errors.ServerError)
    assert issubclass(errors.ClientError, stac_ingest.StacIngestError)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"description": "From a peer."}', "From a peer."),
        (b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
        (b"", "Bad Gateway"),
        (b'["a list"]', '["a list"]'),
        (b"{}", "Bad Gateway"),
        (b"x" * 2000, "x" * 500),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_errors_that_are_no_problem_document(content: bytes, message: str) -> None:
    with (
        connected(lambda _: httpx2.Response(502, content=content), retries=0) as client,
        pytest.raises(errors.ServerError) as caught,
    ):
        client.get("/x")
    assert str(caught.value) == message
    assert caught.value.code is None


def test_a_service_that_cannot_be_reached() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with Client(url, retries=0) as client, pytest.raises(errors.ServerError, match="is it running") as caught:
        client.get("/healthz")
    assert url in str(caught.value)
    assert "STAC_INGEST_URL" in str(caught.value)
    assert caught.value.status is None


def test_a_service_that_does_not_answer_in_time() -> None:
    def slow(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("slow", request=request)

    with (
        connected(slow, retries=0) as client,
        pytest.raises(errors.GatewayTimeoutError, match=r"GET http://service.*in time"),
    ):
        client.get("/x")


def test_an_answer_without_content_is_none() -> None:
    with connected(lambda _: httpx2.Response(204)) as client:
        assert client.post("/x") is None


def test_where_and_what_is_sent() -> None:
    seen: list[httpx2.Request] = []

    def take(request: httpx2.Request) -> httpx2.Response:
        request.read()
        seen.append(request)
        return httpx2.Response(200, json={"ok": True})

    with connected(take, api_key="secret") as client:
        assert client.get("/collections", {"limit": 5}) == {"ok": True}
        client.get("/http://elsewhere.invalid/y")
        client.write("PATCH", "/z", {"a": None}, etag='"v1"')
        client.send("/f", lambda: iter([b"ab", memoryview(b"c")]), 3)
    assert str(seen[0].url) == "http://service.invalid/base/collections?limit=5"
    assert {request.url.host for request in seen} == {"service.invalid"}, "the key goes nowhere else"
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert seen[2].headers["content-type"] == "application/merge-patch+json"
    assert json.loads(seen[2].content) == {"a": None}
    assert seen[2].headers["if-match"] == '"v1"'
    assert (seen[3].content, seen[3].headers["content-length"]) == (b"abc", "3")
    assert "transfer-encoding" not in seen[3].headers


class Unsteady:
    """A service that fails some times before it answers."""

    def __init__(self, *failures: httpx2.Response | type[httpx2.TransportError]) -> None:
        self.failures = list(failures)
        self.seen: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.seen.append(request)
        if not self.failures:
            return httpx2.Response(200, json={"ok": True}, headers={"ETag": '"v2"'})
        failure = self.failures.pop(0)
        if isinstance(failure, httpx2.Response):
            return failure
        raise failure("broken", request=request)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the client makes; none of them is waited for."""
    made: list[float] = []
    monkeypatch.setattr("stac_ingest.client.connection.time.sleep", made.append)
    return made


@pytest.mark.parametrize(
    "failure",
    [httpx2.ConnectError, httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.ReadTimeout]
    + [httpx2.Response(status) for status in (429, 502, 503, 504)],
)
def test_a_request_that_may_succeed_yet_is_sent_again(
    failure: httpx2.Response | type[httpx2.TransportError], pauses: list[float]
) -> None:
    service = Unsteady(failure, failure)
    with connected(service) as client:
        assert client.post("/x", {"a": 1}) == {"ok": True}
    assert len(service.seen) == 3
    assert [request.content for request in service.seen] == [b'{"a":1}'] * 3
    assert 0.3 < pauses[0] < pauses[1] < 1.5


def test_what_is_sent_again_has_the_same_idempotency_key_and_each_write_another(pauses: list[float]) -> None:
    service = Unsteady(httpx2.Response(503))
    with connected(service) as client:
        client.write("DELETE", "/x")
        client.write("DELETE", "/x")
        client.get("/x")
    keys = [request.headers.get("idempotency-key") for request in service.seen]
    assert keys[0] == keys[1] is not None
    assert keys[2] not in (None, keys[0])
    assert keys[3] is None


def test_a_transfer_that_breaks_off_begins_anew(pauses: list[float]) -> None:
    service = Unsteady(httpx2.WriteError, httpx2.Response(502))
    begun = 0

    def chunks() -> Iterator[bytes]:
        nonlocal begun
        begun += 1
        yield from (b"ab", b"c")

    with connected(service) as client:
        client.send("/f", chunks, 3)
    assert begun == 3
    assert service.seen[-1].content == b"abc"


def test_the_service_says_how_long_to_wait(pauses: list[float]) -> None:
    asked = [
        httpx2.Response(429, headers={"Retry-After": text}) for text in ("7", "100000", "Fri, 01 Jan 2100 00:00:00 GMT")
    ]
    with connected(Unsteady(*asked)) as client:
        client.get("/x")
    assert pauses[:2] == [7, 60]
    assert 1 < pauses[2] < 3
    with (
        connected(lambda _: httpx2.Response(429, headers={"Retry-After": "7"}), retries=1) as client,
        pytest.raises(errors.RateLimitError) as caught,
    ):
        client.get("/x")
    assert caught.value.retry_after == 7


def test_retries_end(pauses: list[float]) -> None:
    service = Unsteady(*[httpx2.Response(503)] * 9)
    with connected(service) as client, pytest.raises(errors.ServerError):
        client.get("/x")
    assert len(service.seen) == 4
    assert len(pauses) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 409, 412, 422, 500])
def test_a_request_that_would_fail_again_is_not_sent_again(status: int, pauses: list[float]) -> None:
    service = Unsteady(httpx2.Response(status))
    with connected(service) as client, pytest.raises(errors.ClientError):
        client.get("/x")
    assert (len(service.seen), pauses) == (1, [])


def test_versions_and_existence() -> None:
    with connected(Unsteady()) as client:
        assert client.fetch("/x").etag == '"v2"'
        assert client.write("PUT", "/x", {}).etag == '"v2"'
        assert client.exists("x")
    with connected(lambda request: httpx2.Response(404 if request.method == "HEAD" else 500)) as client:
        assert not client.exists("x")


def test_paths_are_encoded() -> None:
    assert path("collections", "usda:naip", "items", "a.b-c_d") == "/collections/usda:naip/items/a.b-c_d"
    assert path("a/b", "ü ?#%", "..x") == "/a%2Fb/%C3%BC%20%3F%23%25/..x"


def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    with Client() as client:
        assert client.url == DEFAULT_URL == "http://127.0.0.1:8000"
    monkeypatch.setenv("STAC_INGEST_URL", "https://eo.invalid/stac/")
    monkeypatch.setenv("STAC_INGEST_API_KEY", "from-environment")
    with Client() as client:
        assert client.url == "https://eo.invalid/stac"
    with Client("http://given.invalid") as client:
        assert client.url == "http://given.invalid"
    first = default_client()
    assert default_client() is first
    monkeypatch.setenv("STAC_INGEST_URL", "https://other.invalid")
    assert default_client() is not first
    assert default_client().url == "https://other.invalid"


def test_a_client_travels_to_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAC_INGEST_API_KEY", "elsewhere")
    with Client("http://service.invalid", api_key="secret", retries=1) as client:
        product = stac_ingest.Product(client, id="p", name="P")
        for other in (pickle.loads(pickle.dumps(product)), copy.deepcopy(product)):
            assert other == product
            assert (other._client.url, other._client.retries) == ("http://service.invalid", 1)
            assert other._client._http.headers["authorization"] == "Bearer elsewhere"
        assert b"secret" not in pickle.dumps(product)
    assert "secret" not in repr(client)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_no_answer(status: int) -> None:
    moved = httpx2.Response(status, headers={"Location": "https://service.invalid/"})
    asks: list[Callable[[Client], Any]] = [
        lambda client: client.exists("x"),
        lambda client: client.get("/x"),
        lambda client: client.write("DELETE", "/x"),
    ]
    with connected(lambda _: moved) as client:
        for ask in asks:
            with pytest.raises(errors.ClientError, match=r"leads to 'https://service.invalid/'.*STAC_INGEST_URL"):
                ask(client)


def test_an_answer_that_is_no_json() -> None:
    with (
        connected(lambda _: httpx2.Response(200, content=b"<html>Welcome</html>")) as client,
        pytest.raises(errors.ClientError, match=r"not answered with JSON.*Welcome"),
    ):
        client.get("/x")


@pytest.mark.parametrize("nowhere", ["", ".", ".."])
def test_ids_that_lead_elsewhere_name_nothing(nowhere: str) -> None:
    with connected(lambda _: httpx2.Response(200, json={"id": "the landing page"})) as client:
        assert stac_ingest.Product.get(nowhere, client) is None
        assert not stac_ingest.Product.exists(nowhere, client)
        assert stac_ingest.Image.get(f"p:{nowhere}", client) is None
        assert not stac_ingest.Image.exists(f"p:{nowhere}", client)
        assert stac_ingest.ImageUpload.get(nowhere, client) is None
        assert not stac_ingest.Product.delete(nowhere, client)


@pytest.mark.parametrize("url", ["http://service.invalid:port", "ftp://service.invalid"])
def test_addresses_that_cannot_be_asked(url: str) -> None:
    with Client(url) as client, pytest.raises(errors.ClientError, match="STAC_INGEST_URL"):
        client.get("/x")


def test_blanks_around_a_key_do_no_harm() -> None:
    seen: list[httpx2.Request] = []

    def take(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={})

    with connected(take, api_key=" secret\n") as client:
        client.get("/x")
    assert seen[0].headers["authorization"] == "Bearer secret"
