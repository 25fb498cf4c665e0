"""The randomisation test, on methods that look at the weights and on methods that ignore them."""

import numpy as np
import pytest
import torch
from torch import Tensor

from bigearth_pipeline.report.explain.page import _sanity, verdicts
from bigearth_pipeline.report.page.blocks import Table
from trainer.data.normalisation import Normalisation
from trainer.explain.maps import Maps
from trainer.explain.sanity.cascade import randomisation_test
from trainer.explain.subject import CannotExplain, Inputs, Subject
from trainer.models.create import create
from trainer.models.spec import ModelSpec

BANDS = ("B04", "B03", "B02")


def edges(subject: Subject, inputs: Inputs, targets: Tensor) -> Maps:
    """Show where the image changes: a map that looks like an explanation and knows nothing of the network."""
    image = inputs[0].mean(1).numpy()
    down, across = np.gradient(image, axis=(1, 2))
    return Maps(pixels=np.hypot(down, across).astype(np.float32))


def means(subject: Subject, inputs: Inputs, targets: Tensor) -> Maps:
    """Weigh bands by their mean in the patch, whatever the network."""
    return Maps(bands=torch.cat([image.mean((2, 3)) for image in inputs], 1).numpy())


def weights(subject: Subject, inputs: Inputs, targets: Tensor) -> Maps:
    """Show nothing but weights of the network: of the first convolution of all, and the last."""
    values = torch.cat([value.flatten() for value in subject.network.parameters() if value.ndim > 1])
    flat = values[torch.arange(120 * 120) * (len(values) // (120 * 120))].reshape(1, 120, 120)
    return Maps(pixels=flat.expand(len(targets), -1, -1).detach().numpy().copy())


def refuses(subject: Subject, inputs: Inputs, targets: Tensor) -> Maps:
    """Explain nothing, as where all gradients are 0."""
    raise CannotExplain("there is no gradient")


@pytest.mark.parametrize("name", ["bepnet-s", "test_resnet"])
def test_methods_that_ignore_the_weights_fail(name: str) -> None:
    """A method that explains any network alike passes, or one of weights alone fails."""
    torch.manual_seed(5)
    subject = Subject(create(ModelSpec(name, BANDS)), Normalisation.standard(BANDS, [0.0] * 3, [1.0] * 3))
    inputs = (torch.randn(3, 3, 120, 120).cumsum(2) / 8,)
    targets = torch.tensor([0, 5, 9])
    methods = {"edges": edges, "means": means, "weights": weights}
    first = {key: method(subject, inputs, targets) for key, method in methods.items()}
    found = randomisation_test(
        subject, inputs, targets, methods | {"refuses": refuses}, first | {"refuses": first["edges"]}
    )
    assert {key: cascade.fails for key, cascade in found.items()} == {
        "edges": True,
        "means": True,
        "weights": False,
        "refuses": False,
    }
    for key in ("edges", "means"):
        assert [each.rank for each in found[key].likeness] == pytest.approx([1] * len(found[key].layers))
    assert found["edges"].likeness[-1].ssim == pytest.approx(1, abs=1e-4)
    assert found["means"].likeness[-1].ssim is None
    ranks = [abs(each.rank) for each in found["weights"].likeness]
    assert ranks[0] > 0.5 > ranks[-1]
    # The user reads it.
    lines = dict(zip(found, verdicts(found), strict=True))
    assert lines["edges"].startswith("edges fails the randomisation test: rank correlation 1.00, SSIM 1.00")
    assert lines["weights"].startswith("weights passes the randomisation test")
    assert all(line.endswith("pairs; the bound is ±0.5)") for line in lines.values()), lines


def nothing(subject: Subject, inputs: Inputs, targets: Tensor) -> Maps:
    """Show the same everywhere, as Grad-CAM does where all places lower the score; but for class 5."""
    pixels = edges(subject, inputs, targets).pixels
    assert pixels is not None
    return Maps(pixels=pixels * (targets.numpy() == 5)[:, None, None].astype(np.float32))


def test_explanations_without_differences_are_not_compared() -> None:
    """Maps of zeros pass the test, or make a method pass that fails on all others."""
    torch.manual_seed(5)
    subject = Subject(create(ModelSpec("test_resnet", BANDS)), Normalisation.standard(BANDS, [0.0] * 3, [1.0] * 3))
    inputs = (torch.randn(3, 3, 120, 120).cumsum(2) / 8,)
    for targets, pairs, fails, verdict in (
        (torch.tensor([0, 5, 9]), 1, True, "fails the randomisation test"),
        (torch.tensor([0, 1, 9]), 0, None, "cannot be tested by randomisation"),
    ):
        counts: list[int] = []
        methods = {"nothing": nothing}
        first = {"nothing": nothing(subject, inputs, targets)}
        found = randomisation_test(subject, inputs, targets, methods, first, done=counts.append)
        assert (found["nothing"].pairs, found["nothing"].fails) == (pairs, fails)
        assert sum(counts) == 3 * len(found["nothing"].layers)
        [line] = verdicts(found)
        assert line.startswith(f"nothing {verdict}"), line
        [*_, table] = _sanity(found)
        assert isinstance(table, Table)
        assert len(table.rows) == len(found["nothing"].likeness)
