"""Batches that Triton's kernels make, on a GPU that is not there: devices agree, and nothing waits.

The kernels themselves are not run: what they are launched with is looked at.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import shards
from shards.testing.stores import make_store
from tests.trainer.fake_gpu import DEVICE, fake_gpu
from trainer.data.batch import Layout
from trainer.data.loader import Loader
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.triton import images, unpack
from trainer.data.stream import cache
from trainer.definition.augmentation import RECIPES

LAYOUTS: tuple[Layout, ...] = ("stacked", "native")


class Kernel:
    """Stands for a kernel; notes each launch by its name."""

    def __init__(self, name: str, launched: list[str]) -> None:
        self._name, self._launched = name, launched

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        """Return what launches it."""
        assert all(size > 0 for size in grid)
        return self._launch

    def _launch(self, *arguments: Tensor | None, **constants: Any) -> None:
        for tensor in arguments:
            if tensor is not None:
                assert tensor.device == DEVICE
                assert tensor.is_contiguous()
        self._launched.append(self._name)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the kernels that were launched."""
    names: list[str] = []
    for module, name in ((images, "_images"), (unpack, "_find_lines"), (unpack, "_restore")):
        monkeypatch.setattr(module, name, Kernel(name, names))
    return names


@pytest.mark.product
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    ("codec", "tier"), [("bitpack", "none"), ("bitpack", "gpu"), ("bitpack", "gpu-encoded"), ("raw", "gpu")]
)
def test_batches_are_made_without_waiting(
    tmp_path: Path, launched: list[str], monkeypatch: pytest.MonkeyPatch, layout: Layout, recipe: str, codec: Any,
    tier: cache.Tier,
) -> None:  # fmt: skip
    """A kernel reads host memory, places of records are looked at by the host, or records are decoded once more."""
    with shards.open(make_store(tmp_path / "store", {"train": 7}, codec=codec)) as store, fake_gpu(monkeypatch):
        config = LoaderConfig(
            batch_size=3, device=DEVICE, layout=layout, augmentation=RECIPES[recipe], loader="triton", cache=tier
        )
        norm = Normalisation.of_train_split(store.manifest)
        with Loader(store, store.index.rows("train"), norm, config) as loader:
            for epoch in range(2):
                launched.clear()
                sizes = []
                for batch in loader:
                    sizes.append(len(batch["label"]))
                    for values in batch.values():
                        assert values.device == DEVICE
                        assert len(values) == sizes[-1]
                        if values.ndim == 4:
                            assert values.dtype is torch.float16
                            assert values.is_contiguous(memory_format=torch.channels_last)
                assert sizes == [3, 3, 1]
                num_images = 1 if layout == "stacked" else 3
                # Decoded records that are kept come once, in however many runs a batch has them.
                decodes = codec == "bitpack" and not (tier == "gpu" and epoch > 0)
                assert launched.count("_images") == 3 * num_images
                assert launched.count("_find_lines") == launched.count("_restore")
                assert bool(launched.count("_restore")) == decodes
                if tier in ("none", "gpu-encoded"):
                    assert launched.count("_restore") == 3


def test_tables_and_memory_are_there_before_other_streams_use_them(
    tmp_path: Path, launched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch is made with constants that are still on their way, or from memory that others still write to."""
    told: list[tuple[str, ...]] = []

    class Stream:
        """Notes what is asked of it."""

        def __init__(self, device: Any = None) -> None:
            told.append(("stream",))

        def synchronize(self) -> None:
            told.append(("finish",))

        def wait_stream(self, other: Any) -> None:
            told.append(("wait", other))

    with shards.open(make_store(tmp_path / "store", {"train": 2}, codec="raw")) as store, fake_gpu(monkeypatch):
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "current")
        config = LoaderConfig(batch_size=2, device=DEVICE, loader="triton", cache="gpu")
        Loader(store, store.index.rows("train"), Normalisation.of_train_split(store.manifest), config)
    # The stream of the kernels' tables, then that on which all batches are made.
    assert told == [("stream",), ("finish",), ("stream",), ("wait", "current")]
