"""The process that decodes one upload: limits itself, reads a request from stdin, writes arrays into its folder.

Its folder is its working directory; stdout gets one line of JSON: notes, or the reason of a refusal.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any, Final

RESULT: Final = "result.npz"


def limit_resources() -> None:
    """Bound memory, processor time, and the size of files of this process."""
    from bigearth_pipeline.serve.upload.limits import CPU_SECONDS, MEMORY_BYTES, MOST_UNPACKED

    for kind, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, MOST_UNPACKED),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most, most) if hard == resource.RLIM_INFINITY else (min(most, hard), hard))


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Decode the upload of a request; see `bigearth_pipeline.serve.upload.receive`."""
    import numpy as np

    from bigearth_pipeline.scenes.inputs.description import Known
    from bigearth_pipeline.serve.upload.decode import decode
    from shards.errors import BepError
    from shards.reporting import one_line

    files = [(str(name), Path(f"{number}.bin").absolute()) for number, name in enumerate(request["names"])]
    known = Known(offset=request["offset"], baseline=request["baseline"])
    try:
        found = decode(Path.cwd(), files, known)
    except MemoryError:
        return {"refused": "it takes too much memory to decode"}
    except (BepError, OSError) as err:
        reason = one_line(err) or str(err)
        return {"refused": reason.replace(f"{Path.cwd()}/", "")}
    arrays = {name: getattr(found, name) for name in ("records", "missing", "epsg", "ulx", "uly")}
    np.savez(RESULT, **arrays)
    return {"columns": found.columns, "bands": found.bands, "notes": found.notes}


if __name__ == "__main__":
    limit_resources()
    sys.stdout.write(json.dumps(work(json.load(sys.stdin))) + "\n")
