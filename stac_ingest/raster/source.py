"""Files and arrays as one kind of source: a size, a type, a place, and blocks of pixels with what is valid in them."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from tokenize import TokenError
from typing import Any, Protocol

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.transform import GCPTransformer
from rasterio.windows import Window

from stac_ingest.errors import UploadError
from stac_ingest.models.enums import DataType, UploadFileKind
from stac_ingest.models.image import Georeference
from stac_ingest.models.raster import Limits, SourceFile
from stac_ingest.raster.sniff import HEAD_BYTES, driver_for

Pixels = NDArray[Any]
Mask = NDArray[np.bool_]
BLOCK_ROWS = 512
SECOND_ORDER = 6
"""Control points to which GDAL fits a polynomial of the second order instead of the first."""
MAX_MISS = 0.1
"""By how much that may miss a control point, as a share of what all of them span."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the pixels of a source lie: by a transform, or else by ground control points."""

    crs: CRS
    transform: Affine | None = None
    gcps: tuple[GroundControlPoint, ...] = ()

    def coordinates(self, columns: Any, rows: Any) -> tuple[Any, Any]:
        """Return the coordinates (x, y) of positions in the image.

        Control points are fitted as GDAL does it when it warps a file and is not told how: by a polynomial, of the
        second order from SECOND_ORDER points on.
        """
        if self.transform is not None:
            return self.transform @ (columns, rows)
        with GCPTransformer(self.gcps) as transformer:
            xs, ys = transformer.xy(rows, columns, offset="ul")
        return xs, ys


@dataclass(frozen=True, kw_only=True)
class BandNotes:
    """What a file says of one band beside its pixels."""

    description: str | None = None
    unit: str | None = None
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Header:
    """What is known of a source before its first pixel is read."""

    name: str
    width: int
    height: int
    count: int
    dtype: str
    nodata: float | None
    crs: CRS | None
    transform: Affine | None
    masked: bool
    """Whether `read` tells valid pixels apart by more than nodata."""
    colorinterp: tuple[ColorInterp, ...] | None = None
    colormap: dict[int, tuple[int, int, int, int]] | None = None
    notes: tuple[BandNotes, ...] = field(default=())
    gcps: tuple[GroundControlPoint, ...] = ()
    """Ground control points of a file that has no transform."""
    gcps_crs: CRS | None = None
    rpcs: Any = None
    """Rational polynomial coefficients, as rasterio has them."""


class Source(Protocol):
    """Pixels that can be read in blocks."""

    @property
    def header(self) -> Header:
        """What is known without reading pixels."""
        ...

    def read(self, window: Window) -> tuple[Pixels, Mask | None]:
        """Return the pixels (band, y, x) of a window, and where they are valid (y, x) if the source is masked."""
        ...

    def stored(self, window: Window) -> bool:
        """Return whether anything is stored of a window; else all of it is nodata, and need not be read."""
        ...


@contextmanager
def open_source(
    file: SourceFile, limits: Limits, *, band_count: int, declared_nodata: float | None
) -> Iterator[Source]:
    """Open one transferred file or array.

    Args:
        file: The file, and for an array that has a mask the array; the mask is found beside it.
        limits: What the header may ask for.
        band_count: Bands that the product has in this file; one alpha band more is taken as the file's mask.
        declared_nodata: The product's nodata value, if its bands agree on one.

    Raises:
        UploadError: The bytes are not a raster that we read, or ask for more than `limits` allow.
    """
    if file.kind is UploadFileKind.ARRAY:
        yield ArraySource(file, limits, declared_nodata)
        return
    with file.path.open("rb") as stream:
        driver = driver_for(stream.read(HEAD_BYTES), file.name)
    with warnings.catch_warnings(), _corruption_named(file.name):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(file.path, driver=driver) as dataset:
            yield FileSource(dataset, file.name, limits, band_count)


@contextmanager
def _corruption_named(name: str) -> Iterator[None]:
    try:
        yield
    except RasterioIOError as error:
        reason = str(error.__cause__ or error)
        raise UploadError(
            "CORRUPT_FILE",
            f"Expected {name!r} to be a complete image, but it cannot be read: {_first_sentence(reason, name)};"
            " check that the file opens on your side and send it again.",
        ) from error


def _first_sentence(reason: str, name: str) -> str:
    words = [name if "/" in word else word for word in reason.splitlines()[0].split()]
    return " ".join(words)[:200].rstrip(".")


class FileSource:
    """An image file, opened by one explicit driver."""

    def __init__(self, dataset: Any, name: str, limits: Limits, band_count: int) -> None:
        check_size(name, dataset.width, dataset.height, dataset.count, limits)
        dtypes = sorted(set(dataset.dtypes))
        if len(dtypes) > 1:
            raise UploadError(
                "UNSUPPORTED_DATA_TYPE",
                f"Expected one data type for all bands of {name!r}, found {', '.join(dtypes)}; split the file.",
            )
        data_type = check_data_type(name, dtypes[0])
        pixel = np.dtype(data_type.numpy).itemsize
        check_decoded(name, dataset.width * dataset.height * dataset.count * pixel, limits)
        self._block_shape = rows, columns = dataset.block_shapes[0]
        interleaved = dataset.count if dataset.profile.get("interleave") == "pixel" else 1
        check_block(name, rows * columns * pixel * interleaved, limits)
        self._planes = range(1, dataset.count // interleaved + 1)
        self._dataset = dataset
        interps = tuple(dataset.colorinterp)
        self._alpha = dataset.count if interps[-1] is ColorInterp.alpha and dataset.count == band_count + 1 else None
        count = dataset.count - 1 if self._alpha else dataset.count
        flags = dataset.mask_flag_enums[0]
        # A nodata value that rasterio cannot tell exactly is kept as a mask.
        blurred = count == 1 and MaskFlags.nodata in flags and _is_blurred(dataset.nodata, data_type.numpy)
        georeferenced = dataset.transform != Affine.identity()
        gcps, gcps_crs = ((), None) if georeferenced else dataset.gcps
        self._header = Header(
            name=name,
            width=dataset.width,
            height=dataset.height,
            count=count,
            dtype=data_type.numpy,
            nodata=None if blurred else dataset.nodata,
            crs=dataset.crs,
            transform=dataset.transform if georeferenced else None,
            masked=bool(self._alpha) or blurred or (MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags),
            colorinterp=interps[:count],
            colormap=dataset.colormap(1) if interps[0] is ColorInterp.palette else None,
            notes=tuple(
                BandNotes(
                    description=dataset.descriptions[i],
                    unit=dataset.units[i],
                    scale=dataset.scales[i],
                    offset=dataset.offsets[i],
                )
                for i in range(count)
            ),
            gcps=tuple(gcps),
            gcps_crs=gcps_crs,
            rpcs=dataset.rpcs,
        )
        self._may_be_sparse = dataset.driver == "GTiff" and self._header.nodata is not None and not self._header.masked

    @property
    def header(self) -> Header:
        """What the file says of itself."""
        return self._header

    def read(self, window: Window) -> tuple[Pixels, Mask | None]:
        """Read one window; a block that cannot be decoded ends the upload."""
        pixels = self._dataset.read(list(range(1, self._header.count + 1)), window=window)
        if not self._header.masked:
            return pixels, None
        mask = (
            self._dataset.read(self._alpha, window=window)
            if self._alpha
            else self._dataset.read_masks(1, window=window)
        )
        return pixels, mask > 0

    def stored(self, window: Window) -> bool:
        """Look for blocks of the window in the file; a sparse GeoTIFF has none where all is nodata."""
        if not self._may_be_sparse:
            return True
        height, width = self._block_shape
        rows, columns = (
            range(places.start // side, -(-places.stop // side))
            for places, side in zip(window.toslices(), (height, width), strict=True)
        )
        return any(
            self._dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band)
            for band, row, column in product(self._planes, rows, columns)
        )


class ArraySource:
    """A NumPy array of 2 or 3 dimensions, mapped from its `.npy` file; what is masked or NaN has no value."""

    def __init__(self, file: SourceFile, limits: Limits, declared_nodata: float | None) -> None:
        array = load_array(file.path, file.name)
        if array.ndim not in (2, 3):
            raise UploadError(
                "UNSUPPORTED_SHAPE",
                f"Expected an array of 2 dimensions (y, x) or 3 (band, y, x), found {array.ndim}: {array.shape}.",
            )
        data_type = check_data_type(file.name, array.dtype.newbyteorder("=").name)
        self._pixels = array[np.newaxis] if array.ndim == 2 else array
        count, height, width = self._pixels.shape
        check_size(file.name, width, height, count, limits)
        check_decoded(file.name, array.nbytes, limits)
        mask_path = mask_beside(file.path)
        self._mask = self._load_mask(mask_path, file.name) if mask_path.exists() else None
        self._fill = self._fill_value(declared_nodata)
        self._header = Header(
            name=file.name,
            width=width,
            height=height,
            count=count,
            dtype=data_type.numpy,
            nodata=self._fill,
            crs=None,
            transform=None,
            masked=self._mask is not None and self._fill is None,
        )

    @property
    def header(self) -> Header:
        """What the array's own header says."""
        return self._header

    def read(self, window: Window) -> tuple[Pixels, Mask | None]:
        """Copy one window out of the mapped file, in this machine's byte order."""
        where = (slice(None), *window.toslices())
        pixels = np.array(self._pixels[where], dtype=self._header.dtype, order="C")
        if self._fill is not None:
            as_it_is = np.isnan(pixels) if math.isnan(self._fill) else np.False_
            pixels[self._invalid(where) & ~as_it_is] = self._fill
        return pixels, ~self._invalid(where)[0] if self._header.masked else None

    def stored(self, window: Window) -> bool:
        """Return True: an array has all of its values."""
        return True

    def _invalid(self, where: tuple[slice, ...]) -> Mask:
        pixels = self._pixels[where]
        masked = np.False_ if self._mask is None else self._mask[where]
        return np.broadcast_to(np.isnan(pixels) | masked if pixels.dtype.kind == "f" else masked, pixels.shape)

    def _fill_value(self, declared: float | None) -> float | None:
        """Return what is put where there is no value; None where nothing has to be, or a mask says it.

        GeoTIFF holds one mask for all bands, so where they differ a nodata value tells them apart.
        """
        if self._mask is None:
            if self._pixels.dtype.kind != "f" or not any(invalid.any() for invalid in self._invalid_blocks()):
                return None
            nodata = storable_nodata(declared, self._pixels.dtype.name)
            return math.nan if nodata is None else nodata
        if any((invalid != invalid[:1]).any() for invalid in self._invalid_blocks()):
            return self._unused_value(np.broadcast_to(self._mask, self._pixels.shape), declared)
        return None

    def _invalid_blocks(self) -> Iterator[Mask]:
        for start in range(0, self._pixels.shape[1], BLOCK_ROWS):
            yield self._invalid((slice(None), slice(start, start + BLOCK_ROWS)))

    def _load_mask(self, path: Path, name: str) -> Mask:
        mask = load_array(path, f"mask of {name}")
        invalid = mask[np.newaxis] if mask.ndim == 2 else mask
        expected = self._pixels.shape
        if mask.dtype != np.bool_ or invalid.shape not in (expected, (1, *expected[1:])):
            raise UploadError(
                "MASK_MISMATCH",
                f"Expected a mask of bool and the array's shape {expected}, found {mask.dtype} {mask.shape}.",
            )
        return invalid

    def _unused_value(self, invalid: Mask, declared: float | None) -> float:
        """Return a value that no valid pixel has."""
        dtype = self._pixels.dtype
        own: tuple[float, ...] = (math.nan,) if dtype.kind == "f" else _exact_range(dtype.name)
        for value in (storable_nodata(declared, dtype.name), *own):
            if value is None:
                continue
            if math.isnan(value) or not any(
                np.any((band == value) & ~mask) for band, mask in zip(self._pixels, invalid, strict=True)
            ):
                return value
        raise UploadError(
            "MASK_MISMATCH",
            "The bands have different masks, and no value is free to mark masked pixels (GeoTIFF has one mask for all"
            " bands); give the bands a nodata value that no pixel has, or upload one array per band.",
        )


def mask_beside(path: Path) -> Path:
    """Return where the mask of the array at `path` lies."""
    return path.with_suffix(".mask")


def load_array(path: Path, name: str) -> Pixels:
    """Map a `.npy` file; never unpickles.

    Raises:
        UploadError: `EMPTY_FILE`, or `UNSAFE_ARRAY` for pickled objects or anything else than a `.npy` file.
    """
    with path.open("rb") as stream:
        head = stream.read(10)
    if not head:
        raise UploadError("EMPTY_FILE", f"The array {name!r} is empty (0 bytes); send it as numpy.save writes it.")
    if not head.startswith(b"\x93NUMPY"):
        raise UploadError(
            "UNSAFE_ARRAY",
            f"Expected the array {name!r} in NumPy's .npy format, found bytes that begin with {head[:6].hex(' ')};"
            " write it with numpy.save(..., allow_pickle=False). Pickles are never read.",
        )
    try:
        array: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OverflowError, SyntaxError, TokenError) as error:
        raise UploadError(
            "UNSAFE_ARRAY",
            f"The array {name!r} cannot be read without running code or is incomplete ({error}); expected numbers"
            " as numpy.save(..., allow_pickle=False) writes them.",
        ) from error
    return array


def check_data_type(name: str, numpy_name: str) -> DataType:
    """Return the data type, or raise `UNSUPPORTED_DATA_TYPE` for one that GeoTIFF cannot store."""
    try:
        return DataType.from_numpy(numpy_name)
    except KeyError:
        raise UploadError(
            "UNSUPPORTED_DATA_TYPE",
            f"Expected {name!r} to hold integers of 8 to 64 bits or floats of 16 to 64 bits, found {numpy_name};"
            " convert it first, for instance with array.astype('uint8').",
        ) from None


def storable_nodata(value: float | None, dtype: str) -> float | None:
    """Return `value` as a pixel of this type can have it, or None if none can."""
    if value is None:
        return None
    if np.dtype(dtype).kind == "f":
        largest = float(np.finfo(dtype).max)
        if not math.isfinite(value) or abs(value) <= largest:
            return value
        # Some write -3.4028235e+38 for the lowest float32, which is just beyond it.
        return math.copysign(largest, value) if abs(value) <= largest * (1 + 1e-7) else None
    low, high = _exact_range(dtype)
    return value if float(value).is_integer() and low <= value <= high else None


def _exact_range(dtype: str) -> tuple[int, int]:
    """Return the range of an integer type, as far as a float64 holds each integer: rasterio writes nodata as one."""
    info = np.iinfo(dtype)
    return max(int(info.min), -(2**53) + 1), min(int(info.max), 2**53 - 1)


def _is_blurred(nodata: float | None, dtype: str) -> bool:
    return dtype in ("int64", "uint64") and storable_nodata(nodata, dtype) is None


def check_size(name: str, width: int, height: int, count: int, limits: Limits) -> None:
    """Refuse an image without pixels, or with more columns, rows or bands than allowed."""
    if min(width, height, count) < 1:
        raise UploadError("EMPTY_IMAGE", f"{name!r} has no pixels: {count} bands of {width} × {height}.")  # noqa: RUF001
    if max(width, height) > limits.max_side:
        raise UploadError(
            "LIMIT_DIMENSIONS",
            f"Expected at most {limits.max_side} columns and rows, found {width} × {height} in {name!r};"  # noqa: RUF001
            " split the image.",
        )
    if count > limits.max_bands:
        raise UploadError(
            "LIMIT_BANDS", f"Expected at most {limits.max_bands} bands, found {count} in {name!r}; split the image."
        )


def check_decoded(name: str, decoded: int, limits: Limits) -> None:
    """Refuse an image whose pixels need more room than allowed."""
    if decoded > limits.max_decoded_bytes:
        raise UploadError(
            "LIMIT_DECODED_BYTES",
            f"Expected at most {limits.max_decoded_bytes} bytes of pixels, found {decoded} in {name!r}; split it.",
        )


def check_block(name: str, block: int, limits: Limits) -> None:
    """Refuse a file that must be decoded in pieces larger than allowed: 123 bytes can ask for 2 GB."""
    if block > limits.max_block_bytes:
        raise UploadError(
            "LIMIT_BLOCK_BYTES",
            f"Expected blocks of at most {limits.max_block_bytes} bytes, found {block} in {name!r}; write the file with"
            " tiles, as with gdal_translate -co TILED=YES.",
        )


def place_of(header: Header, given: Georeference, sidecars: Sequence[SourceFile]) -> Place:
    """Return where the pixels lie: as the file says, else its sidecars, else what was given with the image.

    Ground control points place them where none of these has a geotransform.

    Raises:
        UploadError: `MISSING_GEOREFERENCE`, `GEOREFERENCE_MISMATCH` when file and image contradict each other, or
            `INVALID_GEOREFERENCE`.
    """
    stem = Path(header.name).stem
    beside = {Path(file.name).suffix.lower(): file.path for file in sidecars if Path(file.name).stem == stem}
    prj = beside.pop(".prj", None)
    world = next(iter(beside.values()), None)
    found = header.transform or (parse_world_file(world) if world else None)
    found_crs = parse_crs(prj.read_text(errors="replace")) if prj else None
    given_transform = Affine.from_gdal(*given.geotrans) if given.geotrans else None
    given_crs = parse_crs(given.cs_code or given.projection) if given.cs_code or given.projection else None
    if found is None and given_transform is None:
        if header.gcps:
            return _place_by_gcps(header, _agree(header, "coordinate system", header.gcps_crs or found_crs, given_crs))
        if header.rpcs:
            raise UploadError(
                "MISSING_GEOREFERENCE",
                f"{header.name!r} is placed by rational polynomials (RPC) only, which ask for the height of each"
                " pixel; orthorectify it first, as with gdalwarp -rpc -to RPC_DEM=dem.tif, or give geotrans and cs_code"
                " with the image.",
            )
    crs = _agree(header, "coordinate system", header.crs or found_crs, given_crs)
    transform = _agree(header, "geotransform", found, given_transform)
    corner = transform @ (header.width, header.height)
    if not all(map(math.isfinite, (*transform[:6], *corner))) or not 1e-30 <= abs(transform.determinant) < math.inf:
        raise UploadError(
            "INVALID_GEOREFERENCE",
            f"Expected a geotransform that maps pixels to an area, found {transform.to_gdal()} for {header.name!r}.",
        )
    return Place(crs=crs, transform=transform)


def _place_by_gcps(header: Header, crs: CRS) -> Place:
    xs = np.array([point.x for point in header.gcps])
    eastward = np.where(xs < 0, xs + 360, xs)
    if crs.is_geographic and np.ptp(eastward) < 180 < np.ptp(xs):
        xs = eastward  # across the antimeridian; a polynomial would lead from 180 to -180 the long way round
    place = Place(
        crs=crs,
        gcps=tuple(
            GroundControlPoint(point.row, point.col, float(x), point.y, point.z)
            for point, x in zip(header.gcps, xs, strict=True)
        ),
    )
    _require_placed(header.name, place)
    return place


def _require_placed(name: str, place: Place) -> None:
    """Refuse control points that leave open where pixels lie, or that GDAL would miss by far."""
    pixels = np.array([(point.col, point.row) for point in place.gcps])
    known = np.array([(point.x, point.y) for point in place.gcps])
    if not (_determines(pixels) and _determines(known)):
        raise UploadError(
            "INVALID_GEOREFERENCE",
            f"Expected {name!r} to have ground control points that place each pixel: at least 3 that are not on one"
            f" line, and from {SECOND_ORDER} on not on two; found {len(known)} that do not. Give geotrans and cs_code"
            " with the image, or upload a file with more points.",
        )
    miss = np.abs(np.column_stack(place.coordinates(*pixels.T)) - known).max(axis=0) / np.ptp(known, axis=0)
    if not miss.max() < MAX_MISS:
        raise UploadError(
            "INVALID_GEOREFERENCE",
            f"Expected a polynomial through the ground control points of {name!r}, found one of them off it by"
            f" {miss.max():.0%} of what they span; is a pole among them? Warp the file first, as with gdalwarp -tps, or"
            " give geotrans and cs_code with the image.",
        )


def _determines(positions: NDArray[Any]) -> bool:
    """Return whether there is one polynomial alone that has given values at these positions."""
    if not np.isfinite(positions).all():
        return False
    x, y = ((positions - positions.mean(axis=0)) / np.maximum(np.ptp(positions, axis=0), 1e-30)).T
    terms = [np.ones_like(x), x, y]
    if len(positions) >= SECOND_ORDER:
        terms += [x * x, x * y, y * y]
    return int(np.linalg.matrix_rank(np.column_stack(terms), rtol=1e-6)) == len(terms)


def _agree(header: Header, what: str, found: Any, given: Any) -> Any:
    if found is None and given is None:
        fields = "cs_code or projection" if what == "coordinate system" else "geotrans"
        raise UploadError(
            "MISSING_GEOREFERENCE",
            f"{header.name!r} has no {what}; give {fields} with the image, or upload a file that carries it.",
        )
    if found is None or given is None:
        return given if found is None else found
    same = found.almost_equals(given, precision=1e-6) if isinstance(found, Affine) else found == given
    if not same:
        shown = [v.to_gdal() if isinstance(v, Affine) else v.to_string() for v in (given, found)]
        raise UploadError(
            "GEOREFERENCE_MISMATCH",
            f"Expected the {what} given with the image, {shown[0]}, found {shown[1]} in {header.name!r};"
            " leave it out to use the file's.",
        )
    return found


def parse_crs(text: str | None) -> CRS:
    """Return a coordinate system from a code, WKT or PROJ text; raises `INVALID_GEOREFERENCE`."""
    try:
        return CRS.from_user_input(text)
    except (CRSError, RasterioError, ValueError) as error:
        raise UploadError(
            "INVALID_GEOREFERENCE",
            f"Expected a coordinate system such as EPSG:32633, WKT or PROJ text, found {str(text)[:80]!r}.",
        ) from error


def parse_world_file(path: Path) -> Affine:
    """Return the transform of a world file: six numbers, placed at the centre of the first pixel."""
    try:
        a, d, b, e, c, f = (
            float(line.replace(",", ".")) for line in io.StringIO(path.read_text("ascii")) if line.strip()
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise UploadError(
            "INVALID_GEOREFERENCE", "Expected a world file of six lines with one number each; found something else."
        ) from error
    return Affine(a, b, c, d, e, f) @ Affine.translation(-0.5, -0.5)
