"""Pieces of a tar in memory that workers see: what a batch says lies there until it is released, and then no longer."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigearth_pipeline.build.archive import memory as memory_module
from bigearth_pipeline.build.archive.batches import batches
from bigearth_pipeline.build.archive.encode import Batch
from bigearth_pipeline.build.archive.memory import Memory, Stopped
from bigearth_pipeline.source.archive import gather
from bigearth_pipeline.source.archive.ahead import ahead
from bigearth_pipeline.source.archive.compression import tar_chunks
from bigearth_pipeline.source.archive.gather import Gatherer, Ready
from bigearth_pipeline.source.archive.members import TarReader
from shards.layout.bands import BANDS
from tests.support.data.archives import member, tar_of

PRODUCT = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"


def _tar(number: int, chance: random.Random) -> tuple[bytes, dict[str, list[bytes]]]:
    """Return a tar of patches, some in another order than usual, and the contents of each in record order."""
    files, contents = [], {}
    for patch in range(number):
        key = f"{PRODUCT}_{patch}_7"
        content = [chance.randbytes(chance.randrange(1, 900)) for _ in BANDS]
        contents[key] = content
        members = [
            member(f"top/{PRODUCT}/{key}/{key}_{band}.tif", data) for band, data in zip(BANDS, content, strict=True)
        ]
        if chance.random() < 0.2:
            chance.shuffle(members)
        if chance.random() < 0.1:
            members.insert(chance.randrange(12), member(f"top/{PRODUCT}/{key}/note.txt", b"x"))
        files += members
    return tar_of(files), contents


def _read(batch: Batch) -> Iterator[tuple[str, list[bytes]]]:
    """Return the contents of the patches of a batch as a worker finds them."""
    data = Path(batch.memory).read_bytes()
    for patch in batch.patches:
        pairs = zip(patch.bounds[::2], patch.bounds[1::2], strict=True)
        yield patch.folder.rpartition("/")[2], [data[patch.begin + a : patch.begin + b] for a, b in pairs]


@settings(max_examples=25)
@given(
    st.integers(1, 60), st.sampled_from([4096, 20_000, 70_000, 1 << 20]), st.integers(0, 6), st.sampled_from([0, 1000]),
    st.integers(1, 3), st.integers(0, 2**32),
)  # fmt: skip
def test_batches_hold_the_patches_of_the_tar(
    tmp_path_factory: pytest.TempPathFactory, number: int, room: int, late: int, compiled: int, archives: int,
    seed: int,
) -> None:  # fmt: skip
    """A piece is overwritten while its batch is read, a patch in two pieces is lost, or the pass waits for ever."""
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    chance = random.Random(seed)
    tar, contents = _tar(number, chance)
    path.write_bytes(tar)
    found: dict[str, list[bytes]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory_module, "_ROOM", room)
        patch.setattr(memory_module, "_FIRST_ROOM", room // 4)
        patch.setattr(gather, "COMPILED_AFTER", compiled)
        memory = Memory()

        def ready() -> Iterator[Ready]:
            for archive in range(archives):
                gatherer = Gatherer("v2", lambda key: True, (), path.with_name("waiting"))
                with open(path, "rb") as raw, ahead(tar_chunks(raw, "a.tar", rooms=memory), memory.stop) as pieces:
                    yield from gatherer.read(TarReader(memory.read_in_turn(pieces), "a.tar"), str(archive))

        under_way: list[Batch] = []
        for batch in batches(ready(), memory):
            under_way.append(batch)
            if len(under_way) > late:
                done = under_way.pop(chance.randrange(len(under_way)))
                found.update(_read(done))
                memory.release(done.memory)
        for batch in under_way:
            found.update(_read(batch))
            memory.release(batch.memory)
    assert found == contents
    assert not memory._pieces
    assert not memory._copies
    assert memory._num_unread == 0
    memory.close()


def test_memory_is_bounded_where_the_reader_is_slow() -> None:
    """A decompressor that is faster than what follows fills the memory of the machine."""
    memory = Memory()
    rooms = [memory.take() for _ in range(4)]
    more = threading.Thread(target=lambda: rooms.append(memory.take()))
    more.start()
    more.join(0.2)
    assert more.is_alive()
    memory.give_back(rooms[0])
    more.join(30)
    assert len(rooms) == 5
    memory.close()


def test_a_wait_for_memory_ends_with_the_pass() -> None:
    """After an error the thread of the decompressor waits for ever for a piece to be read."""
    memory = Memory()
    for _ in range(4):
        memory.take()
    ended: list[Stopped] = []

    def wait() -> None:
        try:
            memory.take()
        except Stopped as err:
            ended.append(err)

    thread = threading.Thread(target=wait)
    thread.start()
    memory.stop()
    thread.join(30)
    assert len(ended) == 1
    memory.close()
