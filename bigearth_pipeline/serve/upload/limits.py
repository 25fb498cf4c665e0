"""Limits of an upload, each with one clear answer, and what a process that decodes one may take."""

from typing import Final

MOST_FILES: Final = 64
"""Files of an upload, and members of a zip that are files."""
MOST_BYTES: Final = 64 << 20
"""Bytes of an upload."""
MOST_MEMBERS: Final = 1024
"""Members of a zip, folders included."""
MOST_UNPACKED: Final = 512 << 20
"""Bytes of a zip's members together."""
MOST_RATIO: Final = 200
"""Bytes of a zip's member for each byte of it that is stored."""
MOST_PIXELS: Final = 10_980**2
"""Pixels of a band: those of a whole product of Sentinel-2 at 10 m."""
MOST_WINDOWS: Final = 400
"""Windows of 1,200 m in an image: 24 km × 24 km."""
CPU_SECONDS: Final = 60
WALL_SECONDS: Final = 90.0
MEMORY_BYTES: Final = 4 << 30
"""Address space of the process, of which its libraries take up more than a GB."""
AT_A_TIME: Final = 2
"""Uploads that are decoded at a time."""
