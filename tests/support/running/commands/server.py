"""The process that commands are forked from: `python -m tests.support.running.commands.server DESCRIPTOR MODULE...`.

It imports the modules, and then forks a process for each message of the socket. A message is a JSON object with
`arguments`, `folder`, `environment`, `own_session`, `module` and `namespaces`, and the descriptors of stdin, stdout,
stderr and of a pipe, into which the process ID is written, and the status as of `os.waitpid` when the process has
ended.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.support.running.commands.wire import WORD
from tests.support.running.namespaces import enter

LONGEST: Final = 1 << 20
"""Of a message, in bytes."""


def serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork processes until the other end is closed; return None then, and the message in a new process."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    running: dict[int, tuple[int, int]] = {}  # Of the descriptor of a process: its ID and its pipe.
    while True:
        for descriptor, _ in poll.poll():
            if descriptor != channel.fileno():
                poll.unregister(descriptor)
                process, pipe = running.pop(descriptor)
                status = os.waitpid(process, 0)[1]
                os.close(descriptor)
                with suppress(BrokenPipeError):  # Nobody waits for it.
                    os.write(pipe, WORD.pack(status))
                os.close(pipe)
                continue
            text, descriptors, _, _ = socket.recv_fds(channel, LONGEST, 4)
            if not text:
                return None
            process = os.fork()
            if process == 0:
                for descriptor, (_, pipe) in running.items():
                    os.close(descriptor)
                    os.close(pipe)
                channel.close()
                for number, descriptor in enumerate(descriptors[:3]):
                    os.dup2(descriptor, number)
                for descriptor in descriptors:
                    os.close(descriptor)
                message: dict[str, Any] = json.loads(text)
                return message
            *streams, pipe = descriptors
            for descriptor in streams:
                os.close(descriptor)
            os.write(pipe, WORD.pack(process))
            opened = os.pidfd_open(process)
            running[opened] = process, pipe
            poll.register(opened, select.POLLIN)


def become(message: dict[str, Any]) -> None:
    """Be what `python -m MODULE` is in a new interpreter, on a host if the message names a process of one."""
    if message["own_session"]:
        os.setsid()
    if message["namespaces"] is not None:
        enter(message["namespaces"])
    os.environ.clear()
    os.environ.update(message["environment"])
    os.chdir(message["folder"])
    sys.argv = ["", *message["arguments"]]
    # The streams were opened when the interpreter started.
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1 if os.isatty(1) else -1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    runpy.run_module(message["module"], run_name="__main__", alter_sys=True)


def main() -> None:
    """Import, fork, and in the forks run the command."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    for name in sys.argv[2:]:
        importlib.import_module(name)
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    # The allocator of Arrow starts its thread again in a fork.
    if len(names) - names.count("jemalloc_bg_thd") > 1:
        raise SystemExit("an import has started a thread, so that a fork would lack it")
    # What is there now is in all of them; a collection would copy its pages.
    gc.collect()
    gc.freeze()
    # Terminals send them to all processes that they have started; here they end none but the commands.
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
    message = serve(channel)
    if message is None:
        os._exit(0)
    for number, handler in kept.items():
        signal.signal(number, handler)
    become(message)


if __name__ == "__main__":
    main()
