"""Table `machine`: the device, and how it is fed. Options here change at most the last bits of a result."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from trainer.definition.check import Checked
from trainer.definition.choices import Backend, Cache, CompileMode, DeviceName, Precision, Verify
from trainer.definition.option import option


@dataclass(frozen=True, kw_only=True)
class MachineConfig(Checked):
    """Options of the table `machine`."""

    TABLE: ClassVar[str] = "machine"

    device: DeviceName = option("auto", flag=True, resumable=True, help="Device to train on.")
    precision: Precision = option("auto", flag=True, help="Precision of the features; auto: bf16 on a GPU, else fp32.")
    compile: CompileMode | None = option(
        None,
        flag=True,
        bare="default",
        unset="none",
        help="Compile the network. Two modes record CUDA graphs; cuda-graph records steps uncompiled.",
    )
    loader: Backend = option(
        "auto",
        flag=True,
        resumable=True,
        help="Program that prepares the batches; a resumed run keeps it unless it is given again.",
    )
    cache: Cache = option("none", flag=True, resumable=True, help="Keep records in memory: the host's or the GPU's.")
    # More than any host has cores for.
    threads: int | None = option(
        None,
        flag=True,
        at_least=1,
        at_most=1024,
        unset="the cores, divided among the processes",
        resumable=True,
        help="Decode threads of a process.",
    )
    verify: Verify = option(
        "first",
        flag=True,
        bare="always",
        resumable=True,
        help="Compare each record with its checksum: when a run first reads it, or every time.",
    )
    cache_dir: Path | None = option(
        None,
        flag=True,
        metavar="DIR",
        unset="a temporary one of the process",
        resumable=True,
        help="Keep records of shards on object storage in this folder, for later runs and other processes.",
    )
    cache_bytes: int | None = option(
        None,
        at_least=64 << 20,
        unit="bytes",
        unset="half of the free space, at most 16 GiB",
        resumable=True,
        help="Largest size of that folder; the least recently used records are removed first.",
    )
    mapped: bool = option(
        True,
        resumable=True,
        help="Decode shards on a tmpfs, never on a disk, in place; if one is truncated meanwhile, the process ends.",
    )
