"""What the converter makes of good input, beside what rasterio, GDAL, rio-cogeo and NumPy say of the same pixels."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import warnings
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy
from rasterio.transform import Affine
from rio_cogeo.cogeo import cog_validate

from stac_ingest.converter import Converters, convert
from stac_ingest.errors import RetryableUploadError
from stac_ingest.models.bands import Band, ClassBand, GenericBand, MaskBand, SpectralBand
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.enums import Codec, DataType, OverviewResampler
from stac_ingest.models.image import Georeference
from stac_ingest.models.raster import Conversion, Raster

if TYPE_CHECKING:
    from tests.raster.conftest import Jobs, Noise, Refuse, Run, SaveArray, WriteTiff

UTM = "EPSG:32633"
CORNER = Affine(10, 0, 500_000, 0, -10, 5_000_000)
DATA = Path(__file__).parents[3] / "shared" / "data"
DTYPES = [member.numpy for member in DataType]
FACTORS = {"nearest": Resampling.nearest, "bilinear": Resampling.bilinear, "cubic": Resampling.cubic,
           "cubicspline": Resampling.cubic_spline, "lanczos": Resampling.lanczos, "average": Resampling.average,
           "mode": Resampling.mode, "gauss": Resampling.gauss, "rms": Resampling.rms}  # fmt: skip


def read(raster: Raster) -> NDArray[Any]:
    with rasterio.open(raster.path) as cog:
        pixels: NDArray[Any] = cog.read()
    return pixels


def read_mask(raster: Raster) -> NDArray[np.bool_]:
    with rasterio.open(raster.path) as cog:
        mask: NDArray[np.bool_] = cog.dataset_mask() > 0
    return mask


def read_levels(path: Path) -> list[NDArray[Any]]:
    """Every overview of a file, from the largest; with the bands' masks below the bands."""
    with rasterio.open(path) as full:
        count = len(full.overviews(1))
    levels = []
    for level in range(count):
        with rasterio.open(path, overview_level=level) as overview:
            levels.append(np.concatenate([overview.read(), overview.read_masks().astype(overview.dtypes[0])]))
    return levels


def assert_same_bits(found: NDArray[Any], expected: NDArray[Any]) -> None:
    native = expected.astype(expected.dtype.newbyteorder("="))
    assert found.dtype == native.dtype
    assert found.shape == native.shape
    assert found.tobytes() == native.tobytes()


def assert_strict_cog(raster: Raster) -> None:
    valid, errors, notes = cog_validate(raster.path, strict=True, quiet=True)
    assert (valid, errors, notes) == (True, [], [])


def one_per_file(count: int, **attributes: Any) -> list[Band]:
    return [GenericBand(name=f"b{i}", file_index=i, **attributes) for i in range(count)]


# --- Pixels ---------------------------------------------------------------------------------------------------------


def test_arrays_of_every_type_and_layout_round_trip_bit_identically(
    run: Run, save_array: SaveArray, noise: Noise
) -> None:
    arrays = {dtype: noise(dtype, 70, 90) for dtype in DTYPES}
    arrays |= {f"{dtype}-big-endian": noise(dtype, 3, 20, 30).astype(f">{np.dtype(dtype).str[1:]}") for dtype in DTYPES}
    arrays |= {f"{dtype}-fortran": np.asfortranarray(noise(dtype, 2, 30, 20)) for dtype in DTYPES}
    bands = [
        GenericBand(name=f"f{index}b{band}", file_index=index)
        for index, array in enumerate(arrays.values())
        for band in range(1 if array.ndim == 2 else len(array))
    ]
    paths = [save_array(name, array) for name, array in arrays.items()]
    assert np.load(paths[DTYPES.index("int32") + 2 * len(DTYPES)]).flags.f_contiguous

    conversion = run(*paths, bands=bands, placed=True)

    assert len(conversion.rasters) == len(arrays) == 3 * 11
    for array, raster in zip(arrays.values(), conversion.rasters, strict=True):
        assert_same_bits(read(raster), array[np.newaxis] if array.ndim == 2 else array)
        assert {band.data_type for band in raster.bands} == {array.dtype.newbyteorder("=").name}
        assert_strict_cog(raster)


@pytest.mark.parametrize("bands", [1, 3, 4, 7])
def test_geotiffs_of_every_block_layout_keep_their_pixels(
    run: Run, write_tiff: WriteTiff, noise: Noise, bands: int
) -> None:
    layouts: list[dict[str, Any]] = [
        {"interleave": interleave, **blocks}
        for interleave in ("pixel", "band")
        for blocks in ({"tiled": True, "blockxsize": 64, "blockysize": 32}, {"blockysize": 7}, {"BIGTIFF": "YES"})
    ]
    layouts += [{"compress": "lzw", "predictor": 2}, {"compress": "zstd", "tiled": True}, {"ENDIANNESS": "BIG"}]
    layouts += [{"SPARSE_OK": True, "compress": "deflate"}]
    pixels = noise("uint16", bands, 121, 133)
    pixels[:, :64] = 0
    paths = [write_tiff(f"{i}.tif", pixels, **layout) for i, layout in enumerate(layouts)]
    described = [GenericBand(name=f"f{f}b{b}", file_index=f) for f in range(len(paths)) for b in range(bands)]

    conversion = run(*paths, bands=described)

    for raster in conversion.rasters:
        assert_same_bits(read(raster), pixels)
        with rasterio.open(raster.path) as cog:
            assert cog.crs == UTM
            assert cog.transform == CORNER
            named = tuple(f"f{conversion.rasters.index(raster)}b{b}" for b in range(bands))
            assert cog.descriptions == (named if not raster.taken else (None,) * bands)
    # A file of one block is a COG already.
    assert [layouts[index] for index, raster in enumerate(conversion.rasters) if raster.taken] == [
        {"compress": "zstd", "tiled": True}
    ]


def test_sizes_that_no_block_divides(run: Run, write_tiff: WriteTiff, noise: Noise) -> None:
    sizes = [(1, 1), (1, 700), (700, 1), (511, 513), (512, 512), (1025, 5)]
    images = [noise("uint8", 2, *size) for size in sizes]
    paths = [write_tiff(f"{i}.tif", image) for i, image in enumerate(images)]
    bands = [GenericBand(name=f"f{f}b{b}", file_index=f) for f in range(len(paths)) for b in range(2)]

    conversion = run(*paths, bands=bands)

    for image, raster, size in zip(images, conversion.rasters, sizes, strict=True):
        assert_same_bits(read(raster), image)
        assert raster.shape == size
        if size != (700, 1):
            assert_strict_cog(raster)
    assert [raster.overviews for raster in conversion.rasters] == [(), (2,), (2,), (2,), (), (2, 4)]
    # rasterio tells the decimation by the width alone, which is 1 at every level; there is no other fault.
    assert cog_validate(conversion.rasters[2].path, quiet=True)[1] == ["Invalid Decimation 1 for overview level 0"]


def test_a_rotated_transform_is_kept(run: Run, write_tiff: WriteTiff, noise: Noise) -> None:
    rotated = CORNER @ Affine.rotation(30) @ Affine.scale(2, 0.5)
    path = write_tiff("rotated.tif", noise("uint8", 1, 40, 60), transform=rotated)

    raster = run(path).rasters[0]

    with rasterio.open(raster.path) as cog:
        assert cog.transform.almost_equals(rotated, precision=1e-9)
        assert raster.transform == cog.transform[:6]
        assert raster.bbox == pytest.approx(tuple(cog.bounds))


def test_pixel_is_point_does_not_shift_the_image(run: Run, write_tiff: WriteTiff, noise: Noise) -> None:
    path = write_tiff("point.tif", noise("uint8", 1, 40, 60))
    with rasterio.open(path, "r+") as tiff:
        tiff.update_tags(AREA_OR_POINT="Point")

    raster = run(path).rasters[0]

    with rasterio.open(raster.path) as cog, rasterio.open(path) as source:
        assert cog.bounds == source.bounds


@pytest.mark.parametrize(
    ("crs", "transform", "metres"),
    [
        (UTM, CORNER, 10),
        (UTM, Affine(20, 0, 500_000, 0, -5, 5_000_000), 10),
        ("EPSG:2263", CORNER, 3.048006),
        ("EPSG:4326", Affine(0.001, 0, 10, 0, -0.001, 0.02), 111.319),
        ("EPSG:4326", Affine(0.002, 0, 10, 0, -0.001, 60.02), 111.319),
    ],
)
def test_the_resolution_is_the_side_of_a_square_as_large_as_a_pixel_at_the_centre(
    run: Run, write_tiff: WriteTiff, noise: Noise, crs: str, transform: Affine, metres: float
) -> None:
    path = write_tiff("a.tif", noise("uint8", 1, 40, 60), crs=crs, transform=transform)

    assert run(path).rasters[0].metre_resolution == pytest.approx(metres, abs=1e-3)


def test_a_coordinate_system_without_a_code_is_kept(run: Run, save_array: SaveArray, noise: Noise) -> None:
    albers = "+proj=aea +lat_0=23 +lon_0=-96 +lat_1=29.5 +lat_2=45.5 +x_0=0 +y_0=0 +datum=NAD83 +units=m +no_defs"
    sinusoidal = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
    robinson = "+proj=robin +lon_0=0 +x_0=0 +y_0=0 +datum=WGS84 +units=m +no_defs"
    for projection in (albers, sinusoidal, robinson):
        path = save_array("a", noise("uint8", 40, 60))

        conversion = run(path, placed=Georeference(projection=projection, geotrans=CORNER.to_gdal()))

        raster = conversion.rasters[0]
        with rasterio.open(raster.path) as cog:
            assert cog.crs.to_dict()["proj"] == rasterio.crs.CRS.from_string(projection).to_dict()["proj"]
        assert raster.code == ("EPSG:5070" if projection is albers else None)
        assert rasterio.crs.CRS.from_wkt(raster.wkt2) == rasterio.crs.CRS.from_string(projection)


# --- Valid or not ---------------------------------------------------------------------------------------------------


def test_an_internal_mask_is_kept(run: Run, write_tiff: WriteTiff, noise: Noise) -> None:
    mask = noise("uint8", 600, 700) > 100
    pixels = noise("uint8", 3, 600, 700, seed=2)
    paths = [
        write_tiff("mask.tif", pixels, mask=mask, interleave="pixel"),
        write_tiff("mask_and_nodata.tif", pixels[:1], mask=mask, nodata=7),
        write_tiff("seven.tif", np.resize(pixels, (7, 600, 700)), mask=mask),
    ]
    bands = [GenericBand(name=f"f{f}b{b}", file_index=f) for f, count in enumerate((3, 1, 7)) for b in range(count)]

    conversion = run(*paths, bands=bands)

    for path, raster in zip(paths, conversion.rasters, strict=True):
        with rasterio.open(path) as source, rasterio.open(raster.path) as cog:
            assert MaskFlags.per_dataset in cog.mask_flag_enums[0]
            assert_same_bits(cog.read(), source.read())
            assert_same_bits(cog.read_masks(), source.read_masks())
        with rasterio.open(raster.path, overview_level=0) as overview:
            assert 0 < (overview.dataset_mask() > 0).mean() < 1
        assert_strict_cog(raster)
    valid = mask & (pixels[0] != 7)
    stored = conversion.rasters[1].bands[0]
    assert stored.nodata == 7
    assert stored.statistics is not None
    assert stored.statistics.valid_percent == pytest.approx(100 * valid.mean())
    assert stored.statistics.mean == pytest.approx(pixels[0][valid].mean())


def test_alpha_beyond_the_products_bands_becomes_the_mask_and_stays_a_band_where_it_is_one(
    run: Run, write_tiff: WriteTiff, noise: Noise
) -> None:
    pixels = noise("uint8", 4, 90, 80)
    pixels[3] //= 128
    pixels[3] *= 200
    path = write_tiff("alpha.tif", pixels, photometric="RGB", ALPHA="YES")
    with rasterio.open(path) as source:
        assert source.colorinterp[3] is ColorInterp.alpha
    bands: list[Band] = [GenericBand(name=name) for name in "rgb"]
    beside = [GenericBand(name=f"{name}1", file_index=1) for name in "rgba"]

    conversion = run(path, path, bands=[*bands, *beside])

    masked, plain = conversion.rasters
    assert_same_bits(read(masked), pixels[:3])
    np.testing.assert_array_equal(read_mask(masked), pixels[3] > 0)
    assert masked.bands[0].statistics is not None
    assert masked.bands[0].statistics.mean == pytest.approx(pixels[0][pixels[3] > 0].mean())
    assert_same_bits(read(plain), pixels)
    with rasterio.open(plain.path) as cog:
        assert cog.colorinterp[3] is ColorInterp.alpha


def test_nodata_is_kept_or_taken_from_the_bands(run: Run, write_tiff: WriteTiff, save_array: SaveArray) -> None:
    steps = np.arange(600, dtype="float32").reshape(20, 30)
    holes = steps.copy()
    holes[3] = np.nan
    cases: list[tuple[Path, float | None, float | None, int]] = [  # file, the band's nodata, expected, invalid pixels
        (write_tiff("file.tif", steps[np.newaxis], nodata=5), None, 5, 1),
        (write_tiff("file_wins.tif", steps[np.newaxis], nodata=5), 6, 5, 1),
        (write_tiff("nan.tif", holes[np.newaxis], nodata=np.nan), None, np.nan, 30),
        (write_tiff("undeclared_nan.tif", holes[np.newaxis]), None, None, 30),
        (save_array("declared", steps), 6, 6, 1),
        (save_array("declared_nan", holes), np.nan, np.nan, 30),
        (save_array("impossible", steps.astype("uint8")), -9999, None, 0),
        (save_array("fractional", steps.astype("uint8")), 0.5, None, 0),
        (save_array("beyond_float32", steps), 1e300, None, 0),
        (save_array("beyond_float16", steps.astype("float16")), 1e20, None, 0),
        (save_array("infinite", steps), np.inf, np.inf, 0),
        (save_array("int16", steps.astype("int16")), 6, 6, 1),
        (save_array("int64", steps.astype("int64")), 6, 6, 1),
        (save_array("uint64", steps.astype("uint64")), 6, 6, 1),
        (save_array("int8", (steps % 100).astype("int8")), 6, 6, 6),
    ]
    bands = [GenericBand(name=f"b{i}", file_index=i, nodata=declared) for i, (_, declared, _, _) in enumerate(cases)]

    conversion = run(*(path for path, *_ in cases), bands=bands, placed=True)

    for (path, _, nodata, invalid), raster in zip(cases, conversion.rasters, strict=True):
        with rasterio.open(raster.path) as cog:
            assert cog.nodata == (None if nodata is None else pytest.approx(nodata, nan_ok=True)), path.name
        assert raster.bands[0].nodata == (None if nodata is None else pytest.approx(nodata, nan_ok=True)), path.name
        assert raster.bands[0].statistics is not None
        assert raster.bands[0].statistics.valid_percent == pytest.approx(100 - invalid / 6), path.name
    assert any("file_wins.tif" in note and "5" in note and "6" in note for note in conversion.warnings)


def test_nodata_that_no_float64_holds_is_kept_as_a_mask(run: Run, write_tiff: WriteTiff) -> None:
    written = b"-9.2233720368547758e+18"  # what rasterio makes of it, and GDAL then reads as -9
    paths = []
    for nodata in (-(2**63), 2**53 + 1):
        path = write_tiff(f"{nodata}.tif", np.array([[[5, nodata, -9, 8]]]), nodata=-(2**63))
        assert written in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(written, b"%d" % nodata + bytes(len(written) - len(str(nodata)))))
        paths.append(path)

    conversion = run(*paths, bands=one_per_file(2))

    for path, raster in zip(paths, conversion.rasters, strict=True):
        assert_same_bits(read(raster), decoded(path))
        np.testing.assert_array_equal(read_mask(raster), [[True, False, True, True]])
        assert raster.bands[0].nodata is None
        assert raster.bands[0].statistics is not None
        assert raster.bands[0].statistics.minimum == -9
        assert raster.bands[0].statistics.valid_percent == 75


def test_bands_that_all_declare_nan_share_it(run: Run, save_array: SaveArray) -> None:
    path = save_array("a", np.ones((3, 20, 30), "float32"))
    bands = [GenericBand(name=name, nodata=float("nan")) for name in "abc"]

    raster = run(path, bands=bands, placed=True).rasters[0]

    with rasterio.open(raster.path) as cog:
        assert np.isnan(cog.nodata)


def test_masks_of_arrays(run: Run, save_array: SaveArray, noise: Noise) -> None:
    one = noise("uint8", 60, 50) > 99
    each = noise("uint8", 3, 60, 50) > 99
    ints = noise("uint8", 3, 60, 50, seed=3) % 250 + 1
    floats = noise("int32", 3, 60, 50, seed=4).astype("float32")
    cases = [
        (save_array("one_for_2d", ints[0], mask=one), None),
        (save_array("one_for_all", ints, mask=one), None),
        (save_array("equal_for_each", ints, mask=np.stack([one] * 3)), None),
        (save_array("different", ints, mask=each), 0),
        (save_array("different_declared", ints, mask=each), 255),
        (save_array("different_impossible", ints, mask=each), 0),
        (save_array("different_float", floats, mask=each), np.nan),
        (save_array("different_full", np.where(each, 9, ints + 1).astype("uint8"), mask=each), 0),
        (save_array("different_int64", ints.astype("int64"), mask=each), -(2**53) + 1),
        (save_array("different_big_endian", ints.astype(">u2"), mask=each), 0),
    ]
    declared = {"different_declared": 255, "different_impossible": -5}
    bands = [
        GenericBand(name=f"f{f}b{b}", file_index=f, nodata=declared.get(path.stem))
        for f, (path, _) in enumerate(cases)
        for b in range(1 if path.stem == "one_for_2d" else 3)
    ]

    conversion = run(*(path for path, _ in cases), bands=bands, placed=True)

    for (path, fill), raster in zip(cases, conversion.rasters, strict=True):
        array = np.atleast_3d(np.load(path)) if path.stem != "one_for_2d" else np.load(path)[np.newaxis]
        invalid = np.broadcast_to(np.load(path.with_suffix(".mask")), array.shape)
        with rasterio.open(raster.path) as cog:
            found = cog.read()
            np.testing.assert_array_equal(cog.read_masks() == 0, invalid, err_msg=path.stem)
            np.testing.assert_array_equal(found[~invalid], array[~invalid], err_msg=path.stem)
            assert cog.nodata == (None if fill is None else pytest.approx(fill, nan_ok=True)), path.stem
            if fill is None:
                np.testing.assert_array_equal(found, array)
        assert raster.bands[0].statistics is not None
        assert raster.bands[0].statistics.maximum == array[0][~invalid[0]].max()


# --- What a file says of itself -------------------------------------------------------------------------------------


def test_palette_scale_offset_unit_and_colours_are_kept(run: Run, write_tiff: WriteTiff, noise: Noise) -> None:
    palette = write_tiff("palette.tif", noise("uint8", 1, 60, 50) % 4)
    colours = {0: (0, 0, 0, 255), 1: (255, 0, 0, 255), 2: (0, 255, 0, 255), 3: (9, 8, 7, 255)}
    with rasterio.open(palette, "r+") as tiff:
        tiff.write_colormap(1, colours)
    scaled = write_tiff("scaled.tif", noise("int16", 2, 60, 50))
    with rasterio.open(scaled, "r+") as tiff:
        tiff.scales, tiff.offsets, tiff.units = (0.0001, 2.0), (-0.1, 5.0), ("reflectance", "K")
    rgb = write_tiff("rgb.tif", noise("uint8", 3, 60, 50), photometric="RGB")
    bands: list[Band] = [ClassBand(name="kind"), *(GenericBand(name=n, file_index=1) for n in ("a", "b"))]
    bands += [SpectralBand(name=name, file_index=2) for name in ("red", "green", "blue")]

    conversion = run(palette, scaled, rgb, bands=bands)

    with rasterio.open(conversion.rasters[0].path) as cog:
        assert cog.colorinterp == (ColorInterp.palette,)
        assert {index: cog.colormap(1)[index] for index in colours} == colours
    with rasterio.open(conversion.rasters[1].path) as cog:
        assert (cog.scales, cog.offsets) == ((0.0001, 2.0), (-0.1, 5.0))
        assert cog.units == ("reflectance", "K")
    with rasterio.open(conversion.rasters[2].path) as cog:
        assert cog.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert cog.descriptions == ("red", "green", "blue")


# --- Other formats --------------------------------------------------------------------------------------------------


def picture(path: Path, pixels: NDArray[Any], driver: str, **options: Any) -> Path:
    """Write a picture without a place; what it decodes to need not be `pixels`."""
    bands, height, width = pixels.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        profile = {"driver": driver, "width": width, "height": height, "count": bands, "dtype": pixels.dtype.name}
        with rasterio.open(path, "w", **profile, **options) as file:
            file.write(pixels)
    return path


def decoded(path: Path) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            pixels: NDArray[Any] = file.read()
    return pixels


def smooth(bands: int, height: int, width: int, dtype: str = "uint8") -> NDArray[Any]:
    y, x = np.mgrid[:height, :width]
    return np.stack([(x * (band + 1) + y) % 251 for band in range(bands)]).astype(dtype)


def test_pictures_are_placed_by_attributes(run: Run, tmp_path: Path, noise: Noise) -> None:
    pictures = {
        "grey.jpg": ("JPEG", smooth(1, 90, 120), {}),
        "colour.jpg": ("JPEG", smooth(3, 90, 120), {"PROGRESSIVE": "YES", "QUALITY": 90}),
        "grey.png": ("PNG", noise("uint8", 1, 90, 120), {}),
        "deep.png": ("PNG", noise("uint16", 3, 90, 120), {}),
        "lossless.jp2": ("JP2OpenJPEG", noise("uint16", 3, 90, 120), {"REVERSIBLE": "YES", "QUALITY": 100}),
        "codestream.j2k": ("JP2OpenJPEG", noise("uint8", 1, 90, 120), {"REVERSIBLE": "YES", "QUALITY": 100}),
    }
    paths = [
        picture(tmp_path / name, pixels, driver, **options) for name, (driver, pixels, options) in pictures.items()
    ]
    bands = [
        GenericBand(name=f"f{f}b{b}", file_index=f)
        for f, (_, pixels, _) in enumerate(pictures.values())
        for b in range(len(pixels))
    ]

    conversion = run(*paths, bands=bands, placed=True)

    for path, raster in zip(paths, conversion.rasters, strict=True):
        driver, written, _ = pictures[path.name]
        assert_same_bits(read(raster), decoded(path))
        if driver != "JPEG":
            assert_same_bits(read(raster), written)
        with rasterio.open(raster.path) as cog:
            assert (cog.crs, cog.transform) == (UTM, CORNER)
        assert_strict_cog(raster)


def test_a_jpeg_is_placed_by_its_sidecars(run: Run, tmp_path: Path) -> None:
    path = picture(tmp_path / "photo.v1.jpg", smooth(3, 90, 120), "JPEG")
    world = tmp_path / "photo.v1.jgw"
    world.write_text("0.5\n0\n0,0\n-0.25\n400000.25\n5700000.125\n\n")  # centre of the first pixel; a German comma
    projection = tmp_path / "photo.v1.prj"
    projection.write_text(rasterio.crs.CRS.from_epsg(25833).to_wkt(version="WKT1_ESRI"))

    raster = run(path, world, projection, bands=3).rasters[0]

    with rasterio.open(raster.path) as cog:
        assert cog.transform == Affine(0.5, 0, 400_000, 0, -0.25, 5_700_000.25)
        assert cog.crs.to_dict() == rasterio.crs.CRS.from_epsg(25833).to_dict()
    assert_same_bits(read(raster), decoded(path))


def test_a_world_file_beside_a_code_given_with_the_image(run: Run, tmp_path: Path, noise: Noise) -> None:
    path = picture(tmp_path / "scan.png", noise("uint8", 1, 30, 40), "PNG")
    world = tmp_path / "scan.wld"
    world.write_text("2\n0\n0\n-2\n300001\n5000001\n")
    other = tmp_path / "another.wld"
    other.write_text("7\n0\n0\n-7\n0\n0\n")

    raster = run(path, other, world, placed=Georeference(cs_code="EPSG:25832")).rasters[0]

    assert raster.transform == (2, 0, 300_000, 0, -2, 5_000_002)
    assert raster.code == "EPSG:25832"


# --- Overviews ------------------------------------------------------------------------------------------------------


def gdal_overviews(path: Path, factors: Sequence[int], resampling: Resampling) -> list[NDArray[Any]]:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as tiff:
        tiff.build_overviews(list(factors), resampling)
    return read_levels(path)


@pytest.mark.parametrize("resampler", list(OverviewResampler))
def test_overviews_are_those_that_gdal_builds(
    run: Run, write_tiff: WriteTiff, noise: Noise, resampler: OverviewResampler
) -> None:
    pixels = smooth(3, 610, 700) // 3 + noise("uint8", 3, 610, 700) % 50
    plain = write_tiff("plain.tif", pixels)
    masked = write_tiff("masked.tif", pixels[:1], mask=pixels[0] > 60)
    void = write_tiff("void.tif", pixels[:2].astype("float32"), nodata=17)
    bands = [GenericBand(name=f"f{f}b{b}", file_index=f) for f, count in enumerate((3, 1, 2)) for b in range(count)]

    conversion = run(
        plain, masked, void, bands=bands, profile=CogProfile(overviews=(2, 4, 8), overview_resampler=resampler)
    )

    for path, raster in zip((plain, masked, void), conversion.rasters, strict=True):
        expected = gdal_overviews(path, (2, 4, 8), FACTORS[resampler])
        found = read_levels(raster.path)
        assert [level.shape[1:] for level in found] == [(305, 350), (153, 175), (77, 88)]
        for level, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            np.testing.assert_array_equal(ours, theirs, err_msg=f"{path.name}, level {level}")
        assert raster.overviews == (2, 4, 8)
        assert raster.resampler is resampler
        assert_strict_cog(raster)


@pytest.mark.parametrize(
    "factors", [(2, 4), (3, 5), tuple(range(2, 18)), (7,), tuple(2**n for n in range(1, 11))], ids=str
)
def test_overviews_have_exactly_the_factors_asked_for(
    run: Run, write_tiff: WriteTiff, noise: Noise, factors: tuple[int, ...]
) -> None:
    sizes = [(700, 1024), (523, 1031)]
    paths = [write_tiff(f"{i}.tif", noise("uint8", 1, *size)) for i, size in enumerate(sizes)]

    conversion = run(*paths, bands=one_per_file(2), profile=CogProfile(overviews=factors))

    for (height, width), raster in zip(sizes, conversion.rasters, strict=True):
        expected = [(-(-height // factor), -(-width // factor)) for factor in factors]
        assert [level.shape[1:] for level in read_levels(raster.path)] == expected
        assert raster.overviews == factors
        assert_strict_cog(raster)


def test_overviews_of_small_images_are_neither_left_out_nor_empty(run: Run, write_tiff: WriteTiff) -> None:
    factors = (2, 13, 14, 15, 30)  # inside the file, GDAL would leave out 14, and never fill 15
    pixels = (np.add.outer(np.arange(100), np.arange(97)) + 20).astype("uint8")[np.newaxis]
    mask = np.ones((100, 97), bool)
    mask[:50, :40] = False
    paths = [write_tiff("plain.tif", pixels), write_tiff("masked.tif", pixels, mask=mask)]

    conversion = run(*paths, bands=one_per_file(2), profile=CogProfile(overviews=factors))

    for path, raster in zip(paths, conversion.rasters, strict=True):
        assert raster.overviews == factors
        levels = read_levels(raster.path)
        assert [level.shape[1:] for level in levels] == [(-(-100 // f), -(-97 // f)) for f in factors]
        with rasterio.open(path) as source:
            for level in levels:
                expected = source.read(out_shape=level.shape[1:], resampling=Resampling.average)
                valid = level[1] > 0
                if path.stem == "plain":
                    assert valid.all()
                    np.testing.assert_allclose(level[0], expected[0], atol=4)  # GDAL makes each from the one before
                else:
                    assert not valid[0, 0]
                    assert valid[-1].all()
                    assert level[0][-1].min() > 0
    assert_strict_cog(conversion.rasters[0])


def test_large_blocks_that_are_not_compressed_have_room(run: Run, write_tiff: WriteTiff, noise: Noise) -> None:
    pixels = noise("uint8", 1, 600, 600)
    profile = CogProfile(codec=Codec.NONE, block_size=2048, overviews=tuple(range(2, 18)))

    raster = run(write_tiff("a.tif", pixels), profile=profile).rasters[0]

    assert raster.size > 17 * 2048**2
    np.testing.assert_array_equal(read(raster), pixels)


def test_overviews_by_default_are_powers_of_two_down_to_512_pixels(
    run: Run, write_tiff: WriteTiff, noise: Noise
) -> None:
    widths = {512: (), 513: (2,), 1024: (2,), 1025: (2, 4), 4097: (2, 4, 8, 16)}
    paths = [write_tiff(f"{width}.tif", noise("uint8", 1, 3, width)) for width in widths]

    conversion = run(*paths, bands=one_per_file(len(paths)))

    assert [raster.overviews for raster in conversion.rasters] == list(widths.values())
    for raster in conversion.rasters:
        assert_strict_cog(raster)


def test_classes_and_masks_are_not_averaged_unless_asked(run: Run, write_tiff: WriteTiff, noise: Noise) -> None:
    classes = np.where(noise("uint8", 1, 800, 800) > 127, 200, 10).astype("uint8")
    path = write_tiff("classes.tif", classes)
    bands: list[Band] = [ClassBand(name="c"), MaskBand(name="m", file_index=1), GenericBand(name="g", file_index=2)]

    by_default = run(path, path, path, bands=bands)
    averaged = run(path, bands=bands[:1], profile=CogProfile(overview_resampler=OverviewResampler.AVERAGE))

    values = [set(np.unique(read_levels(raster.path)[0][0])) for raster in by_default.rasters]
    assert values[:2] == [{10, 200}, {10, 200}]
    assert len(values[2]) > 2
    assert [raster.resampler for raster in by_default.rasters] == ["nearest", "nearest", "average"]
    assert len(np.unique(read_levels(averaged.rasters[0].path)[0][0])) > 2


# --- The file -------------------------------------------------------------------------------------------------------


def test_blocks_compression_and_predictor(run: Run, save_array: SaveArray, noise: Noise) -> None:
    paths = [save_array(dtype, noise(dtype, 600, 520)) for dtype in DTYPES]
    paths += [save_array("many", noise("uint8", 5, 600, 520)), save_array("four", noise("uint8", 4, 600, 520))]
    bands: list[Band] = [*one_per_file(len(DTYPES))]
    bands += [GenericBand(name=f"m{i}", file_index=len(DTYPES)) for i in range(5)]
    bands += [GenericBand(name=f"p{i}", file_index=len(DTYPES) + 1) for i in range(4)]

    conversion = run(*paths, bands=bands, placed=True)

    for path, raster in zip(paths, conversion.rasters, strict=True):
        for level in ({}, {"overview_level": 0}):
            with rasterio.open(raster.path, **level) as cog:
                assert set(cog.block_shapes) == {(512, 512)}
                assert cog.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
        with rasterio.open(raster.path) as cog:
            structure = cog.tags(ns="IMAGE_STRUCTURE")
        assert structure["LAYOUT"] == "COG"
        assert structure["PREDICTOR"] == ("3" if path.stem in ("float32", "float64") else "2"), path.stem
        assert structure["INTERLEAVE"] == {"many": "BAND", "four": "PIXEL"}.get(path.stem, structure["INTERLEAVE"])


def test_size_checksum_and_header_size(run: Run, write_tiff: WriteTiff, noise: Noise, tmp_path: Path) -> None:
    pixels = noise("uint16", 3, 1100, 1300)
    paths = [write_tiff("a.tif", pixels), write_tiff("m.tif", pixels, mask=pixels[0] > 99), write_tiff("s.tif", pixels)]
    bands = [GenericBand(name=f"f{f}b{b}", file_index=f) for f in range(3) for b in range(3)]

    for raster in run(*paths, bands=bands).rasters:
        content = raster.path.read_bytes()
        assert raster.size == len(content)
        assert raster.sha256 == hashlib.sha256(content).hexdigest()
        with rasterio.open(raster.path) as cog:
            offsets = [
                int(cog.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=1, **level) or 10**9)
                for level in ({}, {"ovr": 0}, {"ovr": 1})
                for x in range(3)
                for y in range(3)
            ]
        assert raster.header_size == min(offsets)
        header = tmp_path / "header.tif"
        header.write_bytes(content[: raster.header_size])
        with rasterio.open(header) as start, rasterio.open(raster.path) as cog:
            assert start.profile == cog.profile
            assert start.overviews(1) == cog.overviews(1)
            assert start.mask_flag_enums == cog.mask_flag_enums


def test_a_cog_is_taken_as_it_is_unless_something_else_is_asked_for(
    run: Run, write_tiff: WriteTiff, noise: Noise, tmp_path: Path
) -> None:
    pixels = noise("uint8", 4, 700, 600)
    plain = write_tiff("plain.tif", pixels[:1])
    rgba = write_tiff("rgba.tif", pixels, photometric="RGB", ALPHA="YES")
    empty = write_tiff("empty.tif", pixels[:1], nodata=7)

    def cog(source: Path, **options: Any) -> Path:
        path = tmp_path / f"{source.stem}-{'-'.join(options.values())}.cog.tif"
        copy(source, path, driver="COG", compress="DEFLATE", **options)
        return path

    cubic, nearest = cog(plain, overview_resampling="CUBIC"), cog(plain, overview_resampling="NEAREST")
    cases: list[tuple[Path, list[Band], bool]] = [
        (cubic, [GenericBand(name="a")], True),
        (nearest, [ClassBand(name="b")], True),
        (cubic, [ClassBand(name="c")], False),
        (cog(plain, blocksize="256", overview_count="1"), [GenericBand(name="d")], True),
        (cog(empty), [GenericBand(name="e")], True),
        (cog(empty), [GenericBand(name="f", nodata=9)], True),  # the file's own wins
        (cubic, [GenericBand(name="g", nodata=9)], False),
        (cog(rgba), [GenericBand(name=name) for name in ("h", "i", "j", "k")], True),
        (cog(rgba), [GenericBand(name=name) for name in ("l", "m", "n")], False),
        (plain, [GenericBand(name="o")], False),
    ]
    bands = [band.evolve(file_index=index) for index, (_, bands, _) in enumerate(cases) for band in bands]

    by_default = run(*(path for path, _, _ in cases), bands=bands)

    for (path, _, taken), raster in zip(cases, by_default.rasters, strict=True):
        assert raster.taken == taken, path
        assert (raster.path.read_bytes() == path.read_bytes()) == taken, path
        assert raster.sha256 == hashlib.sha256(raster.path.read_bytes()).hexdigest()
        assert_strict_cog(raster)
    assert [raster.resampler for raster in by_default.rasters[:3]] == ["cubic", "nearest", "nearest"]
    for asked, expected in (
        ({"overview_resampler": OverviewResampler.CUBIC}, [True, False]),
        ({"overviews": (2,)}, [True, True]),
        ({"overviews": (3,)}, [False, False]),
        ({"profile": CogProfile(codec=Codec.DEFLATE)}, [True, True]),
        ({"profile": CogProfile(codec=Codec.ZSTD)}, [False, False]),
    ):
        conversion = run(cubic, nearest, bands=one_per_file(2), **asked)
        assert [raster.taken for raster in conversion.rasters] == expected, asked


@pytest.mark.parametrize("overview", [None, 0])
def test_a_damaged_cog_is_refused(
    refuse: Refuse, write_tiff: WriteTiff, noise: Noise, tmp_path: Path, overview: int | None
) -> None:
    path = tmp_path / "cog.tif"
    copy(write_tiff("a.tif", noise("uint8", 1, 700, 600)), path, driver="COG", compress="DEFLATE")
    with rasterio.open(path) as file:
        start = int(file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, ovr=overview))
    content = bytearray(path.read_bytes())
    content[start + 99 : start + 2099] = b"\xff" * 2000
    path.write_bytes(content)

    assert "'cog.tif'" in refuse("CORRUPT_FILE", path)


# --- What is measured -----------------------------------------------------------------------------------------------


def test_statistics_are_those_of_numpy(run: Run, write_tiff: WriteTiff, save_array: SaveArray) -> None:
    random = np.random.default_rng(7)
    mask = random.random((600, 1100)) > 0.3
    ints = random.integers(-500, 9000, (2, 600, 1100)).astype("int16")
    floats = (random.random((600, 1100)) * 1e-3 + 1e6).astype("float64")
    floats[random.random(floats.shape) > 0.9] = np.nan
    floats[5, 5], floats[6, 6] = np.inf, -np.inf
    lowest = np.full((30, 30), -1.7976931348623157e308)
    lowest[0] = np.arange(30)
    cases: list[tuple[Path, list[NDArray[Any]]]] = [
        (write_tiff("nodata.tif", ints, nodata=12), [band[band != 12] for band in ints]),
        (write_tiff("mask.tif", ints, mask=mask), [band[mask] for band in ints]),
        (save_array("floats", floats), [floats[np.isfinite(floats)]]),
        (save_array("masked", ints[0], mask=~mask), [ints[0][mask]]),
        (save_array("void", np.full((20, 20), np.nan, "float32")), [np.array([])]),
        (save_array("lowest", lowest), [np.array([])]),
    ]
    bands = [GenericBand(name=f"f{f}b{b}", file_index=f) for f, (_, v) in enumerate(cases) for b in range(len(v))]

    conversion = run(*(path for path, _ in cases), bands=bands, placed=True)

    for (path, valid), raster in zip(cases, conversion.rasters, strict=True):
        for values, band in zip(valid, raster.bands, strict=True):
            if not values.size:
                assert band.statistics is None, path.name
                assert band.histogram is None, path.name
                continue
            assert band.statistics is not None
            wide = values.astype("float64")
            found = band.statistics
            assert (found.minimum, found.maximum) == (wide.min(), wide.max()), path.name
            assert found.mean == pytest.approx(wide.mean(), rel=1e-12), path.name
            assert found.stddev == pytest.approx(wide.std(), rel=1e-6), path.name
            assert found.valid_percent == pytest.approx(100 * values.size / (600 * 1100)), path.name
            assert band.histogram is not None
            edges = np.linspace(band.histogram.min, band.histogram.max, band.histogram.count + 1)
            np.testing.assert_array_equal(band.histogram.buckets, np.histogram(values, edges)[0], path.name)
    json.loads(conversion.model_dump_json(), parse_constant=pytest.fail)


def test_fill_fraction_counts_what_any_band_holds(run: Run, save_array: SaveArray) -> None:
    bands = np.zeros((2, 100, 100), "uint8")
    bands[0, :30], bands[1, 20:50] = 1, 1
    path = save_array("a", bands)

    described = [GenericBand(name=name, nodata=0) for name in "ab"]

    assert run(path, bands=described, placed=True).fill_fraction == 0.5


# --- Pictures for people --------------------------------------------------------------------------------------------


def assert_previews(conversion: Conversion, shapes: dict[str, tuple[int, int]]) -> None:
    assert {preview.role: preview.shape for preview in conversion.previews} == shapes
    for preview in conversion.previews:
        content = preview.path.read_bytes()
        assert (preview.size, preview.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert content.startswith(b"\x89PNG")
        assert decoded(preview.path).shape == (4, *preview.shape)


def test_previews_have_the_right_sides_and_show_what_is_valid(run: Run, write_tiff: WriteTiff) -> None:
    pixels = np.full((3, 600, 1500), 100, "uint8")
    pixels[:, :, :750] = 0
    pixels[0, :, 750:] = 200
    path = write_tiff("a.tif", pixels, nodata=0)
    bands = [SpectralBand(name=name, display_range=(0, 200)) for name in ("red", "green", "blue")]

    conversion = run(path, bands=bands)

    assert_previews(conversion, {"thumbnail": (102, 256), "overview": (410, 1024)})
    for preview in conversion.previews:
        picture = decoded(preview.path)
        half = picture.shape[2] // 2
        assert not picture[3, :, : half - 1].any()
        assert (picture[3, :, half + 1 :] == 255).all()
        assert picture[:3, 5, -5].tolist() == [255, 127, 127]


def test_previews_of_small_images_are_not_enlarged(run: Run, save_array: SaveArray, noise: Noise) -> None:
    assert_previews(
        run(save_array("a", noise("uint8", 3, 20, 30)), bands=3, placed=True),
        {"thumbnail": (20, 30), "overview": (20, 30)},
    )


def test_previews_of_classes_have_the_colours_of_their_map(run: Run, save_array: SaveArray) -> None:
    classes = np.repeat(np.arange(3, dtype="uint8"), 100).reshape(1, 300).repeat(20, axis=0)
    colours = [(10, 20, 30, 255), (200, 0, 0, 255), (0, 0, 222, 255)]

    conversion = run(save_array("a", classes), bands=[ClassBand(name="c", colormap=colours)], placed=True)

    thumbnail = decoded(conversion.previews[0].path)
    assert {tuple(colour) for colour in thumbnail[:3].reshape(3, -1).T.tolist()} == {c[:3] for c in colours}


def test_previews_take_the_display_bands_from_files_of_different_resolution(run: Run, write_tiff: WriteTiff) -> None:
    fine = write_tiff("fine.tif", np.full((1, 600, 600), 50, "uint8"))
    coarse = write_tiff("coarse.tif", np.full((1, 100, 100), 150, "uint8"), transform=CORNER @ Affine.scale(6))
    bands = [
        GenericBand(name="a", file_index=0, display_range=(0, 255)),
        GenericBand(name="b", file_index=1, display_range=(0, 255)),
        GenericBand(name="c", file_index=2, display_range=(0, 255)),
    ]

    for shown in (("a", "b", "c"), ("b", "a", "c")):
        conversion = run(fine, coarse, fine, bands=bands, display_bands=shown)

        assert_previews(conversion, {"thumbnail": (256, 256), "overview": (600, 600)})
        expected = [{"a": 50, "b": 150, "c": 50}[name] for name in shown]
        assert decoded(conversion.previews[0].path)[:3, 100, 100].tolist() == expected


# --- The child ------------------------------------------------------------------------------------------------------


def children() -> dict[int, str]:
    """Processes of this machine that run the converter for this process: id -> folder that it works in."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) == os.getpid() and b"stac_ingest.converter" in (folder / "cmdline").read_bytes():
                found[int(folder.name)] = str((folder / "cwd").readlink())
        except OSError:
            continue
    return found


linux_only = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc of Linux")


@linux_only
def test_a_killed_child_is_a_retryable_crash_and_leaves_no_process(
    jobs: Jobs, save_array: SaveArray, noise: Noise
) -> None:
    path = save_array("a", noise("uint8", 600, 600))
    killed: list[int] = []

    async def kill(share: float, doing: str) -> None:
        for process in children():
            killed.append(process)
            os.kill(process, signal.SIGKILL)

    with pytest.raises(RetryableUploadError, match="SIGKILL") as caught:
        asyncio.run(convert(jobs(path, placed=True), kill))
    assert caught.value.code == "CONVERTER_CRASHED"
    assert killed
    assert children() == {}


@linux_only
def test_a_canceled_conversion_stops_at_once_and_leaves_no_process(
    jobs: Jobs, save_array: SaveArray, noise: Noise
) -> None:
    job = jobs(save_array("a", noise("uint8", 3000, 3000)), placed=True)
    seen: list[int] = []

    async def cancel_midway() -> None:
        task: asyncio.Task[Conversion]

        async def cancel(share: float, doing: str) -> None:
            seen.extend(children())
            task.cancel()
            await asyncio.sleep(0)

        task = asyncio.create_task(convert(job, cancel))
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_midway())
    assert seen
    assert children() == {}
    assert not list(job.scratch.glob("*.png"))


@linux_only
def test_a_converter_waits_for_the_next_job_and_leaves_no_process(
    jobs: Jobs, save_array: SaveArray, noise: Noise
) -> None:
    pixels = noise("uint8", 60, 60)
    path = save_array("a", pixels)
    ran: list[int] = []

    async def remember(share: float, doing: str) -> None:
        ran.extend(child for child, folder in children().items() if folder != "/")

    async def convert_several() -> None:
        async with Converters() as converters:
            await converters.convert(jobs(path, placed=True), remember)
            (waiting,) = await waiting_child()
            second = await converters.convert(jobs(path, placed=True), remember)
            assert set(ran) > {waiting}
            assert_same_bits(read(second.rasters[0]), pixels[np.newaxis])
            (waiting,) = await waiting_child()
            os.kill(waiting, signal.SIGKILL)
            while children():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # until the loop has heard of it
            await asyncio.gather(*(converters.convert(jobs(path, placed=True), remember) for _ in range(3)))
            assert waiting not in ran
            await waiting_child()

    async def waiting_child() -> dict[int, str]:
        while not (found := children()):
            await asyncio.sleep(0.01)
        assert list(found.values()) == ["/"]
        return found

    asyncio.run(convert_several())
    assert children() == {}


@linux_only
def test_a_converter_that_could_not_start_is_no_fault_of_the_next_job(
    jobs: Jobs, save_array: SaveArray, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_array("a", noise("uint8", 60, 60))

    async def unheard(share: float, doing: str) -> None:
        pass

    async def convert_twice() -> None:
        monkeypatch.setattr("sys.executable", "/nowhere/python")
        async with Converters() as converters:
            await asyncio.sleep(0.1)
            monkeypatch.undo()
            assert (await converters.convert(jobs(path, placed=True), unheard)).rasters
            canceled = asyncio.create_task(converters.convert(jobs(path, placed=True), unheard))
            await asyncio.sleep(0)
            canceled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await canceled
            assert (await converters.convert(jobs(path, placed=True), unheard)).rasters

    asyncio.run(convert_twice())
    assert children() == {}


@linux_only
def test_the_child_has_no_secrets_and_no_network(
    jobs: Jobs, save_array: SaveArray, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "STAC_INGEST_DATABASE_URL",
        "STAC_INGEST_API_KEYS",
        "AWS_SECRET_ACCESS_KEY",
        "PGPASSWORD",
        "GDAL_DATA",
    ):
        monkeypatch.setenv(name, "secret-of-the-parent")
    job = jobs(save_array("a", noise("uint8", 600, 600)), placed=True)
    environment: dict[str, str] = {}
    interfaces: set[str] = set()
    works_in: set[str] = set()
    limits = ""

    async def look(share: float, doing: str) -> None:
        nonlocal limits
        for process, working in children().items():
            works_in.add(working)
            folder = Path("/proc", str(process))
            lines = (folder / "environ").read_bytes().decode().split("\0")
            environment.update({line.partition("=")[0]: line.partition("=")[2] for line in lines if line})
            interfaces.update(line.split(":")[0].strip() for line in (folder / "net/dev").read_text().splitlines()[2:])
            limits = (folder / "limits").read_text()

    conversion = asyncio.run(convert(job, look))

    assert works_in == {str(job.scratch)}
    assert not [name for name in environment if name.startswith(("STAC_INGEST", "AWS_", "PG"))]
    assert "secret-of-the-parent" not in environment.values()
    assert not {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} & set(environment)
    assert f"{job.limits.memory_bytes}" in limits
    if conversion.sandbox == "network namespace":
        assert interfaces <= {"lo"} | {
            name for name in interfaces if name.startswith(("sit", "tunl", "ip6", "gre", "erspan"))
        }
        assert interfaces != {line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]}
    else:
        pytest.skip(f"this machine lets nobody leave the network: {conversion.sandbox}")


def test_modules_in_the_scratch_folder_are_not_imported(jobs: Jobs, save_array: SaveArray, noise: Noise) -> None:
    job = jobs(save_array("a", noise("uint8", 20, 20)), placed=True)
    for module in ("json", "rasterio", "stac_ingest"):
        (job.scratch / f"{module}.py").write_text("raise SystemExit('imported from the scratch folder')")

    async def unheard(share: float, doing: str) -> None:
        pass

    assert len(asyncio.run(convert(job, unheard)).rasters) == 1


def test_progress_goes_from_nothing_to_done(jobs: Jobs, save_array: SaveArray, noise: Noise) -> None:
    paths = [save_array(name, noise("uint8", 1101, 600)) for name in "ab"]
    heard: list[tuple[float, str]] = []

    async def hear(share: float, doing: str) -> None:
        heard.append((share, doing))

    asyncio.run(convert(jobs(*paths, bands=one_per_file(2), placed=True), hear))

    shares = [share for share, _ in heard]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1
    assert [doing for doing, _ in groupby(doing for _, doing in heard)] == ["read", "overviews", "write"] * 2


# --- Real images ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "bands"),
    [("naip_20090818.tif", 4), ("landsat_2020.tif", 4), ("landsat7_rgb.tif", 3), ("elevation_dtm.tif", 1)],
)
def test_real_images(run: Run, name: str, bands: int) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there")

    conversion = run(path, bands=bands)

    raster = conversion.rasters[0]
    assert_strict_cog(raster)
    with rasterio.open(path) as source, rasterio.open(raster.path) as cog:
        assert_same_bits(cog.read(), source.read())
        assert_same_bits(cog.read_masks(), source.read_masks())
        assert (cog.crs, cog.nodata, cog.transform) == (source.crs, source.nodata, source.transform)
        share = (source.read_masks() > 0).any(axis=0).mean()
        for index, band in enumerate(raster.bands, start=1):
            values = source.read(index, masked=True).astype("float64")
            assert band.statistics is not None
            assert band.statistics.mean == pytest.approx(values.mean(), rel=1e-9)
            assert band.statistics.stddev == pytest.approx(values.std(), rel=1e-9)
    assert conversion.fill_fraction == pytest.approx(share, abs=1e-6)
