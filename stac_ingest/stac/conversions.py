"""The Item of an image whose files the converter wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from stac_ingest.models.bands import Band, Layout
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.image import Image
from stac_ingest.models.product import Product
from stac_ingest.models.raster import Conversion, Preview, Raster
from stac_ingest.models.values import timestamp_text
from stac_ingest.stac.bands import asset_roles, asset_title, stac_band
from stac_ingest.stac.extensions import COG_MEDIA_TYPE
from stac_ingest.stac.images import item_with_image

Json = dict[str, Any]


def item_from_conversion(
    image: Image,
    product: Product,
    bands: Iterable[Band],
    conversion: Conversion,
    hrefs: Mapping[str, str],
    *,
    now: datetime,
) -> Json:
    """Return the Item of an image whose files were converted and stored.

    Args:
        image: The attributes given with the upload; each wins over what the files say.
        product: Its `default_display_bands` mark the asset that people look at, its `cog_profile` says whether pixels
            were changed.
        bands: The bands of the product.
        conversion: What the converter reports.
        hrefs: Asset key -> where the stored file is.
        now: The moment of publication.
    """
    layout = Layout.of(bands)
    assets: Json = {}
    for index, (raster, file) in enumerate(zip(conversion.rasters, layout.files, strict=True)):
        assets[raster.asset] = _raster_asset(
            raster, file.bands, hrefs[raster.asset], index, asset_roles(file.bands, product.default_display_bands), now
        )
    for preview in conversion.previews:
        assets[preview.role] = _preview_asset(preview, hrefs[preview.role], now)
    codes = {raster.code for raster in conversion.rasters}
    item: Json = {
        "geometry": conversion.geometry,
        "bbox": list(conversion.bbox),
        "properties": {
            "title": image.name,
            "gsd": min((r.metre_resolution for r in conversion.rasters if r.metre_resolution), default=None),
            "proj:code": codes.pop() if len(codes) == 1 else None,
            "processing:datetime": timestamp_text(now),
            "processing:software": conversion.software,
            "processing:lineage": _lineage(conversion, product.cog_profile or CogProfile()),
        },
        "assets": assets,
    }
    fill = conversion.fill_fraction if image.fill_fraction is None else image.fill_fraction
    return item_with_image(
        item,
        image.evolve(fill_fraction=fill, created=image.created or now, modified=now, storage_state="available"),
    )


def _raster_asset(
    raster: Raster, bands: Sequence[Band], href: str, index: int, roles: list[str], now: datetime
) -> Json:
    entries = []
    for band, stored in zip(bands, raster.bands, strict=True):
        entry = stac_band(band)
        entry.pop("raster:spatial_resolution", None)
        entry.pop("nodata", None)
        written = stored.to_json()
        if "histogram" in written:
            written["raster:histogram"] = written.pop("histogram")
        entries.append({**entry, **written})
    asset: Json = {
        "href": href,
        "type": COG_MEDIA_TYPE,
        "title": asset_title(raster.asset, bands),
        "roles": roles,
        "created": timestamp_text(now),
        "bands": entries,
        "proj:code": raster.code,
        "proj:wkt2": raster.wkt2,
        "proj:shape": list(raster.shape),
        "proj:transform": raster.transform and list(raster.transform),
        "proj:bbox": raster.bbox and list(raster.bbox),
        "raster:spatial_resolution": raster.metre_resolution,
        "file:size": raster.size,
        "file:checksum": sha256_multihash(raster.sha256),
        "file:header_size": raster.header_size,
        "ingest:file_index": index,
        "ingest:overviews": list(raster.overviews) or None,
        "ingest:overview_resampler": raster.resampler.value if raster.resampler and raster.overviews else None,
    }
    return {key: value for key, value in asset.items() if value is not None}


def _preview_asset(preview: Preview, href: str, now: datetime) -> Json:
    return {
        "href": href,
        "type": "image/png",
        "title": preview.role.capitalize(),
        "roles": [preview.role],
        "created": timestamp_text(now),
        "proj:shape": list(preview.shape),
        "file:size": preview.size,
        "file:checksum": sha256_multihash(preview.sha256),
    }


def _lineage(conversion: Conversion, profile: CogProfile) -> str:
    written = [raster for raster in conversion.rasters if not raster.taken]
    taken = [raster.asset for raster in conversion.rasters if raster.taken]
    said = []
    if written:
        built = [raster for raster in written if raster.overviews]
        overviews = f", overviews by {built[0].resampler}" if built else ""
        said.append(f"Written as Cloud-Optimized GeoTIFF from the uploaded pixels, {_change(profile)}{overviews}")
    if taken:
        which = f" ({', '.join(taken)})" if written else ""
        said.append(f"Uploaded as Cloud-Optimized GeoTIFF{which}, verified and taken as it is, not rewritten")
    return "; ".join(said)


def _change(profile: CogProfile) -> str:
    if profile.is_lossless:
        return "unchanged"
    if profile.max_error:
        return f"changed by at most {profile.max_error:g} ({profile.codec})"
    return f"changed by lossy compression ({profile.codec})"


def sha256_multihash(digest: str) -> str:
    """Return a hexadecimal SHA-256 as the multihash that `file:checksum` holds (0x12: sha2-256, 0x20: 32 bytes)."""
    return f"1220{digest}"
