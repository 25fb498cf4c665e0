"""Records that stay on the device, and the loader that feeds Triton's kernels from them.

There is no GPU: kernels run in Triton's interpreter, and records are decoded on the host in place of `unpack`, which
has tests of its own.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

import shards
from shards import CorruptShard, Store
from shards.codec.bitpack.decoder import COEFFICIENTS, decode
from shards.testing.stores import make_store
from tests.support.data import faults
from tests.support.examples import examples
from tests.trainer.data.prepare.interpreter import interpreted
from tests.trainer.data.records import NOTHING, host_batch, random_records
from trainer.data.batch import HostBatch
from trainer.data.device.on_device import gather
from trainer.data.device.records import DecodedRecords, EncodedRecords
from trainer.data.loader import Loader
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.triton import images
from trainer.data.prepare.triton.images import ImageKernel
from trainer.data.stream import cache
from trainer.definition.augmentation import RECIPES
from trainer.errors import TrainError

CPU = torch.device("cpu")
ROWS = np.arange(3, 60, 2)
RECORDS = random_records(60)
ENCODED = [np.random.default_rng(i).bytes(1 + i % 7) for i in range(60)]


@st.composite
def visits(draw: st.DrawFn) -> list[NDArray[np.int64]]:
    """Batches of rows, some of them again, and a stand-in that another batch has too."""
    return draw(st.lists(st.lists(st.sampled_from(ROWS.tolist()), min_size=1, max_size=9).map(np.array), max_size=8))


def read(rows: NDArray[np.int64], held: NDArray[np.bool_], *, encoded: bool) -> HostBatch:
    """Return the host batch of some rows that the reading thread makes."""
    batch = replace(host_batch(RECORDS[rows], NOTHING), rows=rows, held=held)
    if not encoded:
        return replace(batch, buffer=np.concatenate([RECORDS[rows[held]], RECORDS[:1]]))
    chosen = [ENCODED[row] for row in rows[held]]
    lengths = np.array([len(data) for data in chosen], np.int64)
    return replace(batch, buffer=np.frombuffer(b"".join(chosen) + b"rest", np.uint8).copy(), lengths=lengths)


@examples(60)
@given(visits(), st.integers(0, 3))
def test_records_are_found_again(batches: list[NDArray[np.int64]], ahead: int) -> None:
    """A patch is trained on with the pixels of another one, or memory is written beyond its end."""
    lengths = np.array([len(ENCODED[row]) for row in ROWS])
    kept = DecodedRecords(ROWS, CPU), EncodedRecords(ROWS, lengths, CPU)
    queue: list[list[HostBatch]] = []
    for rows in [*batches, *[None] * (ahead + 1)]:
        # The thread that reads is ahead of the one that prepares: a row may come twice before it is there.
        if rows is not None:
            queue.append([read(rows, records.missing(rows), encoded=i > 0) for i, records in enumerate(kept)])
        if queue and (rows is None or len(queue) > ahead):
            for records, host in zip(kept, queue.pop(0), strict=True):
                records.put(host)
                assert not records.missing(host.rows).any()
                where = records.where(host.rows)
                if isinstance(records, DecodedRecords):
                    np.testing.assert_array_equal(gather(where), RECORDS[host.rows])
                else:
                    found = [
                        where.arena[begin : begin + length].numpy().tobytes()
                        for begin, length in zip(where.begins, where.lengths, strict=True)
                    ]
                    assert found == [ENCODED[row] for row in host.rows]


@pytest.fixture
def triton_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loaders take Triton on the CPU."""
    monkeypatch.setattr("trainer.data.prepare.backend._check_triton", lambda device: None)
    monkeypatch.setattr("trainer.data.prepare.triton.preparation.unpack", _unpack)
    monkeypatch.setattr(
        "trainer.data.prepare.triton.preparation.ImageKernel", lambda *how: ImageKernel(*how, tile=4096)
    )
    with interpreted(images):
        yield


def _unpack(arena: Tensor, begins: Tensor, lengths: Tensor, out: Tensor) -> None:
    for i, (begin, length) in enumerate(zip(begins.tolist(), lengths.tolist(), strict=True)):
        assert decode(arena[begin : begin + length].numpy(), out[i].numpy())


def make_loader(store: Store, **options: Any) -> Loader:
    """Return a loader of batches of three patches in native resolution."""
    config = LoaderConfig(batch_size=3, device=CPU, layout="native", augmentation=RECIPES["strong"])
    norm = Normalisation.of_train_split(store.manifest)
    return Loader(store, store.index.rows("train"), norm, replace(config, **options))


@pytest.mark.long
@pytest.mark.parametrize("codec", ["bitpack", "blosc-lz4"])
@pytest.mark.parametrize(
    "tier", ["ram", "gpu-encoded", *(pytest.param(tier, marks=pytest.mark.long) for tier in ("none", "gpu"))]
)
def test_triton_prepares_what_torch_does(
    packed: Path, tmp_path: Path, triton_on_the_cpu: None, tier: cache.Tier, codec: str
) -> None:
    """Encoded records of a batch are mixed up, or later epochs still read what is on the device already."""
    folder = make_store(tmp_path / "store", {"train": 5}, codec=codec) if codec != "bitpack" else packed
    folder = faults.copy(folder, tmp_path / "copy")
    with shards.open(folder, num_threads=2) as store, make_loader(store, loader="torch") as torchs:
        if tier == "gpu-encoded" and codec != "bitpack":
            with pytest.raises(
                TrainError, match="bitpack decoded by Triton, and these are blosc-lz4 prepared by triton"
            ):
                make_loader(store, loader="triton", cache=tier)
            return
        with make_loader(store, loader="triton", cache=tier) as tritons:
            assert tritons.backend == "triton"
            expected = [list(torchs), list(torchs)]
            for epoch, batches in enumerate(expected):
                found = list(tritons)
                assert len(found) == len(batches) > 1
                for ours, theirs in zip(found, batches, strict=True):
                    assert ours.keys() == theirs.keys()
                    for name, values in theirs.items():
                        assert torch.equal(ours[name], values), f"{name} of epoch {epoch}"
                if tier != "none":
                    for path in folder.glob("*.tar"):
                        path.write_bytes(b"")


@pytest.mark.parametrize("change", ["bit", "width"])
def test_damage_is_found_before_the_device_decodes(
    packed: Path, tmp_path: Path, triton_on_the_cpu: None, change: str
) -> None:
    """A record that is damaged goes into training, or the error does not say which one it is."""
    folder = faults.copy(packed, tmp_path / "store")
    with shards.open(folder) as store:
        row = 4
        path = folder / store.manifest.shards[0].files[0].path
        offset = int(store.index.column("s2_offset")[row])
        faults.flip_bit(path, offset + (COEFFICIENTS if change == "width" else 9000))
        # A width that is wrong is found without checksums.
        loader = make_loader(
            store, loader="triton", order="sequential", verify="never" if change == "width" else "first"
        )
        what = "holds" if change == "width" else "has CRC-32C"
        seen: list[int] = []
        with loader, pytest.raises(CorruptShard, match=rf"{path.name}: the record of {store.index.key(row)} {what}"):
            seen.extend(len(batch["label"]) for batch in loader)
        assert seen == [3]


def test_triton_is_refused_on_a_cpu(packed: Path) -> None:
    """The refusal gives no reason, or everything is computed by an interpreter."""
    with (
        shards.open(packed) as store,
        pytest.raises(TrainError, match=r"^loader triton is for a GPU, not for cpu; use `loader=auto`$"),
    ):
        make_loader(store, loader="triton")
