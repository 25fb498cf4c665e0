"""What `bep bench loader` and `bep bench train` print for people."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rich import box
from rich.table import Table

from bigearth_pipeline.bench.loader.forecast import Epoch
from bigearth_pipeline.bench.loader.measure import LoaderBench
from bigearth_pipeline.bench.loader.read_stages import READ
from bigearth_pipeline.bench.loader.titles import TITLES
from bigearth_pipeline.bench.passes import Rate
from bigearth_pipeline.bench.train.result import COLD, FED, LOADER, RESIDENT, TrainBench
from bigearth_pipeline.cli.terminal import echo, wide_console

_IMAGES: Final = {"stacked": "images at 10 m", "native": "native images", "steps": "steps"}
_TRAIN: Final = {
    RESIDENT: "steps on one batch",
    FED: "steps from shards",
    LOADER: "loader alone",
    COLD: "loader alone, page cache cold",
}


def print_loader(folder: Path, found: LoaderBench) -> None:
    """Print the rates of a store, and what follows from them."""
    config, where = found.config, found.environment
    echo(
        f"{folder}: {found.store['format']}, {found.store['codec']}, {config['patches']:,} patches in batches of "
        f"{config['batch_size']}, order {config['order']}, threads: {config['threads']}, {where['cpu']}, "
        f"{where['device']}, store on {where['store_file_system']}"
    )
    notes = [""] if found.missing else []
    table = _table("patches/s", "page cache", "median", "lowest", "highest", "start, s", "GB/s", *notes)
    for name, title in TITLES.items():
        if name in found.missing:
            table.add_row(title.text, title.cache, "", "", "", "", "", found.missing[name])
        elif name in found.rates:
            rate = found.rates[name]
            size = found.store["bytes_per_patch" if name.endswith(READ) else "decoded_bytes_per_patch"]
            table.add_row(title.text, title.cache, *_numbers(rate), f"{rate.median * size / 1e9:.2f}")
    _print(table)
    if found.warm_share is None:
        echo("whether all of the records' pages stayed in the page cache is not known here: warm may not be all warm")
    elif found.warm_share < 0.99:
        echo(f"only {found.warm_share:.0%} of the records' pages stayed in the page cache: warm is not all warm")
    echo(f"records reach {found.share_of_bound:.0%} of {TITLES[found.bound].text}")
    echo(
        f"{found.store['bytes_per_patch'] / 1e3:.1f} kB a stored record; GB/s are of decoded records, except of reading"
    )
    _print_epochs(found.epochs, {name: _full(name) for name in TITLES}, where["store_file_system"])


def print_train(folder: Path, found: TrainBench) -> None:
    """Print the rates of the steps, and what follows from them."""
    config, where = found.config, found.environment
    echo(
        f"{folder}: {config['model']}, {config['parameters'] / 1e6:.1f} M parameters, "
        f"batches of {config['batch_size']}, {config['precision']}, cache {config['cache']}, {where['device']}, "
        f"{where['cpu']}, threads: {config['threads']}"
    )
    notes = [""] if found.missing else []
    table = _table("patches/s", "median", "lowest", "highest", "start, s", *notes)
    for name, rate in found.rates.items():
        table.add_row(_TRAIN[name], *_numbers(rate))
    for name, why_not in found.missing.items():
        table.add_row(_TRAIN[name], "", "", "", "", why_not)
    _print(table)
    idle = "" if found.idle_share is None else f"the GPU had no step to work on {found.idle_share:.1%} of the time, "
    echo(
        f"saturation {found.saturation:.1%}; {idle}the training thread waited for the loader {found.wait_share:.1%} of "
        f"the time, and the loop itself cost {found.other_share:.2%}; {found.host_cores:.1f} host cores were busy"
    )
    if found.memory_bytes is not None:
        echo(f"{found.memory_bytes / 1e9:.1f} GB of device memory")
    echo(found.advice)
    _print_epochs(found.epochs, _TRAIN, where["store_file_system"], with_best=False)


def _print_epochs(epochs: list[Epoch], passes: dict[str, str], file_system: str, *, with_best: bool = True) -> None:
    """Print predictions; `passes` names the passes that they follow from, `with_best` marks the best place."""
    layouts = list(dict.fromkeys(layout for epoch in epochs for layout in epoch.seconds))
    table = _table("epochs, predicted", "records from", *(_IMAGES[layout] for layout in layouts), "by")
    for epoch in epochs:
        # What the page cache is for other files, these are themselves.
        warm = file_system if file_system in ("tmpfs", "ramfs") else "disk, page cache"
        place = warm if epoch.place == "disk" else epoch.place
        times = [_duration(epoch.seconds[layout]) for layout in layouts if layout in epoch.seconds]
        sources = "; ".join(dict.fromkeys(passes[name] for names in epoch.measured_by.values() for name in names))
        if any(len(names) > 1 for names in epoch.measured_by.values()):
            sources += " (the slower one)"
        cells = times if times else [""] * len(layouts)
        table.add_row(
            f"{epoch.dataset}, {epoch.patches:,} patches",
            f"{place} (best)" if with_best and epoch.is_best else place,
            *cells,
            epoch.why_not or sources,
        )
    _print(table)


def _full(name: str) -> str:
    title = TITLES[name]
    return f"{title.text}, {title.cache}" if title.cache else title.text


def _table(first: str, *headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("page cache", "records from", "by", "") else "right")
    return table


def _numbers(rate: Rate) -> Iterable[str]:
    start = f"{rate.start:.3f}" if rate.start else ""
    return (*(f"{number:,.0f}" for number in (rate.median, rate.lowest, rate.highest)), start)


def _print(table: Table) -> None:
    wide_console(200).print(table)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
