"""Whatever xarray and rioxarray do to `_FillValue`: what had no value in the file has none when it is sent.

The oracle is the mask that rasterio reads from the file.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from rasterio.transform import from_origin

from stac_ingest.client.uploading.layers import Layers, layers_of
from stac_ingest.models.bands import Layout, SpectralBand
from stac_ingest.models.enums import DataType

# rioxarray multiplies transforms as one did before affine 3.1.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

PIXELS = np.random.default_rng(0).integers(0, 4, (2, 4, 6)).astype("uint16")
MASK = PIXELS == 0
BEFORE = "Pixels of 0 are taken to have no value"


def bands(data_type: DataType, *, files: int = 1) -> Callable[[], Layout]:
    """Return the layout of two bands called a and b."""
    made = [SpectralBand(name=n, data_type=data_type, file_index=i % files) for i, n in enumerate("ab")]
    return lambda: Layout.of(made)


INTEGERS, FLOATS = bands(DataType.UINT16), bands(DataType.FLOAT32)


def sent(layers: Layers) -> np.ma.MaskedArray[Any, Any]:
    """Return what the service makes of layers: masked is what they say, and NaN."""
    pixels = np.concatenate([block.ravel() for block in layers.pixels()]).reshape(layers.shape)
    invalid = np.concatenate([block.ravel() for block in layers.invalid()]).reshape(layers.shape)
    assert pixels.dtype == layers.dtype
    assert layers.is_masked == invalid.any()
    return np.ma.MaskedArray(pixels, invalid | np.isnan(pixels))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A GeoTIFF whose nodata is 0."""
    file = tmp_path / "image.tif"
    profile = {"driver": "GTiff", "count": 2, "height": 4, "width": 6, "dtype": "uint16", "nodata": 0}
    with rasterio.open(file, "w", crs=32633, transform=from_origin(5e5, 5e6, 10, 10), **profile) as dataset:
        dataset.write(PIXELS)
    return file


def named(array: Any) -> Any:
    return array.assign_coords(band=["a", "b"])


def from_dataset(path: Path, **options: Any) -> Any:
    with xr.open_dataset(path, engine="rasterio", **options) as dataset:
        return dataset.load()


def read(path: Path, **options: Any) -> Any:
    opened: Any = rioxarray.open_rasterio(path, **options)
    with opened as array:
        return array.load()


def _with(array: Any, attributes: dict[str, Any]) -> Any:
    array.attrs = attributes
    return array


def filled(array: Any) -> Any:
    """Return an array with 9 in place of NaN, and the encoding that said what NaN stands for."""
    return array.copy(data=np.nan_to_num(array.values, nan=9))


def encoded(array: Any) -> Any:
    """Return integers whose `_FillValue` is in their encoding, as xarray wants it for writing."""
    array = _with(array.copy(), {})
    array.encoding["_FillValue"] = 0
    return array


KEEPING: dict[str, Callable[[Path], Any]] = {
    "masked=False": read,
    "masked=True": lambda path: read(path, masked=True),
    "mask_and_scale=True": lambda path: read(path, mask_and_scale=True),
    "open_dataset": from_dataset,
    "open_dataset, mask_and_scale=False": lambda path: from_dataset(path, mask_and_scale=False),
    "to_dataset(dim=)": lambda path: named(read(path)).to_dataset(dim="band"),
    "masked, to_dataset(dim=)": lambda path: named(read(path, masked=True)).to_dataset(dim="band"),
    "to_dataset(name=)": lambda path: read(path).to_dataset(name="pixels"),
    "to_dataset and back": lambda path: named(read(path)).to_dataset(dim="band").to_array("band"),
    "of a file's bands": lambda path: xr.Dataset(
        {name: read(path).isel(band=index, drop=True) for index, name in enumerate("ab")}
    ),
    "transposed": lambda path: read(path).transpose("x", "y", "band"),
    "upside down": lambda path: read(path, masked=True).sortby("y"),
    "write_nodata": lambda path: read(path, masked=True).fillna(9).rio.write_nodata(9),
    "write_nodata beside an encoded one": lambda path: filled(read(path, masked=True)).rio.write_nodata(9),
    "write_nodata(encoded=True)": lambda path: read(path, masked=True).rio.write_nodata(9, encoded=True),
    "set_nodata": lambda path: _with(read(path), {}).rio.set_nodata(0),
    "set_nodata over _FillValue": lambda path: read(path).where(read(path) > 0, 9).rio.set_nodata(9),
    "missing_value": lambda path: _with(read(path), {"missing_value": 0}),
    "in the encoding": lambda path: encoded(read(path)),
    "where": lambda path: read(path).where(read(path) > 0),
    "masked, where": lambda path: read(path, masked=True).where(read(path) >= 0),
    "arithmetic": lambda path: read(path) * 1,
    "masked, arithmetic": lambda path: (read(path, masked=True) + 1) - 1,
    "masked, clip": lambda path: read(path, masked=True).clip(0, 9),
    "concatenated": lambda path: xr.concat([read(path).isel(band=[index]) for index in (0, 1)], "band"),
    "decode_cf": lambda path: xr.decode_cf(xr.Dataset({"pixels": read(path)})),
    "without rioxarray's accessor": lambda path: Bare(read(path)),
}


class Bare:
    """An array as it is where rioxarray is not installed."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self._array.values

    def __getattr__(self, name: str) -> Any:
        if name == "rio":
            raise AttributeError(name)
        return getattr(self._array, name)


@pytest.mark.parametrize("layout", [INTEGERS, FLOATS], ids=["integers", "floats"])
@pytest.mark.parametrize("name", KEEPING)
def test_what_xarray_does_to_an_array_loses_no_mask(path: Path, name: str, layout: Callable[[], Layout]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=BEFORE)
        (layers,) = layers_of(KEEPING[name](path), layout)
    found = sent(layers)
    np.testing.assert_array_equal(np.ma.getmaskarray(found), MASK)
    np.testing.assert_array_equal(found.filled(0), PIXELS)


@pytest.mark.parametrize("name", KEEPING)
def test_integers_that_xarray_made_floats_are_integers_again(path: Path, name: str) -> None:
    (layers,) = layers_of(KEEPING[name](path), INTEGERS)
    assert layers.dtype == "uint16"


def test_a_dataset_of_bands_in_several_files(path: Path) -> None:
    dataset = named(read(path, masked=True)).to_dataset(dim="band")
    files = layers_of(dataset, bands(DataType.UINT16, files=2))
    for file, pixels in zip(files, PIXELS, strict=True):
        np.testing.assert_array_equal(sent(file).filled(0), pixels)
        assert file.dtype == "uint16"


@pytest.mark.parametrize("change", [lambda a: a / 2, lambda a: a - 5, lambda a: a * 40_000, lambda a: a + np.inf])
def test_floats_that_are_no_such_integers_stay_floats(path: Path, change: Callable[[Any], Any]) -> None:
    array = change(read(path, masked=True))
    (layers,) = layers_of(array, INTEGERS)
    assert layers.dtype == "float32"
    np.testing.assert_array_equal(sent(layers).data, array.values)


@pytest.mark.filterwarnings("ignore:The shape")
def test_floats_of_numpy_stay_floats() -> None:
    (layers,) = layers_of(PIXELS.astype("float32"), INTEGERS)
    assert layers.dtype == "float32"


def test_large_integers_are_told_apart() -> None:
    largest = 2**64 - 1
    pixels = np.array([[largest, largest - 1]], "uint64")
    array = xr.DataArray(pixels, dims=("y", "x"), attrs={"_FillValue": np.uint64(largest)})
    (layers,) = layers_of(array, INTEGERS)
    assert np.ma.getmaskarray(sent(layers)).tolist() == [[True, False]]


def test_a_fill_value_from_before_a_computation_is_warned_of(path: Path) -> None:
    a, b = (read(path).astype("float32").isel(band=index) for index in (0, 1))
    with pytest.warns(
        UserWarning, match=rf"{BEFORE}.*it is uint16, and the array float32.*State it again.*write_nodata"
    ):
        layers_of((a - b) / (a + b), FLOATS)
    with pytest.warns(UserWarning, match=rf"{BEFORE}.*it is uint16, and the array int16"):
        layers_of((a - b).astype("int16"), bands(DataType.INT16))
    with pytest.warns(UserWarning, match=rf"{BEFORE}.*it is uint16, and the array int16"):
        layers_of(a - b, bands(DataType.INT16))
    stated = ((a - b) / (a + b)).rio.write_nodata(0)
    layers_of(stated, FLOATS)
    layers_of(a + 1, FLOATS)
    layers_of(a, INTEGERS)
