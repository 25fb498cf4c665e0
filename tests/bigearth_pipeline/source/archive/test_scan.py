"""Whole patches that compiled code finds: the same as one member after the other."""

import sys
import tarfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.archive import gather
from bigearth_pipeline.source.archive.headers import BLOCK
from bigearth_pipeline.source.archive.members import TarReader
from bigearth_pipeline.source.archive.scan import Outcome, WholePatch, find_patch
from bigearth_pipeline.source.tiff.names import USUAL_SUFFIXES
from shards.layout.bands import BANDS
from tests.support.data.archives import member, tar_of

PRODUCT = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"
_SORTED = tuple(sorted(BANDS))
_STYLES = [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT]


@cache
def _patch(
    above: str, key: str, style: int = tarfile.GNU_FORMAT, bands: tuple[str, ...] = _SORTED, has_folder: bool = True
) -> bytes:
    """Return the members of a patch, and of its folder, as `tar --sort=name` writes them."""
    folder = f"{above}{key}"
    files = [member(f"{folder}/{key}_{band}.tif", f"{key} {band} {i}".encode() * 9) for i, band in enumerate(bands)]
    return tar_of([member(folder, type=tarfile.DIRTYPE)] * has_folder + files, style).rstrip(b"\0")


def _joined(patches: Sequence[bytes]) -> bytes:
    return b"".join(patch + bytes(-len(patch) % BLOCK) for patch in patches) + bytes(2 * BLOCK)


def _gathered(tar: bytes, piece: int, compiled_after: int, work: Path) -> Any:
    """Return all that is found in a tar, or the error."""
    chunks = iter([memoryview(tar[i : i + piece]) for i in range(0, len(tar), piece)])
    gatherer = gather.Gatherer("v2", lambda key: not key.endswith("_9"), {"a.tar/stored"}, work / "waiting")
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "COMPILED_AFTER", compiled_after)
        try:
            for ready in gatherer.read(TarReader(chunks, "a.tar"), "a.tar"):
                key = ready.folder.rpartition("/")[2]
                names = ready.names or tuple(key + suffix for suffix in USUAL_SUFFIXES)
                pairs = zip(ready.bounds[::2], ready.bounds[1::2], strict=True)
                found.append((ready.folder, names, [bytes(ready.content[begin:end]) for begin, end in pairs]))
            gatherer.finish()
        except PipelineError as err:
            return found, str(err)
    facts = gatherer.facts
    folders = facts.folders
    return found, folders._below, folders._files, folders._marked, facts.faults, facts.num_skipped, facts.skipped


def _assert_same(tar: bytes, piece: int, work: Path) -> Any:
    usual = _gathered(tar, piece, sys.maxsize, work)
    assert _gathered(tar, piece, 0, work) == usual
    return usual


@pytest.mark.parametrize(
    ("above", "key", "style"),
    [
        (f"BigEarthNet-S2/{PRODUCT}/", f"{PRODUCT}_26_57", tarfile.GNU_FORMAT),
        ("BigEarthNet-v1.0/", f"{PRODUCT[:26]}_26_57", tarfile.GNU_FORMAT),
        ("BigEarthNet-v1.0/", f"{PRODUCT[:26]}_26_57", tarfile.USTAR_FORMAT),
        ("", "k", tarfile.GNU_FORMAT),
    ],
)
def test_a_usual_patch_is_found(above: str, key: str, style: int) -> None:
    """The archives that people have are read member by member, in four times the time."""
    tar = _joined([_patch(above, key, style), b"more"])
    found = find_patch(memoryview(tar), 0)
    assert isinstance(found, WholePatch)
    assert (found.name, found.key) == (f"{above}{key}/{key}_B8A.tif", key)
    assert (found.members, found.length) == (13, len(tar) - 3 * BLOCK)
    pairs = zip(found.bounds[::2], found.bounds[1::2], strict=True)
    contents = [f"{key} {band} {_SORTED.index(band)}".encode() * 9 for band in BANDS]
    assert [bytes(found.content[begin:end]) for begin, end in pairs] == contents
    assert find_patch(memoryview(tar)[: found.length - 1], 0) is Outcome.SHORT
    assert find_patch(memoryview(tar), found.length) is Outcome.OTHER


@pytest.mark.parametrize("style", _STYLES)
@pytest.mark.parametrize("piece", [700, 5000, 1 << 20])
def test_the_same_patches_whatever_the_pieces(style: int, piece: int, tmp_path: Path) -> None:
    """A patch is lost, comes twice or with the bytes of others where a piece of the tar ends within it."""
    keys = [f"{PRODUCT}_26_{i}" for i in range(9)]
    tar = _joined([_patch(f"BigEarthNet-S2/{PRODUCT}/", key, style) for key in keys])
    found, *_ = _assert_same(tar, piece, tmp_path)
    assert [folder.rpartition("/")[2] for folder, *_ in found] == keys


_PATCHES = st.lists(
    st.tuples(
        st.sampled_from(["", "x", "a/", "./a/", "/a/", "a/../", f"B/{PRODUCT}/", "long/" * 20]),
        st.sampled_from(["k", "k_9", f"{PRODUCT}_26_57", "stored", ".k"]),
        st.sampled_from(_STYLES),
        st.sampled_from([_SORTED, BANDS, ("B01", *_SORTED), _SORTED[1:]]),
        st.booleans(),
    ).map(lambda parts: _patch(*parts)),
    min_size=1,
    max_size=3,
)
_FIELDS = {"name": 0, "mode": 100, "size": 124, "time": 136, "checksum": 148, "type": 156, "magic": 257, "prefix": 345}


def _example(change: tuple[int, str, int], value: int) -> Any:
    return example(
        patches=[_patch("a/", "k", tarfile.USTAR_FORMAT)], piece=1 << 20, changes=[change], value=value, cut=None
    )


@pytest.mark.product
@settings(max_examples=200)
@given(
    patches=_PATCHES,
    piece=st.integers(1, 60_000),
    changes=st.lists(st.tuples(st.integers(0, 100), st.sampled_from(sorted(_FIELDS)), st.integers(0, 11)), max_size=2),
    value=st.integers(0, 255),
    cut=st.none() | st.integers(0, 60_000),
)
@_example((1, "type", 0), ord("5"))
@_example((0, "size", 10), ord("1"))
@_example((3, "size", 0), 0x80)
@_example((3, "time", 3), ord("x"))
@_example((3, "checksum", 3), ord("1"))
@_example((3, "prefix", 0), ord("x"))
@_example((3, "name", 0), ord("b"))
@example(patches=[_patch("a/", "k")] * 2, piece=1 << 20, changes=[], value=0, cut=None)
@example(
    patches=[_patch("a/", "k", bands=("B01", *_SORTED), has_folder=False)], piece=1 << 20, changes=[], value=0, cut=None
)
@example(patches=[_patch("x", "k")], piece=1 << 20, changes=[], value=0, cut=None)
def test_the_same_of_any_tar(
    patches: list[bytes], piece: int, changes: list[tuple[int, str, int]], value: int, cut: int | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    """A hostile, damaged or unusual member passes for a usual one, or a sound patch is refused with it."""
    tar = bytearray(_joined(patches))
    headers = [at for at in range(0, len(tar), BLOCK) if tar.startswith(b"ustar", at + 257)]
    for header, field, offset in changes:
        at = headers[header % len(headers)]
        tar[at + _FIELDS[field] + offset] = value
        if field != "checksum":
            tar[at + 148 : at + 156] = b" " * 8
            tar[at + 148 : at + 156] = b"%06o\0 " % sum(tar[at : at + BLOCK])
    _assert_same(bytes(tar[:cut]), piece, tmp_path_factory.getbasetemp())
