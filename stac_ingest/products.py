"""Products as people write them: one folder each, with a `collection.json` and a `description.md`; read and checked."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasGenerator, AliasPath, ConfigDict, Field, ValidationError

from stac_ingest import stac
from stac_ingest.errors import AttributeValidationError, StacIngestError
from stac_ingest.models.bands import (
    AnyBand,
    Band,
    ClassBand,
    GenericBand,
    MaskBand,
    MicrowaveBand,
    SpectralBand,
)
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.product import Product
from stac_ingest.models.values import Resolution, Value

Json = dict[str, Any]
Place = tuple[int | str, ...]
"""Way from the top of a JSON file to a part of it, by keys and positions."""


class ProductFileError(StacIngestError):
    """Files that define products are wrong; the message has one line per mistake, which begins `file:line:`."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One product, as its folder defines it."""

    product: Product
    bands: tuple[Band, ...]
    collection: Json
    """The complete STAC Collection: product and bands, and the providers, links, summaries and extent of the file."""


def read_products(folder: Path) -> list[Definition]:
    """Return the products that `folder` defines, one folder each, by their ids.

    Args:
        folder: Its files and its hidden folders are ignored.

    Raises:
        ProductFileError: The folder is not there, or definitions are wrong; names every mistake of every product.
    """
    if not folder.is_dir():
        raise ProductFileError(f"{folder}: expected a folder that holds one folder per product, found none")
    mistakes: list[str] = []
    found = []
    for inner in sorted(filter(_is_product, folder.iterdir())):
        try:
            found.append(_read_product(inner))
        except ProductFileError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ProductFileError("\n".join(mistakes))
    return found


def _is_product(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _read_product(folder: Path) -> Definition:
    mistakes = _Mistakes()
    description = _read_text(folder / "description.md", mistakes)
    document = _read_document(folder / "collection.json", mistakes)
    parts = _check(document, folder.name) if document else None
    if description is None or document is None or parts is None or mistakes.lines:
        raise ProductFileError("\n".join(mistakes.lines))
    product, bands = parts
    try:
        product = Product.check({**dict(product), "description": description.strip()})
    except AttributeValidationError as error:
        raise ProductFileError(f"{folder / 'description.md'}:1: {error}") from error
    kept = {name: document.content[name] for name in _KEPT if name in document.content}
    return Definition(product, bands, stac.collection_from_product(product, bands, base=kept))


def _check(document: _Document, product_id: str) -> tuple[Product, tuple[Band, ...]] | None:
    """Return the product and its bands, or None if an attribute is wrong; every mistake is noted."""
    if document.content.get("id", product_id) != product_id:
        document.refuse(("id",), f"expected the name of the folder, {_json(product_id)}", document.content["id"])
    written = document.parse(_Written, document.content)
    product = document.parse(_WrittenProduct, {**document.content, "id": product_id})
    if written is None or product is None:
        return None
    _check_together(product, written.bands, document)
    return product, tuple(written.bands)


# --- What a collection.json holds -----------------------------------------------------------------------------------


_KEPT = ("extent", "links", "providers", "summaries")
"""What the Collection has just as the file has it."""

_WRITTEN_AS: dict[str, str | AliasPath] = {
    "id": "id",
    "name": "title",
    "tags": "keywords",
    "license": "license",
    "start_datetime": AliasPath("extent", "temporal", "interval", 0, 0),
    "end_datetime": AliasPath("extent", "temporal", "interval", 0, 1),
}
"""Where the file has the attributes of a product that STAC has a field for; the others are in `ingest:product`."""

_OWN_ATTRIBUTES = sorted({*Product.model_fields} - {*_WRITTEN_AS, "description", "created", "modified"})


def _own_attribute(name: str) -> str:
    if name not in _OWN_ATTRIBUTES:
        raise ValueError(f"expected one of {', '.join(_OWN_ATTRIBUTES)}")
    return name


Text = Annotated[str, Field(min_length=1)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Latitude = Annotated[float, Field(ge=-90, le=90)]


class _Spatial(Value):
    bbox: Annotated[list[tuple[Longitude, Latitude, Longitude, Latitude]], Field(min_length=1)]


class _Temporal(Value):
    interval: Annotated[list[tuple[Any, Any]], Field(min_length=1, max_length=1)]


class _Extent(Value):
    spatial: _Spatial
    temporal: _Temporal


class _Provider(Value):
    name: Text
    description: str | None = None
    roles: list[Literal["licensor", "producer", "processor", "host"]] = []
    url: Text | None = None


class _Link(Value):
    rel: Text
    href: Text
    type: Text | None = None
    title: Text | None = None


class _Written(Value):
    """A collection.json; what its values mean for the product is checked as `_WrittenProduct`."""

    id: Any = None
    title: Any
    keywords: Any = None
    license: Annotated[str, Field(pattern=r"^[\w.+-]+$")]
    providers: list[_Provider] = []
    extent: _Extent
    summaries: dict[str, list[Any] | dict[str, Any]] = {}
    links: list[_Link] = []
    product: Annotated[dict[Annotated[str, AfterValidator(_own_attribute)], Any], Field(alias="ingest:product")] = {}
    bands: Annotated[list[AnyBand], Field(alias="ingest:bands")]


class _WrittenProduct(Product):
    """The product in a collection.json."""

    model_config = ConfigDict(
        extra="ignore",
        alias_generator=AliasGenerator(
            validation_alias=lambda name: _WRITTEN_AS.get(name, AliasPath("ingest:product", name))
        ),
    )


_BAND_CLASSES: dict[int | str, type[Value]] = {
    str(band.model_fields["type"].default): band
    for band in (SpectralBand, MicrowaveBand, MaskBand, ClassBand, GenericBand)
}
_PARTS: dict[int | str, type[Value]] = {
    "extent": _Extent,
    "spatial": _Spatial,
    "temporal": _Temporal,
    "providers": _Provider,
    "links": _Link,
    "resolution": Resolution,
    "cog_profile": CogProfile,
    **_BAND_CLASSES,
}


def _names_beside(place: Place) -> list[str]:
    """Return the names that are known where `place` has one that is not."""
    part = next((_PARTS[step] for step in reversed(place[:-1]) if step in _PARTS), _Written)
    return [known.alias or name for name, known in part.model_fields.items()]


def _check_together(product: Product, bands: Sequence[Band], document: _Document) -> None:
    """Note what is wrong among attributes that are right one by one."""
    if product.start_datetime and product.end_datetime and product.start_datetime > product.end_datetime:
        interval = document.content["extent"]["temporal"]["interval"][0]
        document.refuse(("extent", "temporal", "interval", 0, 1), "expected an end after the start", interval)
    names = [band.name for band in bands]
    for index, name in enumerate(names):
        if name in names[:index]:
            document.refuse(("ingest:bands", index, "name"), "expected a name that no other band has", name)
    for index, name in enumerate(product.default_display_bands or ()):
        if name not in names:
            place = ("ingest:product", "default_display_bands", index)
            document.refuse(place, f"expected one of the bands {', '.join(names)}", name)
    if len(set(names)) == len(names):
        try:
            product.require_bands(bands)
        except AttributeValidationError as error:
            document.note(("ingest:bands",), str(error))


# --- Files, their lines and their mistakes --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mistakes:
    lines: list[str] = field(default_factory=list)

    def add(self, path: Path, line: int, sentence: str) -> None:
        mistake = f"{path}:{line}: {sentence}"
        if mistake not in self.lines:
            self.lines.append(mistake)


@dataclass(frozen=True, slots=True)
class _Document:
    """A JSON object in a file, with the lines on which its parts stand."""

    path: Path
    content: Json
    lines: dict[Place, int]
    mistakes: _Mistakes

    def parse[Model: Value](self, model: type[Model], attributes: Json) -> Model | None:
        """Return the attributes as a `model`, or None after noting each that is unknown or wrong."""
        try:
            return model.model_validate(attributes)
        except ValidationError as error:
            for detail in error.errors():
                self.note(*_explain(detail["type"], detail["loc"], detail["msg"], detail["input"]))
            return None

    def refuse(self, place: Place, expected: str, found: object) -> None:
        """Note what was expected at a place and what was found."""
        self.note(place, f"{expected}, found {_json(found)}")

    def note(self, place: Place, sentence: str) -> None:
        """Note a mistake at a place, or at the part of the file that is nearest to it."""
        reached: Place = ()
        for step in place:
            if (*reached, step) in self.lines:
                reached = (*reached, step)
        where = ".".join(map(str, reached))
        self.mistakes.add(self.path, self.lines.get(reached, 1), f"{where}: {sentence}" if where else sentence)


def _explain(kind: str, place: Place, message: str, found: Any) -> tuple[Place, str]:
    """Return the place of a mistake that pydantic found, and a sentence that says what was expected and found."""
    place = tuple(step for step in place if step != "[key]")
    match kind:
        case "missing":
            missing = f"attribute {_json(place[-1])}" if isinstance(place[-1], str) else f"item {place[-1]}"
            return place[:-1], f"expected the {missing}, found none"
        case "extra_forbidden":
            return place, f"expected one of {', '.join(_names_beside(place))}, found {_json(place[-1])}"
        case "union_tag_invalid":
            given = found.get("type") if isinstance(found, dict) else found
            return (*place, "type"), f"expected one of {', '.join(map(str, _BAND_CLASSES))}, found {_json(given)}"
        case _:
            text = re.sub("^Value error, | or instance of .*", "", message)
            expected = re.sub(r"^(\w+) should ", lambda subject: f"expected {subject[1].lower()} to ", text)
            return place, f"{expected}, found {_json(found)}"


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else f"{text[:99]}…"


def _read_text(path: Path, mistakes: _Mistakes) -> str | None:
    try:
        content = path.read_bytes()
        text = content.decode()
    except OSError as error:
        mistakes.add(path, 1, f"expected a file, found none that can be read ({error.strerror})")
        return None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        mistakes.add(path, line, f"expected text in UTF-8, found the byte 0x{error.object[error.start]:02x}")
        return None
    if not text.strip():
        mistakes.add(path, 1, "expected text, found nothing")
        return None
    return text


def _read_document(path: Path, mistakes: _Mistakes) -> _Document | None:
    text = _read_text(path, mistakes)
    if text is None:
        return None
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        mistakes.add(path, error.lineno, f"expected JSON, found a mistake at column {error.colno}: {error.msg}")
        return None
    if not isinstance(content, dict):
        mistakes.add(path, 1, f"expected a JSON object, found {_json(content)}")
        return None
    document = _Document(path, content, dict(_parts(text)), mistakes)
    _check_strictly(text, document)
    return document


_STRING = r'"(?:[^"\\]|\\.)*"'
_TOKEN = re.compile(rf'(?P<name>{_STRING})\s*:|{_STRING}|[{{}}\[\],]|[^\s"{{}}\[\],:]+')


def _parts(text: str) -> Iterator[tuple[Place, int]]:
    """Yield each part of a JSON text with its line: that of its name, or that on which an item of an array starts."""
    place: list[int | str] = []
    for token in _TOKEN.finditer(text):
        if token["name"]:
            place[-1] = json.loads(token["name"])
            yield tuple(place), _line(token)
        elif token[0] == ",":
            place[-1] = place[-1] + 1 if isinstance(place[-1], int) else place[-1]
        elif token[0] in ("]", "}"):
            place.pop()
        else:
            if place and isinstance(place[-1], int):
                yield tuple(place), _line(token)
            if token[0] in ("[", "{"):
                place.append(0 if token[0] == "[" else "")


def _line(token: re.Match[str]) -> int:
    return token.string.count("\n", 0, token.start()) + 1


def _check_strictly(text: str, document: _Document) -> None:
    """Note what Python reads though it is not JSON or loses something: NaN, infinities, and a name that comes twice."""
    for token in _TOKEN.finditer(text):
        if token[0] in ("NaN", "Infinity", "-Infinity"):
            document.mistakes.add(document.path, _line(token), f"expected a JSON value, found {token[0]}")
    parts = list(_parts(text))
    times = Counter(place for place, _ in parts)
    for place, line in parts:
        if times[place] > 1:
            where = ".".join(map(str, place))
            document.mistakes.add(document.path, line, f"{where}: expected this once, found it {times[place]} times")
