"""Images in a catalog that is not there, whose files are: what reading needs, without a service."""

from __future__ import annotations

import atexit
import itertools
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import httpx2

from stac_ingest import Image, stac
from stac_ingest.client.connection import Client
from stac_ingest.models.bands import Band, GenericBand
from stac_ingest.models.product import Product

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}


_NUMBERS = itertools.count()


@cache
def file_server() -> str:
    """Return the address of a server of this machine's files, as hrefs need one; it ends with the tests.

    It is a process of its own: GDAL waits for answers where rasterio keeps Python's other threads waiting too.
    """
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("file_server.py"))], stdout=subprocess.PIPE
    )
    atexit.register(process.kill)
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


class Images:
    """Make images of files, in one product for each list of bands; the catalog answers with its Collection only."""

    def __init__(self) -> None:
        self.collections: dict[str, dict[str, Any]] = {}
        self.client = Client("http://catalog.invalid", transport=httpx2.MockTransport(self._answer))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        found = self.collections.get(request.url.path.rpartition("/")[2])
        return httpx2.Response(404) if found is None else httpx2.Response(200, json=found)

    def __call__(
        self,
        files: Mapping[Path, str] | Path,
        bands: Sequence[Band] | None = None,
        *,
        product_id: str = "p",
        name: str = "i",
        assets: Mapping[str, Any] | None = None,
        **attributes: Any,
    ) -> Image:
        """Return an image whose files hold bands of the given names, separated by blanks."""
        listed = {files: "b"} if isinstance(files, Path) else files
        names = " ".join(listed.values()).split()
        layers = [GenericBand(name=each) for each in names] if bands is None else bands
        self.collections[product_id] = stac.collection_from_product(Product(id=product_id, name="P"), layers)
        item = {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": name,
            "collection": product_id,
            "geometry": SQUARE,
            "properties": {"datetime": "2024-01-01T00:00:00Z"},
            "links": [],
            "assets": {
                f"a{index}": {
                    "href": f"{file_server()}/{next(_NUMBERS)}{path}",
                    "roles": ["data"],
                    "bands": [{"name": each} for each in held.split()],
                    "ingest:file_index": index,
                    **(assets or {}),
                }
                for index, (path, held) in enumerate(listed.items())
            },
        }
        image = Image._loaded(item, self.client)
        image.update(**attributes)
        return image
