"""A STAC catalog that turns uploaded images into Cloud-Optimized GeoTIFFs and finds them at once.

    >>> from stac_ingest import Image, Product, SpectralBand, properties as p
    >>> product = Product(id="my-product", name="Example product")
    >>> product.save()

The service is named by `STAC_INGEST_URL` (http://127.0.0.1:8000 if unset).
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stac_ingest.client import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """Return what the SDK has by this name; it is imported when it is first asked for, as the service needs none."""
    is_module = find_spec(f"{__name__}.{name}") is not None
    if name == "__all__" or not (name.startswith("_") or is_module):
        sdk = import_module("stac_ingest.client")
        if hasattr(sdk, name):
            return getattr(sdk, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *import_module("stac_ingest.client").__all__]
