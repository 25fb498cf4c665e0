"""The virtual environments of peers whose packages are not the project's."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from tools.peers.client import PeerFailed

REQUIREMENTS = Path(__file__).parent / "requirements"


def find(name: str, venvs: Path) -> Path:
    """Return the interpreter of an environment; that of this process for an empty name.

    Raises:
        PeerFailed: it is not there.
    """
    if not name:
        return Path(sys.executable)
    python = venvs / name / "bin" / "python"
    if not python.exists():
        raise PeerFailed(f"its environment {name} is not installed; run with --install")
    return python


def install(name: str, venvs: Path) -> None:
    """Make an environment: the packages of this one, and over them those of `requirements/<name>.txt`.

    So torch is the same for all, and what conflicts is shadowed.

    Raises:
        PeerFailed: pip cannot install them; the message is the last line about an error.
    """
    folder = venvs / name
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True).stdout.strip()
    Path(site, "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
    packages = ["-r", str(REQUIREMENTS / f"{name}.txt")]
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *packages]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "rror" in line] or ["pip failed"]
        raise PeerFailed(f"its packages cannot be installed: {errors[-1].strip()}")
