"""Reading where Linux's own calls are absent, as on macOS."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import shards
from shards.runtime.cores import num_cores
from tests.support.paths import ROOT

CODE = """
import fcntl, hashlib, os, sys
for module, prefixes in ((os, ("sched_", "posix_fadvise", "POSIX_FADV", "memfd_create", "MFD_", "RWF_")),
                         (fcntl, ("F_SEAL", "F_ADD_SEALS", "F_GET_SEALS"))):
    for name in [name for name in dir(module) if name.startswith(prefixes)]:
        delattr(module, name)
import numpy as np
import shards
with shards.open(sys.argv[1]) as store:
    records = np.empty((len(store), 80000), np.uint16)
    store.read_into(np.arange(len(store)), records)
print(hashlib.sha256(records.tobytes()).hexdigest())
try:
    with shards.open(sys.argv[1]) as store:
        store.keep_in_memory(np.arange(1))
except shards.ShardError as err:
    print(err)
"""


@pytest.mark.parametrize("kind", ["tar_store", "zarr_store", "packed_store"])
def test_records_are_read(kind: str, request: pytest.FixtureRequest) -> None:
    """A store cannot be opened on a laptop, for a name that its system does not have."""
    folder: Path = request.getfixturevalue(kind)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", CODE, str(folder)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    with shards.open(folder) as store:
        records = np.empty((len(store), 80000), np.uint16)
        store.read_into(np.arange(len(store)), records)
    digest, refusal = done.stdout.splitlines()
    assert digest == hashlib.sha256(records.tobytes()).hexdigest()
    assert refusal == "`cache=ram` needs memfd_create(2), which linux has not; leave it out"


def test_cores_are_those_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is bound to two of 64 processors starts 64 threads, or none where the system cannot say."""
    assert num_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert num_cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert num_cores() == 1
