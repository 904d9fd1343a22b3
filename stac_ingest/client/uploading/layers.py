"""Arrays of any kind as layers of pixels that can be sent: NumPy's, masked ones, xarray's, and what is like them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stac_ingest.client.uploading.labelled import Labelled, is_dataset, is_labelled, labelled_array, labelled_files
from stac_ingest.models.bands import Layout
from stac_ingest.models.enums import DataType
from stac_ingest.models.image import Georeference

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
    """For each plane, the value that means "no value"; in floats NaN means it too then."""
    integers: np.dtype[Any] | None = None
    """The type of integers as which floats are sent; what has no value is 0 there."""
    place: Georeference = field(default_factory=Georeference)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels that are sent."""
        return self.planes[0].dtype if self.integers is None else self.integers

    @property
    def is_masked(self) -> bool:
        """Whether any pixel has no value."""
        if self.masks is None and (self.nodata is None or all(value is None for value in self.nodata)):
            return False
        return any(bool(block.any()) for block in self.invalid())

    def pixels(self) -> Iterator[NDArray[Any]]:
        """Yield the pixels in blocks of rows (y, x), plane after plane."""
        import numpy as np

        for plane, rows in self._blocks():
            pixels = self.planes[plane][rows]
            if self.integers is not None:
                pixels = np.where(self._invalid(plane, rows), 0, pixels).astype(self.integers)
            yield pixels

    def invalid(self) -> Iterator[NDArray[np.bool_]]:
        """Yield where there is no value, in the same blocks."""
        for plane, rows in self._blocks():
            yield self._invalid(plane, rows)

    def as_integers(self, data_type: DataType) -> Layers:
        """Return floats as integers of a type, if that is what they are; else the layers as they are."""
        import numpy as np

        nodata = [math.nan if value is None else value for value in self.nodata or ()]
        integers = replace(self, integers=np.dtype(data_type.numpy), nodata=nodata)
        limits = np.iinfo(data_type.numpy)
        for plane, rows in self._blocks():
            values = self.planes[plane][rows][~integers._invalid(plane, rows)]
            if not ((values >= limits.min) & (values <= limits.max) & (values == np.rint(values))).all():
                return self
        return integers

    def has(self, value: float) -> bool:
        """Return whether a pixel has this value."""
        return any(bool((self.planes[plane][rows] == value).any()) for plane, rows in self._blocks())

    def _invalid(self, plane: int, rows: slice) -> NDArray[np.bool_]:
        import numpy as np

        pixels = self.planes[plane][rows]
        nodata = self.nodata[plane] if self.nodata else None
        invalid: NDArray[np.bool_] = np.zeros(pixels.shape, bool) if nodata is None else pixels == nodata
        if nodata is not None and pixels.dtype.kind == "f":
            invalid |= np.isnan(pixels)
        return invalid | self.masks[plane][rows] if self.masks is not None else invalid

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
        layout: Asks for how the bands lie in files; only a Dataset, and floats of xarray, need it.

    Floats of xarray that are integers, or NaN, become integers where the product's bands are: that NaN can stand for
    what is masked, xarray and rioxarray have made floats of them.

    Raises:
        ValueError: An array has another shape, or a type that GeoTIFF cannot store.
    """
    layout = cache(layout)
    if is_dataset(arrays):
        files = [_stacked(bands, index, layout) for index, bands in enumerate(labelled_files(arrays, layout()))]
    elif _is_array(arrays):
        files = [_layers(arrays, 0, layout)]
    elif isinstance(arrays, Iterable) and not isinstance(arrays, str | bytes):
        files = []
        for index, array in enumerate(arrays):
            if not _is_array(array):
                raise ValueError(f"The item at index {index} is not an ndarray, found {type(array)}")
            files.append(_layers(array, index, layout))
    else:
        raise ValueError(
            f"The array must be an instance of ndarray or an Iterable of them, found {type(arrays)}; upload takes files"
        )
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


def _layers(array: Any, index: int, layout: Callable[[], Layout]) -> Layers:
    import numpy as np

    if is_labelled(array):
        return _stacked([labelled_array(array)], index, layout)
    whole = np.asanyarray(array)
    check_array(whole)
    _warn_of_bands_that_come_last(whole.shape)
    mask: Any = np.ma.getmask(whole)
    return Layers(
        planes=_planes(np.ma.getdata(whole)),
        shape=whole.shape,
        masks=None if mask is np.ma.nomask else _planes(mask),
    )


def _stacked(bands: list[Labelled], index: int, layout: Callable[[], Layout]) -> Layers:
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
    layers = Layers(
        planes=planes,
        shape=first.pixels.shape if not others else (len(planes), *first.pixels.shape[-2:]),
        nodata=[band.nodata for band in bands for _ in _planes(band.pixels)],
        place=first.place,
    )
    if layers.dtype.kind == "f":
        types = {band.data_type for file in layout().files[index : index + 1] for band in file.bands}
        data_type = types.pop() if len(types) == 1 else None
        if data_type is not None and not data_type.numpy.startswith("float"):
            layers = layers.as_integers(data_type)
    _warn_of_doubtful_nodata(layers, bands)
    return layers


def _warn_of_doubtful_nodata(layers: Layers, bands: list[Labelled]) -> None:
    for band in bands:
        doubtful = band.nodata_type not in (None, layers.dtype)
        if doubtful and band.nodata is not None and layers.has(band.nodata):
            warnings.warn(
                f"Pixels of {band.nodata:g} are taken to have no value, as the attribute _FillValue says; but it is"
                f" {band.nodata_type}, and the array {layers.dtype}: it may be from before a computation. State it"
                " again, as with array.rio.write_nodata(…), or delete it from array.attrs if they have a value.",
                skip_file_prefixes=_SDK,
            )
            return


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
