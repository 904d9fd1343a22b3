"""Reading the catalog: stac-fastapi-pgstac's client, with our filters and queryables."""

from __future__ import annotations

from typing import Any

import attr
from fastapi import Request
from pydantic import model_validator
from stac_fastapi.pgstac.core import CoreCrudClient
from stac_fastapi.pgstac.extensions.filter import FiltersClient
from stac_fastapi.pgstac.types.search import PgstacSearch
from stac_fastapi.types.requests import get_base_url
from stac_fastapi.types.stac import ItemCollection, LandingPage
from starlette.responses import Response

from api.stac import cql2
from api.stac.answers import collection_answer, item_answer
from stac_ingest import catalog
from stac_ingest.database import Pool
from stac_ingest.stac import STAC_VERSION

_TAG_QUERYABLES: dict[str, dict[str, Any]] = {
    "tags": {
        "title": "Tags (another name of keywords)",
        "type": "array",
        "items": {"type": "string"},
    },
    "tag": {"title": "Any tag", "description": "True where one of the tags is as given.", "type": "string"},
    "collection": {"title": "Collection", "type": "string"},
}


@attr.s
class CatalogClient(CoreCrudClient):  # type: ignore[misc]
    """The STAC API's reading side."""

    async def landing_page(self, **kwargs: Any) -> LandingPage:
        """Return the catalog's root, with a child link for each collection."""
        page: LandingPage = await super().landing_page(**kwargs)
        request: Request = kwargs["request"]
        base_url = get_base_url(request)
        async with request.app.state.get_connection(request, "r") as connection:
            rows = await connection.fetch(
                "SELECT id, content->>'title' AS title FROM pgstac.collections ORDER BY id LIMIT 1000"
            )
        page["stac_version"] = STAC_VERSION
        page["links"] += [
            {
                "rel": "child",
                "type": "application/json",
                "title": row["title"] or row["id"],
                "href": f"{base_url}collections/{row['id']}",
            }
            for row in rows
        ]
        return page

    async def get_collection(self, collection_id: str, request: Request, **kwargs: Any) -> Response:
        """Return a Collection with its ETag."""
        async with _pool(request).connection() as connection:
            stored = await catalog.get_collection(connection, collection_id)
        return collection_answer(stored, request)

    async def get_item(self, item_id: str, collection_id: str, request: Request, **kwargs: Any) -> Response:
        """Return an Item with its ETag."""
        async with _pool(request).connection() as connection:
            await catalog.get_collection(connection, collection_id)
            stored = await catalog.get_item(connection, collection_id, item_id)
        return item_answer(stored, request)

    async def post_search(self, search_request: PgstacSearch, request: Request, **kwargs: Any) -> ItemCollection:
        """Search by POST; the filter may be CQL2-JSON or CQL2 text."""
        found: ItemCollection = await super().post_search(_with_filter(search_request), request, **kwargs)
        return found

    def _clean_search_args(
        self,
        base_args: dict[str, Any],
        filter_query: str | None = None,
        filter_lang: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        if filter_query:
            base_args["filter"] = cql2.parse(filter_query, filter_lang)
            base_args["filter_lang"] = "cql2-json"
        if fields := kwargs.pop("fields", None):
            kwargs["fields"] = [field for field in fields if field.strip("+-")]
        cleaned: dict[str, Any] = super()._clean_search_args(base_args, **kwargs)
        return cleaned


class SearchBody(PgstacSearch):  # type: ignore[misc]
    """A search by POST."""

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, sent: object) -> object:
        if not isinstance(sent, dict):
            raise ValueError("expected a JSON object")
        return sent


def _pool(request: Request) -> Pool:
    pool: Pool = request.app.state.pool
    return pool


def _with_filter(search: PgstacSearch) -> PgstacSearch:
    expression = getattr(search, "filter_expr", None)
    if expression is None:
        return search
    return search.model_copy(
        update={"filter_expr": cql2.parse(expression, search.filter_lang), "filter_lang": "cql2-json"}
    )


class QueryablesClient(FiltersClient):  # type: ignore[misc]
    """What can be filtered by."""

    async def get_queryables(self, request: Request, collection_id: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Return pgstac's queryables and the names that our filters add."""
        queryables: dict[str, Any] = await super().get_queryables(request, collection_id, **kwargs)
        queryables["properties"] = {**queryables["properties"], **_TAG_QUERYABLES}
        return queryables
