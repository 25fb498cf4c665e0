"""The graph beside the preparation and the network that training uses."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.trainer.data.records import percentile, random_records, selections, standard
from trainer.data.batch import Draws, Layout
from trainer.data.prepare.reference import prepare
from trainer.definition.choices import INTERPOLATIONS, Interpolation
from trainer.export.graph import INPUTS, Graph, Inputs, split
from trainer.models.classifier import Classifier, Features
from trainer.models.spec import ModelSpec


class Probe(Classifier):
    """A network that looks at each pixel of each channel: 19 weighted sums of all of them."""

    def __init__(self, bands: tuple[str, ...], layout: Layout) -> None:
        super().__init__(ModelSpec("bepnet-s", bands))
        self.layout = layout
        self.factor = nn.Parameter(torch.tensor(1e-3))

    def features(self, inputs: Mapping[str, Tensor]) -> Features:
        """Return all pixels, image by image."""
        return torch.cat([images.flatten(1) for name, images in sorted(inputs.items())], 1)

    def scores(self, features: Features) -> Tensor:
        """Return sums of the pixels with weights that differ from place to place."""
        assert isinstance(features, Tensor)
        weights = torch.randn((features.shape[1], 19), generator=torch.Generator().manual_seed(3))
        return features @ weights * self.factor


@given(
    selections,
    st.sampled_from(["stacked", "native"]),
    st.sampled_from(INTERPOLATIONS),
    st.sampled_from(INPUTS),
    st.booleans(),
)
@settings(max_examples=20)
def test_the_graph_sees_what_the_network_saw(
    bands: tuple[str, ...], layout: Layout, interpolation: Interpolation, inputs: Inputs, clamp: bool
) -> None:
    """A band is taken from another place, resampled or normalised otherwise."""
    normalisation = percentile(bands) if clamp else standard(bands)
    network = Probe(bands, layout)
    records = torch.from_numpy(random_records(2, high=65_536))
    with torch.inference_mode():
        seen = network(prepare(records, Draws(), normalisation, layout, interpolation)).sigmoid()
        found = Graph(network, normalisation, interpolation, inputs)(*split(records, inputs))
    assert np.ptp(seen.numpy()) > 1e-3
    torch.testing.assert_close(found, seen, atol=1e-5, rtol=0)


def test_groups_are_the_parts_of_a_record() -> None:
    """A group starts or ends elsewhere."""
    records = torch.from_numpy(random_records(3))
    parts = split(records, "groups")
    assert [tuple(part.shape) for part in parts] == [(3, 4, 120, 120), (3, 6, 60, 60), (3, 2, 20, 20)]
    assert torch.equal(torch.cat([part.flatten(1).int() for part in parts], 1), records.int())
    with pytest.raises(ValueError, match="expected"):
        split(records[:, 1:], "groups")
