"""The steps of the check, as data, and the time that each of them gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Action = Literal["synth", "store", "tests", "kernels", "resume", "train", "loader", "timm"]

CODECS: Final = ("blosc-lz4", "bitpack", "raw")
"""Of the stores; training is measured with the first."""
IMAGES: Final = ("stacked", "native")
"""Passes over a loader, one for each kind of images."""
_KEPT: Final = {"blosc-lz4": "gpu_", "bitpack": "gpu_encoded_"}
"""Prefix of the passes over records that stay on the GPU, by the codec of the store that they come from."""
LEAST_SHARE: Final = 0.5
"""A step is not begun if it cannot have this part of its own share of the time."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """Extent and settings of the measurements.

    Attributes:
        device: `cuda` or `cpu`.
        patches: synthetic patches.
        batch_size: patches of a step.
        precision: of the features.
        networks: a network of timm, which timm's own loop is compared by, and one of ours.
        tiers: where records are kept.
        steps: steps of a lap of training.
        repeats: timed passes over training.
        loader_repeats: timed passes over the loader.
        least_seconds: that each of these passes takes.
        resumed: network of the run that is killed.
        resumed_batch: its batch size: small, so that an epoch has steps enough to be killed between.
        save_steps: steps between two of its saved states.
    """

    device: Literal["cuda", "cpu"]
    patches: int
    batch_size: int
    precision: str
    networks: tuple[str, str]
    tiers: tuple[str, str]
    steps: int
    repeats: int
    loader_repeats: int
    least_seconds: float
    resumed: str
    resumed_batch: int
    save_steps: int


GPU: Final = Size(
    device="cuda",
    patches=20_000,
    batch_size=512,
    precision="bf16",
    networks=("resnet50", "bepnet-s"),
    tiers=("none", "gpu"),
    steps=30,
    repeats=3,
    loader_repeats=3,
    least_seconds=2.0,
    resumed="bepnet-s",
    resumed_batch=64,
    save_steps=25,
)
REHEARSAL: Final = Size(
    device="cpu",
    patches=160,
    batch_size=16,
    precision="fp32",
    networks=("test_resnet", "bepnet-s"),
    tiers=("none", "ram"),
    steps=2,
    repeats=1,
    loader_repeats=1,
    least_seconds=0.0,
    resumed="test_resnet",
    resumed_batch=8,
    save_steps=3,
)
SIZES: Final = {size.device: size for size in (GPU, REHEARSAL)}


@dataclass(frozen=True)
class Step:
    """A step.

    Attributes:
        action: what kind of thing it does.
        about: what it does that to: a codec, a codec and a loader, a network, a network and a tier.
        share: of the time, 0 to 1.
        needs: names of the steps whose results it works on.
    """

    action: Action
    about: tuple[str, ...]
    share: float
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For people, and what other steps need it by."""
        return " ".join((self.action, *self.about))


def plan_steps(size: Size) -> tuple[Step, ...]:
    """Return all steps in their order: those on which most depends come first.

    The shares leave a little for the start of this program and for tidying up.
    """
    on_gpu = size.device == "cuda"
    synth = Step("synth", (), 0.065 if on_gpu else 0.12)
    stores = [Step("store", (codec,), 0.03 if on_gpu else 0.04, (synth.name,)) for codec in CODECS]
    # The kernels need a GPU, and so do most tests: a rehearsal has their time for the rest.
    training, testing = (0.06, 0.14) if on_gpu else (0.075, 0.1)
    trainings = [
        Step("train", (network, tier), training, (stores[0].name,)) for network in size.networks for tier in size.tiers
    ]
    backends = [(store, ()) for store in stores] + [(store, ("triton",)) for store in stores[:2] if on_gpu]
    loaders = []
    for store, backend in backends:
        about = (*store.about, *backend)
        # For the start, and for each pass.
        share = 0.03 + 0.01 * len(loader_passes(about)) if on_gpu else 0.065
        loaders.append(Step("loader", about, share, (store.name,)))
    return (
        synth,
        *stores,
        Step("tests", (), testing),
        *([Step("kernels", (), 0.05)] if on_gpu else []),
        Step("resume", (), 0.06 if on_gpu else 0.07, (stores[0].name,)),
        *trainings,
        *loaders,
        Step("timm", (size.networks[0],), 0.04 if on_gpu else 0.045),
    )


def kept_prefix(about: tuple[str, ...]) -> str | None:
    """Return the prefix of the passes of a loader's step over records that stay on the GPU; None if it has none.

    Decoded records are the same from every store, so they are measured from one, and encoded ones from another.
    """
    codec, *backend = about
    return None if backend else _KEPT.get(codec)


def loader_passes(about: tuple[str, ...]) -> tuple[str, ...]:
    """Return the passes of a loader's step by name, as in `bep bench loader`: those that there are targets for."""
    prefix = kept_prefix(about)
    return IMAGES if prefix is None else (*IMAGES, *(f"{prefix}{name}" for name in IMAGES))


def seconds_for(steps: Sequence[Step], number: int, left: float, total: float) -> float:
    """Return how long a step may take, in seconds: all that is left but the shares of the steps behind it.

    So what one step spares is there for all later ones, and none can take what is another's.

    Args:
        steps: all of them.
        number: which one, from 0.
        left: seconds that are left for it and the later ones.
        total: seconds for all.
    """
    return left - total * sum(step.share for step in steps[number + 1 :])


def why_not(steps: Sequence[Step], number: int, left: float, total: float, done: frozenset[str]) -> str | None:
    """Return why a step is not begun, or None if it is.

    Args:
        steps: all of them.
        number: which one, from 0.
        left: seconds that are left for it and the later ones.
        total: seconds for all.
        done: names of the steps that have succeeded.
    """
    step = steps[number]
    seconds, least = seconds_for(steps, number, left, total), LEAST_SHARE * step.share * total
    if seconds < least:
        return f"the time is used up: {max(0, seconds):.0f} s are left for it, expected at least {least:.0f} s"
    lacking = [name for name in step.needs if name not in done]
    if lacking:
        return f"needs {', '.join(lacking)}, which is not there"
    return None
