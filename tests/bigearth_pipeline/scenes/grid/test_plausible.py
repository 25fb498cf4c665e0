"""An offset that digital numbers do not have is not taken from them."""

from pathlib import Path

import numpy as np
import pytest

from bigearth_pipeline.errors import BadScene
from tests.bigearth_pipeline.scenes.grid.test_scene import source_of
from tests.bigearth_pipeline.scenes.making import NAME, Pixels, random_pixels, write_files, write_safe
from tests.conftest import real

BANDS = ("B02", "B03", "B04", "B11")


def dark(above: int = 0) -> Pixels:
    """Return a scene of reflectances from 0 to 0.23, with an offset."""
    found = random_pixels()
    return Pixels({band: np.maximum(values, 1500) - 1500 + above for band, values in found.bands.items()})


@pytest.mark.usefixtures("gdal")
def test_numbers_without_the_offset_are_refused(tmp_path: Path) -> None:
    """A wrong baseline makes all pixels 1, and each patch is predicted as one and the same."""
    path = write_files(tmp_path / "scene", dark())
    with pytest.raises(BadScene, match=r"of the pixels of scene are below half of the offset of 1000 .*`offset=none`"):
        source_of(path, BANDS, baseline=509).check_offset()
    source_of(path, BANDS, baseline=212).check_offset()
    source_of(path, BANDS, offset="none").check_offset()


@pytest.mark.usefixtures("gdal")
def test_numbers_with_the_offset_are_taken(tmp_path: Path) -> None:
    """A dark scene is refused, or one whose first rows have no data is refused."""
    pixels = dark(1000)
    for band, values in pixels.bands.items():
        values[: len(values) // 3] = 0
        assert (values <= 1000).mean() > 0.3, band
    path = write_files(tmp_path / NAME, pixels)
    source_of(path, BANDS).check_offset()
    source_of(write_safe(tmp_path, pixels), BANDS).check_offset()
    empty = Pixels({band: np.zeros_like(values) for band, values in pixels.bands.items()})
    source_of(write_files(tmp_path / "empty", empty), BANDS, baseline=509).check_offset()


@pytest.mark.usefixtures("gdal")
def test_real_pixels_tell_that_they_have_no_offset() -> None:
    """The bound does not hold for a real scene, of N9999."""
    path = real("scenes/199U_1099R")
    source_of(path, BANDS, baseline=9999).check_offset()
    with pytest.raises(BadScene, match="below half of the offset"):
        source_of(path, BANDS, baseline=509).check_offset()
