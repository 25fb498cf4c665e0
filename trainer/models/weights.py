"""Weights of other networks: fitting them to the bands and the classes of a model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from shards.reporting import printable
from shards.text.words import counted
from trainer.errors import BadCheckpoint
from trainer.models.published import SENTINEL2

RGB: Final = ("B04", "B03", "B02")
"""The bands that are red, green and blue: the channels of weights trained on photographs."""

_NAMED: Final = 3  # How many of the entries that do not fit an error names.


@dataclass(frozen=True, slots=True)
class Loaded:
    """Result of loading weights.

    Attributes:
        source: where they came from.
        matched: bands that kept filters of their own.
        averaged: bands that have got the mean of the filters of all bands, since the source does not know them.
        dropped: channels of the source whose filters are not used, since the model does not see them.
        initial: entries of the model that kept their random values: a classifier for other classes, a resolution that
            the source has no band of.
        unused: entries of the source that the model has no place for, for the same reasons.
        other_classes: number of classes of the source's classifier and of the model's, where they differ.
        place: which part of a file with several they are, such as `teacher/backbone.`; empty if there is but one.
        num_others: tensors of the file outside of that part.
    """

    source: str
    matched: tuple[str, ...] = ()
    averaged: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    initial: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    other_classes: tuple[int, int] | None = None
    place: str = ""
    num_others: int = 0

    def __str__(self) -> str:
        """Return one line for people."""
        parts = [f"weights of {self.source}{f' ({self.place})' if self.place else ''}"]
        if self.matched:
            parts.append(f"filters by band for {', '.join(self.matched)}")
        if self.averaged:
            parts.append(f"the mean filter for {', '.join(self.averaged)}")
        if self.dropped:
            parts.append(f"filters dropped of {', '.join(self.dropped)}")
        replaced: set[str] = set()
        if self.other_classes:
            replaced = {*self.initial} & {*self.unused}
            theirs, ours = self.other_classes
            parts.append(
                f"its classifier for {counted(theirs, 'class', 'classes')} left out, the one for {ours} is random"
            )
        if initial := [name for name in self.initial if name not in replaced]:
            parts.append(f"left random: {', '.join(initial)}")
        if unused := [name for name in self.unused if name not in replaced]:
            parts.append(f"not used: {', '.join(unused)}")
        if self.num_others:
            parts.append(f"{self.num_others} other tensors of the file not used")
        return printable("; ".join(parts))


@dataclass(frozen=True, slots=True)
class InputFilters:
    """A convolution that looks at bands.

    Attributes:
        source: name of each input channel in the weights, that of a band or another; empty if the weights lack this
            convolution.
        bands: band of each input channel in the model; empty if the model lacks it.
    """

    source: tuple[str, ...]
    bands: tuple[str, ...]


def inflate(weight: Tensor, filters: InputFilters, *, rescale: bool = True) -> Tensor:
    """Return convolution weights for other bands.

    With filters W of m source channels, band b of n gets F_b = (m / n) · W_b if the source knows b, otherwise
    F_b = (m / n) · mean(W), the mean over those channels that are bands of Sentinel-2. When all inputs are equal, the
    response Σ F_b = (m / n) · Σ_b W_b is that of the source, Σ W, wherever the filters taken have the mean of all: if
    the bands include all that the source knows, or none.

    Args:
        weight: (out, k·m, height, width); k > 1 where the network has folded k pixels into its channels, one by one.
        filters: the m source channels, and the n bands wanted.
        rescale: multiply by m / n; without, a channel that is dropped counts as if it were at its mean, 0.

    Returns:
        (out, k·n, height, width).

    Raises:
        ValueError: the number of input channels is no multiple of m.
    """
    if filters.source == filters.bands:
        return weight
    num_source, num_bands = len(filters.source), len(filters.bands)
    if weight.ndim != 4 or weight.shape[1] % num_source:
        raise ValueError(f"filters of shape {tuple(weight.shape)} are not for images of {num_source} channels")
    out, _, height, width = weight.shape
    by_channel = weight.float().reshape(out, -1, num_source, height, width)
    mean = by_channel[:, :, [i for i, name in enumerate(filters.source) if name in SENTINEL2]].mean(2)
    chosen = [by_channel[:, :, filters.source.index(b)] if b in filters.source else mean for b in filters.bands]
    inflated = torch.stack(chosen, 2) * (num_source / num_bands if rescale else 1)
    return inflated.reshape(out, -1, height, width).to(weight.dtype)


def transfer(
    model: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: str,
    inputs: Mapping[str, InputFilters],
    heads: Iterable[str],
    rescale: bool = True,
) -> Loaded:
    """Load weights into a model.

    Args:
        model: what gets them.
        state: name of entry → value, with the names of `model.state_dict()`.
        source: what to call the weights.
        inputs: name of weight → bands, for each convolution of the weights or of the model that looks at bands.
        heads: names of the entries of the classifier; those that are absent or have another shape keep their values.
        rescale: as in `inflate`.

    Raises:
        BadCheckpoint: any other entry is missing, unexpected or of another shape.
    """
    heads = frozenset(heads)
    own = model.state_dict()
    fitting: dict[str, Tensor] = {}
    initial, missing, other_shape = [], [], []
    other_classes = None
    for name, value in own.items():
        filters = inputs.get(name)
        given = state.get(name)
        if given is not None and filters is not None:
            try:
                given = inflate(given, filters, rescale=rescale)
            except ValueError as err:
                raise BadCheckpoint(f"weights {source} do not fit {name}: {err}") from err
        if given is not None and given.shape == value.shape:
            fitting[name] = given
        elif name in heads or (filters is not None and not filters.source):
            initial.append(name)
            if given is not None and name in heads and len(given) != len(value):
                other_classes = len(given), len(value)
        elif given is None:
            missing.append(name)
        else:
            other_shape.append(f"{name} {tuple(given.shape)} instead of {tuple(value.shape)}")
    left = [name for name in state if name not in fitting]
    unused = [name for name in left if name in heads or (name in inputs and not inputs[name].bands)]
    unexpected = [name for name in left if name not in own and name not in unused]
    problems = [
        f"{len(names)} {what}: {', '.join(names[:_NAMED])}{' …' if len(names) > _NAMED else ''}"
        for what, names in (("missing", missing), ("of other shape", other_shape), ("unexpected", unexpected))
        if names
    ]
    if problems:
        raise BadCheckpoint(f"weights {source} do not fit: {'; '.join(problems)}")
    model.load_state_dict(fitting, strict=False)
    used = [filters for name, filters in inputs.items() if name in fitting]
    return Loaded(
        source,
        matched=_bands(used, known=True),
        averaged=_bands(used, known=False),
        dropped=tuple(dict.fromkeys(name for filters in used for name in filters.source if name not in filters.bands)),
        initial=tuple(initial),
        unused=tuple(unused),
        other_classes=other_classes,
    )


def _bands(inputs: Sequence[InputFilters], *, known: bool) -> tuple[str, ...]:
    found = (band for filters in inputs for band in filters.bands if (band in filters.source) == known)
    return tuple(dict.fromkeys(found))  # Two convolutions may look at the same bands.
