"""Place of a network in a file of weights: behind names of dicts and prefixes of entries, beside other networks."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from trainer.errors import BadCheckpoint

_DEPTH: Final = 3  # Dicts within dicts that are looked into: `checkpoint["model"]["state_dict"]`.
_SHOWN: Final = 5  # Names that an error shows of the file, and of what is expected.
_ENOUGH: Final = 0.5  # Share of a network's entries by which it is recognised.

_FIRST: Final = frozenset({"teacher", "state_dict_ema", "model_ema", "ema"})
_LAST: Final = frozenset({"student", "encoder_k", "momentum_encoder", "backbone_momentum", "target"})
"""Of two networks in a file, those that the authors of DINO, of timm's scripts and of MoCo evaluate, and the others.

DINO (`eval_linear.py`) takes the teacher, timm's `load_state_dict` the averaged weights, MoCo (`main_lincls.py`) the
query encoder, and MoCo v3 the base encoder.
"""
_PREFIXES: Final = (
    "_orig_mod.",
    "module.",
    "state_dict.",
    "model.",
    "vision_encoder.",
    "encoder_q.",
    "base_encoder.",
    "backbone.",
    "encoder.",
    "net.",
)
"""Prefixes that are taken off where the entries behind them have names that only timm recognises."""


@dataclass(frozen=True, slots=True)
class Subtree:
    """The entries of one network.

    Attributes:
        state: name of entry → value.
        place: names of dicts and prefix of the entries, such as `teacher/backbone.`; empty if there is nothing around.
        num_others: tensors of the file that are not in it.
    """

    state: dict[str, Tensor]
    place: str
    num_others: int

    def described(self, wanted: Collection[str]) -> str:
        """Return the first names of the file and those expected, as a part of one line."""
        names = [self.place + name for name in self.state]
        return f"the file has {_list(names)}; expected {_list(wanted)}"


def find(content: Any, wanted: Collection[str], path: object) -> Subtree:
    """Return the entries of a network in the content of a file.

    Args:
        content: what the file holds.
        wanted: names of the network's entries, without its classifier.
        path: of the file, for errors.

    Raises:
        BadCheckpoint: there are no tensors, or several networks of which none is known to be the one to use.
    """
    dicts = dict(_dicts(content, "", _DEPTH))
    num_tensors = sum(map(len, dicts.values()))
    if not num_tensors:
        found = (
            f"a dict with {_list(content)}" if isinstance(content, dict) and content else f"a {type(content).__name__}"
        )
        raise BadCheckpoint(
            f"weights {path} hold no state dict: expected names of parameters with a tensor each, found {found}"
        )
    scores = {(where, prefix): hits for where, state in dicts.items() for prefix, hits in _hits(state, wanted).items()}
    best = max(scores.values(), default=0)
    if best < _ENOUGH * len(wanted):
        return _by_known_prefixes(dicts, path, num_tensors)
    where, prefix = _choose([place for place, hits in scores.items() if hits == best], path)
    state = {name.removeprefix(prefix): v for name, v in dicts[where].items() if name.startswith(prefix)}
    return Subtree(state, _place(where, prefix), num_tensors - len(state))


def _list(names: Collection[str]) -> str:
    shown = [str(name) for name in list(names)[:_SHOWN]]
    return ", ".join(shown) + (" …" if len(names) > _SHOWN else "")


def _dicts(content: Any, where: str, depth: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the tensors of each dict within a dict, by the names on the way."""
    if not isinstance(content, dict):
        return
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield where, tensors
    if depth:
        for name, value in content.items():
            if name not in ("optimizer", "optimizer_states"):
                yield from _dicts(value, f"{where}{name}/", depth - 1)


def _hits(state: Mapping[str, Tensor], wanted: Collection[str]) -> dict[str, int]:
    """Return how many of the wanted names there are behind each prefix that ends in a dot, and behind none."""
    wanted = frozenset(wanted)
    hits: dict[str, int] = {}
    for name in state:
        at = 0
        while True:
            if name[at:] in wanted:
                hits[name[:at]] = hits.get(name[:at], 0) + 1
            at = name.find(".", at) + 1
            if not at:
                break
    return hits


def _choose(places: list[tuple[str, str]], path: object) -> tuple[str, str]:
    """Return the one of several networks that is to be used."""

    def rank(place: tuple[str, str]) -> int:
        tokens = {*place[0].split("/"), *place[1].split(".")}
        return 0 if tokens & _FIRST else 2 if tokens & _LAST else 1

    ranks = {place: rank(place) for place in places}
    best = [place for place in places if ranks[place] == min(ranks.values())]
    if len(best) > 1:
        names = ", ".join(_place(*place) or "the entries without a prefix" for place in best)
        raise BadCheckpoint(
            f"weights {path} hold several networks that fit: {names}; save the one to use in a file of its own"
        )
    return best[0]


def _by_known_prefixes(dicts: Mapping[str, dict[str, Tensor]], path: object, num_tensors: int) -> Subtree:
    """Return the largest dict without the known prefixes that all its entries have; timm may know its names."""
    size = max(map(len, dicts.values()))
    where, _ = _choose([(where, "") for where, state in dicts.items() if len(state) == size], path)
    state, prefix = dicts[where], ""
    while found := next((p for p in _PREFIXES if all(name.startswith(p) for name in state)), None):
        state, prefix = {name.removeprefix(found): value for name, value in state.items()}, prefix + found
    return Subtree(dict(state), _place(where, prefix), num_tensors - len(state))


def _place(where: str, prefix: str) -> str:
    return where + prefix
