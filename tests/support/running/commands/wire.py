"""Messages of the process that commands are forked from."""

import struct
from typing import Final

WORD: Final = struct.Struct("<i")
"""A process ID, then a status as of `os.waitpid`."""
