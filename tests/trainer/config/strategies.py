"""Random configurations, made from the definition of the options alone."""

from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from hypothesis import strategies as st

from shards import BANDS, CLASSES
from shards.layout.classes import NOMENCLATURES
from trainer.config.options import TrainConfig
from trainer.definition.tables import OPTIONS, Entry

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def values_of(entry: Entry) -> st.SearchStrategy[Any]:
    """Return values that an option may have."""
    if entry.key == "data.bands":
        return st.lists(st.sampled_from(BANDS), min_size=1, unique=True).map(tuple)
    if entry.key == "data.train_splits":
        return st.sampled_from([("train",), ("validation", "train"), ("train", "validation")])
    if entry.key == "data.ignore_labels":
        return st.lists(st.sampled_from(CLASSES), max_size=18, unique=True).map(tuple)
    if entry.key == "model.weights_bands":
        return st.sampled_from([None, "rgb", "B02,B03"])
    return st.one_of([_of_kind(entry, kind) for kind in entry.kinds])


def _of_kind(entry: Entry, kind: Any) -> st.SearchStrategy[Any]:
    option = entry.option
    if get_origin(kind) is tuple:
        return st.tuples(*[_of_kind(entry, part) for part in get_args(kind)]).map(sorted).map(tuple)
    if kind is float:
        low, high = option.above, option.below
        return st.floats(
            option.at_least if low is None else low,
            option.at_most if high is None else high,
            exclude_min=low is not None,
            exclude_max=high is not None,
            allow_nan=False,
            allow_infinity=False,
        )
    if kind is int:
        assert option.at_least is not None
        return st.integers(int(option.at_least), None if option.at_most is None else int(option.at_most))
    known = {NoneType: st.none(), bool: st.booleans(), str: _TEXT, Path: _TEXT.map(Path)}
    return known[kind] if kind in known else st.sampled_from(get_args(kind))


@st.composite
def configurations(draw: st.DrawFn) -> TrainConfig:
    """Return configurations."""
    values = {key: draw(values_of(entry)) for key, entry in OPTIONS.items()}
    if values["data.classes"] != len(CLASSES):
        names = st.lists(st.sampled_from(NOMENCLATURES[values["data.classes"]].names), max_size=18, unique=True)
        values |= {"data.ignore_labels": tuple(draw(names)), "model.weights_classes": None}
    if values["model.weights"] is None:
        values |= {"model.weights_bands": None, "model.weights_classes": None}
    else:
        values["model.pretrained"] = False
    if "validation" in values["data.train_splits"]:
        values["data.validation"] = False
    if values["optimisation.loss"] != "bce":
        values["optimisation.positive_weights"] = False
    return TrainConfig.from_values(values)
