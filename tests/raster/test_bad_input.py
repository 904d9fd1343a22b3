"""What the converter says to bytes that are no image, or that ask for more than they should."""

from __future__ import annotations

import io
import struct
import subprocess
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from stac_ingest.errors import RetryableUploadError
from stac_ingest.models.bands import GenericBand
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.enums import DataType
from stac_ingest.models.image import Georeference
from stac_ingest.models.raster import Limits

if TYPE_CHECKING:
    from tests.raster.conftest import Noise, Refuse, Run, SaveArray, WriteTiff

UTM = "EPSG:32633"
CORNER = (500_000.0, 10.0, 0.0, 5_000_000.0, 0.0, -10.0)
DATA = Path(__file__).parents[3] / "shared" / "data"


# --- Not an image ---------------------------------------------------------------------------------------------------


def zip_of(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, "content")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "code", "found"),
    [
        (b"", "EMPTY_FILE", "0 bytes"),
        (b"just a few words", "UNSUPPORTED_FORMAT", "just a few words"),
        (zip_of("image.tif"), "UNSUPPORTED_FORMAT", "ZIP archive"),
        (b"%PDF-1.7\n", "UNSUPPORTED_FORMAT", "PDF"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "UNSUPPORTED_FORMAT", "HDF5"),
        (b'\xef\xbb\xbf <?xml version="1.0"?><a/>', "UNSUPPORTED_FORMAT", "XML"),
        (b'{"type": "Feature"}', "UNSUPPORTED_FORMAT", "JSON"),
        (b"\x00\x01\x02\xff\xfe", "UNSUPPORTED_FORMAT", "00 01 02 ff fe"),
        (b"\x93NUMPY\x01\x00", "UNSUPPORTED_FORMAT", "NumPy array"),
        (b"GIF89a", "UNSUPPORTED_FORMAT", "GIF"),
    ],
)
def test_other_bytes_than_an_image(refuse: Refuse, tmp_path: Path, content: bytes, code: str, found: str) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(content)

    message = refuse(code, path)

    assert "'image.tif'" in message
    assert found in message
    assert "GeoTIFF" in message


def test_a_vrt_named_tif_is_refused_and_its_target_never_read(
    refuse: Refuse, write_tiff: WriteTiff, tmp_path: Path
) -> None:
    secret = write_tiff("secret.tif", np.full((1, 8, 8), 77, "uint8"))
    with rasterio.open(secret, "r+") as tiff:
        tiff.update_tags(NOTE="the-secret-note")
    path = tmp_path / "image.tif"
    path.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>5e5,10,0,5e6,0,-10</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{secret}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with rasterio.open(path) as vrt:  # GDAL itself is happy to follow it
        assert (vrt.read() == 77).all()

    message = refuse("UNSUPPORTED_FORMAT", path)

    assert "VRT" in message
    assert "secret" not in message
    written = [file for folder in tmp_path.glob("scratch-*") for file in folder.rglob("*")]
    assert written == []


def test_files_that_happen_to_lie_beside_a_tiff_are_not_read(run: Run, write_tiff: WriteTiff, tmp_path: Path) -> None:
    path = write_tiff("image.tif", np.full((1, 600, 600), 5, "uint8"))
    secret = write_tiff("image.tif.ovr", np.full((1, 300, 300), 77, "uint8"))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as tiff:
        tiff.write_mask(np.zeros((600, 600), bool))
    assert secret.with_name("image.tif.msk").exists()
    secret.with_name("image.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    secret.with_name("image.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><NoDataValue>5</NoDataValue></PAMRasterBand></PAMDataset>"
    )

    raster = run(path).rasters[0]

    with rasterio.open(raster.path, overview_level=0) as overview:
        assert (overview.read() == 5).all()
    assert raster.transform == (10, 0, 500_000, 0, -10, 5_000_000)
    assert raster.bands[0].nodata is None
    assert raster.bands[0].statistics is not None
    assert raster.bands[0].statistics.valid_percent == 100


# --- Damaged --------------------------------------------------------------------------------------------------------


def picture(path: Path, pixels: NDArray[Any], driver: str, **options: Any) -> bytes:
    bands, height, width = pixels.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        profile = {"driver": driver, "width": width, "height": height, "count": bands, "dtype": pixels.dtype.name}
        with rasterio.open(path, "w", **profile, **options) as file:
            file.write(pixels)
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.0004, 0.5, 0.99])
@pytest.mark.parametrize("options", [{"compress": "deflate", "tiled": True}, {}], ids=["deflate", "plain"])
def test_a_truncated_tiff(
    refuse: Refuse, write_tiff: WriteTiff, noise: Noise, share: float, options: dict[str, Any]
) -> None:
    path = write_tiff("cut.tif", noise("uint8", 1, 600, 600), **options)
    with rasterio.open(path) as tiff:
        start = int(tiff.get_tag_item("IFD_OFFSET", "TIFF", bidx=1))
    assert start < 1000, "the directory is at the start, so that half a file still opens"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])

    message = refuse("CORRUPT_FILE", path)

    assert "Expected 'cut.tif' to be a complete image" in message
    assert str(path.parent) not in message


@pytest.mark.parametrize("driver", ["JPEG", "PNG", "JP2OpenJPEG"])
def test_a_truncated_picture_is_not_filled_with_grey(refuse: Refuse, tmp_path: Path, noise: Noise, driver: str) -> None:
    path = tmp_path / "cut.bin"
    content = picture(path, noise("uint8", 3, 500, 500), driver)
    path.write_bytes(content[: len(content) // 2])

    assert "'cut.bin'" in refuse("CORRUPT_FILE", path, bands=3, placed=True)


def test_a_jpeg_with_a_gap_is_not_filled_with_grey(refuse: Refuse, tmp_path: Path, noise: Noise) -> None:
    path = tmp_path / "gap.jpg"
    content = picture(path, noise("uint8", 3, 500, 500), "JPEG")
    path.write_bytes(content[: len(content) // 2] + b"\x11\xff\xd9")  # the marker that ends a JPEG

    assert "premature end" in refuse("CORRUPT_FILE", path, bands=3, placed=True)


def test_a_deflate_tile_that_cannot_be_decoded(refuse: Refuse, write_tiff: WriteTiff, noise: Noise) -> None:
    path = write_tiff("bad.tif", noise("uint8", 1, 600, 600), compress="deflate", tiled=True)
    with rasterio.open(path) as tiff:
        offset = int(tiff.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(content)

    assert "cannot be read" in refuse("CORRUPT_FILE", path)


# --- Not what the product describes ---------------------------------------------------------------------------------


def test_bands_and_types_that_the_product_does_not_have(
    refuse: Refuse, write_tiff: WriteTiff, save_array: SaveArray, noise: Noise
) -> None:
    three = write_tiff("three.tif", noise("uint8", 3, 20, 30))

    message = refuse("BAND_COUNT_MISMATCH", three, bands=2)
    assert "Expected 2 band(s)" in message
    assert "b0, b1" in message
    assert "found 3" in message

    typed = [GenericBand(name=name, data_type=DataType.UINT16) for name in ("a", "b", "c")]
    message = refuse("DATA_TYPE_MISMATCH", three, bands=typed)
    assert "Expected UInt16 for band 'a'" in message
    assert "found Byte" in message

    array = save_array("array", noise("float32", 20, 30))
    message = refuse("DATA_TYPE_MISMATCH", array, bands=typed[:1], placed=True)
    assert "Expected UInt16" in message
    assert "found Float32" in message

    message = refuse("FILE_COUNT_MISMATCH", three, three, bands=3)
    assert "Expected 1 file(s)" in message
    assert "found 2" in message


# --- Arrays ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "code", "words"),
    [
        (np.zeros(5, "uint8"), "UNSUPPORTED_SHAPE", ["(y, x)", "found 1", "(5,)"]),
        (np.zeros((), "uint8"), "UNSUPPORTED_SHAPE", ["found 0"]),
        (np.zeros((1, 2, 3, 4), "uint8"), "UNSUPPORTED_SHAPE", ["found 4", "(1, 2, 3, 4)"]),
        (np.zeros((0, 7), "uint8"), "EMPTY_IMAGE", ["7", "0"]),
        (np.zeros((3, 4), "bool"), "UNSUPPORTED_DATA_TYPE", ["bool", "integers of 8 to 64 bits"]),
        (np.zeros((3, 4), "complex64"), "UNSUPPORTED_DATA_TYPE", ["complex64", "floats"]),
        (np.zeros((3, 4), "datetime64[s]"), "UNSUPPORTED_DATA_TYPE", ["datetime64"]),
        (np.zeros((3, 4), "S3"), "UNSUPPORTED_DATA_TYPE", ["bytes24"]),
        (np.zeros((3, 4), [("a", "u1"), ("b", "f4")]), "UNSUPPORTED_DATA_TYPE", ["void40"]),
        (np.array([[{"a": 1}]], object), "UNSAFE_ARRAY", ["numpy.save(..., allow_pickle=False)"]),
    ],
    ids=lambda value: f"{value.dtype.name}{value.shape}" if isinstance(value, np.ndarray) else "",
)
def test_arrays_that_are_no_image(
    refuse: Refuse, save_array: SaveArray, array: NDArray[Any], code: str, words: list[str]
) -> None:
    message = refuse(code, save_array("array", array), placed=True)

    assert [word for word in words if word not in message] == []


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_is_never_read(refuse: Refuse, save_array: SaveArray, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    path = save_array("array", np.array([[Bomb(proof)]], object))
    np.load(path, allow_pickle=True)
    assert proof.exists(), "the bomb works"
    proof.unlink()

    refuse("UNSAFE_ARRAY", path, placed=True)
    plain = tmp_path / "plain.npy"
    plain.write_bytes(path.read_bytes()[-200:])
    assert "Pickles are never read" in refuse("UNSAFE_ARRAY", plain, placed=True)

    assert not proof.exists()


def npy(header: bytes, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header


@pytest.mark.parametrize(
    "content",
    [
        npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (9, 9), }\n") + bytes(80),
        npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (4611686018427387904, 9), }\n"),
        npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (-3, 9), }\n") + bytes(99),
        npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (3, '9'), }\n"),
        npy(b"__import__('os').abort()\n"),
        npy(b"{'descr': '|u1', 'fortran_order': \n"),
        npy(b"((((((" * 2000),
        npy(b"{'descr': '|u1'}"),
        npy(b"\xff\xfe\x00"),
        npy(b"{}", version=b"\x09\x00"),
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff{",
    ],
)
def test_forged_npy_headers(refuse: Refuse, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "forged.npy"
    path.write_bytes(content)

    message = refuse("UNSAFE_ARRAY", path, placed=True)

    assert "forged.npy" in message
    assert "allow_pickle=False" in message


def test_an_empty_array_file(refuse: Refuse, tmp_path: Path) -> None:
    path = tmp_path / "empty.npy"
    path.touch()

    assert "0 bytes" in refuse("EMPTY_FILE", path, placed=True)


def test_masks_that_do_not_belong_to_the_array(refuse: Refuse, save_array: SaveArray, noise: Noise) -> None:
    pixels = noise("uint8", 2, 20, 30)
    wrong_shape = save_array("shape", pixels, mask=np.zeros((20, 31), bool))
    wrong_type = save_array("type", pixels, mask=np.zeros((20, 30), "uint8"))

    message = refuse("MASK_MISMATCH", wrong_shape, bands=2, placed=True)
    assert "(2, 20, 30)" in message
    assert "(20, 31)" in message
    assert "found uint8" in refuse("MASK_MISMATCH", wrong_type, bands=2, placed=True)


def test_masks_that_differ_where_no_value_is_free(refuse: Refuse, save_array: SaveArray) -> None:
    pixels = np.stack([np.arange(256, dtype="uint8").reshape(16, 16)] * 2)
    mask = np.zeros((2, 16, 16), bool)
    mask[0, 5, 5] = True

    message = refuse("MASK_MISMATCH", save_array("full", pixels, mask=mask), bands=2, placed=True)

    assert "nodata" in message


# --- Where it lies --------------------------------------------------------------------------------------------------


def test_nothing_says_where_it_lies(refuse: Refuse, tmp_path: Path, save_array: SaveArray, noise: Noise) -> None:
    path = tmp_path / "nowhere.tif"
    picture(path, noise("uint8", 1, 20, 30), "GTiff")

    message = refuse("MISSING_GEOREFERENCE", path)
    assert "coordinate system" in message
    assert "cs_code" in message
    message = refuse("MISSING_GEOREFERENCE", path, placed=Georeference(cs_code=UTM))
    assert "geotrans" in message
    array = save_array("nowhere", noise("uint8", 20, 30))
    assert "coordinate system" in refuse("MISSING_GEOREFERENCE", array, placed=Georeference(geotrans=CORNER))


def test_file_and_image_contradict_each_other(refuse: Refuse, write_tiff: WriteTiff, noise: Noise) -> None:
    path = write_tiff("there.tif", noise("uint8", 1, 20, 30))

    message = refuse("GEOREFERENCE_MISMATCH", path, placed=Georeference(cs_code="EPSG:32632"))
    assert "EPSG:32632" in message
    assert "found EPSG:32633" in message
    message = refuse("GEOREFERENCE_MISMATCH", path, placed=Georeference(geotrans=(500_000, 20, 0, 5e6, 0, -20)))
    assert "20.0" in message
    assert "found (500000.0, 10.0" in message


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"geotrans": (1e308, 1e308, 0, 5e6, 0, -10)}, ["area"]),
        ({"geotrans": (5e5, 0, 0, 5e6, 0, 0)}, ["area"]),
        ({"geotrans": (5e5, 10, 10, 5e6, 10, 10)}, ["area"]),
        ({"cs_code": "EPSG:99999"}, ["EPSG:32633", "EPSG:99999"]),
        ({"cs_code": None, "projection": "the one of last year"}, ["the one of last year"]),
        ({"geotrans": (5e5, 1e12, 0, 5e6, 0, -1e12)}, ["on the Earth"]),
        ({"cs_code": "EPSG:4326"}, ["on the Earth", "EPSG:4326"]),
        ({"cs_code": None, "projection": 'LOCAL_CS["the yard",UNIT["metre",1]]'}, ["on the Earth"]),
    ],
    ids=str,
)
def test_a_place_that_is_none(
    refuse: Refuse, save_array: SaveArray, noise: Noise, given: dict[str, Any], words: list[str]
) -> None:
    place = Georeference(**{"cs_code": UTM, "geotrans": CORNER, **given})

    message = refuse("INVALID_GEOREFERENCE", save_array("a", noise("uint8", 20, 30)), placed=place)

    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_geotiff_whose_place_is_no_number(refuse: Refuse, write_tiff: WriteTiff, noise: Noise, wrong: float) -> None:
    path = write_tiff("nan.tif", noise("uint8", 1, 20, 30))
    content = path.read_bytes()
    scale = struct.pack("<3d", 10, 10, 0)
    assert content.count(scale) == 1
    path.write_bytes(content.replace(scale, struct.pack("<3d", 10, wrong, 0)))

    message = refuse("INVALID_GEOREFERENCE", path)

    assert "maps pixels to an area" in message
    assert str(wrong) in message


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".jgw", b"1\n2\n3\n"),
        (".jgw", b"one\n0\n0\n-1\n0\n0\n"),
        (".jgw", b"\xff\xfe\x00\x01"),
        (".jgw", b"nan\n0\n0\n-1\n0\n0\n"),
        (".prj", b"no projection"),
        (".prj", b"\xff\xfe\x00\x01"),
        (".prj", b""),
    ],
)
def test_sidecars_that_say_nothing(refuse: Refuse, tmp_path: Path, noise: Noise, suffix: str, content: bytes) -> None:
    path = tmp_path / "photo.png"
    picture(path, noise("uint8", 1, 20, 30), "PNG")
    sidecar = tmp_path / f"photo{suffix}"
    sidecar.write_bytes(content)
    rest = Georeference(cs_code=UTM) if suffix == ".jgw" else Georeference(geotrans=CORNER)

    assert "Expected" in refuse("INVALID_GEOREFERENCE", path, sidecar, placed=rest)


# --- More than it should --------------------------------------------------------------------------------------------


def forged_tiff(width: int, height: int, *, bands: int = 1, tile: int = 0, bits: int = 8) -> bytes:
    """A TIFF of one strip or tile that holds one byte, whatever its header claims."""
    per_band = bands if bands > 1 else 0
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, bits) if not per_band else (258, 3, bands, 0),
        (259, 3, 1, 8 if tile else 1),
        (262, 3, 1, 1),
        *([(273, 4, 1, 8)] if not tile else []),
        (277, 3, 1, bands),
        *([(278, 4, 1, height), (279, 4, 1, 1)] if not tile else []),
        (284, 3, 1, 1),
        *([(322, 4, 1, tile), (323, 4, 1, tile), (324, 4, 1, 8), (325, 4, 1, 1)] if tile else []),
    ]
    directory = 16
    after = directory + 2 + 12 * len(entries) + 4
    body = b"".join(
        struct.pack("<HHII", tag, kind, number, after if number > 1 else value) for tag, kind, number, value in entries
    )
    return (
        struct.pack("<2sHI", b"II", 42, directory)
        + bytes(8)
        + struct.pack("<H", len(entries))
        + body
        + bytes(4)
        + struct.pack("<H", bits) * per_band
    )


@pytest.mark.parametrize(
    ("forged", "code", "words"),
    [
        (forged_tiff(8, 8, bands=65_535), "LIMIT_BANDS", ["at most 512", "found 65535"]),
        (forged_tiff(2**31 - 1, 1), "LIMIT_DIMENSIONS", ["at most 400000", "2147483647"]),
        (forged_tiff(1, 2**31 - 1), "LIMIT_DIMENSIONS", ["2147483647"]),
        (forged_tiff(300_000, 300_000, bits=64), "LIMIT_DECODED_BYTES", ["found 720000000000"]),
        (forged_tiff(40_000, 40_000, tile=40_000), "LIMIT_BLOCK_BYTES", ["found 1600000000", "tiles"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_forged_tiffs(refuse: Refuse, tmp_path: Path, forged: bytes, code: str, words: list[str]) -> None:
    path = tmp_path / "forged.tif"
    path.write_bytes(forged)

    message = refuse(code, path, placed=True)

    assert [word for word in ("'forged.tif'", *words) if word not in message] == []


def test_the_forgery_itself_is_sound(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "small.tif"
    path.write_bytes(forged_tiff(1, 1))

    assert run(path, placed=True).rasters[0].shape == (1, 1)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")


def test_picture_bombs(refuse: Refuse, tmp_path: Path, noise: Noise) -> None:
    png = tmp_path / "bomb.png"
    png.write_bytes(png_header(900_000, 900_000))
    assert "900000" in refuse("LIMIT_DIMENSIONS", png, placed=True)
    png.write_bytes(png_header(50_000, 50_000))
    assert "bomb.png" in refuse("CORRUPT_FILE", png, placed=True)

    jpeg = tmp_path / "bomb.jpg"
    content = bytearray(picture(jpeg, noise("uint8", 3, 64, 64), "JPEG"))
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", 65_500, 65_500)
    jpeg.write_bytes(content)
    assert "bomb.jpg" in refuse("CORRUPT_FILE", jpeg, bands=3, placed=True)
    small = Limits(max_decoded_bytes=10**9)
    assert "12870750000" in refuse("LIMIT_DECODED_BYTES", jpeg, bands=3, placed=True, limits=small)


def test_a_jpeg_of_a_thousand_scans(refuse: Refuse, tmp_path: Path, noise: Noise) -> None:
    path = tmp_path / "scans.jpg"
    content = picture(path, noise("uint8", 1, 64, 64), "JPEG", PROGRESSIVE="YES")
    last = content.rindex(b"\xff\xda")
    path.write_bytes(content[:last] + content[last:-2] * 1000 + content[-2:])

    assert "scans.jpg" in refuse("CORRUPT_FILE", path, placed=True)


def test_limits_are_those_of_the_job(refuse: Refuse, save_array: SaveArray, noise: Noise) -> None:
    path = save_array("a", noise("uint8", 3, 40, 50))
    for limits, code, words in (
        (Limits(max_side=49), "LIMIT_DIMENSIONS", ["at most 49", "50"]),
        (Limits(max_bands=2), "LIMIT_BANDS", ["at most 2", "found 3"]),
        (Limits(max_decoded_bytes=5999), "LIMIT_DECODED_BYTES", ["at most 5999", "found 6000"]),
    ):
        message = refuse(code, path, bands=3, placed=True, limits=limits)
        assert [word for word in words if word not in message] == []


def test_a_thin_image_counts_with_its_blocks(refuse: Refuse, save_array: SaveArray) -> None:
    path = save_array("thin", np.zeros((100_000, 1), "float64"))

    message = refuse("LIMIT_DECODED_BYTES", path, placed=True, limits=Limits(max_decoded_bytes=10**8))

    blocks = sum(-(-100_000 // (512 * factor)) for factor in (1, 2, 4, 8, 16, 32, 64, 128, 256))
    assert str(blocks * 512**2 * 8) in message


def test_a_thin_image_can_be_converted(run: Run, save_array: SaveArray) -> None:
    path = save_array("thin", np.arange(40_000, dtype="float64")[:, np.newaxis])

    raster = run(path, placed=True, profile=CogProfile(overviews=(2, 3, 4, 5))).rasters[0]

    with rasterio.open(raster.path) as cog:
        np.testing.assert_array_equal(cog.read(1)[:, 0], np.arange(40_000))


@pytest.mark.parametrize(("factors", "found"), [((2, 31), "31"), ((64, 2), "64")])
def test_an_overview_factor_larger_than_the_image(
    refuse: Refuse, write_tiff: WriteTiff, noise: Noise, factors: tuple[int, ...], found: str
) -> None:
    path = write_tiff("small.tif", noise("uint8", 1, 20, 30))

    message = refuse("INVALID_OVERVIEWS", path, profile=CogProfile(overviews=factors))

    assert "at most 30" in message
    assert f"found {found}" in message


def test_too_little_memory(refuse: Refuse, tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    path.write_bytes(forged_tiff(28_000, 28_000, tile=28_000))
    limits = Limits(memory_bytes=1000 * 1024**2, max_block_bytes=1000 * 1024**2)

    assert "tiles" in refuse("LIMIT_MEMORY", path, placed=True, limits=limits)


@pytest.mark.parametrize("kilobytes", [500, 3000])
def test_a_full_disk_is_retryable(
    run: Run, save_array: SaveArray, noise: Noise, tmp_path: Path, kilobytes: int
) -> None:
    path = save_array("a", noise("uint8", 1500, 1500))
    disk = tmp_path / "scratch-0"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        with pytest.raises(RetryableUploadError) as caught:
            run(path, placed=True)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert caught.value.code == "STORAGE_FULL"


# --- Real files -----------------------------------------------------------------------------------------------------


def test_a_real_photograph_without_a_place(refuse: Refuse, run: Run) -> None:
    path = DATA / "photo_no_georeference.jpg"
    if not path.exists():
        pytest.skip(f"{path} is not there")

    assert "cs_code" in refuse("MISSING_GEOREFERENCE", path, bands=3)
    assert run(path, bands=3, placed=True).rasters[0].code == UTM
