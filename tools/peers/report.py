"""The results for people to read: RESULTS.md is what `render` makes of results.json, and nothing else.

`python -m tools.peers.report tools/peers/results.json` writes it anew.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_HEAD: Final = """\
# The same work done by other systems

Written by `tools/peers/run.py` from `results.json`; do not edit.

Every system loads the same {patches:,} synthetic BigEarthNet patches in shuffled batches of {batch_size}, with
{workers} workers (processes, or threads where a system has those):

- *native*: the 80,000 uint16 pixels of a patch as they are stored, without any work on them;
- *float32*: (n, 12, 120, 120), all bands at 120×120 (nearest), normalised, randomly flipped.

Before the timing the pixels of {probes} patches are compared with the source, and every epoch, timed ones too, must
deliver each patch exactly once. Each system has a process of its own which stays alive with its workers; a turn is as
many whole epochs as take about {turn_seconds:g} s, one at least, after epochs that check and warm up and do not count.
The systems take turns, in an order drawn anew in each of {repeats} rounds. Figures are patches a second: median
(lowest–highest) of {repeats} turns.

Where it says *the DataLoader of loading.py*, that is torch's, with forked workers that stay alive, `prefetch_factor` 2,
no pinned memory and one torch thread a worker; a worker writes each sample once, straight into the batch in shared
memory, and makes images with `pixels.prepare`, in a way that was among the fastest of several in numpy and torch.
*Global shuffle* is an exact permutation of all patches; the others mix what they read in sequence.

Start is the time from opening a store to the first batch of its first epoch, workers and compilation included, imports
not. Conversions were timed once; all but ours read the band files with rasterio in {workers} processes.

{table}

- Date: {date}
- Machine: {cpu}, {cores} cores (a virtual machine shared with others), no GPU; source and stores in {file_system}
- Python {python}; {versions}

    {command}
"""


def render(results: Mapping[str, Any]) -> str:
    """Return RESULTS.md for the content of results.json."""
    environment, peers = results["environment"], results["peers"]
    text = _HEAD.format(
        **results["config"],
        table=_table(peers),
        date=environment["date"],
        cpu=environment["cpu"],
        cores=environment["cores"],
        file_system=environment["work_file_system"],
        python=environment["python"],
        versions=_versions(environment["versions"]),
        command=results["command"],
    )
    text += f"\n{results['remark']}\n" if results["remark"] else ""
    failed = {name: peer["errors"] for name, peer in peers.items() if peer["errors"]}
    text += "\n## What could not be run\n\n"
    text += "".join(f"- {peers[name]['title']}: {error}\n" for name, errors in failed.items() for error in errors)
    text += "" if failed else "Everything ran.\n"
    text += "\n## Settings and versions\n\n"
    for peer in peers.values():
        if "settings" in peer:
            text += f"- {peer['title']}: {peer['settings']} ({_versions(peer['versions'])}).\n"
    return text


def _table(peers: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        "| system | native | float32 | start, s: native / float32 | conversion, patches/s | bytes a patch |",
        "|---|---|---|---|---|---|",
    ]
    for peer in peers.values():
        store = peer.get("store", {})
        starts = [
            f"{peer[layout]['first_batch_seconds']:.1f}" if layout in peer else "–" for layout in ("native", "float32")
        ]
        speed = f"{store['patches_per_second']:,.0f}" if "patches_per_second" in store else "–"
        size = _size(peer) if store else "–"
        rates = (_rate(peer, layout) for layout in ("native", "float32"))
        lines.append("| " + " | ".join([peer["title"], *rates, " / ".join(starts), speed, size]) + " |")
    return "\n".join(lines)


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _size(peer: Mapping[str, Any]) -> str:
    size = peer["store"]["bytes_per_patch"]
    then = max(peer.get(layout, {}).get("bytes_per_patch_then", 0) for layout in ("native", "float32"))
    return f"{size:,.0f}" + (f" ({then:,.0f} with what it unpacks)" if then > 1.05 * size else "")


def _rate(peer: Mapping[str, Any], layout: str) -> str:
    if peer["errors"]:
        return "failed"
    if layout not in peer:
        return "–"
    rates = peer[layout]["patches_per_second"]
    return f"{peer[layout]['median']:,.0f} ({min(rates):,.0f}–{max(rates):,.0f})"


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Write the results to a JSON file, and RESULTS.md beside it."""
    path.write_text(json.dumps(results, indent=1) + "\n")
    path.with_name("RESULTS.md").write_text(render(results))


if __name__ == "__main__":
    write(Path(sys.argv[1]), json.loads(Path(sys.argv[1]).read_text()))
