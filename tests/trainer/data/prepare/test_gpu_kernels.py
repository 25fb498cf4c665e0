"""Triton's kernels on a GPU: against the reference and DALI there, and as the loader uses them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import shards
from shards.codec.bitpack.encoder import encode
from shards.layout.bands import RECORD_VALUES
from shards.testing.stores import make_store
from tests.support.data import bitpack_reference, faults
from tests.support.data.bitpack_reference import any_encoding
from tests.trainer.data.records import NOTHING, host_batch, percentile, random_records, standard
from trainer.data.augment.draw import draw
from trainer.data.bands import BAND_SETS
from trainer.data.batch import Batch, Draws, Layout
from trainer.data.device.transfer import send
from trainer.data.loader import Loader
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.dali.pipeline import DaliPreparation
from trainer.data.prepare.reference import TorchPreparation, prepare
from trainer.data.prepare.triton.images import Drawn, ImageKernel, drawn_arrays
from trainer.data.prepare.triton.preparation import TritonPreparation
from trainer.data.prepare.triton.unpack import unpack
from trainer.data.stream import cache
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.choices import INTERPOLATIONS, Interpolation

pytestmark = pytest.mark.gpu

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
LAYOUTS: tuple[Layout, ...] = ("stacked", "native")
EVERYTHING = Augmentation(
    "d4", "pad", gain=0.3, offset=0.3, band_dropout=0.3, erase=0.7, mixup=0.4, cutmix=1.0, crop_pad=9
)
AUGMENTATIONS = {**RECIPES, "everything": EVERYTHING}


def drawn(draws: Draws) -> Drawn:
    """Return draws as the kernel takes them."""
    return Drawn.of(send(drawn_arrays(draws), GPU))


CASES = [
    (recipe, layout, how, bands, clamp, dtype)
    for i, recipe in enumerate(AUGMENTATIONS)
    for j, layout in enumerate(LAYOUTS)
    for k, how in enumerate(INTERPOLATIONS)
    for m, bands in enumerate(("all", "rgb-swir"))
    for clamp in (False, True)
    for o, dtype in enumerate((torch.float32, torch.float16))
    # A quarter of all cases, with each pair of choices: every case compiles one to three kernels, of a second each.
    if (i + k + m + clamp) % 2 == 0 and (i + j + m + o) % 2 == 0
]


@pytest.mark.parametrize(("recipe", "layout", "how", "bands", "clamp", "dtype"), CASES)
def test_bits_equal_those_of_the_reference(
    recipe: str, layout: Layout, how: Interpolation, bands: str, clamp: bool, dtype: torch.dtype
) -> None:
    """The compiled kernel differs from the one that the interpreter ran, in either type."""
    norm = (percentile if clamp else standard)(BAND_SETS[bands])
    for n in (1, 9):
        records = torch.from_numpy(random_records(n, high=65_536))
        draws = draw(AUGMENTATIONS[recipe], np.arange(n), len(norm.bands), 0, 0)
        # The reference rounds to float16 on a GPU only.
        expected = prepare(records if dtype is torch.float32 else records.to(GPU), draws, norm, layout, how)
        found = ImageKernel(norm, layout, GPU, how, dtype=dtype)(records.to(GPU), drawn(draws))
        assert found.keys() == expected.keys()
        for name, image in expected.items():
            assert found[name].dtype == dtype
            assert found[name].is_contiguous(memory_format=torch.channels_last)
            differing = int((found[name].cpu() != image.cpu()).sum())
            assert differing == 0, f"{name}: {differing} values"


def test_bfloat16_is_rounded_once() -> None:
    """Images are cut off in place of rounded."""
    records, norm = torch.from_numpy(random_records(4, high=65_536)), standard()
    found = ImageKernel(norm, "stacked", GPU, dtype=torch.bfloat16)(records.to(GPU), Drawn())["image"]
    assert torch.equal(found.cpu(), prepare(records, NOTHING, norm, "stacked")["image"].bfloat16())


@pytest.mark.parametrize("recipe", AUGMENTATIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_batches_equal_those_of_dali_and_torch(layout: Layout, recipe: str) -> None:
    """A run by Triton trains on other batches than one by DALI."""
    options: dict[str, Any] = {"layout": layout, "augmentation": AUGMENTATIONS[recipe]}
    options |= {"batch_size": 9, "device": GPU, "num_threads": 2}
    draws = draw(AUGMENTATIONS[recipe], np.arange(9), 12, 0, 0)
    host = host_batch(random_records(9), draws)
    found: list[Batch] = []
    for preparation in (TritonPreparation, DaliPreparation, TorchPreparation):
        (prepared,) = preparation(standard(), **options).run([host])
        assert prepared.done is not None
        prepared.done.synchronize()
        found.append(prepared.batch)
    for name, tensor in found[0].items():
        assert torch.equal(tensor, found[2][name]), name
        # DALI multiplies by a reciprocal; mixing rounds patches, shares and results.
        torch.testing.assert_close(tensor.float(), found[1][name].float(), rtol=2e-3, atol=2e-2, msg=name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_records_by_dali_give_the_same_bits(layout: Layout) -> None:
    """The kernel reads records that DALI has not copied yet, or already overwrites with those of a later batch."""
    options: dict[str, Any] = {"batch_size": 64, "device": GPU, "num_threads": 2, "layout": layout}
    options |= {"interpolation": "bilinear", "augmentation": RECIPES["strong"]}
    made = [
        host_batch(random_records(n, seed=i), draw(RECIPES["strong"], np.arange(n), 12, i, 0), 100 * i)
        for i, n in enumerate([64] * 8 + [7])
    ]
    found = list(DaliPreparation(standard(), **options).run(made))
    for ours, theirs in zip(found, TorchPreparation(standard(), **options).run(made), strict=True):
        torch.cuda.synchronize()
        for name, tensor in theirs.batch.items():
            assert torch.equal(ours.batch[name], tensor), name


def test_records_are_taken_from_a_cache_of_more_than_two_billion_values() -> None:
    """A place is computed in 32 bits."""
    records, norm = random_records(3), standard()
    places = np.array([26_999, 3, 26_998])
    kept = torch.empty((27_000, RECORD_VALUES), dtype=torch.uint16, device=GPU)
    for place, record in zip(places, records, strict=True):
        kept[place].copy_(torch.from_numpy(record))
    found = ImageKernel(norm, "stacked", GPU, dtype=torch.float32)(kept, Drawn(), torch.from_numpy(places).to(GPU))
    assert torch.equal(found["image"].cpu(), prepare(torch.from_numpy(records), NOTHING, norm, "stacked")["image"])


def unpacked(encoded: list[bytes], guard: bytes = b"\xa5" * 61) -> Any:
    """Decode records that lie at odd places of an arena."""
    begins = [len(guard) + sum(len(data) + len(guard) for data in encoded[:i]) for i in range(len(encoded))]
    arena = torch.frombuffer(bytearray(guard + b"".join(data + guard for data in encoded)), dtype=torch.uint8)
    out = torch.zeros((len(encoded), RECORD_VALUES), dtype=torch.uint16, device=GPU)
    lengths = torch.tensor([len(data) for data in encoded], device=GPU)
    unpack(arena.to(GPU), torch.tensor(begins, device=GPU), lengths, out)
    return out.cpu().numpy()


def test_bitpack_is_decoded_as_specified() -> None:
    """The device decodes other pixels than the host, for some width, coefficient or extreme value."""
    ranges = [(0, 15), (0, 0), (14, 15), (1, 3), (5, 12)] * 3
    encoded = [any_encoding(np.random.default_rng(i), low, high) for i, (low, high) in enumerate(ranges)]
    np.testing.assert_array_equal(unpacked(encoded), [bitpack_reference.decode(data) for data in encoded])
    records = np.concatenate([random_records(40, high=h) for h in (2, 300, 65_536)])
    records[::7, ::11] = 65_535
    np.testing.assert_array_equal(unpacked([encode(record) for record in records]), records)


def test_a_record_that_lies_about_its_length_reads_nothing_else() -> None:
    """Damage that nobody checked makes the device read beyond the record, and ends the process."""
    data = any_encoding(np.random.default_rng(2), 0, 3)
    wide = data[:22] + b"\xff" * 5000 + data[5022:]
    np.testing.assert_array_equal(unpacked([wide]), unpacked([wide], b"\x77" * 200_001))


@pytest.mark.parametrize("codec", ["bitpack", "raw"])
@pytest.mark.parametrize("tier", ["none", "ram", "gpu", "gpu-encoded"])
@pytest.mark.parametrize("recipe", ["standard", "strong"])
def test_loaders_give_the_same_batches(tmp_path: Path, tier: cache.Tier, codec: str, recipe: str) -> None:
    """Records in device memory are mixed up, used before they are there, or later epochs still read."""
    if tier == "gpu-encoded" and codec != "bitpack":
        pytest.skip("only bitpack is decoded on the device")
    folder = make_store(tmp_path / "store", {"train": 301}, codec=codec)
    copy = faults.copy(folder, tmp_path / "copy")
    config = LoaderConfig(batch_size=64, device=GPU, augmentation=RECIPES[recipe], loader="torch")
    with shards.open(folder) as store, shards.open(copy) as copied:
        norm, rows = Normalisation.of_train_split(store.manifest), store.index.rows("train")
        with (
            Loader(store, rows, norm, config) as torchs,
            Loader(copied, rows, norm, replace(config, loader="triton", cache=tier)) as tritons,
        ):
            for epoch in range(3):
                for ours, theirs in zip(tritons, torchs, strict=True):
                    assert ours.keys() == theirs.keys()
                    for name, values in theirs.items():
                        assert torch.equal(ours[name], values), f"{name} of epoch {epoch}"
                if tier != "none":
                    for path in copy.glob("*.tar"):
                        path.write_bytes(b"")
