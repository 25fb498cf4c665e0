"""The loader and the cache that a run on a GPU takes, by itself and as told."""

import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import shards
from shards import RECORD_VALUES
from shards.testing.stores import make_store
from trainer.config.given import Given
from trainer.data.normalisation import Normalisation
from trainer.data.prepare import leads
from trainer.data.prepare.backend import Images
from trainer.data.prepare.leads import Measurement, Rate
from trainer.data.stream import cache
from trainer.definition.augmentation import RECIPES
from trainer.definition.choices import Backend
from trainer.errors import TrainError
from trainer.training.session import Session

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)


def test_crops_with_bilinear_pixels_need_triton_only_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Triton a run by DALI ends in an ImportError, or `auto` takes what cannot make the images."""
    # What an import without Triton comes to, without a second copy of our modules.
    monkeypatch.setitem(sys.modules, "trainer.data.prepare.triton.preparation", None)
    blended = replace(images_on(CUDA), interpolation="bilinear", augmentation=RECIPES["strong"])
    with pytest.raises(
        TrainError, match=r"^loader dali .*install it, or use `interpolation=nearest` or `loader=torch`$"
    ):
        blended.by("dali")
    assert blended.resolve("auto") == "torch"
    assert replace(blended, device=CPU).resolve("dali") == "dali"
    assert replace(blended, interpolation="nearest").resolve("auto") == "dali"
    assert replace(blended, augmentation=RECIPES["standard"]).resolve("auto") == "dali"
    monkeypatch.undo()
    assert blended.resolve("auto") == "dali"


def images_on(device: torch.device) -> Images:
    """Return how images are to be made on a device."""
    norm = Normalisation.standard(("B02",), (0.0,), (1.0,))
    return Images(
        normalisation=norm, batch_size=1, device=device, num_threads=1, layout="native", interpolation="nearest",
        augmentation=RECIPES["none"],
    )  # fmt: skip


def measured(card: str, triton: float, dali: float, spread: float = 10.0) -> Measurement:
    """Return a measurement of both loaders."""
    rates = (Rate(median=median, spread=spread, repeats=5) for median in (triton, dali))
    return Measurement(card=card, record="none.json", triton=next(rates), dali=next(rates))


@pytest.mark.parametrize(
    ("measurements", "expected"),
    [
        ((), "dali"),
        ([measured("H200", 200, 100)], "dali"),
        ([measured("H100", 200, 100)], "triton"),
        ([measured("H100", 119, 100)], "dali"),
        ([measured("H100", 100, 200)], "dali"),
        ([measured("H100", 200, 100), measured("H100", 100, 100)], "dali"),
    ],
)
def test_auto_takes_triton_where_it_was_measured_to_be_ahead(
    monkeypatch: pytest.MonkeyPatch, measurements: list[Measurement], expected: str
) -> None:
    """A card changes its loader without a measurement, by one of another card, or by noise."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H100")
    monkeypatch.setattr(leads, "MEASUREMENTS", tuple(measurements))
    assert images_on(CUDA).resolve("auto") == expected
    assert images_on(CPU).resolve("auto") == "numba"
    assert images_on(CUDA).resolve("triton") == "triton"


def test_no_lead_is_recorded_without_repeats() -> None:
    """One fast pass decides what everybody trains with."""
    with pytest.raises(ValueError, match="at least 3 passes"):
        Rate(median=100, spread=0, repeats=2)
    assert leads.MEASUREMENTS == ()


def test_records_on_the_device_go_to_triton_or_torch() -> None:
    """A loader that cannot take them is ignored in silence."""
    assert images_on(CUDA).resolve_on_device("auto") == "triton"
    assert images_on(CPU).resolve_on_device("auto") == "torch"
    assert images_on(CUDA).resolve_on_device("torch") == "torch"
    with pytest.raises(TrainError, match="by Triton or torch, not by dali"):
        images_on(CUDA).resolve_on_device("dali")


@pytest.mark.parametrize(
    ("codec", "free", "decodes", "tier", "reason"),
    [
        ("bitpack", 1.0, True, "gpu", "of records fit"),
        ("bitpack", 0.999, True, "gpu-encoded", "of records are too much for .*, but .* of encoded ones fit"),
        ("bitpack", 0.999, False, "ram", "decoded by Triton only; .* of encoded records fit into"),
        ("blosc-lz4", 0.999, True, "ram", "blosc-lz4 is not decoded there, as bitpack is; .* fit into"),
        ("bitpack", 0.2, True, "ram", "and so are .* of encoded ones; .* fit into"),
    ],
)
def test_auto_chooses_from_free_memory(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, free: float, decodes: bool,
    tier: cache.Tier, reason: str,
) -> None:  # fmt: skip
    """Records that fit are read anew in every epoch, or those that do not fit end the run."""
    folder = packed if codec == "bitpack" else make_store(tmp_path / "store", {"train": 7}, codec=codec)
    monkeypatch.setattr(cache, "file_system", lambda folder: "ext4")
    with shards.open(folder) as store:
        rows = store.index.rows("train")
        needed = len(rows) * 2 * RECORD_VALUES / cache.SHARE_OF_GPU
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(np.ceil(free * needed)), 10**12))
        found = cache.plan(store, {"train": rows}, CUDA, decodes=decodes, on_device=True)["train"]
        assert found.tier == tier
        assert re.search(reason, found.reason), found.reason


@pytest.mark.parametrize(
    ("asked", "backend", "free", "tier", "note"),
    [
        ("gpu", "auto", 1.0, "gpu", "cache gpu for train: .* of records fit into"),
        ("gpu", "triton", 0.9, "gpu-encoded", "cache gpu-encoded for train: .* of encoded ones fit"),
        ("gpu", "auto", 0.1, "gpu-encoded", "as asked for, although .* of records are too much"),
        ("gpu", "torch", 0.9, "gpu", "as asked for, although .* by Triton only"),
        ("auto", "dali", 1.0, "ram", "cache ram for train: .* of encoded records fit into the memory that is free"),
        ("auto", "auto", 0.9, "gpu-encoded", "cache gpu-encoded for train"),
    ],
)
def test_a_run_takes_what_it_was_told(
    packed: Path, monkeypatch: pytest.MonkeyPatch, asked: str, backend: Backend, free: float, tier: cache.Tier,
    note: str,
) -> None:  # fmt: skip
    """A cache that somebody chose is silently replaced, or ends in a lack of memory that could be avoided."""
    notes: list[str] = []
    with shards.open(packed) as store:
        rows = store.index.rows("train")
        needed = len(rows) * 2 * RECORD_VALUES / cache.SHARE_OF_GPU
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(np.ceil(free * needed)), 10**12))
        session = SimpleNamespace(
            rows={"train": rows}, store=store, config=SimpleNamespace(machine=SimpleNamespace(cache=asked)),
            ranks=SimpleNamespace(device=CUDA), progress=SimpleNamespace(say=notes.append), tiers={}, given=Given(),
        )  # fmt: skip
        session._plan_tiers = partial(Session._plan_tiers, session)
        assert Session._tier(session, "train", backend) == tier
    assert re.search(note, notes[0]), notes


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
# All fit encoded, and the first one decoded, too, if nothing is left for the second one.
@example(free=1.1, counts=[5, 5], decodes=True)
@given(free=st.floats(0, 3), counts=st.lists(st.integers(1, 9), min_size=1, max_size=3), decodes=st.booleans())
def test_all_splits_together_keep_to_their_share(
    packed: Path, monkeypatch: pytest.MonkeyPatch, free: float, counts: list[int], decodes: bool
) -> None:
    """Two splits that are each within the share leave no memory for the network."""
    with shards.open(packed) as store:
        rows = {f"split {i}": np.resize(store.index.rows("train"), count) for i, count in enumerate(counts)}
        size = int(free * 2 * RECORD_VALUES * sum(counts))
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (size, 10**12))
        found = cache.plan_gpu(store, rows, CUDA, decodes=decodes)
        forms = {
            "none": lambda some: 0,
            "gpu": lambda some: 2 * RECORD_VALUES * len(some),
            "gpu-encoded": store.encoded_bytes,
        }
        taken = sum(forms[choice.tier](rows[split]) for split, choice in found.items())
        assert taken <= cache.SHARE_OF_GPU * size
        least = [min(forms["gpu"](some), store.encoded_bytes(some) if decodes else 10**12) for some in rows.values()]
        if sum(least) <= cache.SHARE_OF_GPU * size:
            assert all(choice.tier != "none" for choice in found.values())
        assert decodes or all(choice.tier != "gpu-encoded" for choice in found.values())


def test_a_run_by_dali_is_told_what_else_to_take(packed: Path) -> None:
    """A run prepares its batches by something else than it was told."""
    with shards.open(packed) as store:
        session = SimpleNamespace(
            rows={"train": store.index.rows("train")}, store=store,
            config=SimpleNamespace(machine=SimpleNamespace(cache="gpu")), ranks=SimpleNamespace(device=CUDA), tiers={},
            given=Given(),
        )  # fmt: skip
        session._plan_tiers = partial(Session._plan_tiers, session)
        with pytest.raises(TrainError, match="and this run by dali; take `cache=ram`, or `loader=triton` or torch"):
            Session._tier(session, "train", "dali")
