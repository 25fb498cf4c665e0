"""Options of the server."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from shards.errors import InvalidValue
from shards.metadata.place import check_outside_stores
from trainer.definition.choices import DeviceName

PORT: Final = 8765
VERDICTS: Final = "verdicts.csv"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Options of the server.

    Attributes:
        runs: folders of runs, or of folders that hold runs.
        stores: folders of stores; those of the runs are added.
        scenes: folders of predicted scenes, or their maps.
        host: address to listen on.
        port: to listen on; 0 for any that is free.
        token: that every request must have; None for no check, which only a loopback address allows.
        verdicts: file of the verdicts on labels.
        device: `cpu`, `cuda` or `auto`, for networks.
    """

    runs: tuple[Path, ...] = ()
    stores: tuple[Path, ...] = ()
    scenes: tuple[Path, ...] = ()
    host: str = "127.0.0.1"
    port: int = PORT
    token: str | None = None
    verdicts: Path = Path(VERDICTS)
    device: DeviceName = "auto"

    def __post_init__(self) -> None:
        if not (self.runs or self.stores or self.scenes):
            raise InvalidValue("nothing to show, expected a run, `shards=DIR` or `scene=DIR`")
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise InvalidValue("`token=` is not 16 to 128 letters, digits, `-` and `_`")
        if self.token is None and not is_loopback(self.host):
            raise InvalidValue(f"`host={self.host}` is reachable from other machines; use `token=TEXT` or 127.0.0.1")
        check_outside_stores(self.verdicts)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
