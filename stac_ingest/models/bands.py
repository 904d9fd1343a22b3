"""Bands: what one layer of every image of a product holds, and where in the files it is found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from stac_ingest.errors import AttributeValidationError
from stac_ingest.models.enums import BandType, Colormap, DataType, OverviewResampler
from stac_ingest.models.values import AnyResolution, JsonObject, Name, Nodata, Tags, Value, describe

RESERVED_ASSETS = frozenset(("data", "thumbnail", "overview"))


def _two_ends(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] == ends[1]:
        raise ValueError("expected two different ends")
    return ends


Range = Annotated[tuple[float, float], AfterValidator(_two_ends)]
"""Two finite numbers that differ; the second may be the smaller one."""
Rgba = tuple[
    Annotated[int, Field(ge=0, le=255)],
    Annotated[int, Field(ge=0, le=255)],
    Annotated[int, Field(ge=0, le=255)],
    Annotated[int, Field(ge=0, le=255)],
]


class ProcessingStep(Value):
    """One step from stored pixels to what a processing level means."""

    function: str
    """What is done; docs/guide/reading.md lists the functions that `Image.ndarray` knows."""
    parameter: str | float | list[float] | None = None
    """An attribute of the image, such as `reflectance_gain_bias`, or numbers."""
    index: Annotated[int | None, Field(ge=0)] = None
    """Position in the attribute's list; unset: the band's `vendor_order`, less one."""
    data_type: DataType | None = None
    """Type of the result."""
    data_range: Range | None = None
    """Smallest and largest meaningful value of the result."""
    display_range: Range | None = None
    """Values of the result shown as black and as white."""
    physical_range: Range | None = None
    """Physical values that `data_range` stands for."""
    physical_range_unit: str | None = None
    """Unit of `physical_range`, in UCUM or UDUNITS-2."""


class Band(Value):
    """What every band has, whatever its values are."""

    name: Name
    """Unique among the bands of the product."""
    type: BandType
    """What the values are; implied by the class."""
    description: Annotated[str | None, Field(max_length=80_000)] = None
    """What a person should know of the band."""
    tags: Annotated[Tags, Field(max_length=32)] = []
    """At most 32 words by which the band is found."""
    extra_properties: JsonObject = {}
    """Whatever else the team wants to keep, as JSON."""
    data_type: DataType | None = None
    """Type of the pixels; an upload whose pixels have another type is refused."""
    nodata: Nodata | None = None
    """Pixel value that means "no data here"; where an array comes with a mask, the mask alone says what is valid."""
    data_range: Range | None = None
    """Smallest and largest meaningful pixel value."""
    display_range: Range | None = None
    """Pixel values shown as black and as white; in that order, so a band can be shown inverted."""
    resolution: AnyResolution | None = None
    """Size of a pixel, as `Resolution`, `"60m"` or `"0.25 degrees"`."""
    band_index: Annotated[int | None, Field(ge=0)] = None
    """Position in the file, from 0; unset: after the bands of the same file that stand before it."""
    file_index: Annotated[int, Field(ge=0)] = 0
    """Position of the file among the files of an image, from 0."""
    sort_order: int | None = None
    """Place among the bands of the product; unset: after those that are there."""
    vendor_order: Annotated[int | None, Field(ge=1)] = None
    """Number of the band in the provider's lists of coefficients, from 1."""
    vendor_band_name: str | None = None
    """What the provider calls the band."""
    processing_levels: dict[str, str | list[ProcessingStep]] = {}
    """Name of a level -> the steps that lead to it, or the name of another level."""

    @field_validator("data_range")
    @classmethod
    def _ascending(cls, ends: tuple[float, float] | None) -> tuple[float, float] | None:
        if ends and ends[0] > ends[1]:
            raise ValueError("expected the smallest value before the largest")
        return ends

    @model_validator(mode="after")
    def _nodata_is_a_pixel(self) -> Self:
        whole = self.data_type not in (None, DataType.FLOAT16, DataType.FLOAT32, DataType.FLOAT64)
        if whole and self.nodata is not None and not float(self.nodata).is_integer():
            raise ValueError(f"expected a whole number as nodata, as pixels of the type {self.data_type} are")
        return self

    @field_validator("processing_levels")
    @classmethod
    def _levels_end(cls, levels: dict[str, Any]) -> dict[str, Any]:
        for name in levels:
            seen = [name]
            while isinstance(found := levels.get(seen[-1]), str):
                if found not in levels or found in seen:
                    way = " -> ".join([*seen, found])
                    raise ValueError(f"expected {name!r} to lead to a list of steps, found {way}")
                seen.append(found)
        return levels

    @property
    def averages_sensibly(self) -> bool:
        """Whether the mean of two of its values is a value too; it is not for classes and masks."""
        return self.type not in (BandType.CLASS, BandType.MASK)


Wavelength = Annotated[float | None, Field(gt=0)]


class SpectralBand(Band):
    """Light of one range of wavelengths."""

    type: Literal[BandType.SPECTRAL] = BandType.SPECTRAL
    wavelength_nm_center: Wavelength = None
    """Centre of the band in nanometres."""
    wavelength_nm_min: Wavelength = None
    """Shortest wavelength in nanometres."""
    wavelength_nm_max: Wavelength = None
    """Longest wavelength in nanometres."""
    wavelength_nm_fwhm: Wavelength = None
    """Full width at half maximum in nanometres."""
    physical_range: Range | None = None
    """Physical values that `data_range` stands for."""
    physical_range_unit: str | None = None
    """Unit of `physical_range`, in UCUM or UDUNITS-2."""

    @model_validator(mode="after")
    def _wavelengths_ascend(self) -> Self:
        shortest, longest = self.wavelength_nm_min, self.wavelength_nm_max
        if shortest is not None and longest is not None and shortest > longest:
            raise ValueError("expected wavelength_nm_min below wavelength_nm_max")
        return self


class MicrowaveBand(Band):
    """A radar or microwave measurement."""

    type: Literal[BandType.MICROWAVE] = BandType.MICROWAVE
    frequency: Annotated[float | None, Field(gt=0)] = None
    """Centre frequency in GHz."""
    bandwidth: Annotated[float | None, Field(gt=0)] = None
    """Bandwidth in MHz."""
    physical_range: Range | None = None
    """Physical values that `data_range` stands for."""
    physical_range_unit: str | None = None
    """Unit of `physical_range`, in UCUM or UDUNITS-2."""


class MaskBand(Band):
    """Where something is (1) or is not (0)."""

    type: Literal[BandType.MASK] = BandType.MASK
    data_range: Range | None = (0.0, 1.0)
    is_alpha: bool = False
    """Whether 0 means transparent."""


class ClassBand(Band):
    """Classes: a pixel's value names what is there."""

    type: Literal[BandType.CLASS] = BandType.CLASS
    colormap_name: Colormap | None = None
    """Colours by name; `colormap` wins over it."""
    colormap: list[Rgba] | None = None
    """RGBA colours; the index in the list is the pixel value."""
    class_labels: list[str | None] | None = None
    """Labels; the index in the list is the pixel value."""


class GenericBand(Band):
    """Any other quantity, such as height or temperature."""

    type: Literal[BandType.GENERIC] = BandType.GENERIC
    colormap_name: Colormap | None = None
    """Colours by name; `colormap` wins over it."""
    colormap: list[Rgba] | None = None
    """RGBA colours; the index in the list is the pixel value."""
    physical_range: Range | None = None
    """Physical values that `data_range` stands for."""
    physical_range_unit: str | None = None
    """Unit of `physical_range`, in UCUM or UDUNITS-2."""


def _type_of(value: object) -> str:
    return str(value.get("type") if isinstance(value, dict) else getattr(value, "type", None))


AnyBand = Annotated[
    Annotated[SpectralBand, Tag("spectral")]
    | Annotated[MicrowaveBand, Tag("microwave")]
    | Annotated[MaskBand, Tag("mask")]
    | Annotated[ClassBand, Tag("class")]
    | Annotated[GenericBand, Tag("generic")],
    Discriminator(_type_of),
]
_ANY_BAND: TypeAdapter[Band] = TypeAdapter(AnyBand, config=ConfigDict(defer_build=True))


def parse_band(attributes: dict[str, Any]) -> Band:
    """Return the band of the class that `attributes["type"]` names.

    Raises:
        AttributeValidationError: The type is none of the five, or an attribute is unknown or wrong.
    """
    try:
        return _ANY_BAND.validate_python(attributes)
    except ValidationError as error:
        raise AttributeValidationError(f"Band {attributes.get('name')!r}: {describe(error)}") from error


class FileLayout(Value):
    """The bands of one file of an image, in the order in which the file holds them."""

    bands: tuple[AnyBand, ...]

    @property
    def asset(self) -> str | None:
        """Key of the asset: the band's name when there is just one, and no other asset is called so."""
        return self.bands[0].name if len(self.bands) == 1 and self.bands[0].name not in RESERVED_ASSETS else None

    @property
    def nodata(self) -> float | None:
        """Nodata value that all the bands agree on."""
        first, *others = (band.nodata for band in self.bands)
        agreed = all(nodata == first or (nodata != nodata and first != first) for nodata in others)
        return first if agreed else None

    @property
    def default_resampler(self) -> OverviewResampler:
        """Average, or nearest where the average of two values has no meaning."""
        sensible = all(band.averages_sensibly for band in self.bands)
        return OverviewResampler.AVERAGE if sensible else OverviewResampler.NEAREST


class Layout(Value):
    """How the bands of a product lie in the files of each of its images."""

    files: tuple[FileLayout, ...]

    @classmethod
    def of(cls, bands: Iterable[Band]) -> Self:
        """Return the layout that the bands' `file_index` and `band_index` describe.

        Raises:
            AttributeValidationError: Two bands have one name or claim one place, or a place before a band is left out.
        """
        files: dict[int, dict[int, Band]] = {}
        names: set[str] = set()
        for band in sorted_bands(bands):
            if band.name in names:
                raise AttributeValidationError(f"Two bands are named {band.name!r}; a name is unique in its product")
            names.add(band.name)
            places = files.setdefault(band.file_index, {})
            index = len(places) if band.band_index is None else band.band_index
            if index in places:
                raise AttributeValidationError(
                    f"Bands {places[index].name!r} and {band.name!r} both claim band {index} of file {band.file_index};"
                    " give one of them another band_index or file_index"
                )
            places[index] = band
        if sorted(files) != list(range(len(files))):
            raise AttributeValidationError(f"Expected the bands' file_index to count from 0 up, found {sorted(files)}")
        for index, places in files.items():
            if sorted(places) != list(range(len(places))):
                raise AttributeValidationError(
                    f"Expected the band_index of the bands in file {index} to count from 0 up, found {sorted(places)};"
                    " describe every band of the file"
                )
        return cls(
            files=tuple(
                FileLayout(bands=tuple(places[i] for i in range(len(places)))) for _, places in sorted(files.items())
            )
        )

    def asset_keys(self) -> tuple[str, ...]:
        """Return the asset key of each file: its band's name, else `data`, `data_1`, …."""
        return tuple(file.asset or ("data" if i == 0 else f"data_{i}") for i, file in enumerate(self.files))


def sorted_bands(bands: Iterable[Band]) -> Sequence[Band]:
    """Return the bands by their `sort_order`; those without one stay last, as they were."""
    return sorted(bands, key=lambda band: float("inf") if band.sort_order is None else band.sort_order)
