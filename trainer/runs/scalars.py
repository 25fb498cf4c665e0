"""The numbers of a run that loggers show, by the names that they have in all of them."""

import math
from dataclasses import asdict

from trainer.runtime.progress import EpochReport, WindowReport


def window_scalars(report: WindowReport) -> dict[str, float]:
    """Return the numbers of a logged step."""
    norm, memory = report.gradient_norm, report.memory_bytes
    return _known(
        {
            "train/loss": report.loss,
            "train/lr": report.lr,
            # Norms that overflow, as fp16 has them while it looks for a scale, are no point of a curve.
            "train/gradient_norm": None if norm is None or math.isinf(norm) else norm,
            "speed/patches_per_second": report.patches_per_second,
            "speed/loader_wait_share": report.wait_share,
            "memory/peak_gib": None if memory is None else memory / 2**30,
        }
    )


def epoch_scalars(report: EpochReport) -> dict[str, float]:
    """Return the numbers of an epoch."""
    metrics = report.validation
    if metrics is None:
        return {"train/epoch_loss": report.train_loss}
    scalars = {
        "loss": metrics.loss,
        "ap_macro": metrics.ap_macro,
        "ap_micro": metrics.ap_micro,
        "auroc_macro": metrics.auroc_macro,
        "auroc_micro": metrics.auroc_micro,
        "f1_samples": metrics.fixed.f1_samples,
        "calibration_error": metrics.calibration_error,
        "hamming_loss": metrics.fixed.hamming_loss,
        "subset_accuracy": metrics.fixed.subset_accuracy,
    }
    for what, scores in (("macro", metrics.fixed.macro), ("micro", metrics.fixed.micro)):
        scalars |= {f"{name}_{what}": value for name, value in asdict(scores).items()}
    named = {f"validation/{name}": value for name, value in scalars.items()}
    named |= {f"validation_ap/{name}": values.ap for name, values in metrics.classes.items()}
    return _known({"train/epoch_loss": report.train_loss, **named})


def _known(scalars: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in scalars.items() if value is not None}
