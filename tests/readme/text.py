"""Parts of the README."""

import re
from typing import Final, NamedTuple

from tests.support.paths import ROOT

README: Final = ROOT / "README.md"


class Block(NamedTuple):
    """A block of code in a section of the README."""

    section: str
    language: str
    code: str


def blocks(language: str) -> list[Block]:
    """Return the blocks of a language, in order."""
    return [block for block in _blocks() if block.language == language]


def _blocks() -> list[Block]:
    found = []
    section = ""
    for heading, language, code in re.findall(
        r"^#+ ([^\n]*)$|^```(\w+)\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL
    ):
        if heading:
            section = heading
        else:
            found.append(Block(section, language, code))
    return found


def command_lines() -> list[str]:
    """Return the `bep` commands of indented blocks, without comments; those of torchrun, too."""
    text = re.sub(r"^```.*?^```$", "", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    starts = r"bep|torchrun .*? -m bigearth_pipeline"
    return re.findall(rf"^    (?:\[\d/\d\] )?(?:{starts}) (.*)$", text, re.MULTILINE)


def commands_in_sentences() -> list[str]:
    """Return what follows `bep` in sentences and tables, such as `train --help`."""
    return re.findall(r"`bep ([^`]+)`", README.read_text().replace("\n", " "))
