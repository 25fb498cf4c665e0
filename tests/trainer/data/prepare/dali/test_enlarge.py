"""Bilinear enlargement along one axis at a time against torch's."""

import pytest
import torch
from torch.nn.functional import interpolate

from trainer.data.prepare.dali.enlarge import blend_weights, enlarge


@pytest.mark.parametrize(("size", "factor"), [(60, 2), (20, 6), (2, 4)])
def test_pixels_are_between_those_of_torch(size: int, factor: int) -> None:
    """A pixel is shifted, weighs its neighbours the wrong way round, or is not repeated beyond the outermost ones."""
    planes = torch.rand((3, 4, size, size + 1), generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    expected = interpolate(planes, scale_factor=factor, mode="bilinear", align_corners=False)
    images, weights = planes.permute(0, 2, 3, 1), blend_weights(factor, planes)
    wide = torch.empty((3, size, (size + 1) * factor, 4), dtype=torch.float64)
    enlarge(images, 2, weights, wide)
    # Into some channels of a larger image, as bands are written.
    out = torch.full((3, size * factor, (size + 1) * factor, 9), -1.0, dtype=torch.float64)
    enlarge(wide, 1, weights, out[..., 3:7])
    torch.testing.assert_close(out[..., 3:7].permute(0, 3, 1, 2), expected, rtol=1e-12, atol=1e-12)
    assert (out[..., [0, 1, 2, 7, 8]] == -1).all()
