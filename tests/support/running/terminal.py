"""`bep` on a terminal."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from tests.support.running.commands.command import ENVIRONMENT


class Terminal:
    """A command that runs on a pseudo-terminal of its own, as its controlling one."""

    def __init__(self, *arguments: object, columns: int = 150, folder: Path | None = None) -> None:
        """Start `bep` with these arguments in a folder, where that is given."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

        def take_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        # It would be taken for the width.
        environment = {name: value for name, value in ENVIRONMENT.items() if name != "COLUMNS"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bigearth_pipeline", *map(str, arguments)],
            stdin=slave, stdout=slave, stderr=slave, preexec_fn=take_terminal, env=environment | {"TERM": "xterm"},
            cwd=folder,
        )  # fmt: skip
        os.close(slave)
        self._raw = b""

    def read_until(self, pattern: str, seconds: float = 60) -> None:
        """Read until the text matches, or fail after a while."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, self.text
            assert self._read(), self.text

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def finish(self) -> int:
        """Read what else comes and return the exit status."""
        while self._read():
            pass
        os.close(self._master)
        return self.process.wait(60)

    @property
    def lines(self) -> list[str]:
        """Lines that text was printed to, each as it was last written."""
        shown = [line.rpartition("\r\x1b[K")[2] for line in self._raw.decode(errors="replace").split("\n")]
        return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in shown]

    @property
    def text(self) -> str:
        """All text so far, without what moves the cursor or sets colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._raw.decode(errors="replace"))

    def processes(self) -> list[int]:
        """Return the processes of the terminal's session that have not ended."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(session) == self.process.pid and state != "Z":
                found.append(int(entry.name))
        return found

    def _read(self) -> bool:
        """Read a little; return whether there may be more."""
        if not select.select([self._master], [], [], 60)[0]:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # The last process that had the terminal open has ended.
            return False
        self._raw += data
        return bool(data)
