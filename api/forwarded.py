"""The address that the client used, where proxies stand in between: `Forwarded` (RFC 7239), or `X-Forwarded-*`."""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import problem

_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>\d{1,5}))?")
_PAIR = re.compile(r'(?P<name>[A-Za-z]+)=("(?P<quoted>[^"]*)"|(?P<plain>[^;,\s"]*))')
_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class ForwardedMiddleware:
    """Let everything inside see scheme, host and path as the client asked for them.

    Of several proxies the one next to the client is believed. What is no host, scheme, port or plain path is left out.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set scheme, host and root path; a request whose own `Host` is none is answered 400 (RFC 9112 section 3.2)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope)
        own = sent.get("host", "")
        if own and not _HOST.fullmatch(own):
            detail = f"Expected a header Host such as eo.example:8000, found {own[:100]!r}."
            await problem(400, "INVALID_REQUEST", detail)(scope, receive, send)
            return
        said = _said(sent)
        scheme = said.get("proto", "").lower()
        scheme = scheme if scheme in _DEFAULT_PORTS else scope["scheme"]
        changed = {**scope, "scheme": scheme, "headers": list(scope["headers"])}
        if host := _HOST.fullmatch(said.get("host", "")) or _HOST.fullmatch(own):
            port = said["port"] if said.get("port", "").isdigit() else host["port"]
            default = port in (None, _DEFAULT_PORTS[scheme])
            MutableHeaders(scope=changed)["host"] = host["name"] if default else f"{host['name']}:{port}"
        prefix = sent.get("x-forwarded-prefix", "").rstrip("/")
        if _PREFIX.fullmatch(prefix):
            changed["root_path"] = prefix
        await self.app(changed, receive, send)


def _said(sent: Headers) -> dict[str, str]:
    """Return what the proxy next to the client says of `proto`, `host` and `port`."""
    if "forwarded" in sent:
        pairs = reversed(list(_PAIR.finditer(sent["forwarded"])))
        return {pair["name"].lower(): pair["quoted"] or pair["plain"] or "" for pair in pairs}
    names = {name: f"x-forwarded-{name}" for name in ("proto", "host", "port")}
    return {name: sent[header].partition(",")[0].strip() for name, header in names.items() if header in sent}
