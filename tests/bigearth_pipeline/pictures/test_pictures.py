"""Pictures of records."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bigearth_pipeline.pictures.compose import COMPOSITIONS, MISSING, Stretch, at_10m, band_of, colours
from bigearth_pipeline.pictures.png import patch_png, png
from shards.layout.bands import BAND_SLICES, BANDS, GROUP_OF, RECORD_VALUES
from shards.layout.statistics import band_statistics


def record(seed: int = 0) -> np.ndarray:
    """Return a record of random values without missing pixels."""
    return np.random.default_rng(seed).integers(1, 12_000, RECORD_VALUES, np.uint16)


@pytest.mark.parametrize("composition", COMPOSITIONS, ids=lambda each: each.name)
def test_each_colour_is_the_band_at_its_place(composition: object) -> None:
    """Red shows another band, a picture is turned, or 20 m pixels lie at other places than 10 m pixels."""
    values, stretch = record(), Stretch.fixed()
    picture = colours(values, composition, stretch)  # type: ignore[arg-type]
    assert (picture.shape, picture.dtype) == ((120, 120, 3), np.uint8)
    for channel, band in enumerate(composition.bands):  # type: ignore[attr-defined]
        low, high = stretch.limits[band]
        metres = GROUP_OF[band].metres
        for row, column in ((0, 0), (3, 118), (119, 0), (77, 41)):
            size = GROUP_OF[band].size
            value = float(values[BAND_SLICES[band]][row * 10 // metres * size + column * 10 // metres])
            expected = 255 * min(max((value - low) / (high - low), 0), 1) ** stretch.gamma
            assert picture[row, column, channel] == pytest.approx(expected, abs=0.51)


@given(st.sampled_from(BANDS), st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1))
def test_brighter_pixels_are_brighter(band: str, one: int, other: int) -> None:
    """Of two pixels the one of less reflectance is shown brighter."""
    low, high = sorted((one, other))
    shown = Stretch.fixed().bright(np.array([low, high], np.uint16), band)
    assert shown[0] <= shown[1]


def test_a_band_of_one_value_has_a_picture() -> None:
    """Percentiles that are all equal divide by nothing."""
    flat = band_statistics(np.bincount([700] * 5, minlength=65_536))
    stretch = Stretch.of_statistics(dict.fromkeys(BANDS, flat))
    assert stretch.bright(np.array([0, 700, 701, 65_535], np.uint16), "B02").tolist() == [0, 0, 255, 255]
    assert stretch.words(["B02"]) == "B02 700–700"


def test_missing_pixels_are_seen() -> None:
    """A missing pixel passes for a dark one."""
    values = record()
    band_of(values, "B8A")[10, 20] = 0
    picture = colours(values, COMPOSITIONS[2], Stretch.fixed())
    assert (picture[20:22, 40:42] == MISSING).all()
    assert int((picture == MISSING).all(axis=-1).sum()) == 4
    assert not (colours(values, COMPOSITIONS[0], Stretch.fixed()) == MISSING).all(axis=-1).any()


def test_files_hold_the_pixels() -> None:
    """A PNG shows something else than what was to be shown, or differs from one time to the next."""
    values = record()
    content = patch_png(values, COMPOSITIONS[0])
    assert content == patch_png(values.copy(), COMPOSITIONS[0], Stretch.fixed())
    shown = np.asarray(Image.open(io.BytesIO(content)))
    assert np.array_equal(shown, colours(values, COMPOSITIONS[0], Stretch.fixed()))
    grey = np.arange(400, dtype=np.uint8).reshape(20, 20)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(grey)))), grey)


@pytest.mark.parametrize("size", [120, 60, 20])
def test_pixels_are_repeated(size: int) -> None:
    """Bands of 20 m and 60 m are shifted against those of 10 m."""
    values = np.arange(size * size, dtype=np.uint16).reshape(size, size)
    assert np.array_equal(at_10m(values), np.kron(values, np.ones((120 // size,) * 2, np.uint16)))
