"""Running measurements beside NumPy's, which sees all pixels at once."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from stac_ingest.models.raster import BandHistogram
from stac_ingest.raster.measure import MAX_COARSE_FACTOR, BandTally, CoarseMask, any_valid, valid_pixels

INTEGERS = hnp.arrays(st.sampled_from(["int8", "uint8", "int16", "uint16", "int32"]), st.integers(1, 300))
FLOATS = hnp.arrays("float64", st.integers(1, 300), elements=st.floats(-1e6, 1e6) | st.just(np.nan) | st.just(np.inf))
ENDS = hnp.arrays(st.sampled_from(["int64", "uint64", "uint32", "float16", "float32", "float64"]), st.integers(1, 300))
NUMBERS = (INTEGERS | FLOATS | ENDS).map(
    lambda values: np.where((values < 1e-5) & (values > -1e-5), 0, values).astype(values.dtype)
)
"""Of every type, NaN, infinity and the largest numbers too; next to nothing beside those counts as 0."""
CUTS = st.lists(st.floats(0, 1), max_size=6)


def tally(values: NDArray[Any], cuts: list[float]) -> BandTally:
    running = BandTally()
    for block in np.split(values, sorted(int(cut * len(values)) for cut in cuts)):
        running.add(block)
    return running


@given(values=INTEGERS | FLOATS, cuts=CUTS)
def test_statistics_do_not_depend_on_the_blocks(values: NDArray[Any], cuts: list[float]) -> None:
    finite = values[np.isfinite(values)].astype("float64")

    found = tally(values, cuts).statistics(len(values))

    if not finite.size:
        assert found is None
        return
    assert found is not None
    assert (found.minimum, found.maximum) == (finite.min(), finite.max())
    scale = max(1.0, float(np.abs(finite).max()))
    assert found.mean == pytest.approx(finite.mean(), rel=1e-12, abs=1e-12 * scale)
    assert found.stddev == pytest.approx(finite.std(), rel=1e-9, abs=1e-7 * scale)
    assert found.valid_percent == pytest.approx(100 * finite.size / values.size, abs=1e-6)


def test_large_values_of_little_spread_keep_their_spread() -> None:
    values = 1e9 + np.random.default_rng(1).random(10_000)

    found = tally(values, [0.1, 0.5, 0.51]).statistics(10_000)

    assert found is not None
    assert found.stddev == pytest.approx(values.std(), rel=1e-6)


def test_values_whose_squares_no_float_holds_have_no_statistics() -> None:
    assert tally(np.array([-1.7e308, 5.0, 1.7e308]), [0.4]).statistics(3) is None
    assert tally(np.array([1e200, -1e200]), []).statistics(2) is None


@given(values=NUMBERS, cuts=CUTS)
def test_the_histogram_is_that_of_numpy(values: NDArray[Any], cuts: list[float]) -> None:
    finite = values[np.isfinite(values)]

    found = tally(values, cuts).buckets.histogram()

    if found is None:
        assert not finite.size or np.abs(finite.astype("float64")).max() > 1.79e308
        return
    assert found == tally(values, []).buckets.histogram()
    width = (Fraction(found.max) - Fraction(found.min)) / found.count
    assert math.frexp(width)[0] == 0.5
    assert Fraction(found.min) % width == 0
    assert 3 <= found.count == len(found.buckets) <= 256
    assert sum(found.buckets) == finite.size
    if values.dtype.kind == "f":
        edges = np.array([float(Fraction(found.min) + index * width) for index in range(found.count + 1)])
        np.testing.assert_array_equal(np.histogram(finite, edges)[0], found.buckets)
    else:  # a float64 does not hold each of them
        numbers = Counter((int(value) - int(found.min)) // int(width) for value in finite)
        assert [numbers[number] for number in range(found.count)] == list(found.buckets)
    assert found.buckets[0]
    assert found.buckets[-1] or found.count == 3


@pytest.mark.parametrize(
    ("values", "low", "high", "buckets"),
    [
        (np.array([7, 7], "uint8"), 7, 10, (2, 0, 0)),
        (np.array([-128, 127], "int8"), -128, 128, (1, *[0] * 254, 1)),
        (np.array([0, 1, 1, 5], "uint16"), 0, 6, (1, 2, 0, 0, 0, 1)),
        (np.array([0, 65535], "uint16"), 0, 65536, (1, *[0] * 254, 1)),
        (np.array([255, 256], "uint32"), 255, 258, (1, 1, 0)),
        (np.array([-(2**63), 2**63 - 1]), -(2**63), 2**63, (1, *[0] * 254, 1)),
        (np.array([2**64 - 1], "uint64"), 2**64 - 2**13, 2**64 + 2**14, (1, 0, 0)),
        (np.array([1.5], "float32"), 1.5, 1.5 + 3 * 2**-22, (1, 0, 0)),
        (np.array([-1e308, 1e308]), -72 * 2.0**1017, 72 * 2.0**1017, (1, *[0] * 142, 1)),
        (np.array([0, 5e-324]), 0, 3 * 2.0**-1022, (2, 0, 0)),
        (np.array([np.nan, 0.0, 1.0, np.inf]), 0, 129 / 128, (1, *[0] * 127, 1)),
    ],
)
def test_histograms_of_the_ends_of_types(
    values: NDArray[Any], low: float, high: float, buckets: tuple[int, ...]
) -> None:
    found = tally(values, [0.5]).buckets.histogram()

    assert found == BandHistogram(count=len(buckets), min=low, max=high, buckets=buckets)


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [np.inf], [1.7976931348623157e308]])
def test_where_there_is_no_histogram(values: list[float]) -> None:
    assert tally(np.array(values), []).buckets.histogram() is None


def test_int64_is_not_wrapped() -> None:
    values = np.array([2**62, 2**62, -(2**62)])

    found = tally(values, [0.5]).statistics(3)

    assert found is not None
    assert found.mean == pytest.approx(2**62 / 3)
    assert (found.minimum, found.maximum) == (-(2**62), 2**62)


@given(
    band=hnp.arrays("float32", (7, 9), elements=st.sampled_from([0.0, 1.5, np.nan, np.inf, -9999.0])),
    mask=st.none() | hnp.arrays("bool", (7, 9)),
    nodata=st.sampled_from([None, 0.0, 1.5, -9999.0, np.nan, np.inf]),
)
def test_valid_pixels(band: NDArray[Any], mask: NDArray[np.bool_] | None, nodata: float | None) -> None:
    before = None if mask is None else mask.copy()

    where = valid_pixels(band, mask, nodata)
    found = np.ones(band.shape, bool) if where is None else where

    for row, column in np.ndindex(band.shape):
        value = float(band[row, column])
        expected = (mask is None or bool(mask[row, column])) and value == value and value != nodata
        assert found[row, column] == expected
    if mask is not None:
        np.testing.assert_array_equal(mask, before)


def test_nodata_as_a_float32_holds_it() -> None:
    band = np.array([[-9999.9, -3.4028235e38, 1]], "float32")

    np.testing.assert_array_equal(valid_pixels(band, None, -9999.9), [[False, True, True]])
    np.testing.assert_array_equal(valid_pixels(band, None, -3.4028234663852886e38), [[True, False, True]])


@given(valid=hnp.arrays("bool", hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)), factor=st.integers(1, 9))
def test_a_coarse_cell_is_valid_if_any_pixel_of_it_is(valid: NDArray[np.bool_], factor: int) -> None:
    coarse = any_valid(valid, factor)

    assert coarse.shape == tuple(-(-side // factor) for side in valid.shape)
    for row, column in np.ndindex(coarse.shape):
        cell = valid[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        assert coarse[row, column] == cell.any()


@pytest.mark.parametrize(
    ("width", "height", "factor"),
    [(1, 1, 1), (1024, 1024, 1), (1025, 10, 2), (10, 2049, 4), (10_980, 10_980, 16), (400_000, 400_000, 512)],
)
def test_the_mask_is_as_fine_as_its_size_allows(width: int, height: int, factor: int) -> None:
    mask = CoarseMask(width, height)

    assert mask.factor == factor
    assert mask.factor <= MAX_COARSE_FACTOR
    assert mask.cells.shape == (-(-height // factor), -(-width // factor))


@pytest.mark.parametrize("shape", [(700, 1300), (2100, 1025), (512, 512), (3, 5000)])
def test_the_mask_taken_in_by_blocks_is_that_of_the_whole(shape: tuple[int, int]) -> None:
    valid = np.random.default_rng(3).random(shape) > 0.97
    mask = CoarseMask(shape[1], shape[0])

    for row in range(0, shape[0], 512):
        for column in range(0, shape[1], 1024):
            mask.add(valid[row : row + 512, column : column + 1024], row, column)

    np.testing.assert_array_equal(mask.cells, any_valid(valid, mask.factor))
    assert mask.valid_count == np.count_nonzero(valid)
    assert not mask.is_full


@pytest.mark.parametrize("size", [(300, 200), (2500, 1100)])
def test_a_full_block_is_one_of_which_each_pixel_is_valid(size: tuple[int, int]) -> None:
    height, width = size
    by_pixel, at_once = CoarseMask(width, height), CoarseMask(width, height)
    for row, column in ((0, 0), (height // 1024 * 512, width // 1024 * 512)):
        shape = (min(512, height - row), min(512, width - column))
        by_pixel.add(np.ones(shape, bool), row, column)
        at_once.add_full(shape, row, column)

    np.testing.assert_array_equal(at_once.cells, by_pixel.cells)
    assert at_once.valid_count == by_pixel.valid_count


def test_a_mask_is_full_when_every_pixel_is_valid() -> None:
    mask = CoarseMask(600, 600)
    for row, column in ((0, 0), (0, 512), (512, 0), (512, 512)):
        assert not mask.is_full
        mask.add(np.ones((min(512, 600 - row), min(512, 600 - column)), bool), row, column)
    assert mask.is_full
