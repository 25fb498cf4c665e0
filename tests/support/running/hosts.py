"""Hosts as Linux namespaces: each with its own address, name, processes to end, /tmp and working folder.

Only the folders that are named are the same on all hosts, and what lies outside of /tmp and /dev/shm: Python and this
repository. They need the right to make namespaces and to mount; tests that use them are skipped where that is missing.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from tests.support.paths import ROOT
from tests.support.running import commands
from tests.support.running.commands.command import ENVIRONMENT

_NETWORK: Final = "10.87.0"
_HIDDEN: Final = (Path("/tmp"), Path("/dev/shm"))
FOLDER: Final = "/tmp/work"
"""Working folder of each host, which it has for itself."""

# Arguments: the name, the number of folders that all programs need, these, and the folders that the hosts share. Mounts
# of them are kept below /mnt while other file systems take the place of what is around them.
_BEGIN: Final = r"""
set -e
name=$1; needed=$2; shift 2
hostname "$name"
mount -t tmpfs keep /mnt
number=0
for path in "$@"; do
    number=$((number + 1)); mkdir /mnt/$number; mount --bind "$path" /mnt/$number
done
mount -t tmpfs tmp /tmp
mount -t tmpfs shm /dev/shm
number=0
for path in "$@"; do
    number=$((number + 1)); mkdir -p "$path"
    if test $number -gt $needed && ! mountpoint -q "$(dirname "$path")"; then
        mount -t tmpfs around "$(dirname "$path")"; mkdir "$path"
    fi
    mount --bind /mnt/$number "$path"
done
mkdir /tmp/work
printf '%b' "$HOSTS" > /tmp/hosts
mount --bind /tmp/hosts /etc/hosts
umount -l /mnt
echo ready
exec sleep infinity
"""
_SWITCH: Final = "ip link add name bridge type bridge && ip link set bridge up && echo ready && exec sleep infinity"


@dataclass(frozen=True)
class Host:
    """A running host.

    Attributes:
        name: its host name.
        address: of IPv4.
        process: a process in its namespaces, which holds them.
        switch: a process in the namespace of the network that connects the hosts.
    """

    name: str
    address: str
    process: int
    switch: int

    def start(self, *command: object, env: Mapping[str, str] | None = None, **options: Any) -> "subprocess.Popen[str]":
        """Start a command here, in this host's working folder; its process is that of the command.

        Args:
            command: with its arguments.
            env: variables beside those of the tests.
            options: of `subprocess.Popen`.
        """
        enter = ["nsenter", "-t", str(self.process), "-m", "-n", "-u", "-i", f"--wdns={FOLDER}", "--"]
        # It ends with the process of the tests, however that ends.
        return subprocess.Popen(
            [*enter, "setpriv", "--pdeathsig", "KILL", *map(str, command)],
            env=ENVIRONMENT | {"PYTHONPATH": str(ROOT), "TMPDIR": "/tmp"} | (env or {}),
            text=True,
            **{"stdin": subprocess.DEVNULL} | options,
        )

    def fork(
        self,
        *arguments: object,
        module: str = "bigearth_pipeline",
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> commands.Command:
        """Start `bep`, or another module of Python, as a fork of a process that has imported the libraries.

        Args:
            arguments: of the command.
            module: that is run.
            env: variables beside those of the tests.
            options: of `commands.start`.
        """
        options |= {"cwd": Path(FOLDER), "env": ENVIRONMENT | {"TMPDIR": "/tmp"} | (env or {})}
        process = commands.start(*arguments, module=module, namespaces=self.process, **options)
        assert isinstance(process, commands.Command), "a variable is read while libraries are imported"
        return process

    def processes(self) -> list[psutil.Process]:
        """Return the processes that run here, but for the one that holds the namespaces."""
        here = os.readlink(f"/proc/{self.process}/ns/net")
        found = []
        for process in psutil.process_iter():
            with suppress(OSError, psutil.Error):
                if process.pid != self.process and os.readlink(f"/proc/{process.pid}/ns/net") == here:
                    found.append(process)
        return found

    def cut_off(self) -> None:
        """Take away the network, as if a cable were pulled: connections stay open."""
        self._set_link("down")

    def connect(self) -> None:
        """Give back the network."""
        self._set_link("up")

    def _set_link(self, state: str) -> None:
        _run("nsenter", "-t", self.switch, "-n", "ip", "link", "set", self.name, state)


@contextmanager
def hosts(
    *names: str, shared: Sequence[Path], hidden: Mapping[str, Sequence[Path]] | None = None
) -> Iterator[list[Host]]:
    """Run hosts that reach each other, and end all that runs on them; skip the test where that is not possible.

    Args:
        names: of the hosts, at most 15 letters each.
        shared: folders that are the same on all; what lies beside them is not.
        hidden: for a host those of them that it lacks.
    """
    _skip_where_impossible()
    addresses = {name: f"{_NETWORK}.{number}" for number, name in enumerate(names, 1)}
    known = "".join(rf"{address} {name}\n" for name, address in addresses.items())
    # A host has its own /tmp, in which Python or this repository may lie.
    needed = [path for path in dict.fromkeys((ROOT, Path(sys.prefix), Path(sys.base_prefix))) if _is_hidden(path)]
    with ExitStack() as stack:
        switch = stack.enter_context(_holder(["--net"], _SWITCH))
        started: list[Host] = []
        for name, address in addresses.items():
            folders = [path for path in shared if path not in (hidden or {}).get(name, ())]
            process = stack.enter_context(
                _holder(
                    ["--net", "--uts", "--ipc", "--mount", "--propagation", "private"],
                    _BEGIN,
                    name,
                    str(len(needed)),
                    *map(str, [*needed, *folders]),
                    HOSTS=rf"127.0.0.1 localhost\n{known}",
                )
            )
            started.append(Host(name, address, process, switch))
            stack.callback(_end, started[-1])
            peer = ("peer", "name", "eth0", "netns", process)
            _run("nsenter", "-t", switch, "-n", "ip", "link", "add", "name", name, "type", "veth", *peer)
            _run("nsenter", "-t", switch, "-n", "ip", "link", "set", name, "master", "bridge", "up")
            for change in (f"addr add {address}/24 dev eth0", "link set lo up", "link set eth0 up"):
                _run("nsenter", "-t", process, "-n", "ip", *change.split())
        yield started


def _is_hidden(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in _HIDDEN)


def _skip_where_impossible() -> None:
    tools = ("unshare", "nsenter", "setpriv", "ip", "hostname")
    if absent := [tool for tool in tools if shutil.which(tool) is None]:
        pytest.skip(f"hosts as namespaces need {', '.join(absent)}")
    trial = "mount -t tmpfs none /mnt && ip link add name a0 type veth peer name b0 && ip link add name c0 type bridge"
    found = subprocess.run(["unshare", "-m", "-n", "-u", "-i", "sh", "-c", trial], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"hosts as namespaces are not possible here: {found.stderr.strip()}")


@contextmanager
def _holder(namespaces: Sequence[str], script: str, *arguments: str, **variables: str) -> Iterator[int]:
    """Run a process that has namespaces of its own; yield its ID once its script has said that it is ready."""
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, "sh", "-c", script, "sh", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | variables,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            if process.stdout.readline() != "ready\n":
                process.kill()
                raise AssertionError(process.stderr.read())
            yield process.pid
        finally:
            process.kill()


def _end(host: Host) -> None:
    left = host.processes()
    for process in left:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(left, timeout=60)


def _run(*command: object) -> None:
    subprocess.run([*map(str, command)], check=True, stdin=subprocess.DEVNULL, capture_output=True)
