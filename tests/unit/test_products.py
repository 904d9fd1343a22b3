"""The definitions that we ship are right, and a wrong one is reported by file and line."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stac_ingest import stac
from stac_ingest.models.bands import Layout
from stac_ingest.models.enums import BandType
from stac_ingest.products import Definition, ProductFileError, read_products

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / "collections"
SCHEMAS = ROOT.parent / "shared" / "acceptance" / "stac_schemas.py"
SHIPPED = ["cop-dem-glo-30", "esa-worldcover", "landsat-c2-l2", "naip", "sentinel-1-grd", "sentinel-2-l2a"]

GOOD = """\
{
  "title": "Example",
  "license": "CC0-1.0",
  "keywords": ["example"],
  "providers": [
    {"name": "Us", "roles": ["host"]}
  ],
  "extent": {
    "spatial": {"bbox": [[5.0, 45.0, 11.0, 48.0]]},
    "temporal": {
      "interval": [
        ["2020-01-01T00:00:00Z",
         null]
      ]
    }
  },
  "links": [
    {"rel": "about", "href": "https://example.com"}
  ],
  "ingest:product": {
    "default_display_bands": ["red"]
  },
  "ingest:bands": [
    {
      "name": "red",
      "type": "spectral",
      "wavelength_nm_center": 665
    },
    {
      "name": "clear",
      "type": "mask",
      "band_index": 1
    }
  ]
}
"""

DISPLAY = '"default_display_bands": ["red"]'

Write = Callable[..., Path]
SchemaErrors = Callable[[dict[str, Any]], list[str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a product's two files; None leaves one out."""

    def write(
        text: str | bytes | None = GOOD, description: str | bytes | None = "Words.\n", *, name: str = "example"
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, content in (("collection.json", text), ("description.md", description)):
            if content is not None:
                (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
        return folder / "collection.json"

    return write


@pytest.fixture(scope="module")
def schema_errors() -> SchemaErrors:
    """Return the check of a STAC object against the schemas that lie beside the repository."""
    if not SCHEMAS.exists():
        pytest.skip(f"the STAC schemas are not beside the repository: {SCHEMAS}")
    spec = importlib.util.spec_from_file_location("stac_schemas", SCHEMAS)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ours = {stac.SCHEMA: stac.schema_document(stac.SCHEMA)}

    def errors(collection: dict[str, Any]) -> list[str]:
        found: list[str] = module.errors(collection, known_elsewhere=ours)
        return found

    return errors


def shipped(name: str) -> Definition:
    return next(definition for definition in read_products(COLLECTIONS) if definition.product.id == name)


def mistakes(folder: Path) -> list[str]:
    with pytest.raises(ProductFileError) as caught:
        read_products(folder)
    return str(caught.value).splitlines()


# --- What we ship ---------------------------------------------------------------------------------------------------


def test_the_shipped_products_are_read_in_order() -> None:
    assert [definition.product.id for definition in read_products(COLLECTIONS)] == SHIPPED


def test_the_working_directory_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(read_products(COLLECTIONS)) == len(SHIPPED)


def test_the_folder_holds_data_only() -> None:
    assert {path.suffix for path in COLLECTIONS.rglob("*") if path.is_file()} == {".json", ".md"}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_product_is_a_valid_collection(name: str, schema_errors: SchemaErrors) -> None:
    assert schema_errors(shipped(name).collection) == []


def test_the_schemas_would_find_a_mistake(schema_errors: SchemaErrors) -> None:
    assert schema_errors({**shipped("naip").collection, "extent": {}})


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_product_survives_the_catalog(name: str) -> None:
    definition = shipped(name)
    stored = json.loads(json.dumps(definition.collection))
    found = stac.product_from_collection(stored)
    assert found.evolve(resolution_min=None, resolution_max=None) == definition.product
    assert stac.bands_from_collection(stored) == definition.bands


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_product_says_what_people_need(name: str) -> None:
    product, bands = shipped(name).product, shipped(name).bands
    assert product.name
    assert product.description
    assert product.tags
    assert product.start_datetime
    assert product.default_display_bands
    assert all(band.data_type and band.resolution and band.data_range and band.display_range for band in bands)
    links = [link["rel"] for link in shipped(name).collection["links"]]
    assert "license" in links
    assert "about" in links


def test_all_five_classes_of_band_are_shipped() -> None:
    assert {band.type for definition in read_products(COLLECTIONS) for band in definition.bands} == set(BandType)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("cop-dem-glo-30", "elevation"),
        ("esa-worldcover", "map"),
        (
            "landsat-c2-l2",
            "coastal blue green red nir08 swir16 swir22 lwir11 st_qa qa_pixel qa_radsat qa_aerosol",
        ),
        ("naip", "data"),
        ("sentinel-1-grd", "vv vh"),
        (
            "sentinel-2-l2a",
            "coastal blue green red rededge1 rededge2 rededge3 nir nir08 nir09 swir16 swir22 aot wvp scl data_15",
        ),
    ],
)
def test_files_are_laid_out_as_distributed(name: str, keys: str) -> None:
    assert list(Layout.of(shipped(name).bands).asset_keys()) == keys.split()


def test_physical_ranges_are_the_published_scales() -> None:
    def scale(name: str, asset: str) -> tuple[float, float]:
        band = shipped(name).collection["item_assets"][asset]["bands"][0]
        return band["raster:scale"], band["raster:offset"]

    assert scale("sentinel-2-l2a", "red") == (0.0001, -0.1)
    assert scale("landsat-c2-l2", "red") == (0.0000275, -0.2)
    assert scale("landsat-c2-l2", "lwir11") == (0.00341802, 149)


def test_worldcover_has_the_colours_of_esa() -> None:
    classes = shipped("esa-worldcover").collection["item_assets"]["map"]["bands"][0]["classification:classes"]
    assert len(classes) == 11
    assert {entry["value"]: entry["color_hint"] for entry in classes}[95] == "00CF75"


# --- What a definition becomes --------------------------------------------------------------------------------------


def test_the_file_becomes_product_bands_and_collection(write: Write, tmp_path: Path) -> None:
    write()
    [definition] = read_products(tmp_path)
    product = definition.product
    assert (product.id, product.name, product.license) == ("example", "Example", "CC0-1.0")
    assert (product.description, product.tags, product.default_display_bands) == ("Words.", ["example"], ["red"])
    assert (product.start_datetime, product.end_datetime) == (datetime(2020, 1, 1, tzinfo=UTC), None)
    assert [band.name for band in definition.bands] == ["red", "clear"]
    for kept in ("extent", "providers", "links"):
        assert definition.collection[kept] == json.loads(GOOD)[kept]


def test_an_open_interval_stays_open(write: Write, tmp_path: Path) -> None:
    write(GOOD.replace('"2020-01-01T00:00:00Z"', "null"))
    [definition] = read_products(tmp_path)
    assert definition.product.start_datetime is None
    assert definition.collection["extent"]["temporal"] == {"interval": [[None, None]]}


def test_the_id_may_be_repeated(write: Write, tmp_path: Path) -> None:
    write(GOOD.replace("{", '{"id": "example",', 1))
    assert read_products(tmp_path)[0].product.id == "example"


def test_files_and_hidden_folders_are_ignored(write: Write, tmp_path: Path) -> None:
    write()
    write("no JSON", name=".hidden")
    (tmp_path / "README.md").write_text("# Products")
    assert len(read_products(tmp_path)) == 1


def test_an_empty_folder_has_no_products(tmp_path: Path) -> None:
    assert read_products(tmp_path) == []


# --- What is wrong, and where ---------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    [mistake] = mistakes(tmp_path / "nowhere")
    assert mistake.startswith(f"{tmp_path / 'nowhere'}: expected a folder")


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ('"title"', '"titel": 1, "title"', 2, 'titel: expected one of id, title, keywords, license,.*found "titel"'),
        ('"title": "Example",', "", 1, 'expected the attribute "title", found none'),
        ('"Example"', "5", 2, "title: expected input to be a valid string, found 5"),
        ('"Example"', '""', 2, 'title: expected string to have at least 1 character, found ""'),
        ('"CC0-1.0"', '"free for all"', 3, 'license: expected .*, found "free for all"'),
        ('["example"]', '"example"', 4, 'keywords: expected input to be a valid list, found "example"'),
        ('["host"]', '["boss"]', 6, "providers.0.roles.0: expected .*'licensor'.*, found \"boss\""),
        ("48.0", "480.0", 9, "extent.spatial.bbox.0.3: expected .*less than or equal to 90, found 480.0"),
        ("2020-01-01T", "2020-13-01T", 12, r"extent.temporal.interval.0.0: expected .*datetime.*, found \"2020-13"),
        ("null]", '"2019-01-01"]', 13, "extent.temporal.interval.0.1: expected an end after the start, found"),
        ("null]", "null, null]", 12, "extent.temporal.interval.0: .*found"),
        ('"href": "https://example.com"', '"url": "/"', 18, 'links.0: expected the attribute "href", found none'),
        ('["red"]', '["red", "green"]', 21, 'default_display_bands.1: expected one of the bands red, clear, found "gr'),
        (
            '"default_display_bands"',
            '"name"',
            21,
            'product.name: expected one of cog_profile, default_display_bands,.*"name"',
        ),
        (DISPLAY, '"cog_profile": {"codec": "SNAPPY"}', 21, "cog_profile.codec: expected .*'ZSTD'.*, found \"SNAPPY\""),
        (DISPLAY, '"cog_profile": {"level": 15}', 21, "cog_profile.level: expected at most 12 for DEFLATE, found 15"),
        (DISPLAY, '"cog_profile": {"zip": 1}', 21, 'cog_profile.zip: expected one of codec, level, .*, found "zip"'),
        (
            f'{DISPLAY}\n  }},\n  "ingest:bands": [\n    {{',
            '"cog_profile": {"codec": "JPEG"}\n  },\n  "ingest:bands": [\n    {"data_type": "UInt16",',
            23,
            "ingest:bands: Expected for JPEG, the codec of the product's cog_profile, .*, found band 'red' of uint16",
        ),
        ('"spectral"', '"optical"', 26, 'ingest:bands.0.type: expected one of spectral, microwave.*found "optical"'),
        ('"type": "mask",', "", 29, "ingest:bands.1: expected one of spectral, .*, found null"),
        ("nm_center", "nm_centre", 27, 'bands.0.wavelength_nm_centre: expected one of.*_fwhm.*, found "wavelength_nm'),
        ("665", '"red"', 27, 'wavelength_nm_center: expected input to be a valid number.*found "red"'),
        ('"clear"', '"red"', 30, 'ingest:bands.1.name: expected a name that no other band has, found "red"'),
        ('"band_index": 1', '"band_index": 0', 23, "ingest:bands: Bands 'red' and 'clear' both claim band 0 of file 0"),
        ('"band_index": 1', '"file_index": 2', 23, "ingest:bands: Expected .* count from 0 up"),
        ('"band_index": 1', '"nodata": NaN', 32, "expected a JSON value, found NaN"),
        (
            '"type": "mask"',
            '"name": "other", "type": "mask"',
            30,
            "bands.1.name: expected this once, found it 2 times",
        ),
        ('"name": "red",', '"name": "red"', 26, "expected JSON, found a mistake at column 7: Expecting ',' delimiter"),
        ("{", '{"id": "other",', 1, 'id: expected the name of the folder, "example", found "other"'),
    ],
)
def test_a_mistake_is_reported_with_its_line(
    write: Write, tmp_path: Path, old: str, new: str, line: int, sentence: str
) -> None:
    path = write(GOOD.replace(old, new, 1))
    with pytest.raises(ProductFileError, match=sentence) as caught:
        read_products(tmp_path)
    assert any(mistake.startswith(f"{path}:{line}: ") for mistake in str(caught.value).splitlines()), caught.value


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        (None, 1, "expected a file, found none that can be read"),
        ("", 1, "expected text, found nothing"),
        ("[]", 1, r"expected a JSON object, found \[\]"),
        (b'{\n"title": "\xff"}', 2, "expected text in UTF-8, found the byte 0xff"),
    ],
)
def test_a_file_that_is_no_object_is_reported(
    write: Write, tmp_path: Path, text: str | bytes | None, line: int, sentence: str
) -> None:
    path = write(text)
    with pytest.raises(ProductFileError, match=sentence) as caught:
        read_products(tmp_path)
    assert str(caught.value).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize("description", [None, " \n", b"\xff", "x" * 80_001])
def test_a_missing_or_wrong_description_is_reported(
    write: Write, tmp_path: Path, description: str | bytes | None
) -> None:
    path = write(description=description)
    [mistake] = mistakes(tmp_path)
    assert mistake.startswith(f"{path.with_name('description.md')}:1: ")


def test_a_folder_name_that_is_no_id_is_reported(write: Write, tmp_path: Path) -> None:
    path = write(name="my product")
    [mistake] = mistakes(tmp_path)
    assert mistake.startswith(f"{path}:1: expected 1 to 200 of the characters")
    assert mistake.endswith('found "my product"')


def test_a_file_that_cannot_be_read_is_reported(write: Write, tmp_path: Path) -> None:
    path = write(None)
    path.mkdir()
    [mistake] = mistakes(tmp_path)
    assert mistake.endswith("found none that can be read (Is a directory)")


@pytest.mark.parametrize("layout", ["\t", "\n", " : ", "\\u00e9\U0001f6f0\x7f"])
def test_lines_are_right_however_the_file_is_laid_out(write: Write, tmp_path: Path, layout: str) -> None:
    if layout == " : ":
        text = GOOD.replace('": ', '"\n :\n').replace("665", '"red"')
    elif layout.isspace():
        text = layout + GOOD.replace("  ", layout).replace("665", '"red"')
    else:
        text = GOOD.replace("Example", f'{layout} {{[,:]}} \\"').replace("665", '"red"')
    path = write(text)
    line = text[: text.index('"wavelength_nm_center"')].count("\n") + 1
    [mistake] = mistakes(tmp_path)
    assert mistake.startswith(f"{path}:{line}: ingest:bands.0.wavelength_nm_center: ")


def test_every_mistake_of_every_file_is_reported(write: Write, tmp_path: Path) -> None:
    first = write(GOOD.replace("CC0-1.0", "a b").replace("665", '"red"'), name="a")
    second = write("{", None, name="b")
    write(name="c")
    third = write(GOOD.replace('"clear"', '"red"').replace('["red"]', '["green"]'), name="d")
    assert [mistake.partition(": ")[0] for mistake in mistakes(tmp_path)] == [
        f"{first}:3",
        f"{first}:27",
        f"{second.with_name('description.md')}:1",
        f"{second}:1",
        f"{third}:30",
        f"{third}:21",
    ]
