"""The bytes of assets, as GDAL, browsers and caches ask for them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import httpx2
import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy
from rasterio.transform import from_origin
from rio_cogeo.cogeo import cog_validate

from stac_ingest import Image, Product, SpectralBand
from stac_ingest.client.connection import Client
from tests.api.answers import refused
from tests.conftest import GeotiffMaker, ProductMaker, Service, upload_done


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an image that has overviews when it is stored."""
    path = tmp_path_factory.mktemp("source") / "image.tif"
    pixels = np.random.default_rng(0).integers(1, 200, (1, 600, 700)).astype("uint16")
    profile = {"driver": "GTiff", "count": 1, "height": 600, "width": 700, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile, transform=from_origin(500_000, 5_000_000, 10, 10)) as dataset:
        dataset.write(pixels)
    return path


@pytest.fixture(scope="module")
def href(service: Service, source: Path) -> str:
    """Address of a stored image."""
    with Client(service.url) as client:
        product = Product(client, id=f"test:{uuid4().hex[:12]}")
        product.save()
        SpectralBand(client, product=product, name="blue", data_type="UInt16").save()
        done = upload_done(Image(client, product=product, name="scene", acquired="2024-01-01"), source)
        assert done.image is not None, done.events
        found: str = done.image.item["assets"]["blue"]["href"]
        return found


@pytest.fixture
def stored(service: Service, http: httpx2.Client, href: str) -> bytes:
    """What is in the store under the address."""
    key = href.removeprefix(f"{http.base_url}/assets/")
    return (service.data_dir / "store" / "assets" / key).read_bytes()


def test_head_says_all_that_gdal_asks(http: httpx2.Client, href: str, stored: bytes) -> None:
    answer = http.head(href)
    assert answer.status_code == 200
    assert answer.content == b""
    sha256 = hashlib.sha256(stored).hexdigest()
    assert answer.headers["content-length"] == str(len(stored))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == f'"{sha256[:16]}"'
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "image/tiff; application=geotiff; profile=cloud-optimized"


@pytest.mark.parametrize("encodings", ["identity", "br", "gzip", "br, gzip, deflate"])
def test_whole_and_ranges_are_the_exact_bytes(http: httpx2.Client, href: str, stored: bytes, encodings: str) -> None:
    asks = {"Accept-Encoding": encodings}
    whole = http.get(href, headers=asks)
    assert whole.status_code == 200
    assert whole.content == stored
    assert whole.headers["content-length"] == str(len(stored))
    for sent, expected, shown in [
        ("bytes=0-16383", stored[:16384], f"bytes 0-16383/{len(stored)}"),
        ("bytes=100-100", stored[100:101], f"bytes 100-100/{len(stored)}"),
        ("bytes=5000-", stored[5000:], f"bytes 5000-{len(stored) - 1}/{len(stored)}"),
        ("bytes=-77", stored[-77:], f"bytes {len(stored) - 77}-{len(stored) - 1}/{len(stored)}"),
        ("bytes=0-99999999999", stored, f"bytes 0-{len(stored) - 1}/{len(stored)}"),
    ]:
        part = http.get(href, headers={**asks, "Range": sent})
        assert part.status_code == 206, sent
        assert "content-encoding" not in part.headers
        assert part.headers["content-range"] == shown
        assert part.headers["content-length"] == str(len(expected))
        assert part.headers["etag"] == whole.headers["etag"]
        assert part.content == expected, sent


def test_a_range_beyond_the_end(http: httpx2.Client, href: str, stored: bytes) -> None:
    answer = http.get(href, headers={"Range": f"bytes={len(stored)}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"].endswith(f"*/{len(stored)}")


def test_what_is_known_is_not_sent_again(http: httpx2.Client, href: str) -> None:
    etag = http.head(href).headers["etag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = http.get(href, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b""), known
        assert answer.headers["etag"] == etag
        assert "immutable" in answer.headers["cache-control"]
    assert http.get(href, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_cog_is_served_as_it_was_uploaded(
    http: httpx2.Client, make_product: ProductMaker, source: Path, tmp_path: Path
) -> None:
    cog = tmp_path / "cog.tif"
    copy(source, cog, driver="COG", compress="ZSTD", overview_resampling="AVERAGE")

    done = upload_done(Image(product=make_product("blue"), name="a", acquired="2024-01-01"), cog)

    assert done.image is not None, done.events
    item = done.image.item
    assert http.get(item["assets"]["blue"]["href"]).content == cog.read_bytes()
    assert "taken as it is" in item["properties"]["processing:lineage"]
    assert item["assets"]["blue"]["ingest:overviews"] == [2]
    assert sum(item["assets"]["blue"]["bands"][0]["raster:histogram"]["buckets"]) == 600 * 700


def test_previews_are_pictures(http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    done = upload_done(
        Image(product=make_product("blue", data_type=None), name="scene", acquired="2024-01-01"),
        make_geotiff(dtype="uint8"),
    )
    assert done.image is not None
    answer = http.get(done.image.item["assets"]["thumbnail"]["href"])
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")


@pytest.mark.parametrize("suffix", [".aux.xml", ".ovr", ".msk", ".OVR", "/", ".xml", " "])
def test_sidecars_that_there_are_not(http: httpx2.Client, href: str, suffix: str) -> None:
    for method in ("GET", "HEAD"):
        assert http.request(method, f"{href}{suffix}").status_code == 404
    refused(http.get(f"{href}{suffix}"), 404, "ASSET_NOT_FOUND")


def test_nothing_else_is_served(
    service: Service, http: httpx2.Client, href: str, make_product: ProductMaker, tmp_path: Path
) -> None:
    product = make_product("blue")
    opened = http.post(
        f"/collections/{product.id}/uploads",
        json={"image": {"name": "a", "acquired": "2024-01-01"}, "files": [{"name": "a.tif"}]},
    ).json()
    http.put(opened["files"][0]["href"], content=b"secret")
    hidden = service.data_dir / "hidden-0123456789abcdef.tif"
    hidden.write_bytes(b"secret")
    key = href.removeprefix(f"{http.base_url}/assets/")
    collection, item, name = key.split("/")
    for path in (
        f"..%2f..%2f{hidden.name}",
        f"..%2F..%2F..%2f{hidden.name}",
        f"%2e%2e/%2e%2e/{hidden.name}",
        f"a/..%2f..%2f..%2f{hidden.name}",
        f"{collection}/{item}/..%2f..%2f..%2f..%2f{hidden.name}",
        f"../../{hidden.name}",
        quote(str(hidden), safe=""),
        f"/{hidden}",
        f"..%2fstaging%2f{opened['id']}%2f0",
        f"staging/{opened['id']}/0",
        f"{collection}/{item}",
        f"{collection}/{item}/",
        f"{collection}/{item}/{name[:-8]}00000000.tif"[: len(key)],
        f"{collection}/{item}/{name.replace('.tif', '.png')}",
        f"{collection}/other/{name}",
        f"{collection}/{item}/./{name}%20",
        "",
    ):
        answer = http.get(f"/assets/{path}")
        assert answer.status_code == 404, path
        assert b"secret" not in answer.content
    refused(http.get(f"/assets/..%2f..%2f{hidden.name}"), 404, "ASSET_NOT_FOUND")
    refused(http.get(f"/assets/{collection}/{item}/{name}%00"), 400, "INVALID_REQUEST")


def test_gdal_reads_it_over_http(href: str, source: Path) -> None:
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        with rasterio.open(f"/vsicurl/{href}") as remote, rasterio.open(source) as local:
            assert remote.overviews(1)
            assert remote.transform == local.transform
            np.testing.assert_array_equal(remote.read(), local.read())
        valid, errors, warnings = cog_validate(f"/vsicurl/{href}", strict=True, quiet=True)
    assert valid, (errors, warnings)
