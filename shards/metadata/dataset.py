"""BigEarthNet as data that others published."""

from typing import Final

DATA_LICENCE: Final = "CDLA-Permissive-1.0"
"""Identifier at SPDX."""
PAPERS: Final = {
    "v1": "G. Sumbul et al., BigEarthNet: A Large-Scale Benchmark Archive for Remote Sensing Image Understanding, "
    "IGARSS 2019, arXiv:1902.06148; 19 classes: BigEarthNet-MM, arXiv:2105.07921",
    "v2": "K. N. Clasen et al., reBEN: Refined BigEarthNet Dataset for Remote Sensing Image Analysis, arXiv:2407.03653",
}
"""References to cite, by version."""
