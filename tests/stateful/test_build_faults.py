"""Each system call of a build fails once: a named error, and then a resumed build of the same bytes."""

import shutil
from pathlib import Path

import pytest

import shards
from shards.metadata.manifest import MANIFEST
from shards.reporting import one_line
from shards.testing.failing_calls import failing_calls
from shards.testing.faults import Kind, each_fault
from tests.support.data.building import contents
from tests.support.data.small_tree import build_here

STEPS = {"io": 331, "full": 331, "torn": 231, "memory": 231, "lost": 29, "late": 29, "short": 29}
"""By default every n-th call fails."""
KINDS = pytest.mark.parametrize("kind", STEPS)
EVERY = [pytest.param(False, id="some"), pytest.param(True, id="every", marks=pytest.mark.soak)]


def without_work(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files of a store but for what only a build needs, which a build may fail to remove."""
    return {path: content for path, content in files.items() if not path.startswith(".build/")}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")  # Of zarr-python, after an error.
@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize(
    ("store_format", "earlier"),
    [
        ("webdataset", "new"),
        ("zarr", "overwrite"),
        pytest.param("webdataset", "overwrite", marks=pytest.mark.long),
        pytest.param("zarr", "new", marks=pytest.mark.long),
    ],
)
@KINDS
def test_every_call_of_a_build_fails_once(
    folder: Path, tree: Path, expected: dict, store_format: str, kind: Kind, earlier: str, every: bool
) -> None:
    """A build ends in an error without a name, finishes a store that is wrong, or cannot be resumed."""
    wanted, source = expected[store_format], contents(tree)
    overwrite = earlier == "overwrite"
    old = folder / "old"
    if overwrite:
        build_here(old, tree, format=store_format, seed=5, codec="blosc-zstd")
    fired = set()
    for number, faults in enumerate(each_fault(kind, step=1 if every else STEPS[kind], at_most=5000)):
        place = folder / f"{number}"
        place.mkdir()
        (place / "neighbour").write_bytes(b"of others")
        out = place / "store"
        if overwrite:
            shutil.copytree(old, out)
        try:
            with failing_calls(place, faults):
                build_here(out, tree, format=store_format, overwrite=overwrite)
        except (shards.BepError, MemoryError) as err:
            assert faults.fired is not None, err  # noqa: PT017
            assert one_line(err)  # noqa: PT017
            assert isinstance(err, MemoryError) or str(place) in str(err)  # noqa: PT017
            assert not (out / MANIFEST).exists() or without_work(contents(out)) in (wanted, contents(old))
        else:
            # Where a fault does no harm, as when what only a build needs cannot be removed.
            assert without_work(contents(out)) == wanted, faults.fired
        assert {path for path in contents(place) if not path.startswith("store/")} == {"neighbour"}
        build_here(out, tree, format=store_format, overwrite=overwrite)
        assert contents(out) == wanted, faults.fired
        shutil.rmtree(place)
        fired.add(faults.fired)
    assert fired - {None}
    assert contents(tree) == source
