"""Losses, against those of torch, torchvision and timm."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.loss import AsymmetricLossMultiLabel
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import sigmoid_focal_loss

from shards import CLASSES
from tests.support.examples import examples
from trainer.definition.choices import LOSSES, LossName
from trainer.definition.optimisation import LossConfig
from trainer.optimisation.losses import Loss, bce, create, positive_weights

NUM_CLASSES = len(CLASSES)
COUNTS = {name: 10 * i for i, name in enumerate(CLASSES)}
seeds = st.integers(0, 2**32)


def loss_of(name: LossName, **options: Any) -> Loss:
    return create(LossConfig(loss=name, **options), COUNTS, 1000)


def their_asymmetric(logits: Tensor, labels: Tensor) -> Tensor:
    # Patch by patch, since versions of timm differ in whether they divide by the patches.
    loss = AsymmetricLossMultiLabel(gamma_neg=4, gamma_pos=1, clip=0.05)
    return torch.stack([loss(x[None], y[None]) for x, y in zip(logits, labels, strict=True)]) / NUM_CLASSES


def their_focal(logits: Tensor, labels: Tensor) -> Tensor:
    return sigmoid_focal_loss(logits, labels, alpha=0.25, gamma=2).mean(1)


def their_bce(logits: Tensor, labels: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1)


THEIRS: dict[LossName, Loss] = {"bce": their_bce, "asymmetric": their_asymmetric, "focal": their_focal}


def draw(seed: int, scale: float = 4.0) -> tuple[Tensor, Tensor]:
    """Return random logits, at most ±15, and labels of 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, NUM_CLASSES, generator=generator) * scale
    return logits.clamp(-15, 15), torch.randint(0, 2, (4, NUM_CLASSES), generator=generator).float()


def value_and_gradient(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor) -> list[Tensor]:
    logits = logits.clone().requires_grad_()
    losses = loss(logits, labels)
    return [losses.detach(), *torch.autograd.grad(losses.sum(), logits)]


@pytest.mark.parametrize("name", LOSSES)
@examples(40)
@given(seed=seeds)
def test_losses_are_those_of_the_libraries(name: LossName, seed: int) -> None:
    """Runs with a published loss cannot be compared with ours: its values or gradients differ."""
    ours, theirs = (value_and_gradient(loss, *draw(seed)) for loss in (loss_of(name), THEIRS[name]))
    assert ours[0].shape == (4,)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@examples(20)
@given(seed=seeds, share=st.floats(0, 1))
def test_mixed_labels_count_in_part(name: LossName, seed: int, share: float) -> None:
    """MixUp gives a patch another loss than that of its two patches, in their shares."""
    logits, labels = draw(seed)
    other = draw(seed + 1)[1]
    loss = loss_of(name)
    mixed = loss(logits, share * labels + (1 - share) * other)
    torch.testing.assert_close(mixed, share * loss(logits, labels) + (1 - share) * loss(logits, other))


@pytest.mark.parametrize("name", LOSSES)
@given(amount=st.floats(0, 0.99))
@examples(20)
def test_smoothing_moves_labels_towards_a_half(name: LossName, amount: float) -> None:
    """Label smoothing is applied twice, not at all, or towards one side."""
    logits, labels = draw(0)
    smooth = torch.where(labels == 1, 1 - amount / 2, amount / 2)
    torch.testing.assert_close(loss_of(name, label_smoothing=amount)(logits, labels), loss_of(name)(logits, smooth))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_extreme_logits_stay_finite(name: LossName, dtype: torch.dtype) -> None:
    """One patch that the model is very sure of, in whatever precision, ends a run with a loss that is not finite."""
    largest = [1e30, -1e30] if dtype != torch.float16 else []
    for value in (0.0, 17.0, -17.0, 90.0, -90.0, 1e4, -1e4, *largest):
        logits = torch.full((3, NUM_CLASSES), value, dtype=dtype)
        labels = torch.tensor([0.0, 0.5, 1.0])[:, None].expand(-1, NUM_CLASSES)
        losses, gradient = value_and_gradient(loss_of(name), logits, labels)
        assert losses.dtype == torch.float32
        assert losses.isfinite().all()
        assert (losses >= 0).all()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_are_computed_in_float32(name: LossName, dtype: torch.dtype) -> None:
    """Under autocast the loss is rounded to two or three digits."""
    logits, labels = draw(2)
    half = logits.to(dtype)
    assert torch.equal(loss_of(name)(half, labels), loss_of(name)(half.float(), labels))


@pytest.mark.parametrize("name", LOSSES)
def test_missed_classes_are_learnt(name: LossName) -> None:
    """A class that the model has wrongly ruled out for good gets no gradient any more, and stays ruled out."""
    labels = torch.ones(1, NUM_CLASSES)
    for value in (-10.0, -25.0, -100.0):
        _, gradient = value_and_gradient(loss_of(name), torch.full((1, NUM_CLASSES), value), labels)
        assert (gradient < -0.01 / NUM_CLASSES).all()


@given(st.lists(st.integers(0, 1000), min_size=NUM_CLASSES, max_size=NUM_CLASSES), st.floats(1, 100))
def test_weights_balance_a_class(counts: list[int], cap: float) -> None:
    """Rare classes weigh too much or too little, or one without patches divides by zero."""
    weights = positive_weights(dict(zip(CLASSES, counts, strict=True)), 1000, cap).tolist()
    for count, weight in zip(counts, weights, strict=True):
        assert 1 <= weight <= cap * (1 + 1e-6)
        if not count or 2 * count >= 1000:
            assert weight == 1
        elif weight < cap * (1 - 1e-6):
            assert weight * count == pytest.approx(1000 - count)


def test_weights_reach_the_loss() -> None:
    """The option for weights has no effect, or weighs the negatives."""
    logits, labels = draw(1)
    weights = positive_weights(COUNTS, 1000, 7.0)
    expected = binary_cross_entropy_with_logits(logits, labels, reduction="none", pos_weight=weights).mean(1)
    weighted = create(LossConfig(positive_weights=True, max_positive_weight=7.0), COUNTS, 1000)
    torch.testing.assert_close(weighted(logits, labels), expected)
    torch.testing.assert_close(bce(logits, labels, weights), expected)
    assert not torch.allclose(loss_of("bce")(logits, labels), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "hinge"}, "bce, asymmetric, focal"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"label_smoothing": math.nan}, "label_smoothing"),
        ({"positive_weights": True, "loss": "focal"}, "not with focal"),
        ({"max_positive_weight": 0.5}, "at least 1"),
        ({"max_positive_weight": math.nan}, "at least 1"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    """A run starts with a loss that makes no sense."""
    with pytest.raises(ValueError, match=message):
        LossConfig(**options)


def test_counts_are_checked() -> None:
    """Class counts of another split give negative weights."""
    with pytest.raises(ValueError, match="Coniferous forest is in 60 patches, expected 0 to 50"):
        positive_weights(COUNTS, 50, 10.0)
