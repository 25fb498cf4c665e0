"""Options of explanations."""

import difflib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

from shards.errors import InvalidValue
from shards.layout.class_names import class_index
from shards.layout.classes import FORTY_THREE, Nomenclature
from trainer.definition.choices import DeviceName
from trainer.explain.names import ALL, OCCLUSION, PERMUTATION, SQUARES

FEW: Final = 8
"""Patches that are taken where only a class is named."""
MOST: Final = 200
"""Patches that are explained at most."""


@dataclass(frozen=True, kw_only=True)
class ExplainConfig:
    """Options of explanations.

    Attributes:
        run: folder of the run.
        out: folder of the results.
        inputs: patch folders and trees, stores, and keys of patches in the run's store.
        random: number of patches of the split drawn at random; None for none.
        worst: number of patches of the split with the largest loss; None for none.
        classes: names of the classes to explain, or parts of them as `shards.layout.class_names` takes them;
            they restrict `random` and `worst` to patches that have one of them. Empty for those that are predicted or
            labelled.
        methods: names of the methods, of `trainer.explain.names.ALL`.
        split: of the run's store.
        shards: folder of the store; None for that of the run.
        allow_mixed_version: take a store of the other version of BigEarthNet.
        square: side of the squares of occlusion, in metres.
        per_patch: classes explained of each patch at most, where none is named.
        patches: patches of the split that bands are permuted among, at most.
        sanity: test the methods by randomising the network.
        score: measure the explanations.
        seed: of all that is random.
        device: `cpu`, `cuda` or `auto`.
        overwrite: replace the explanations in `out`.
    """

    run: Path
    out: Path
    inputs: tuple[str, ...] = ()
    random: int | None = None
    worst: int | None = None
    classes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ALL
    split: str = "test"
    shards: Path | None = None
    allow_mixed_version: bool = False
    square: int = 120
    per_patch: int = 3
    patches: int = 500
    sanity: bool = True
    score: bool = False
    seed: int = 0
    device: DeviceName = "auto"
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name in self.classes:
            _check_class(name)
        for name in self.methods:
            if name not in ALL:
                raise InvalidValue(_unknown_method(name))
        if self.square not in SQUARES:
            raise InvalidValue(f"`square={self.square}` m, expected one of {', '.join(map(str, SQUARES))}")
        chosen = [bool(self.inputs), self.random is not None, self.worst is not None]
        if sum(chosen) > 1:
            raise InvalidValue("patches are chosen in two ways, expected inputs, `random=` or `worst=`")
        if not any(chosen) and not self.classes:
            raise InvalidValue("no patch is chosen, expected inputs, `random=N`, a class or `worst=N`")
        for name in ("random", "worst"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= MOST:
                raise InvalidValue(f"`{name}={value}`, expected 1 to {MOST} patches")
        self._check_effect()

    def _check_effect(self) -> None:
        """Refuse options that nothing of what is to be done heeds."""
        permutes, is_chosen = PERMUTATION in self.methods, not self.inputs
        draws = permutes or self.sanity or self.score or (is_chosen and self.worst is None)
        unheeded = {
            "square": None if OCCLUSION in self.methods else f"it is for the method {OCCLUSION}",
            "patches": None if permutes else f"it is for the method {PERMUTATION}",
            "per_patch": "the classes are named" if self.classes else None,
            "split": None if permutes or is_chosen else "the patches are named, and no bands are permuted",
            "seed": None if draws else "nothing is drawn at random",
        }
        for field in fields(self):
            reason = unheeded.get(field.name)
            if reason is not None and getattr(self, field.name) != field.default:
                raise InvalidValue(f"`{field.name}=` has no effect: {reason}; leave it out")

    def with_names(self, nomenclature: Nomenclature) -> "ExplainConfig":
        """Return the options with whole names of classes in place of parts of them, each once.

        Raises:
            InvalidValue: the nomenclature has no such class.
        """
        names = (nomenclature.names[class_index(name, nomenclature)] for name in self.classes)
        return replace(self, classes=tuple(dict.fromkeys(names)))


def _check_class(name: str) -> None:
    """Check that some nomenclature has a class of this name; which one is known when the run is read."""
    try:
        class_index(name)
    except InvalidValue:
        try:
            class_index(name, FORTY_THREE)
            return
        except InvalidValue:
            pass
        raise


def _unknown_method(name: str) -> str:
    close = difflib.get_close_matches(name, ALL, 1, 0.4)
    return f"no method {name!r:.60}; " + (f"perhaps {close[0]!r}" if close else f"there are {', '.join(ALL)}")
