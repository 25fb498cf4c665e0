"""Text that a command prints about an error: one line for those that people can mend, a traceback for bugs."""

import errno
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from shards.errors import BepError

# C0 and C1 controls, DEL, surrogates that stand for undecodable bytes, and the characters that
# change the direction of text (Unicode Standard Annex 9), which can make a line read as another.
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
RESULTS_KEPT: Final = "shards.reporting.results_kept"
"""Key of `click.Context.meta`, true once the results of a command lie in files, or in its exit status, whatever becomes
of standard output."""
_LINKS: Final = re.compile(r"Symlink loop from (['\"])(.*)\1", re.DOTALL)
"""Text of the RuntimeError that `pathlib.Path.resolve` raises of symbolic links in a circle, before Python 3.13."""
_USER: Final = re.compile(r"([a-z][a-z0-9+.-]*:/+)[^\s/?#'\"]*@", re.IGNORECASE)
_QUERY: Final = re.compile(r"([a-z][a-z0-9+.-]*:/+[^\s?#'\"]*)\?[^\s'\"]*?(?=[:;,.)]*(?:[\s'\"]|$))", re.IGNORECASE)
"""Parts of addresses that can be secrets: passwords, and signatures of the links that storage gives out."""
_HINTS: Final = {
    errno.ENOENT: "check the name",
    errno.ENOTDIR: "expected a folder; name another",
    errno.EISDIR: "expected a file; name another",
    errno.EEXIST: "name another",
    errno.EACCES: "check who may read and write it",
    errno.ENOSPC: "make room on the disk and run the same command again",
    errno.EDQUOT: "make room in your quota and run the same command again",
    errno.EROFS: "name a folder on a disk that can be written to",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EIO: "the disk or the network reports an error; look at the system's log",
}


def printable(text: str) -> str:
    """Return a text with each control character, line ends too, as its escape.

    So text from files neither steers a terminal nor passes for a line of its own.
    """
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def without_secrets(text: str) -> str:
    """Return a text whose addresses have neither user and password nor a query, which can be a signature."""
    return _QUERY.sub(r"\1", _USER.sub(r"\1", text))


def one_line(err: BaseException) -> str | None:
    """Return what people are shown of an error; None if it is a bug.

    Errors of this program (`BepError`) say what is wrong. An error of the operating system, a lack of memory, or
    symbolic links in a circle are facts about the machine; they name their file, if they have one.
    """
    if isinstance(err, BepError):
        return printable(without_secrets(" ".join(str(err).splitlines())))
    if isinstance(err, OSError) and err.errno is not None:
        where = "" if err.filename is None else f"{_name(err.filename)}: "
        hint = f"; {_HINTS[err.errno]}" if err.errno in _HINTS else ""
        return printable(without_secrets(f"{where}{err.strerror}{hint}"))
    if isinstance(err, RuntimeError) and (loop := _LINKS.fullmatch(str(err))):
        return printable(f"{loop[2]}: {os.strerror(errno.ELOOP)}")
    if isinstance(err, MemoryError):
        text = printable(" ".join(str(err).splitlines()))
        return f"there is not enough memory{': ' if text else ''}{text}; end other programs, or use fewer processes"
    return None


def shortened(text: str, most: int) -> str:
    """Return a text in one line of at most that many characters, cut between words and marked by an ellipsis.

    A word that would take a third of them along is cut itself.
    """
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    cut = line[: most - 1].rpartition(" ")[0]
    return f"{cut} …" if 3 * len(cut) >= 2 * most else f"{line[: most - 1]}…"


def bug_report() -> str:
    """Return the line that follows the traceback of a bug."""
    try:
        ours = version("bigearth-pipeline")
    except PackageNotFoundError:
        ours = "not installed"
    return (
        "This is a bug of bep. Please report it with the command and the lines above "
        f"(bep {ours}, Python {platform.python_version()}, {platform.platform()})."
    )


def _name(filename: object) -> str:
    return filename.decode(errors="backslashreplace") if isinstance(filename, bytes) else str(filename)
