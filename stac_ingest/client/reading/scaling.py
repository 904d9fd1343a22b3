"""How stored pixel values become others: processing levels first, then scaling to a range, then a type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stac_ingest.models.bands import Band, ProcessingStep
from stac_ingest.models.enums import BandType, Choice, DataType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Range = tuple[float, float]
Scale = tuple[float, float, float, float]
"""Values from the first to the second become values from the third to the fourth, and so on beyond them."""
DISPLAYED: Range = (0, 255)
_AT_ONCE = 2**18
"""Pixels that are scaled at a time, so that what is in between stays small."""
_LIKE_DISPLAY = frozenset(("auto", "display"))


class ScalingMode(Choice):
    """How the values of a band are scaled."""

    RAW = "raw"
    """Not at all."""
    AUTO = "auto"
    """The smallest and largest valid value among those read become 0 and 255."""
    DISPLAY = "display"
    """The band's `display_range` becomes 0 to 255."""
    PHYSICAL = "physical"
    """The band's `data_range` becomes its `physical_range`."""


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What scaling has to know of a band."""

    name: str
    is_label: bool
    """Whether a value is a name and no quantity, as in masks and classes; a mode leaves it as it is."""
    data_type: DataType
    data_range: Range | None
    display_range: Range | None
    physical_range: Range | None

    @classmethod
    def of(cls, band: Band, data_type: DataType, step: ProcessingStep | None = None) -> Traits:
        """Return the traits of a band whose pixels have a type; a processing step that made them has its own ranges."""
        ranges = step or band
        return cls(
            name=band.name,
            is_label=band.type in (BandType.MASK, BandType.CLASS),
            data_type=data_type,
            data_range=ranges.data_range,
            display_range=ranges.display_range,
            physical_range=getattr(ranges, "physical_range", None),
        )

    def range_of(self, mode: ScalingMode) -> Range:
        """Return the stored values that a mode scales from.

        Raises:
            ValueError: The band says neither of its values in use nor of those shown.
        """
        if mode is ScalingMode.RAW:
            return _type_range(self.data_type)
        shown = self.display_range if mode is not ScalingMode.PHYSICAL else None
        if found := shown or self.data_range:
            return found
        if self.data_type is DataType.BYTE:
            return DISPLAYED
        raise ValueError(
            f"Band {self.name!r} has no data_range{'' if mode is ScalingMode.PHYSICAL else ' and no display_range'} to"
            f" scale from; set it, or give the range as scaling=[(min, max), …]"
        )

    def target_of(self, mode: ScalingMode, data_type: DataType) -> Range:
        """Return the values that a mode scales to, if the result has a type."""
        match mode:
            case ScalingMode.RAW:
                return _type_range(data_type)
            case ScalingMode.PHYSICAL:
                return self.physical_range or self.range_of(mode)
            case _:
                return DISPLAYED


@dataclass(frozen=True)
class Plan:
    """How each band is scaled (by four numbers, from its extremes, or not), and the type of the result."""

    scales: tuple[Scale | ScalingMode | None, ...]
    data_type: DataType


Wanted = ScalingMode | tuple[float | str, ...] | None


def plan(bands: Sequence[Traits], scaling: object, data_type: DataType | str | None) -> Plan:
    """Return how bands are scaled.

    Args:
        bands: The bands that are read.
        scaling: None; a mode; a list with None, a mode or a tuple for each band; or a dictionary of such values by the
            names of bands, with `default_` for the other bands that are neither masks nor classes. A tuple is () for
            auto, (min, max) for what is scaled to 0 … 255, or (min, max, new min, new max). In place of a number there
            can be a share of the range that the mode has: "25%".
        data_type: Type of the result. Unset: Byte for auto and display, Float64 for physical, else the type that holds
            all bands, or all the new values.

    Raises:
        ValueError: The values are none of these, contradict each other, or a band has not the range that they need.
    """
    wanted = [_wanted(band, value) for band, value in zip(bands, _by_band(bands, scaling), strict=True)]
    chosen = None if data_type is None else DataType(data_type)
    mode = _stated_mode(wanted)
    if mode is None and chosen is None and any(value is not None for value in wanted):
        mode = _implied_mode(wanted)
        chosen = None if mode else _type_for(bands, wanted)
    if chosen is None:
        chosen = _type_of_mode(mode) or common_type([band.data_type for band in bands])
    mode = mode or _mode_of_type(chosen)
    return Plan(tuple(_scale(band, value, mode, chosen) for band, value in zip(bands, wanted, strict=True)), chosen)


def common_type(types: Iterable[DataType]) -> DataType:
    """Return the smallest type that holds every value of all the types; if no integer type does, Float64."""
    import numpy as np

    return DataType.from_numpy(np.result_type(*{member.numpy for member in types}).name)


# --- What is wanted -------------------------------------------------------------------------------------------------


def _by_band(bands: Sequence[Traits], scaling: object) -> list[object]:
    if scaling is None or isinstance(scaling, str):
        return [scaling] * len(bands)
    if isinstance(scaling, Mapping):
        default = scaling.get("default_")
        return [scaling.get(band.name, None if band.is_label else default) for band in bands]
    if not isinstance(scaling, Iterable):
        raise ValueError(f"Invalid scaling value {scaling!r}: expected None, a mode, a list or a dictionary")
    listed = list(scaling)
    if len(listed) != len(bands):
        raise ValueError(
            f"Invalid scaling value: it has {'more' if len(listed) > len(bands) else 'fewer'} elements ({len(listed)})"
            f" than there are bands ({len(bands)})"
        )
    return listed


def _wanted(band: Traits, value: object) -> Wanted:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            mode = ScalingMode(value)
        except ValueError:
            raise ValueError(
                f"Invalid scaling mode {value!r} for band {band.name!r}; expected one of {', '.join(ScalingMode)}"
            ) from None
        return None if band.is_label else mode
    if not isinstance(value, list | tuple) or len(value) not in (0, 2, 4):
        raise ValueError(
            f"Invalid scaling {value!r} for band {band.name!r}; expected for each band None, a mode, or a tuple of 0, 2"
            " or 4 values"
        )
    if not all(_is_share(part) or (isinstance(part, int | float) and not isinstance(part, bool)) for part in value):
        raise ValueError(f"Invalid scaling {value!r} for band {band.name!r}; expected numbers, or shares such as '25%'")
    return tuple(value)


def _is_share(part: object) -> bool:
    try:
        return isinstance(part, str) and part.endswith("%") and float(part[:-1]) == float(part[:-1])
    except ValueError:
        return False


def _stated_mode(wanted: Sequence[Wanted]) -> ScalingMode | None:
    stated = {value for value in wanted if isinstance(value, ScalingMode)}
    if len(stated) > 1 and not stated <= _LIKE_DISPLAY:
        raise ValueError(f"Conflicting modes in scaling: {' and '.join(sorted(stated))}; read such bands separately")
    return ScalingMode.DISPLAY if len(stated) > 1 else next(iter(stated), None)


def _implied_mode(wanted: Sequence[Wanted]) -> ScalingMode | None:
    """Return the mode that the values look like; None when they look like none, or like several."""
    implied = {found for value in wanted if isinstance(value, tuple) and (found := _mode_like(value))}
    if len(implied) > 1 and not implied <= _LIKE_DISPLAY:
        return None
    return ScalingMode.DISPLAY if len(implied) > 1 else next(iter(implied), None)


def _mode_like(value: tuple[float | str, ...]) -> ScalingMode | None:
    match value:
        case ():
            return ScalingMode.AUTO
        case (_, _):
            return ScalingMode.DISPLAY
    numbers = [part for part in value[2:] if not isinstance(part, str)]
    if any(isinstance(number, float) for number in numbers):
        return ScalingMode.PHYSICAL
    return ScalingMode.RAW if any(not 0 <= number <= 255 for number in numbers) else None


def _type_of_mode(mode: ScalingMode | None) -> DataType | None:
    match mode:
        case ScalingMode.AUTO | ScalingMode.DISPLAY:
            return DataType.BYTE
        case ScalingMode.PHYSICAL:
            return DataType.FLOAT64
    return None


def _mode_of_type(data_type: DataType) -> ScalingMode:
    if data_type is DataType.BYTE:
        return ScalingMode.DISPLAY
    return ScalingMode.PHYSICAL if data_type.value.startswith("Float") else ScalingMode.RAW


def _type_for(bands: Sequence[Traits], wanted: Sequence[Wanted]) -> DataType:
    """Return the type that holds what every band becomes."""
    types: list[DataType] = []
    for band, value in zip(bands, wanted, strict=True):
        if not isinstance(value, tuple):
            types.append(band.data_type)
        elif len(value) < 4:
            types.append(DataType.BYTE)
        else:
            types += [_type_of_number(number) for number in value[2:] if not isinstance(number, str)]
    if not types:
        raise ValueError("Invalid scaling: the type of the result is not clear from shares alone; give a data_type")
    return common_type(types)


def _type_of_number(number: float) -> DataType:
    import numpy as np

    whole = isinstance(number, int) and abs(number) < 2**63
    return DataType.from_numpy(np.min_scalar_type(number).name) if whole else DataType.FLOAT64


def _scale(band: Traits, value: Wanted, mode: ScalingMode, data_type: DataType) -> Scale | ScalingMode | None:
    if isinstance(value, ScalingMode):
        if value is ScalingMode.RAW:
            return None
        if value is ScalingMode.PHYSICAL and band.physical_range is None:
            return None  # the stored values are physical ones
        if value is ScalingMode.AUTO:
            return value
        scale = (*band.range_of(value), *band.target_of(value, data_type))
        return None if scale[:2] == scale[2:] else scale
    if value is None:
        return None
    if value == ():
        return ScalingMode.AUTO
    low, high = (_number(part, lambda: band.range_of(mode)) for part in value[:2])
    if low == high:
        raise ValueError(f"Invalid scaling {value!r} for band {band.name!r}: its range is a single value")
    target = value[2:] or band.target_of(mode, data_type)
    to_low, to_high = (_number(part, lambda: band.target_of(mode, data_type)) for part in target)
    return low, high, to_low, to_high


def _number(part: float | str, whole: Callable[[], Range]) -> float:
    if not isinstance(part, str):
        return part
    low, high = whole()
    return low + (high - low) * float(part[:-1]) / 100


def _type_range(data_type: DataType) -> Range:
    import numpy as np

    if data_type.value.startswith("Float"):
        return (0.0, 1.0)
    limits = np.iinfo(data_type.numpy)
    return int(limits.min), int(limits.max)


# --- Values ---------------------------------------------------------------------------------------------------------


def scaled(
    values: NDArray[Any], valid: NDArray[np.bool_], scale: Scale | ScalingMode | None, data_type: DataType
) -> NDArray[Any]:
    """Return the values of one band (y, x) scaled, in another type.

    Args:
        values: What is stored.
        valid: Where it means something; for `auto`.
        scale: How it is scaled.
        data_type: What is too large or too small for it becomes its largest or smallest value; fractions are rounded.
    """
    import numpy as np

    made = np.empty(values.shape, data_type.numpy)
    if scale is ScalingMode.AUTO:
        known = values[valid & np.isfinite(values)]
        scale = (float(known.min()), float(known.max()), *DISPLAYED) if known.size else None
    rows = max(1, _AT_ONCE // max(1, values.shape[1]))
    for start in range(0, values.shape[0], rows):
        part = values[start : start + rows]
        if isinstance(scale, tuple):
            low, high, to_low, to_high = scale
            part = (part.astype("float64") - low) * (to_high - to_low) / (high - low or 1) + to_low
        made[start : start + rows] = cast_to(part, data_type)
    return made


def cast_to(values: NDArray[Any], data_type: DataType) -> NDArray[Any]:
    """Return values in another type, as GDAL does: rounded half away from zero, clipped, and NaN as 0 in integers."""
    import numpy as np

    dtype = np.dtype(data_type.numpy)
    if dtype == values.dtype:
        return values
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    limits = np.iinfo(dtype)
    if values.dtype.kind == "f":
        wide = values.astype("float64")
        rounded = np.nan_to_num(np.trunc(wide + np.copysign(0.5, wide)), nan=0, posinf=np.inf, neginf=-np.inf)
        top = float(limits.max) if float(limits.max) <= limits.max else float(np.nextafter(float(limits.max), 0))
        cast: NDArray[Any] = np.clip(rounded, float(limits.min), top).astype(dtype)
        cast[rounded > top] = limits.max
        return cast
    own = np.iinfo(values.dtype)
    clipped: NDArray[Any] = np.clip(values, max(own.min, limits.min), min(own.max, limits.max))
    return clipped.astype(dtype)


# --- Processing levels ----------------------------------------------------------------------------------------------


def steps_of(band: Band, level: str | None) -> list[ProcessingStep]:
    """Return the steps of a band's processing level, through its aliases; none when the pixels are as stored.

    Args:
        band: The band.
        level: Name of the level; unset: `default`, if the band has it.

    Raises:
        ValueError: The band has no such level.
    """
    levels = band.processing_levels
    if level is None and "default" not in levels:
        return []
    if not levels and band.type in (BandType.MASK, BandType.CLASS):
        return []
    name = level or "default"
    while isinstance(found := levels.get(name), str):
        name = found
    if found is None:
        raise ValueError(
            f"Unknown processing_level {level!r} for band {band.name!r}; it has {', '.join(levels) or 'none'}"
        )
    return found


def processed(
    values: NDArray[Any], band: Band, steps: Sequence[ProcessingStep], parameters: Callable[[str], Any]
) -> NDArray[Any]:
    """Return the values of one band (y, x) after the steps of a processing level.

    The functions are `gain_bias` (value * gain + bias), `scale` (value * factor) and `brightness_temperature`
    (K2 / ln(K1 / value + 1), in kelvins of a radiance).

    Args:
        values: What is stored.
        band: The band.
        steps: As `steps_of` gives them.
        parameters: Returns the image's attribute of a name.

    Raises:
        ValueError: A function is unknown, or the image has not the numbers that it takes.
    """
    import numpy as np

    for step in steps:
        if step.function not in _FUNCTIONS:
            raise ValueError(
                f"Band {band.name!r} has the processing function {step.function!r}, which is none of"
                f" {', '.join(_FUNCTIONS)}"
            )
        function, count = _FUNCTIONS[step.function]
        with np.errstate(divide="ignore", invalid="ignore"):
            values = function(values.astype("float64"), *_parameters(band, step, count, parameters))
        values = cast_to(values, step.data_type or DataType.FLOAT64)
    return values


def step_type(step: ProcessingStep) -> DataType:
    """Return the type of what a step makes."""
    return step.data_type or DataType.FLOAT64


def _brightness_temperature(radiance: NDArray[Any], k1: float, k2: float) -> NDArray[Any]:
    import numpy as np

    temperature: NDArray[Any] = k2 / np.log(k1 / radiance + 1)
    return temperature


_FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "gain_bias": (lambda values, gain, bias: values * gain + bias, 2),
    "scale": (lambda values, factor: values * factor, 1),
    "brightness_temperature": (_brightness_temperature, 2),
}
"""Name of a processing function -> the function, and how many numbers it takes."""


def _parameters(band: Band, step: ProcessingStep, count: int, of_image: Callable[[str], Any]) -> list[float]:
    """Return the numbers that a step takes: its own, or those of the image at the step's or band's place."""
    found = step.parameter
    where = f"Processing function {step.function!r} of band {band.name!r}"
    if isinstance(found, str):
        listed = of_image(found)
        position = step.index if step.index is not None else (band.vendor_order or 1) - 1
        if not isinstance(listed, Sequence) or position >= len(listed):
            raise ValueError(f"{where} takes number {position} of the image's {found}, which is {listed!r}")
        found = listed[position]
    numbers: list[Any] = list(found) if isinstance(found, Sequence) else [found]
    if len(numbers) != count or not all(isinstance(number, int | float) for number in numbers):
        raise ValueError(f"{where} takes {count} number{'' if count == 1 else 's'}, and is given {numbers!r}")
    return [float(number) for number in numbers]
