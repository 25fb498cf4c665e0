"""A source whose files are slow to open, as on a distant disk: a library that the C compiler makes for LD_PRELOAD."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("slow_opens.c")
NO_COMPILER: Final = "not possible: there is no C compiler (cc or gcc)"


class SlowOpens:
    """The compiled library."""

    def __init__(self, scratch: Path) -> None:
        """Compile it into a folder.

        Raises:
            FileNotFoundError: there is no compiler.
            RuntimeError: it fails.
        """
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise FileNotFoundError(NO_COMPILER)
        self._path = scratch / "slow_opens.so"
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(self._path), str(_SOURCE), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")

    def environment(self, below: Path, seconds: float, failing: int = 0) -> dict[str, str]:
        """Return the variables with which a process opens files slowly.

        Args:
            below: folder of a tree.
            seconds: delay of each open of a patch folder or a band file.
            failing: opening fails for one name in as many, always the same ones; 0 for none.
        """
        return {
            "LD_PRELOAD": str(self._path),
            "SLOW_OPENS_BELOW": str(below.resolve()),
            "SLOW_OPENS_MICROS": str(round(1e6 * seconds)),
            "SLOW_OPENS_FAILING": str(failing),
        }
