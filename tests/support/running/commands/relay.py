"""Commands that a launcher such as `torchrun` starts, as forks of a process that has imported the libraries."""

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.support.running.commands.command import ENVIRONMENT, READ_LATE, Command, start
from tests.support.running.commands.server import LONGEST
from tests.support.running.commands.wire import WORD

_ENTRY: Final = Path(__file__).with_name("entry.py")


@contextmanager
def relay(folder: Path) -> Iterator[list[str]]:
    """Fork commands for a launcher while the block runs; yield what it starts, before the module and its arguments.

    Args:
        folder: for a socket; it must be the same on the hosts of the launchers.
    """
    path = folder / "relay"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        try:
            yield [sys.executable, "-I", "-S", str(_ENTRY), str(path)]
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # Ends the thread.


def _accept(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            channel, _ = listener.accept()
            threading.Thread(target=_serve, args=(channel,), daemon=True).start()


def _serve(channel: socket.socket) -> None:
    with channel:
        text, streams, _, _ = socket.recv_fds(channel, LONGEST, 3)
        message: dict[str, Any] = json.loads(text)
        late = {name: value for name, value in message["environment"].items() if name.startswith(READ_LATE)}
        names = ("stdin", "stdout", "stderr")
        command = start(
            *message["arguments"], module=message["module"], env=ENVIRONMENT | late, cwd=Path("/tmp"),
            namespaces=message["process"], **dict(zip(names, streams, strict=True)),
        )  # fmt: skip
        assert isinstance(command, Command)
        for stream in streams:
            os.close(stream)
        channel.send(WORD.pack(command.pid))
        status = command.wait()
        with suppress(OSError):  # What waited for it has been killed.
            channel.send(WORD.pack(status))
