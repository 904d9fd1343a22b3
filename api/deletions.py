"""The routes of a deletion: begin to delete everything that a product has, and follow how far that is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from stac_fastapi.types.requests import get_base_url
from starlette.responses import JSONResponse, Response

from api.writing import writing
from stac_ingest.deletions import Deletions
from stac_ingest.models.deletion import Deletion

router = APIRouter(tags=["Deletions"])


@router.post(
    "/collections/{collection_id}/deletions",
    status_code=202,
    responses={202: {"model": Deletion}, 204: {"description": "There is nothing to delete"}},
)
async def open_deletion(collection_id: str, request: Request) -> Response:
    """Begin to delete all images and bands of a product; 204 when it has none."""
    async with writing(request) as write:
        deletion_id = write.result
        if not write.repeated:
            deletion_id = await deletions_of(request).open(write.connection, collection_id)
            await write.keep(deletion_id)
    return await deletion_answer(request, deletion_id)


async def deletion_answer(request: Request, deletion_id: str | None) -> Response:
    """Return where a deletion that has begun can be followed; 204 when there is none, because it is done already."""
    if deletion_id is None:
        return Response(status_code=204)
    answer = await _answer(request, deletion_id, status_code=202)
    answer.headers["Location"] = f"{get_base_url(request)}deletions/{deletion_id}"
    return answer


@router.get("/collections/{collection_id}/deletions")
async def list_deletions(collection_id: str, request: Request) -> Response:
    """Return the deletions of a product, newest first."""
    found = await deletions_of(request).find(collection_id)
    documents = [_document(request, deletion) for deletion in found]
    return JSONResponse({"deletions": documents}, headers={"Cache-Control": "no-store"})


@router.get("/deletions/{deletion_id}", responses={200: {"model": Deletion}})
async def get_deletion(deletion_id: str, request: Request) -> Response:
    """Return how far a deletion is."""
    return await _answer(request, deletion_id)


async def _answer(request: Request, deletion_id: str, status_code: int = 200) -> Response:
    deletion = await deletions_of(request).get(deletion_id)
    return JSONResponse(_document(request, deletion), status_code=status_code, headers={"Cache-Control": "no-store"})


def _document(request: Request, deletion: Deletion) -> dict[str, Any]:
    base = get_base_url(request)
    links = (
        {"rel": "self", "href": f"{base}deletions/{deletion.id}"},
        {"rel": "collection", "href": f"{base}collections/{deletion.collection}"},
    )
    return deletion.evolve(links=links).to_json()


def deletions_of(request: Request) -> Deletions:
    """Return the deletions of the service."""
    deletions: Deletions = request.app.state.deletions
    return deletions
