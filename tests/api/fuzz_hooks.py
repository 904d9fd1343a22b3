"""What schemathesis does beside generating requests: every other one is about something that is in the catalog."""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import MissingContentType

KNOWN = "STAC_FUZZ_KNOWN"
"""The environment variable with the ids, as JSON: `kept`, `doomed` and `ended` with values of path parameters."""


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Put ids that exist into a request, and into its body those of its address."""
    what = _what(case.method, case.operation.path)
    if what == "ended" or zlib.crc32(repr((case.path_parameters, case.query, case.body)).encode()) % 2:
        known = json.loads(os.environ[KNOWN])[what]
        case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
        if isinstance(case.body, dict):
            _name(case.body, case.path_parameters, replaces=case.method in ("PUT", "PATCH"))


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext, failure: Failure, case: schemathesis.Case[Any], response: schemathesis.Response
) -> bool:
    """Let an answer without content do without a type of it."""
    return bool(response.content) or not isinstance(failure, MissingContentType)


def _what(method: str, path: str) -> str:
    """Return what such a request is about: it must not remove what others need, nor wait for an upload to end."""
    if path.endswith("/events"):
        return "ended"
    removes = method == "DELETE" or (method == "POST" and path.endswith(("/deletions", "/cancel", "/submit")))
    return "doomed" if removes else "kept"


def _name(body: dict[str, Any], address: dict[str, Any], *, replaces: bool) -> None:
    collection, item = address.get("collection_id"), address.get("item_id")
    if "collection" in body and collection is not None:
        body["collection"] = collection
    if "id" in body and replaces:
        body["id"] = item or collection
    if isinstance(body.get("image"), dict):
        body["image"]["product_id"] = collection
    for feature in body.get("features") or ():
        if isinstance(feature, dict):
            _name(feature, address, replaces=False)
