"""Pictures in a terminal: as a graphics protocol where the terminal has one, else as half blocks in 24-bit colour."""

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Protocol = Literal["kitty", "iterm2", "blocks"]
PROTOCOLS: Final[tuple[Protocol, ...]] = ("kitty", "iterm2", "blocks")
BLOCK_SIDE: Final = 40
"""Columns that a picture of 120 × 120 pixels takes in half blocks: 3 × 3 pixels are one half block."""
_CHUNK: Final = 4096
"""Characters of base64 in an escape sequence of kitty's protocol at most."""


def protocol(environment: Mapping[str, str] | None = None) -> Protocol:
    """Return how the terminal shows pictures, by the variables that terminals set.

    Sources: https://sw.kovidgoyal.net/kitty/graphics-protocol/ and https://iterm2.com/documentation-images.html
    """
    known = os.environ if environment is None else environment
    if "TMUX" in known or known.get("TERM", "").startswith("screen"):
        # These pass on neither of the protocols.
        return "blocks"
    program = known.get("TERM_PROGRAM", "").lower()
    if "KITTY_WINDOW_ID" in known or known.get("TERM") == "xterm-kitty" or program == "ghostty":
        return "kitty"
    return "iterm2" if program in ("iterm.app", "wezterm") else "blocks"


def kitty(png: bytes) -> str:
    """Return a PNG file as escape sequences of kitty's graphics protocol."""
    text = base64.b64encode(png).decode()
    parts = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    sequences = []
    for number, part in enumerate(parts):
        control = f"m={int(number < len(parts) - 1)}"
        if number == 0:
            control = f"f=100,a=T,{control}"
        sequences.append(f"\x1b_G{control};{part}\x1b\\")
    return "".join(sequences)


def iterm2(png: bytes) -> str:
    """Return a PNG file as the escape sequence of iTerm2's inline images."""
    return f"\x1b]1337;File=inline=1;size={len(png)}:{base64.b64encode(png).decode()}\a"


def blocks(pictures: Sequence[NDArray[np.uint8]], columns: int) -> Iterator[str]:
    """Yield lines of half blocks in 24-bit colour: pictures side by side, as many as fit.

    Args:
        pictures: each (120, 120, 3) uint8.
        columns: of the terminal; at least `BLOCK_SIDE` are taken.
    """
    shown = pictures[: max(1, (columns + 1) // (BLOCK_SIDE + 1))]
    small = [_shrunk(picture) for picture in shown]
    for y in range(0, BLOCK_SIDE, 2):
        yield " ".join(
            "".join(
                f"\x1b[38;2;{upper[0]};{upper[1]};{upper[2]}m\x1b[48;2;{lower[0]};{lower[1]};{lower[2]}m▀"
                for upper, lower in zip(picture[y].tolist(), picture[y + 1].tolist(), strict=True)
            )
            + "\x1b[0m"
            for picture in small
        )


def _shrunk(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture as (40, 40, 3) uint8: means of squares."""
    times = picture.shape[0] // BLOCK_SIDE
    squares = picture.reshape(BLOCK_SIDE, times, BLOCK_SIDE, times, 3)
    mean: NDArray[np.uint8] = np.rint(squares.mean(axis=(1, 3))).astype(np.uint8)
    return mean
