"""How the bands of a product are shown, as the Render extension v2.0.0 says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stac_ingest.models.bands import Band, ClassBand, GenericBand, Layout, MaskBand

Json = dict[str, Any]


def renders(bands: Sequence[Band], default_display_bands: Sequence[str] | None) -> Json:
    """Return the renders of a product by name.

    `default` shows the product's `default_display_bands`; each band with a colormap has a render of its own name.
    Without ranges or colours to tell, or where the bands lie so that the extension cannot say it, there is none.
    """
    layout = Layout.of(bands)
    by_name = {band.name: band for band in bands}
    places = {
        band.name: (key, index)
        for key, file in zip(layout.asset_keys(), layout.files, strict=True)
        for index, band in enumerate(file.bands, start=1)
    }
    found: Json = {}
    shown = [by_name.get(name) for name in default_display_bands or ()]
    coloured = [band for band in shown if band and not isinstance(band, MaskBand)]
    if coloured and None not in shown and (render := _render("Default", coloured, places)):
        found["default"] = render
    for band in bands:
        if isinstance(band, ClassBand | GenericBand) and (band.colormap or band.colormap_name):
            found[band.name] = _render(band.description or band.name, [band], places)
    return {name: render for name, render in found.items() if render}


def _render(title: str, bands: Sequence[Band], places: dict[str, tuple[str, int]]) -> Json | None:
    assets = list(dict.fromkeys(places[band.name][0] for band in bands))
    if len(assets) not in (1, len(bands)):
        return None
    ranges = [band.display_range or band.data_range for band in bands]
    colours = bands[0] if len(bands) == 1 and isinstance(bands[0], ClassBand | GenericBand) else None
    nodata = {band.to_json().get("nodata") for band in bands}
    render: Json = {
        "title": title,
        "assets": assets,
        "bidx": [places[band.name][1] for band in bands],
        "rescale": [list(ends) for ends in ranges if ends] if all(ranges) else None,
        "nodata": nodata.pop() if len(nodata) == 1 else None,
        "colormap_name": colours.colormap_name.value if colours and colours.colormap_name else None,
        "colormap": (
            {str(value): list(rgba) for value, rgba in enumerate(colours.colormap)}
            if colours and colours.colormap
            else None
        ),
    }
    if render["colormap"] and isinstance(colours, ClassBand):
        render["rescale"] = None
    return {name: value for name, value in render.items() if value is not None}
