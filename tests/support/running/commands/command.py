"""A running command as a test sees it, and how a test starts one."""

import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from tests.support.paths import ROOT
from tests.support.running.commands.wire import WORD

ENVIRONMENT: Final = {
    # These would make rich write colours without a terminal.
    name: value
    for name, value in os.environ.items()
    if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")
} | {"OMP_NUM_THREADS": "1"}
"""Variables of a command, as they were when the tests started; the networks are too small for several threads."""

_STORES: Final = ("click", "rich", "rasterio", "pyarrow.parquet", "distributed", "bigearth_pipeline.build.run")
_NETWORKS: Final = (
    "click",
    "rich",
    "torch._dynamo",
    "torchmetrics.functional.classification",
    "timm",
    "trainer.training.start",
)
_OF_NETWORKS: Final = {
    "train",
    "evaluate",
    "predict",
    "export",
    "explain",
    "runs",
    "report",
    "serve",
    "bench",
    "quickstart",
}
READ_LATE: Final = (
    "PYTEST_",
    "AWS_",
    "COLUMNS",
    "TERM",
    "TMPDIR",
    "RANK",
    "LOCAL_",
    "WORLD_",
    "MASTER_",
    "GROUP_",
    "ROLE_",
    "TORCHELASTIC_",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE",
    "PYTHONUNBUFFERED",
)
"""Variables that no module reads while it is imported; `PYTHONUNBUFFERED` changes nothing for stderr."""


class Command:
    """A running `bep`; as `subprocess.Popen`, whose names these are."""

    def __init__(self, process: int, ended: int, stdout: IO[Any] | None, stderr: IO[Any] | None) -> None:
        """Take a process.

        Args:
            process: its ID.
            ended: a pipe from which its status can be read when it has ended.
            stdout: its output, where that is a pipe.
            stderr: likewise.
        """
        self.pid = process
        self.returncode: int | None = None
        self.stdout, self.stderr = stdout, stderr
        self._ended = ended

    def poll(self) -> int | None:
        """Return the exit status, or minus the signal that ended it; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not in time.
        """
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(["bep"], timeout or 0)
            status = os.read(self._ended, WORD.size)
            os.close(self._ended)
            assert status, "the process that commands are forked from has died"
            self.returncode = os.waitstatus_to_exitcode(WORD.unpack(status)[0])
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[Any, Any]:
        """Return all output and error output once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        found: dict[IO[Any], Any] = {}

        def read(stream: IO[Any]) -> None:
            found[stream] = stream.read()

        streams = [stream for stream in (self.stdout, self.stderr) if stream is not None]
        threads = [threading.Thread(target=read, args=(stream,), daemon=True) for stream in streams]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(None if deadline is None else max(0, deadline - time.monotonic()))
            if thread.is_alive():
                raise subprocess.TimeoutExpired(["bep"], timeout or 0)
        self.wait(None if deadline is None else max(0, deadline - time.monotonic()))
        for stream in streams:
            stream.close()
        return tuple(None if stream is None else found[stream] for stream in (self.stdout, self.stderr))  # type: ignore[return-value]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)


def while_running(command: "Command | subprocess.Popen[Any]", condition: Callable[[], object]) -> None:
    """Wait while a command runs and a condition holds; look at it a hundred times a second."""
    while command.poll() is None and condition():
        time.sleep(0.01)


class _Server:
    """The process that commands are forked from, and the socket to it."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        """Start it; it imports beside the test."""
        self._channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            command = [sys.executable, "-m", "tests.support.running.commands.server", str(other.fileno()), *modules]
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL, pass_fds=[other.fileno()]
            )

    def start(self, message: dict[str, Any], streams: list[int]) -> tuple[int, int]:
        """Return the ID of a new process, and the pipe of its status."""
        ended, pipe = os.pipe()
        try:
            socket.send_fds(self._channel, [json.dumps(message).encode()], [*streams, pipe])
        finally:
            os.close(pipe)
        process = os.read(ended, WORD.size)
        assert process, f"the process that commands are forked from has died: {self._process.poll()}"
        return WORD.unpack(process)[0], ended


_lock = threading.Lock()
_servers: dict[tuple[int, bool], _Server] = {}


def start(
    *arguments: object,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    text: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    own_session: bool = False,
    fresh: bool = False,
    module: str = "bigearth_pipeline",
    namespaces: int | None = None,
) -> "Command | subprocess.Popen[Any]":
    """Start `bep`.

    It is a fork of a process that has imported what the command imports: that takes seconds of each. A new interpreter
    starts where the test requires it, or where a variable differs that is read while an interpreter starts or a
    library is imported.

    Args:
        arguments: of the command, the name of the subcommand first.
        stdin: a descriptor, or one of `subprocess`; default: nothing to read.
        stdout: likewise.
        stderr: likewise.
        text: the output is text, not bytes.
        env: all its variables; default: `ENVIRONMENT`.
        cwd: its folder; default: that of the caller.
        own_session: it has a session, and thus a process group, of its own.
        fresh: a new interpreter.
        module: of Python, that the command runs.
        namespaces: a process of a host, see `tests.support.running.hosts`, on which it runs; never a new interpreter.
    """
    words = [str(argument) for argument in arguments]
    environment = dict(ENVIRONMENT if env is None else env)
    names = ENVIRONMENT.keys() | environment.keys()
    changed = {name for name in names if ENVIRONMENT.get(name) != environment.get(name)}
    if fresh or not all(name.startswith(READ_LATE) for name in changed):
        return subprocess.Popen(
            [sys.executable, "-m", module, *words],
            stdin=stdin, stdout=stdout, stderr=stderr, text=text, env=environment, cwd=cwd,
            start_new_session=own_session,
        )  # fmt: skip
    with_networks = module.startswith("torch.") or (words[:1] != [] and words[0] in _OF_NETWORKS)
    # A fork of this process would share its socket.
    key = os.getpid(), with_networks
    with _lock:
        server = _servers.get(key)
        if server is None:
            server = _servers[key] = _Server(_NETWORKS if with_networks else _STORES)
    message = {
        "arguments": words,
        "folder": str(cwd or Path.cwd()),
        "environment": environment,
        "own_session": own_session,
        "module": module,
        "namespaces": namespaces,
    }
    opened: list[int] = []
    ours: list[IO[Any] | None] = []
    streams: list[int] = []
    for number, stream in enumerate((stdin, stdout, stderr)):
        ours.append(None)
        if stream == subprocess.PIPE:
            reader, writer = os.pipe()
            opened.append(writer)
            raw = os.fdopen(reader, "rb")
            ours[-1] = io.TextIOWrapper(raw) if text else raw
            streams.append(writer)
        elif stream == subprocess.DEVNULL:
            opened.append(os.open(os.devnull, os.O_RDWR))
            streams.append(opened[-1])
        else:
            streams.append(number if stream is None else stream)
    try:
        process, ended = server.start(message, streams)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return Command(process, ended, ours[1], ours[2])


def run(*arguments: object, timeout: float = 300, **options: Any) -> "subprocess.CompletedProcess[Any]":
    """Run `bep` and return its status and output; kill it when time is up.

    Raises:
        subprocess.TimeoutExpired: it has not ended in time.
    """
    process = start(*arguments, **options)
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        raise
    return subprocess.CompletedProcess([*map(str, arguments)], process.wait(), stdout, stderr)
