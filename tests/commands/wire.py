"""What the process that commands are forked from tells those who start one."""

import struct
from typing import Final

WORD: Final = struct.Struct("<i")
"""A process ID, then a status as of `os.waitpid`."""
