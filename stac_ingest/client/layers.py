"""Arrays of any kind as layers of pixels that can be sent: NumPy's, masked ones, xarray's, and what is like them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stac_ingest.client.labelled import Labelled, is_dataset, is_labelled, labelled_array, labelled_files
from stac_ingest.models.bands import Layout
from stac_ingest.models.enums import DataType
from stac_ingest.models.raster import Georeference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_BYTES = 1024**2
_SUSPICIOUS_BANDS = 5
_SDK = (str(Path(__file__).resolve().parents[1]),)


@dataclass(frozen=True, kw_only=True)
class Layers:
    """One array to be sent. Nothing is copied but what is not in order in memory, a block at a time."""

    planes: Sequence[NDArray[Any]]
    """Its bands, each (y, x)."""
    shape: tuple[int, ...]
    """(y, x) or (band, y, x)."""
    masks: Sequence[NDArray[np.bool_]] | None = None
    """For each plane, where it has no value."""
    nodata: Sequence[float | None] | None = None
    """For each plane, the value that means "no value"; may be NaN."""
    place: Georeference = field(default_factory=Georeference)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self.planes[0].dtype

    @property
    def is_masked(self) -> bool:
        """Whether any pixel has no value."""
        if self.masks is None and (self.nodata is None or all(value is None for value in self.nodata)):
            return False
        return any(bool(block.any()) for block in self.invalid())

    def pixels(self) -> Iterator[NDArray[Any]]:
        """Yield the pixels in blocks of rows (y, x), plane after plane."""
        for plane, rows in self._blocks():
            yield self.planes[plane][rows]

    def invalid(self) -> Iterator[NDArray[np.bool_]]:
        """Yield where there is no value, in the same blocks."""
        import numpy as np

        for plane, rows in self._blocks():
            pixels = self.planes[plane][rows]
            nodata = self.nodata[plane] if self.nodata else None
            if nodata is None:
                invalid: NDArray[np.bool_] = np.zeros(pixels.shape, bool)
            else:
                invalid = np.isnan(pixels) if math.isnan(nodata) else pixels == nodata
            yield invalid | self.masks[plane][rows] if self.masks is not None else invalid

    def _blocks(self) -> Iterator[tuple[int, slice]]:
        height, width = self.shape[-2:]
        rows = max(1, BLOCK_BYTES // (width * self.dtype.itemsize))
        for plane in range(len(self.planes)):
            for start in range(0, height, rows):
                yield plane, slice(start, start + rows)


def layers_of(arrays: object, layout: Callable[[], Layout]) -> list[Layers]:
    """Return the arrays of one image, in the order of the bands' `file_index`.

    Args:
        arrays: An array of shape (y, x) or (band, y, x), or an iterable of them: of NumPy, masked or not, of xarray, or
            with a method `__array__`; or a Dataset of xarray, whose variables are called like the product's bands.
        layout: Asks for how the bands lie in files; only a Dataset needs it.

    Raises:
        ValueError: An array has another shape, or a type that GeoTIFF cannot store.
    """
    if is_dataset(arrays):
        files = [_stacked(bands, index) for index, bands in enumerate(labelled_files(arrays, layout()))]
    elif _is_array(arrays):
        files = [_layers(arrays)]
    elif isinstance(arrays, Iterable) and not isinstance(arrays, str | bytes):
        files = []
        for index, array in enumerate(arrays):
            if not _is_array(array):
                raise ValueError(f"The item at index {index} is not an ndarray, found {type(array)}")
            files.append(_layers(array))
    else:
        raise ValueError(f"The array must be an instance of ndarray or an Iterable of them, found {type(arrays)}")
    if not files:
        raise ValueError("Invalid ndarray value has zero length")
    return files


def is_arrays(value: object) -> bool:
    """Return whether `Image.upload_ndarray` takes a value, rather than `Image.upload`; looks at the first."""
    if isinstance(value, list | tuple) and value:
        return _is_array(value[0])
    return _is_array(value) or is_dataset(value)


def place_of(files: Sequence[Layers]) -> Georeference:
    """Return the place that the arrays know of themselves; raises ValueError when they do not agree."""
    places = {file.place for file in files if file.place != Georeference()}
    if len(places) > 1:
        raise ValueError(
            f"Expected all arrays of an image at one place, found {len(places)}: {sorted(map(repr, places))};"
            " resample them to one grid, or upload an image for each"
        )
    return places.pop() if places else Georeference()


def _is_array(value: object) -> bool:
    return not isinstance(value, type) and hasattr(value, "__array__") and not is_dataset(value)


def _layers(array: Any) -> Layers:
    import numpy as np

    if is_labelled(array):
        return _stacked([labelled_array(array)], 0)
    whole = array if isinstance(array, np.ndarray) else np.asarray(array)
    check_array(whole)
    _warn_of_bands_that_come_last(whole.shape)
    mask: Any = np.ma.getmask(whole)
    return Layers(
        planes=_planes(np.ma.getdata(whole)),
        shape=whole.shape,
        masks=None if mask is np.ma.nomask else _planes(mask),
    )


def _stacked(bands: list[Labelled], index: int) -> Layers:
    for band in bands:
        check_array(band.pixels)
    first, *others = bands
    for other in others:
        if (other.pixels.shape, other.pixels.dtype, other.place) != (
            first.pixels.shape,
            first.pixels.dtype,
            first.place,
        ):
            raise ValueError(
                f"Expected the variables of file {index} to be alike, found {first.pixels.dtype} {first.pixels.shape}"
                f" and {other.pixels.dtype} {other.pixels.shape}, or other places; give each band a file_index of its"
                " own"
            )
    planes = [plane for band in bands for plane in _planes(band.pixels)]
    return Layers(
        planes=planes,
        shape=first.pixels.shape if not others else (len(planes), *first.pixels.shape[-2:]),
        nodata=[band.nodata for band in bands for _ in _planes(band.pixels)],
        place=first.place,
    )


def _planes(array: NDArray[Any]) -> list[NDArray[Any]]:
    return list(array) if array.ndim == 3 else [array]


def check_array(array: NDArray[Any]) -> None:
    """Raise ValueError for a shape or a type that no image has."""
    if array.ndim not in (2, 3):
        raise ValueError(
            "The array must have 2 dimensions (shape '(y, x)') or 3 dimensions with the band axis in the first"
            f" dimension (shape '(band, y, x)'), found {array.ndim} dimensions: {array.shape}"
        )
    if array.size == 0:
        raise ValueError(f"The array has no pixels: its shape is {array.shape}")
    try:
        DataType.from_numpy(array.dtype.newbyteorder("=").name)
    except KeyError:
        instead = {"b": "array.astype('uint8')", "c": "numpy.stack([array.real, array.imag])"}.get(array.dtype.kind)
        allowed = ", ".join(member.numpy for member in DataType)
        advice = f"; upload {instead} instead" if instead else ""
        raise ValueError(
            f"The array has an unsupported data type {array.dtype}; it must be one of {allowed}{advice}"
        ) from None


def _warn_of_bands_that_come_last(shape: tuple[int, ...]) -> None:
    if len(shape) == 3 and shape[0] * _SUSPICIOUS_BANDS > min(shape[1:]):
        warnings.warn(
            f"The shape '{shape}' of the given 3d-array looks like it might not have the band axis as the first"
            " dimension. Verify that your array conforms to the shape '(band, y, x)'",
            skip_file_prefixes=_SDK,
        )
