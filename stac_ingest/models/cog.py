"""How Cloud-Optimized GeoTIFFs are written: what a product says of its files, and the converter obeys."""

from __future__ import annotations

from operator import index
from typing import Annotated, Any, Literal, NamedTuple, SupportsIndex

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from stac_ingest.errors import AttributeValidationError, UploadError
from stac_ingest.models.bands import Layout
from stac_ingest.models.enums import Codec, DataType, OverviewResampler
from stac_ingest.models.values import Value

MAX_OVERVIEWS = 16
_UNSAFE_RESAMPLERS = ("average_mp", "average_magphase")


def _factors(factors: Any) -> tuple[int, ...]:
    if hasattr(factors, "tolist"):
        factors = factors.tolist()
    listed = list(factors) if isinstance(factors, list | tuple | range | set | frozenset) else []
    whole = all(isinstance(factor, SupportsIndex) and not isinstance(factor, bool) for factor in listed)
    found = sorted(set(map(index, listed))) if whole else []
    if not 1 <= len(found) <= MAX_OVERVIEWS or len(found) < len(listed) or found[0] < 2:
        raise ValueError(f"expected 1 to {MAX_OVERVIEWS} different whole numbers greater than 1")
    return tuple(found)


def _resampler(resampler: Any) -> str:
    name = str(getattr(resampler, "name", resampler)).lower()
    if name in _UNSAFE_RESAMPLERS:
        raise ValueError(f"GDAL never finished {name}; use average")
    return name


Overviews = Annotated[tuple[int, ...], BeforeValidator(_factors)]
"""1 to 16 magnification factors such as (2, 4)."""

AnyOverviewResampler = Annotated[OverviewResampler, BeforeValidator(_resampler)]
"""A member of `OverviewResampler`, or its name in rasterio or GDAL, in any case."""


class _Capacity(NamedTuple):
    """What files of a codec can hold."""

    pixels: str
    data_types: frozenset[DataType]
    counts: tuple[int, ...] = ()
    """How many bands; empty: any number."""


_CAPACITIES = {
    Codec.LERC: _Capacity(
        "integers of at most 32 bits, float32 or float64",
        frozenset(DataType) - {DataType.INT64, DataType.UINT64, DataType.FLOAT16},
    ),
    Codec.JPEG: _Capacity("1 or 3 bands of uint8", frozenset((DataType.BYTE,)), (1, 3)),
    Codec.WEBP: _Capacity("3 or 4 bands of uint8", frozenset((DataType.BYTE,)), (3, 4)),
}
"""Codecs that cannot hold everything; GDAL's threads would write zeros instead, or another number of bands."""
_CODECS_WITH = {
    "level": (Codec.DEFLATE, Codec.ZSTD),
    "max_error": (Codec.LERC,),
    "quality": (Codec.JPEG, Codec.WEBP),
}


class CogProfile(Value):
    """How the Cloud-Optimized GeoTIFFs of a product are written."""

    codec: Codec = Codec.DEFLATE
    """How blocks are compressed."""
    level: Annotated[int | None, Field(ge=1, le=22)] = None
    """Of DEFLATE (1 to 12) or ZSTD (1 to 22). Unset: 1 for ZSTD; for DEFLATE, ISA-L encodes, in about half of the time
    of level 1, for files that are up to 3 % larger (docs/adr/0017)."""
    block_size: Literal[128, 256, 512, 1024, 2048] = 512
    """Side of a block in pixels."""
    max_error: Annotated[float | None, Field(ge=0)] = None
    """By how much LERC may change a pixel; unset or 0, it changes none."""
    quality: Annotated[int | None, Field(ge=1, le=100)] = None
    """Of JPEG and WEBP, which change pixels; of WEBP, 100 changes none. Unset: 75."""
    overviews: Overviews | None = None
    """1 to 16 magnification factors such as (2, 4); unset: powers of two until at most 512 pixels are left."""
    overview_resampler: AnyOverviewResampler | None = None
    """As a member of `OverviewResampler`, or by its name in rasterio or GDAL, in any case; unset: average, or nearest
    for class and mask bands."""

    @field_validator("level", "max_error", "quality")
    @classmethod
    def _is_one_of_the_codec(cls, value: float | None, info: ValidationInfo) -> float | None:
        codec, codecs = info.data.get("codec"), _CODECS_WITH[str(info.field_name)]
        if codec is None or value is None:
            return value
        if codec not in codecs:
            raise ValueError(f"expected none for {codec}, only for {' or '.join(codecs)}")
        if codec is Codec.DEFLATE and value > 12:
            raise ValueError("expected at most 12 for DEFLATE")
        return value

    @property
    def is_default_deflate(self) -> bool:
        """Whether blocks are encoded by ISA-L."""
        return self.codec is Codec.DEFLATE and self.level is None

    @property
    def is_lossless(self) -> bool:
        """Whether each pixel is read as it was sent."""
        match self.codec:
            case Codec.JPEG:
                return False
            case Codec.WEBP:
                return self.quality == 100
            case _:
                return not self.max_error

    def require_bands(self, layout: Layout) -> None:
        """Refuse bands of a product that the codec cannot hold, however many are still to be added.

        Raises:
            AttributeValidationError: Names the codec and the first of the bands.
        """
        if (capacity := _CAPACITIES.get(self.codec)) is None:
            return
        for file in layout.files:
            found = [
                f"band {band.name!r} of {band.data_type.numpy}"
                for band in file.bands
                if band.data_type and band.data_type not in capacity.data_types
            ]
            if capacity.counts and len(file.bands) > max(capacity.counts):
                found.append(f"{len(file.bands)} bands in one file ({', '.join(band.name for band in file.bands)})")
            if found:
                raise AttributeValidationError(
                    f"Expected for {self.codec}, the codec of the product's cog_profile, {capacity.pixels}, found"
                    f" {found[0]}; choose another codec, such as DEFLATE"
                )

    def require_pixels(self, name: str, count: int, data_type: DataType) -> None:
        """Refuse pixels that the codec cannot hold.

        Args:
            name: Name of the file.
            count: How many bands it has.
            data_type: Type of their pixels.

        Raises:
            UploadError: `UNSUPPORTED_DATA_TYPE`.
        """
        capacity = _CAPACITIES.get(self.codec)
        if capacity and (data_type not in capacity.data_types or (capacity.counts and count not in capacity.counts)):
            raise UploadError(
                "UNSUPPORTED_DATA_TYPE",
                f"Expected for {self.codec} {capacity.pixels}, found {count} of {data_type.numpy} in {name!r}; choose"
                " another codec, such as DEFLATE.",
            )
