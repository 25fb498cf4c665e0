"""The other end of a peer's process."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from tools.peers.registry import PEERS, Layout

ROOT: Final = Path(__file__).resolve().parents[2]


class PeerFailed(Exception):
    """A peer could not do what it was asked for."""


class PeerProcess:
    """A peer in a process of its own, with the interpreter of its environment."""

    def __init__(self, name: str, python: Path, work: Path, layout: Layout, batch_size: int, workers: int) -> None:
        """Start it.

        Args:
            name: of the peer.
            python: interpreter that has its packages.
            work: folder with `patches.json`, where stores and logs go.
            layout: what its batches hold.
            batch_size: patches of a batch.
            workers: processes or threads that it may use at a time.
        """
        self.name = name
        self._log = work / "logs" / f"{name}-{layout}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        arguments = [name, work / "patches.json", work / "stores" / PEERS[name].store, layout, batch_size, workers]
        with open(self._log, "w") as log:
            self._process = subprocess.Popen(
                [python, "-m", "tools.peers.serve", *map(str, arguments)],
                cwd=ROOT,
                # One thread a worker: more only get into each other's way.
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def __enter__(self) -> "PeerProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, command: str, limit_seconds: float = 300) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Raises:
            PeerFailed: it reports an error, has died, or does not answer in time.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(limit_seconds, self.close)
        timer.start()
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except (OSError, ValueError):
            line = ""
        finally:
            timer.cancel()
        if not line:
            self.close()
            last = (self._log.read_text().strip().splitlines() or ["it printed nothing"])[-1]
            raise PeerFailed(f"no answer to {command!r} within {limit_seconds:g} s, or its process died: {last}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return answer

    def close(self) -> None:
        """End it and its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
