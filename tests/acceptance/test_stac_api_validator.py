"""stac-api-validator, the official suite of the STAC API, on each of its conformance classes, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pystac.validation
import pytest
import stac_validator.utilities
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from stac_api_validator import validations
from stac_api_validator.validations import QueryConfig, validate_api

from stac_ingest import DataType, Image, Product, SpectralBand
from stac_ingest.client.connection import Client
from tests.api.images import META, NOISE
from tests.conftest import Service, running_service, stac_schemas

# What the validator and pystac warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

COLLECTION = "validated"
ITEMS = 120
PLACE = {"type": "Polygon", "coordinates": [[[10, 10], [30, 10], [30, 50], [10, 50], [10, 10]]]}
"""Where all images and Items are."""
QUERY: dict[str, Any] = {
    "query_comparison_field": "gsd",
    "query_eq_value": 30.0,
    "query_neq_value": 30.0,
    "query_lt_value": 30.0,
    "query_lte_value": 30.0,
    "query_gt_value": 30.0,
    "query_gte_value": 30.0,
    "query_substring_field": "constellation",
    "query_starts_with_value": "con",
    "query_ends_with_value": "1",
    "query_contains_value": "stell",
    "query_in_field": "platform",
    "query_in_values": "a,b",
}
WRITTEN_BY_THE_VALIDATOR = "S2A_47XNF_20230423_0_L2A"


@pytest.mark.parametrize(
    "conformance_class",
    [
        "core",
        "children",
        "collections",
        "features",
        "features#filter",
        "item-search",
        "item-search#filter",
        "item-search#sort",
        "item-search#fields",
        "item-search#query",
        "transaction",
    ],
)
@pytest.mark.usefixtures("schemas_at_hand", "mistakes_corrected")
def test_no_errors(seeded: str, conformance_class: str) -> None:
    """All classes that the service offers. It does not offer `browseable`, which wants a link to every Item.

    `features#sort`, `#fields` and `#query` it only names so far."""
    _, errors = validate_api(
        root_url=f"{seeded}/",
        ccs_to_validate=["core", conformance_class],
        collection=COLLECTION,
        geometry=json.dumps(PLACE),
        auth_bearer_token=None,
        auth_query_parameter=None,
        fields_nested_property="properties.eo:cloud_cover",
        validate_pagination=True,
        query_config=QueryConfig(**QUERY),
        transaction_collection=COLLECTION,
        headers={},
    )
    found = list(errors)
    assert not found, "\n".join(found)


@pytest.fixture(scope="module")
def seeded(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running service with a product that has uploaded images, and Items that were added otherwise."""
    stac_schemas()
    with running_service(make_database(), tmp_path_factory.mktemp("data"), "api", "worker") as service:
        upload_image(service)
        features = [item(f"item-{index}", index) for index in range(ITEMS)]
        # The validator begins by deleting the Item that it will write.
        features.append(item(WRITTEN_BY_THE_VALIDATOR))
        collection = {"type": "FeatureCollection", "features": features}
        answer = httpx2.post(f"{service.url}/collections/{COLLECTION}/items", json=collection, timeout=60)
        assert answer.status_code == 201, answer.text
        yield service.url


def upload_image(service: Service) -> None:
    """Make the product, and upload the image that a search finds first."""
    with Client(service.url) as client:
        product = Product(client, id=COLLECTION, name="Validated", description="Images for the validator.")
        product.save()
        for index, name in enumerate(("red", "green", "blue")):
            SpectralBand(client, product=product, name=name, data_type=DataType.UINT16, band_index=index).save()
        image = Image(client, product=product, name="uploaded", acquired="2024-06-01", cloud_fraction=0.1)
        image.tags = ["validated"]
        upload = image.upload_ndarray(NOISE, raster_meta=META)
        upload.wait_for_completion(timeout=60)
        upload.raise_for_status()


def item(name: str, index: int = 0) -> dict[str, Any]:
    """Return an Item with all that the validator looks for."""
    west = south = 20 + index / ITEMS
    east = north = west + 1
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
        },
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": f"2024-05-01T{index // 60:02}:{index % 60:02}:00Z",
            "gsd": (10.0, 30.0, 60.0)[index % 3],
            "platform": "abc"[index % 3],
            "constellation": f"constellation-{index % 2}",
            "eo:cloud_cover": 10.0 * (index % 10),
        },
        "assets": {},
        "links": [],
    }


@pytest.fixture
def schemas_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the validators the schemas beside the project; those of the service itself they ask it for."""
    schemas: dict[str, Any] = stac_schemas().SCHEMAS
    fetch = stac_validator.utilities.fetch_and_parse_file

    def fetch_at_hand(address: str, *args: Any) -> Any:
        return schemas.get(address.rstrip("#")) or fetch(address, *args)

    local = JsonSchemaSTACValidator()
    local.schema_cache.update(schemas)
    monkeypatch.setattr(stac_validator.utilities, "fetch_and_parse_file", fetch_at_hand)
    monkeypatch.setattr(pystac.validation.RegisteredValidator, "_validator", local)


@pytest.fixture
def mistakes_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the validator ask what the standards say where it does not.

    Neither does it wait before it reads what it has written: that is there at once.
    """
    retrieve = validations.retrieve

    def ask(method: Any, *args: Any, **asked: Any) -> Any:
        if method.value in ("PUT", "PATCH"):  # 200 with the Item is as good an answer as 204
            asked |= {"status_code": 200, "content_type": "application/geo+json"}
        return retrieve(method, *args, **{**asked, "body": corrected(asked.get("body"))})

    monkeypatch.setattr(validations, "retrieve", ask)
    monkeypatch.setattr(validations, "time", SimpleNamespace(sleep=lambda seconds: None))


def corrected(body: Any) -> Any:
    """Return what a request should have said.

    Collections to be searched are an array; an Item has links; `between` has three arguments, not a value and a pair.
    """
    match body:
        case {"type": "Feature"}:
            return {"links": [], **body}
        case {"collections": str(collection)}:
            return {**body, "collections": [collection]}
        case {"op": "between", "args": [value, [lower, upper]]}:
            return {**body, "args": [value, lower, upper]}
        case {"op": "not", "args": [condition]}:
            return {**body, "args": [corrected(condition)]}
        case {"filter": condition}:
            return {**body, "filter": corrected(condition)}
    return body
