"""The pass that writes images of planes, in the float16 of a GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shards.layout.bands import BAND_SLICES
from tests.support.examples import examples
from tests.trainer.data.records import percentile, random_records, selections, standard
from trainer.data.augment.draw import draw
from trainer.data.batch import Layout
from trainer.data.device.transfer import send
from trainer.data.prepare.dali.gpu_arguments import Plan, spans_of
from trainer.data.prepare.dali.interleave import Interleave
from trainer.data.prepare.image_layout import images_of
from trainer.data.prepare.reference import prepare
from trainer.definition.augmentation import Augmentation
from trainer.definition.choices import INTERPOLATIONS, Interpolation

RECORDS = random_records(4, high=65_536)


@examples(30)
@given(
    bands=selections,
    layout=st.sampled_from(("stacked", "native")),
    how=st.sampled_from(INTERPOLATIONS),
    clamp=st.booleans(),
    seed=st.integers(0, 1000),
)
@pytest.mark.parametrize(
    "augmentation", [Augmentation(), Augmentation(gain=0.3, offset=0.5, band_dropout=0.3, erase=0.5)]
)
def test_half_precision_is_that_of_the_reference(
    augmentation: Augmentation, bands: tuple[str, ...], layout: Layout, how: Interpolation, clamp: bool, seed: int
) -> None:
    """Bilinear pixels lose more in images of 16 bits a value than a few of their roundings, or values overflow."""
    norm = percentile(bands) if clamp else standard(bands)
    draws = draw(augmentation, np.arange(4), len(bands), seed, 0)
    images, plan = images_of(bands, layout), Plan(augmentation, how)
    spans = spans_of(images)
    last = Interleave(norm, images, spans, plan, torch.device("cpu"), torch.float16)
    records = torch.from_numpy(RECORDS)
    planes = []
    for span in spans:
        begin, side = BAND_SLICES[span.bands[0]].start, span.group.size
        planes.append(records[:, begin : begin + span.num_values].view(4, len(span.bands), side, side))
    made = last.images(planes, send(last.arrays(draws), torch.device("cpu")))
    expected = prepare(records, draws, norm, layout, how)
    # What is blended, before it is clamped.
    blended = prepare(records, draws, replace(norm, clamp=False), layout)
    assert made.keys() == expected.keys()
    for name, image in made.items():
        assert image.dtype == torch.float16
        assert image.is_contiguous(memory_format=torch.channels_last)
        # Each of three roundings moves a value by half of 2^-10 of the largest among its neighbours.
        bound = float(blended[name].abs().max()) * (3 if how == "bilinear" else 1) * 2**-11 * 1.01
        assert float((image.float() - expected[name]).abs().max()) <= bound
