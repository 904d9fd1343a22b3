"""Images as STAC Items, and back."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from stac_ingest.errors import AttributeValidationError
from stac_ingest.models.enums import StorageState
from stac_ingest.models.image import GRID, File, Image
from stac_ingest.models.values import timestamp_text
from stac_ingest.stac.bands import plain
from stac_ingest.stac.extensions import STAC_VERSION, with_extensions
from stac_ingest.stac.geometry import bbox_of
from stac_ingest.stac.nulls import nulls_of, with_nulls

Json = dict[str, Any]


@dataclass(frozen=True)
class Property:
    """An attribute of an image that is one property of its Item."""

    attribute: str
    name: str
    write: Callable[[Any], Any] = lambda value: value
    read: Callable[[Any], Any] = lambda value: value


def _moment(attribute: str, name: str) -> Property:
    return Property(attribute, name, write=timestamp_text)


PROPERTIES = (
    _moment("acquired", "datetime"),
    _moment("acquired_end", "end_datetime"),
    _moment("published", "published"),
    _moment("created", "created"),
    _moment("modified", "updated"),
    Property("tags", "keywords", write=lambda tags: tags or None),
    Property("extra_properties", "ingest:extra_properties", write=lambda extra: extra or None),
    Property("storage_state", "ingest:storage_state", write=str, read=StorageState),
    Property("cloud_fraction", "eo:cloud_cover", lambda share: plain(share * 100), lambda cover: plain(cover / 100)),
    Property("azimuth_angle", "view:azimuth"),
    Property("incidence_angle", "view:incidence_angle"),
    Property("solar_azimuth_angle", "view:sun_azimuth"),
    Property("solar_elevation_angle", "view:sun_elevation"),
    Property("satellite_id", "platform"),
    Property("processing_pipeline_id", "processing:version"),
    *(
        Property(name, f"ingest:{name}")
        for name in (
            "alt_cloud_fraction",
            "bright_fraction",
            "fill_fraction",
            "view_angle",
            "roll_angle",
            "provider_id",
            "area",
            "bits_per_pixel",
            "reflectance_scale",
            "reflectance_gain_bias",
            "radiance_gain_bias",
            "temperature_gain_bias",
            "brightness_temperature_k1_k2",
        )
    ),
)
"""The mapping of `docs/catalog-model.md`, as far as it is one attribute to one property."""
LINKS = {"provider_url": "via", "preview_url": "preview"}
"""Attribute -> relation of the link that holds it (STAC 1.1, common link relations)."""
_MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff",
    ".tiff": "image/tiff; application=geotiff",
    ".jp2": "image/jp2",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
}
_WKT2 = ("PROJCRS", "GEOGCRS", "GEODCRS", "BOUNDCRS", "COMPOUNDCRS", "DERIVEDPROJCRS", "ENGCRS")


def properties_from_image(image: Image) -> Json:
    """Return the Item properties that an image's attributes stand for; None for those that are not set."""
    properties: Json = {}
    for row in PROPERTIES:
        value = getattr(image, row.attribute)
        properties[row.name] = None if value is None else row.write(value)
    properties["ingest:null_properties"] = list(nulls_of(image.extra_properties)) or None
    properties["start_datetime"] = properties["datetime"] if image.acquired_end else None
    properties["view:off_nadir"] = None if image.view_angle is None else abs(image.view_angle)
    return properties


def item_with_image(item: Json, image: Image) -> Json:
    """Return `item` with the attributes of `image`; what the image has no say in, its files too, stays as it is."""
    properties = {**item.get("properties", {}), **properties_from_image(image)}
    changed = {
        **item,
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "id": image.name,
        "collection": image.product_id,
        "geometry": image.geometry or item.get("geometry"),
        "properties": {name: value for name, value in properties.items() if value is not None},
        "assets": item.get("assets", {}),
        "links": _links(item.get("links", []), image),
    }
    if changed["geometry"] is None:
        changed.pop("bbox", None)
    elif changed["geometry"] != item.get("geometry") or "bbox" not in item:
        changed["bbox"] = bbox_of(changed["geometry"])
    return with_extensions(changed)


def _links(links: list[Json], image: Image) -> list[Json]:
    said = {relation: getattr(image, attribute) for attribute, relation in LINKS.items()}
    kept = [link for link in links if link["rel"] not in said or link["href"] == said[link["rel"]]]
    there = {link["rel"] for link in kept}
    return kept + [{"rel": rel, "href": href} for rel, href in said.items() if href and rel not in there]


def item_with_files(item: Json, image: Image, collection: Json) -> Json:
    """Return `item` with the files of an image that was not uploaded, and where its pixels lie.

    Args:
        item: The Item.
        image: The image; its `files` become the data assets, in their order.
        collection: The product's Collection, whose `item_assets` name the assets when there is one for each file.

    Raises:
        AttributeValidationError: The pixels are in the catalog's store, where only an upload changes them.
    """
    if any("file:header_size" in asset for _, asset in data_assets(item)):
        raise AttributeValidationError(
            f"{', '.join(GRID)} of image {image.id!r} follow its files, which are in the catalog's store;"
            " to change them, upload a new Image of the same name with overwrite=True."
        )
    declared = sorted(collection.get("item_assets", {}).items(), key=lambda pair: pair[1].get("ingest:file_index", 0))
    if len(declared) != len(image.files):
        declared = [("data" if index == 0 else f"data_{index}", {}) for index in range(len(image.files))]
    files = {
        key: _file_asset(file, index, described)
        for index, ((key, described), file) in enumerate(zip(declared, image.files, strict=True))
    }
    before = {key for key, _ in data_assets(item)}
    others = {key: asset for key, asset in item["assets"].items() if key not in before}
    properties = {**item["properties"], **_place(image)}
    return with_extensions(
        {
            **item,
            "assets": {**files, **others},
            "properties": {name: value for name, value in properties.items() if value is not None},
        }
    )


def _file_asset(file: File, index: int, described: Json) -> Json:
    href = file.href or file.provider_href or ""
    asset = {
        "href": href,
        "type": _MEDIA_TYPES.get(PurePosixPath(urlsplit(href).path).suffix.lower()),
        "title": described.get("title"),
        "roles": described.get("roles", ["data"]),
        "bands": described.get("bands"),
        "file:size": file.size_bytes,
        "file:checksum": file.hash,
        "ingest:file_index": index,
        "ingest:provider_id": file.provider_id,
        "ingest:provider_href": file.provider_href,
    }
    return {name: value for name, value in asset.items() if value is not None}


def _place(image: Image) -> Json:
    """Return the properties that say where the pixels lie; None for what is not known."""
    place: Json = dict.fromkeys(
        ("proj:code", "proj:wkt2", "proj:projjson", "ingest:projection", "proj:transform", "proj:shape")
    )
    if image.geotrans:
        x, dx, rx, y, ry, dy = image.geotrans
        place["proj:transform"] = [dx, rx, x, ry, dy, y]
    if image.y_pixels and image.x_pixels:
        place["proj:shape"] = [image.y_pixels, image.x_pixels]
    place["proj:code"] = image.cs_code
    if image.projection and image.projection.lstrip().startswith("{"):
        place["proj:projjson"] = json.loads(image.projection)
    elif image.projection and image.projection.lstrip().upper().startswith(_WKT2):
        place["proj:wkt2"] = image.projection
    else:
        place["ingest:projection"] = image.projection
    return place


def _projection(placed: Json) -> str | None:
    if placed.get("proj:projjson") is not None:
        return json.dumps(placed["proj:projjson"])
    found: str | None = placed.get("proj:wkt2") or placed.get("ingest:projection")
    return found


def image_from_item(item: Json) -> Image:
    """Return the image that an Item describes, whoever made it; values that no attribute can hold cause a warning."""
    unreadable: list[str] = []
    attributes = {name: value for name, value in _attributes(item, unreadable).items() if value is not None}
    try:
        image = Image.check(attributes)
    except AttributeValidationError as error:
        unreadable.append(str(error))
        image = Image.check({name: attributes.pop(name) for name in ("product_id", "name")})
        for name, value in attributes.items():
            with suppress(AttributeValidationError):
                image = image.evolve(**{name: value})
    if unreadable:
        reasons = "; ".join(unreadable)
        warnings.warn(f"Item {item['id']!r} of {item['collection']!r}: {reasons}; left out.", stacklevel=2)
    return image


def _attributes(item: Json, unreadable: list[str]) -> Json:
    properties = item["properties"]
    data = [asset for _, asset in data_assets(item)]
    placed = {**properties, **(data[0] if data else {})}
    links = {link["rel"]: link["href"] for link in reversed(item.get("links", []))}

    def read(name: str, found: Json, reader: Callable[[Any], Any]) -> Any:
        try:
            return None if found.get(name) is None else reader(found[name])
        except (TypeError, ValueError):
            unreadable.append(f"{name} cannot be {found[name]!r}")
            return None

    height, width = read("proj:shape", placed, _two) or (None, None)
    return {
        "product_id": item["collection"],
        "name": item["id"],
        **{row.attribute: read(row.name, properties, row.read) for row in PROPERTIES},
        "extra_properties": with_nulls(
            properties.get("ingest:extra_properties") or {}, properties.get("ingest:null_properties") or ()
        ),
        # STAC allows a range without a datetime
        "acquired": properties.get("datetime") or properties.get("start_datetime"),
        **{attribute: links.get(relation) for attribute, relation in LINKS.items()},
        "geometry": item.get("geometry"),
        "geotrans": read("proj:transform", placed, _geotransform),
        "x_pixels": width,
        "y_pixels": height,
        "cs_code": placed.get("proj:code"),
        "projection": None if placed.get("proj:code") else _projection(placed),
        "files": [_file(asset) for asset in data],
    }


def _two(values: Any) -> tuple[Any, Any]:
    first, second = values
    return first, second


def _geotransform(transform: Any) -> tuple[float, ...]:
    dx, rx, x, ry, dy, y = transform[:6]
    return (x, dx, rx, y, ry, dy)


def _file(asset: Json) -> Json:
    provider_href = asset.get("ingest:provider_href")
    return {
        "href": None if asset["href"] == provider_href else asset["href"],
        "size_bytes": asset.get("file:size"),
        "hash": asset.get("file:checksum"),
        "provider_id": asset.get("ingest:provider_id"),
        "provider_href": provider_href,
    }


def data_assets(item: Json) -> list[tuple[str, Json]]:
    """Return the keys and assets of an Item's images, in the order of the files."""
    found = [(key, asset) for key, asset in item.get("assets", {}).items() if "data" in (asset.get("roles") or ())]
    return sorted(found, key=lambda pair: (_number(pair[1].get("ingest:file_index")), pair[0]))


def _number(index: object) -> float:
    return index if isinstance(index, int | float) else math.inf
