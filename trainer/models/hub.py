"""The Hugging Face hub: asked twice at most before its cache on this machine has to do, without its library's lines.

`huggingface_hub` itself asks for each file six times in half a minute where there is no network, and logs each of them.
"""

import logging
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

WEIGHTS: Final = "model.safetensors"
"""Name of the file of weights in a repository of the hub."""

_WAITS: Final = (1.0, None)  # Seconds after each failure; None: no further attempt.
_PASSING: Final = (408, 429)  # Besides all from 500 on.
_REASON: Final = 300  # Longest quote from the errors of others, in characters.


@dataclass(frozen=True)
class Hub:
    """The hub while it is used.

    Attributes:
        problem: why it does not answer, so that its cache alone is used; None if it does.
        cache: folder of its cache.
    """

    problem: str | None
    cache: str

    def reason(self, err: Exception, wanted: str) -> str:
        """Return why something is not to be had, as a part of one line, from the error that the library raised."""
        from huggingface_hub.errors import EntryNotFoundError, OfflineModeIsEnabled

        # Within the cache, a missing file is a missing entry or a request that must not be made.
        if self.problem is None or not isinstance(err, EntryNotFoundError | OfflineModeIsEnabled):
            return shorten(err)
        return (
            f"the hub does not answer ({self.problem}), and its cache {self.cache} does not hold {wanted}; "
            "HF_HUB_CACHE=DIR names another cache"
        )


@contextmanager
def asked(repository: str, file: str, revision: str | None = None) -> Iterator[Hub]:
    """Let `huggingface_hub` work within this block: silently, and on its cache alone where the hub does not answer.

    Args:
        repository: owner and name.
        file: one of its files, which need not exist.
        revision: branch, tag or commit; None for the usual one.
    """
    # Imported where it is needed: it takes half a second.
    from huggingface_hub import constants
    from huggingface_hub.utils.logging import get_verbosity, set_verbosity

    level, offline = get_verbosity(), constants.HF_HUB_OFFLINE
    set_verbosity(logging.CRITICAL)
    try:
        problem = "HF_HUB_OFFLINE is set" if offline else _problem(repository, file, revision)
        # timm passes no option on that would have the library use its cache alone.
        constants.HF_HUB_OFFLINE = problem is not None
        yield Hub(problem, str(constants.HF_HUB_CACHE))
    finally:
        constants.HF_HUB_OFFLINE = offline
        set_verbosity(level)


def shorten(err: Exception) -> str:
    """Return an error as a part of one line."""
    return textwrap.shorten(str(err) or type(err).__name__, _REASON, placeholder=" …")


def _problem(repository: str, file: str, revision: str | None) -> str | None:
    """Return why the hub does not answer; None if it does, whatever it says of the file."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    url, found = hf_hub_url(repository, file, revision=revision), None
    for wait in _WAITS:
        try:
            get_hf_file_metadata(url)  # Waits as long as HF_HUB_ETAG_TIMEOUT says, 10 s without it.
        except HfHubHTTPError as err:
            if err.response.status_code < 500 and err.response.status_code not in _PASSING:
                return None
            found = shorten(err)
        except Exception as err:  # Each HTTP library, proxy and resolver raises its own kinds.
            found = shorten(err)
        else:
            return None
        if wait is not None:
            time.sleep(wait)
    return found
