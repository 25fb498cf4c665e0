"""Networks of the Hugging Face hub: `hf://owner/name[@revision]` → a folder in the hub's cache on this machine.

The cache, the resumption of downloads and the account are those of `huggingface_hub`: `HF_HOME`, `HF_HUB_OFFLINE`,
`HF_TOKEN` and the like mean here what they mean there.
"""

import re
from pathlib import Path
from typing import Final

from shards.errors import InvalidValue
from trainer.errors import TrainError
from trainer.inference.model_folder import WEIGHTS
from trainer.models.hub import asked
from trainer.models.weights_config import CONFIG

SCHEME: Final = "hf:"
_ADDRESS: Final = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?/?")


def is_address(run: Path) -> bool:
    """True if a path is an address of the hub, whose two slashes `Path` folds into one."""
    return run.parts[:1] == (SCHEME,) and not run.exists()


def locate(run: Path) -> Path:
    """Return the folder of a run or model: the path itself, or, of an address of the hub, where its files are cached.

    Only `config.json` and `model.safetensors` are downloaded, and what is in the cache already is not. Without a
    network the cache must hold them.

    Raises:
        InvalidValue: an address has another form.
        TrainError: the files cannot be downloaded and are not in the cache.
    """
    if not is_address(run):
        return run
    match = _ADDRESS.fullmatch(str(run))
    if match is None:
        raise InvalidValue(
            f"{shown(run)} is no address of the hub, expected hf://owner/name or hf://owner/name@revision"
        )
    # Imported where it is needed: it takes half a second.
    from huggingface_hub import snapshot_download

    repository, revision = match.groups()
    with asked(repository, CONFIG, revision) as found:
        try:
            # Both files of one commit.
            return Path(snapshot_download(repository, revision=revision, allow_patterns=[CONFIG, WEIGHTS]))
        except Exception as err:  # The hub, HTTP and the file system each raise their own kinds.
            raise TrainError(
                f"{shown(run)} cannot be loaded from the Hugging Face hub, nor from its cache: "
                f"{found.reason(err, 'it')}"
            ) from err


def shown(run: Path) -> str:
    """Return a path as the user wrote it: an address of the hub with its two slashes."""
    return re.sub(f"^{SCHEME}/?", f"{SCHEME}//", str(run))
