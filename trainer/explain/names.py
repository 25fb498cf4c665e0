"""Names of the methods. Importing this file costs nothing, so that help and options can name them."""

from typing import Final

GRAD_CAM: Final = "grad-cam"
INTEGRATED_GRADIENTS: Final = "integrated-gradients"
OCCLUSION: Final = "occlusion"
BAND_OCCLUSION: Final = "band-occlusion"
PERMUTATION: Final = "permutation"

OF_PATCHES: Final = (GRAD_CAM, INTEGRATED_GRADIENTS, OCCLUSION, BAND_OCCLUSION)
"""Methods that explain the score of a class on one patch."""
ALL: Final = (*OF_PATCHES, PERMUTATION)
"""These, and the one that explains scores over a split."""

SQUARES: Final = (60, 120, 240, 300, 600)
"""Sides of the squares of occlusion, in metres: they cut a patch into whole squares, and pixels of no band."""
