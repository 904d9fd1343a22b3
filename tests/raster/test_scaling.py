"""How values are scaled: which numbers and type a request comes to, and what it makes of values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from rasterio.enums import Resampling

from stac_ingest import DataType, OverviewResampler, ResampleAlgorithm
from stac_ingest.client.reading.download import DownloadFileFormat
from stac_ingest.client.reading.scaling import Plan, ScalingMode, Traits, cast_to, common_type, plan, scaled, steps_of
from stac_ingest.models.bands import Band, ClassBand, GenericBand, MaskBand, ProcessingStep, SpectralBand
from stac_ingest.models.enums import Choice

RANGES: dict[str, Any] = {"data_range": (0, 10000), "display_range": (0, 4000), "physical_range": (0, 1)}
RED, GREEN, BLUE = (SpectralBand(name=name, **RANGES) for name in ("red", "green", "blue"))
ALPHA = MaskBand(name="alpha")
SHOWN = (0, 4000, 0, 255)
AUTO = ScalingMode.AUTO


def planned(scaling: object, data_type: str | None = None, *bands: Band, stored: str = "UInt16") -> Plan:
    chosen = bands or (RED, GREEN, BLUE, ALPHA)
    return plan([Traits.of(band, DataType(stored)) for band in chosen], scaling, data_type)


@pytest.mark.parametrize(
    ("scaling", "data_type", "scales", "result"),
    [
        (None, None, (None, None, None, None), "UInt16"),
        (None, "UInt32", (None, None, None, None), "UInt32"),
        ("raw", None, (None, None, None, None), "UInt16"),
        ("auto", None, (AUTO, AUTO, AUTO, None), "Byte"),
        ("display", None, (SHOWN, SHOWN, SHOWN, None), "Byte"),
        ("display", "UInt16", (SHOWN, SHOWN, SHOWN, None), "UInt16"),
        ("physical", None, (*[(0, 10000, 0, 1)] * 3, None), "Float64"),
        ("physical", "Int32", (*[(0, 10000, 0, 1)] * 3, None), "Int32"),
        ([(0, 10000), "display", (), None], None, ((0, 10000, 0, 255), SHOWN, AUTO, None), "Byte"),
        ([(0, 4000), (0, 4000), (0, 4000), "raw"], None, (SHOWN, SHOWN, SHOWN, None), "Byte"),
        (
            {"red": "display", "green": (0, 10000), "default_": "auto"},
            None,
            (SHOWN, (0, 10000, 0, 255), AUTO, None),
            "Byte",
        ),
        ({"red": SHOWN, "default_": "raw"}, None, (SHOWN, None, None, None), "UInt16"),
        ({"red": "display", "green": "display"}, None, (SHOWN, SHOWN, None, None), "Byte"),
        ([(0, 10000, 0, 255), (0, 4000), (), None], None, ((0, 10000, 0, 255), SHOWN, AUTO, None), "Byte"),
        (
            [(0, 10000, 0, 10000), (0, 4000), (), None],
            None,
            ((0, 10000, 0, 10000), (0, 4000, 0, 65535), AUTO, None),
            "UInt16",
        ),
        (
            [(0, 10000, 0, 1.0), (0, 4000, 0, 2.0), None, None],
            None,
            ((0, 10000, 0, 1), (0, 4000, 0, 2), None, None),
            "Float64",
        ),
        (
            [("0%", "100%", "0%", "100%"), ("2%", "98%", "2%", "98%"), "display", None],
            None,
            (SHOWN, (80, 3920, 5.1, 249.9), SHOWN, None),
            "Byte",
        ),
        (
            [("0%", "100%", "0%", "100%"), ("2%", "98%", "2%", "98%"), "physical", None],
            None,
            ((0, 10000, 0, 1), (200, 9800, 0.02, 0.98), (0, 10000, 0, 1), None),
            "Float64",
        ),
        ([("0%", "100%")] * 3 + [None], "Byte", (SHOWN, SHOWN, SHOWN, None), "Byte"),
        ([("0%", "100%")] * 3 + [None], "Float32", (*[(0, 10000, 0, 1)] * 3, None), "Float32"),
        ([(0, 10, -100, 100), None, None, None], None, ((0, 10, -100, 100), None, None, None), "UInt16"),
    ],
)
def test_a_request_comes_to_numbers_and_a_type(
    scaling: object, data_type: str | None, scales: tuple[Any, ...], result: str
) -> None:
    found = planned(scaling, data_type)
    assert found.data_type == result
    for one, other in zip(found.scales, scales, strict=True):
        assert one == (pytest.approx(other) if isinstance(other, tuple) else other)


@pytest.mark.parametrize(
    ("scaling", "data_type", "message"),
    [
        ("mode", None, "Invalid scaling mode 'mode' for band 'red'; expected one of raw, auto, display, physical"),
        ([(0, 1), "mode", (), None], None, "Invalid scaling mode 'mode' for band 'green'"),
        (["raw"] * 3, None, r"fewer elements \(3\) than there are bands \(4\)"),
        (["raw"] * 5, None, r"more elements \(5\)"),
        (["raw", "display", None, None], None, "Conflicting modes in scaling: display and raw"),
        (["physical", "auto", None, None], None, "Conflicting modes in scaling: auto and physical"),
        ([(0, 1, 2), None, None, None], None, "a tuple of 0, 2 or 4 values"),
        ([(0, "1"), None, None, None], None, "expected numbers, or shares such as '25%'"),
        ([(0, "x%"), None, None, None], None, "expected numbers"),
        ([(0, True), None, None, None], None, "expected numbers"),
        ([(5, 5), None, None, None], None, "its range is a single value"),
        (7, None, "Invalid scaling value 7"),
        (None, "bool", "DataType: expected one of Byte, Int8, .*, found 'bool'"),
    ],
)
def test_a_request_that_cannot_be_is_refused(scaling: object, data_type: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        planned(scaling, data_type)


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ("near", ResampleAlgorithm.NEAR),
        ("nearest", ResampleAlgorithm.NEAR),
        ("Cubic_Spline", ResampleAlgorithm.CUBICSPLINE),
        ("CUBICSPLINE", OverviewResampler.CUBICSPLINE),
        ("NEAR", OverviewResampler.NEAREST),
        (Resampling.nearest, ResampleAlgorithm.NEAR),
        (Resampling.nearest, OverviewResampler.NEAREST),
        ("uint16", DataType.UINT16),
        (np.dtype("uint8"), DataType.BYTE),
        (np.float32, DataType.FLOAT32),
        ("Display", ScalingMode.DISPLAY),
        ("jpeg", DownloadFileFormat.JPG),
        ("TIFF", DownloadFileFormat.TIF),
    ],
)
def test_a_choice_has_the_names_of_numpy_and_rasterio_too(given: Any, chosen: Choice) -> None:
    assert type(chosen)(given) is chosen
    with pytest.raises(ValueError, match=rf"{type(chosen).__name__}: expected one of .*{chosen}.*, found 'auld'"):
        type(chosen)("auld")


def test_a_type_that_shares_leave_open_has_to_be_named() -> None:
    with pytest.raises(ValueError, match="not clear from shares alone"):
        planned([("0%", "1%", "0%", "1%")], None, RED)
    assert planned([("0%", "1%", "0%", "1%")], "Byte", RED).data_type is DataType.BYTE


def test_a_mode_needs_the_ranges_of_the_band() -> None:
    bare = GenericBand(name="bare")
    with pytest.raises(
        ValueError, match="'bare' has no data_range and no display_range to scale from; set it, or give"
    ):
        planned("display", None, bare)
    with pytest.raises(ValueError, match="'bare' has no data_range to scale from"):
        planned("physical", None, GenericBand(name="bare", physical_range=(0, 1)))
    assert planned("physical", None, bare).scales == (None,)
    assert planned("display", None, bare, stored="Byte").scales == (None,)
    assert planned("display", None, GenericBand(name="b", data_range=(5, 10))).scales == ((5, 10, 0, 255),)


def test_masks_and_classes_are_scaled_only_by_name() -> None:
    kind = ClassBand(name="kind", data_range=(0, 10))
    assert planned("display", None, RED, kind).scales == (SHOWN, None)
    assert planned({"default_": "display"}, None, RED, kind).scales == (SHOWN, None)
    assert planned({"kind": (0, 10)}, None, RED, kind).scales == (None, (0, 10, 0, 255))


def test_scaling_takes_the_ranges_of_the_step_that_made_the_values() -> None:
    step = ProcessingStep(function="scale", parameter=2, data_range=(0, 100), physical_range=(0, 1))
    traits = Traits.of(RED, DataType.FLOAT64, step)
    assert plan([traits], "physical", None).scales == ((0, 100, 0, 1),)
    assert plan([traits], "display", None).scales == ((0, 100, 0, 255),)


def test_the_common_type_holds_every_value() -> None:
    for one in DataType:
        for other in DataType:
            common = common_type((one, other))
            assert common == common_type((other, one))
            for data_type in (one, other):
                exact = np.can_cast(data_type.numpy, common.numpy, "safe")
                assert exact or {one, other} >= {DataType.UINT64}
    assert common_type([DataType.UINT16, DataType.INT16]) is DataType.INT32
    assert common_type([DataType.BYTE]) is DataType.BYTE


def as_gdal(value: float, data_type: DataType) -> float:
    """Return a value as GDAL casts it, in plain Python."""
    if data_type.value.startswith("Float"):
        with np.errstate(over="ignore"):
            return float(np.dtype(data_type.numpy).type(value))
    limits = np.iinfo(data_type.numpy)
    if math.isnan(value):
        return 0
    if math.isinf(value):
        return int(limits.max if value > 0 else limits.min)
    rounded = value if isinstance(value, int) else int(value + math.copysign(0.5, value))
    return min(max(rounded, int(limits.min)), int(limits.max))


FLOATS = [0.0, -0.0, 0.4, 0.5, 1.5, 2.5, -0.5, -1.5, 254.5, 255.4, 256, -128.6, 7e4, -7e4, 3e9, 1e19, -1e19, 1e300]


@pytest.mark.parametrize("data_type", list(DataType))
def test_values_are_rounded_and_clipped_as_gdal_does(data_type: DataType) -> None:
    floats = np.array([*FLOATS, np.nan, np.inf, -np.inf])
    expected = [as_gdal(float(value), data_type) for value in floats]
    assert str(cast_to(floats, data_type).tolist()) == str(expected)
    for stored in ("uint8", "int8", "int16", "uint32", "int64", "uint64"):
        limits = np.iinfo(stored)
        whole = np.array([0, 1, 100, limits.min, limits.max], stored)
        found = cast_to(whole, data_type)
        assert found.dtype == data_type.numpy
        assert [as_gdal(int(value), data_type) for value in whole] == found.tolist()


@pytest.mark.parametrize("stored", ["uint8", "int16", "uint16", "float32"])
@pytest.mark.parametrize("data_type", [DataType.BYTE, DataType.INT16, DataType.FLOAT64])
def test_scaling_is_multiplying_and_adding(stored: str, data_type: DataType) -> None:
    values = np.random.default_rng(2).integers(0, 250, (4, 5)).astype(stored)
    valid = np.ones(values.shape, bool)
    for low, high, to_low, to_high in ((0, 200, 0, 255), (200, 0, 0, 1), (10, 20, -5, 5.5), (50, 60, 0, 255)):
        found = scaled(values, valid, (low, high, to_low, to_high), data_type)
        expected = [
            as_gdal((float(value) - low) * (to_high - to_low) / (high - low) + to_low, data_type)
            for value in values.ravel()
        ]
        assert found.dtype == data_type.numpy
        np.testing.assert_allclose(found.ravel().astype(float), expected, rtol=1e-12)


def test_auto_takes_the_extremes_of_what_is_valid() -> None:
    values = np.array([[-9999, 10, 20], [30, 60, np.nan]])
    valid = np.array([[False, True, True], [True, True, True]])
    found = scaled(values, valid, AUTO, DataType.BYTE)
    assert found[valid & ~np.isnan(values)].tolist() == [0, 51, 102, 255]
    constant = np.full((2, 2), 7, "uint16")
    assert scaled(constant, np.ones((2, 2), bool), AUTO, DataType.BYTE).tolist() == [[0, 0], [0, 0]]
    assert scaled(constant, np.zeros((2, 2), bool), AUTO, DataType.BYTE).tolist() == [[7, 7], [7, 7]]


def test_scaling_in_parts_is_scaling_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).normal(50, 30, (13, 7))
    valid = values > 10
    whole = [scaled(values, valid, scale, DataType.BYTE) for scale in (None, AUTO, (0, 90, 0, 255))]
    monkeypatch.setattr("stac_ingest.client.reading.scaling._AT_ONCE", 15)
    parts = [scaled(values, valid, scale, DataType.BYTE) for scale in (None, AUTO, (0, 90, 0, 255))]
    np.testing.assert_array_equal(whole, parts)
    assert scaled(np.zeros((0, 3)), np.zeros((0, 3), bool), AUTO, DataType.BYTE).shape == (0, 3)


def test_a_level_is_found_through_its_names() -> None:
    step = ProcessingStep(function="scale", parameter=2)
    band = GenericBand(name="b", processing_levels={"default": "toa", "toa": "scaled", "scaled": [step], "DN": []})
    assert steps_of(band, None) == steps_of(band, "toa") == steps_of(band, "scaled") == [step]
    assert steps_of(band, "DN") == []
    assert steps_of(GenericBand(name="b"), None) == []
    assert steps_of(MaskBand(name="m"), "toa") == steps_of(ClassBand(name="c"), "toa") == []
    with pytest.raises(ValueError, match="Unknown processing_level 'toa' for band 'b'; it has none"):
        steps_of(GenericBand(name="b"), "toa")
    with pytest.raises(ValueError, match="Unknown processing_level 'surface' for band 'b'; it has default, toa"):
        steps_of(band, "surface")
