"""Targets, next to what was measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from tools.gpu.check.execute import Outcome
from tools.gpu.check.plan import Size, kept_prefix, plan_steps

Verdict = Literal["yes", "no", "reported", "not measured", "rehearsal"]

SATURATION: Final = 0.99
LOADER: Final = 60_000
"""Patches per second into tensors on the device, by either layout of the images."""
GPU_CACHE: Final = 500_000
"""The same with records that are kept on the device."""
_EPOCH_OF: Final = "v2 train"
_LAYOUTS: Final = {"stacked": "at 10 m", "native": "native"}


@dataclass(frozen=True)
class Row:
    """A target.

    Attributes:
        what: is measured.
        target: what is to be reached.
        measured: what was, or why nothing was.
        met: whether it is; `reported` for a figure that nothing is asked of.
    """

    what: str
    target: str
    measured: str
    met: Verdict


Found = dict[str, Any]
Reading = tuple[str, bool | None]
"""The measurement, for people, and whether it is enough; None where there is no target."""


def judge(size: Size, outcomes: Mapping[str, Outcome]) -> list[Row]:
    """Return all targets. They are for a GPU: none is met or missed by figures of a CPU.

    Args:
        size: what was measured with.
        outcomes: of the steps, by name.
    """

    def row(what: str, target: str, steps: tuple[str, ...], read: Callable[..., Reading]) -> Row:
        missing = [outcomes[name] for name in steps if not outcomes[name].found]
        if missing:
            first = missing[0]
            verdict: Verdict = "no" if first.status == "failed" and size.device == "cuda" else "not measured"
            return Row(what, target, f"{first.name} {first.status}: {first.reason}", verdict)
        measured, enough = read(*(outcomes[name].found for name in steps))
        if any(outcomes[name].status == "failed" for name in steps):
            enough = False
        if size.device == "cpu":
            return Row(what, target, measured, "rehearsal")
        return Row(what, target, measured, "reported" if enough is None else "yes" if enough else "no")

    network = size.networks[0]
    rows = [row("tests that need a GPU", "all pass", ("tests",), _tests)]
    rows.append(row("killed and resumed", "losses as without", ("resume",), _resume))
    for name in size.networks:
        for tier in size.tiers:
            step = (f"train {name} {tier}",)
            rows.append(row(f"saturation, {name}, --cache {tier}", f"≥ {SATURATION:.0%}", step, _saturation))
            rows.append(row(f"what it takes, {name}, --cache {tier}", "–", step, _cost))
    compared = (f"timm {network}", *(f"train {network} {tier}" for tier in size.tiers))
    rows.append(row(f"{network} fed from shards, of timm's rate", "≥ 100%", compared, _timm))
    for about in (step.about for step in plan_steps(size) if step.action == "loader"):
        step, what = (" ".join(("loader", *about)),), ", ".join(("loader", *about))
        rows.append(row(what, f"≥ {LOADER:,}/s", step, _loader("", LOADER)))
        if (prefix := kept_prefix(about)) is not None:
            kept = f"{what}, --cache gpu{', encoded' if 'encoded' in prefix else ''}"
            rows.append(row(kept, f"≥ {GPU_CACHE:,}/s", step, _loader(prefix, GPU_CACHE)))
    return rows


def render(rows: list[Row]) -> str:
    """Return the targets as a table for a terminal."""
    cells = [("target", "expected", "met", "measured"), *((r.what, r.target, r.met, r.measured) for r in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]) for row in cells]
    return "\n".join(lines)


def _tests(found: Found) -> Reading:
    failed = len(found["failed"])
    text = f"{found['passed']} passed, {failed} failed, {found['skipped']} skipped"
    return text, not failed and found["passed"] > 0


def _resume(found: Found) -> Reading:
    if "difference_behind" not in found:
        return "a run ended early", False
    bits = "the same bits" if found["bit_equal"] else "not bit-equal"
    before, behind = found["difference_before"], found["difference_behind"]
    return f"losses apart by {before:.2%} before the kill, {behind:.2%} behind it; {bits}", True


def _saturation(found: Found) -> Reading:
    fed, resident = (found["rates"][name]["median"] for name in ("fed", "resident"))
    idle = "" if found["idle_share"] is None else f"; idle {found['idle_share']:.1%}"
    text = f"{found['saturation']:.1%} ({fed:,.0f} of {resident:,.0f} patches/s{idle})"
    return text, found["saturation"] >= SATURATION


def _cost(found: Found) -> Reading:
    """Read peak memory, host cores, the loader's start and the seconds of an epoch."""
    start, peak = found["rates"]["fed"]["start_seconds"], found["memory_bytes"]
    epochs = [epoch for epoch in found["epochs"] if epoch["dataset"] == _EPOCH_OF and epoch["seconds"]]
    seconds = min((epoch["seconds"]["steps"] for epoch in epochs), default=None)
    parts = [
        f"epoch of {_EPOCH_OF} {'not predicted' if seconds is None else f'{seconds:.1f} s'}",
        f"peak {'unknown' if peak is None else f'{peak / 1e9:.1f} GB'}",
        f"{found['host_cores']:.1f} host cores",
        f"start {sum(start) / len(start):.2f} s",
    ]
    return ", ".join(parts), None


def _timm(timm: Found, *fed: Found) -> Reading:
    ours = max(found["rates"]["fed"]["median"] for found in fed)
    share = ours / timm["median"]
    # In whole percent: the two are not measured in turns.
    return f"{share:.1%} ({ours:,.0f} of {timm['median']:,.0f} patches/s)", round(share, 2) >= 1


def _loader(prefix: str, least: float) -> Callable[[Found], Reading]:
    def read(found: Found) -> Reading:
        rates = {text: found["rates"].get(f"{prefix}{name}") for name, text in _LAYOUTS.items()}
        missing = [found["missing"].get(f"{prefix}{name}", "no rate") for name in _LAYOUTS if not rates[_LAYOUTS[name]]]
        if missing:
            return missing[0], False
        medians = {text: rate["median"] for text, rate in rates.items()}
        text = ", ".join(f"{median:,.0f}/s {layout}" for layout, median in medians.items())
        return text, min(medians.values()) >= least

    return read
