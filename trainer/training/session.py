"""From a configuration to all that a run needs: the data, its loaders and the network."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import shards
from shards import Store
from shards.runtime.cores import num_cores
from trainer.config import effect, toml
from trainer.config.chosen import Chosen, digest
from trainer.config.given import Given
from trainer.config.options import TrainConfig
from trainer.data.device import encoded
from trainer.data.file_system import choose_kind
from trainer.data.loader import Loader
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.order import Kind
from trainer.data.prepare.backend import triton_is_there
from trainer.data.stream import cache
from trainer.data.stream.cache import Tier
from trainer.data.subset.rows import Subset, select
from trainer.definition.augmentation import Augmentation
from trainer.definition.choices import Backend
from trainer.errors import TrainError
from trainer.metrics.thresholds import THRESHOLD
from trainer.models.create import Classifier
from trainer.runs import folder as run_folder
from trainer.runs.results import Selection
from trainer.runs.scored import patches_digest
from trainer.runtime.precision import resolve, why_steps_wait
from trainer.runtime.progress import Progress
from trainer.runtime.ranks import Ranks
from trainer.training.parts import memory
from trainer.training.parts.labels import use_labels
from trainer.training.parts.network import create_network, describe_training
from trainer.training.parts.normalisation import create_normalisation

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Session:
    """Everything that a run works with.

    Attributes:
        config: what it was told, with what it has chosen where that said `auto`.
        options: what it was told, as JSON values.
        given: options that somebody gave; empty for a run that is resumed.
        kept: what the run had chosen before it was stopped; None for a new one.
        ranks: this process among those of the run.
        store: the shards, open.
        manifest_sha256: of the manifest of the shards.
        rows: rows of the index by split, after subsets were taken.
        scored: digest of the patches of validation and test split, be they used or not, by split.
        repeats: (n,) visits of each training patch in an epoch, in the mean; None for one.
        normalisation: by the train split, or by other statistics.
        model: the network on its device, with the weights to begin with.
        order: of the training patches.
        progress: receives what was chosen, and why.
        tiers: where the records of each split are kept, once the first loader has asked.
    """

    config: TrainConfig
    options: dict[str, Any]
    given: Given
    kept: Chosen | None
    ranks: Ranks
    store: Store
    manifest_sha256: str
    rows: dict[str, Rows]
    scored: dict[str, str]
    repeats: NDArray[np.float64] | None
    normalisation: Normalisation
    model: Classifier
    order: Kind
    progress: Progress
    tiers: dict[str, cache.Choice] = field(default_factory=dict)

    def class_counts(self) -> dict[str, int]:
        """Return how many of the training patches have each class."""
        nomenclature = self.config.data.nomenclature
        counts = self.store.index.labels(nomenclature)[self.rows["train"]].sum(0, dtype=np.int64)
        return dict(zip(nomenclature.names, counts.tolist(), strict=True))

    def selection(self, split: str) -> Selection:
        """Return the patches of a split as what a result is about."""
        return Selection(
            store=self.store,
            manifest_sha256=self.manifest_sha256,
            split=split,
            rows=self.rows[split],
            subset=Subset.of(self.config.data),
        )

    def loader(self, split: str) -> Loader:
        """Return the loader of a split: `train` is shuffled and augmented, the others keep the order of the index."""
        config, training = self.config, split == "train"
        rows, device = self.rows[split], self.ranks.device
        backend = config.machine.loader if self.kept is None else self.kept.backends.get(split, config.machine.loader)
        reserve = 0
        if split != "test" and config.machine.cache in ("ram", "auto"):
            reserve = memory.reserve_bytes(self.model, config, self.ranks)
        tier = self._tier(split, backend, reserve)
        return Loader(
            self.store,
            rows,
            self.normalisation,
            LoaderConfig(
                batch_size=config.optimisation.batch_size,
                device=device,
                order=self.order if training else "sequential",
                seed=config.run.seed,
                layout=self.model.layout,
                interpolation=config.data.interpolation,
                augmentation=config.augmentation if training else Augmentation(),
                loader=backend,
                cache=tier,
                reserve_bytes=reserve,
                rank=self.ranks.rank,
                num_ranks=self.ranks.num_ranks,
                verify=config.machine.verify,
                nomenclature=config.data.nomenclature,
            ),
            repeats=self.repeats if training else None,
        )

    def _tier(self, split: str, backend: Backend, reserve: int = 0) -> Tier:
        """Return where the records of a split are kept, and say why if that was left open."""
        tier = self.config.machine.cache
        if split == "test":
            # It is read once: keeping it would take memory for nothing, and fail when the training is done.
            return "none"
        if tier == "none" or tier == "ram":
            return tier
        if not self.tiers:
            # Of all splits at once: what one of them takes is not there for another.
            self.tiers.update(self._plan_tiers(backend, reserve))
        found = self.tiers[split]
        self.progress.say(f"cache {found.tier} for {split}: {found.reason}")
        return found.tier

    def _plan_tiers(self, backend: Backend, reserve: int = 0) -> dict[str, cache.Choice]:
        rows = {split: rows for split, rows in self.rows.items() if split != "test" and len(rows)}
        device, fits = self.ranks.device, backend in ("auto", "torch", "triton")
        decodes = backend != "torch" and triton_is_there(device)
        if self.config.machine.cache == "auto":
            return cache.plan(self.store, rows, device, decodes=decodes, on_device=fits, reserve_bytes=reserve)
        gpu, ram = (self.given.setting("machine.cache", name) for name in ("gpu", "ram"))
        if not fits:
            raise TrainError(
                f"{gpu} prepares batches by Triton or torch, and this run by {backend}; take {ram}, or "
                f"{self.given.setting('machine.loader', 'triton')} or torch"
            )
        if device.type != "cuda":
            raise TrainError(f"{gpu} keeps records on a GPU, and there is none; take {ram} or auto")
        found = cache.plan_gpu(self.store, rows, device, decodes=decodes)
        # It was asked for, so what is left for the rest is the user's concern.
        smallest: Tier = "gpu-encoded" if decodes and encoded.can_decode(self.store) else "gpu"
        return {
            split: choice
            if choice.tier != "none"
            else cache.Choice(smallest, f"as asked for, although {choice.reason}")
            for split, choice in found.items()
        }

    def chosen(self, loaders: dict[str, Loader]) -> Chosen:
        """Return what the run has chosen, by the loaders of its splits."""
        return Chosen(
            order="block" if self.order == "block" else "global",
            precision=self.config.machine.precision,
            backends={split: loader.backend for split, loader in loaders.items()},
            rows={split: digest(self.rows[split]) for split in loaders},
        )

    @property
    def options_text(self) -> str:
        """The options as they were given, `auto` and not what it became here, as TOML."""
        return toml.write_text(TrainConfig.from_json(self.options), self.given.recipe, self.given.augment)

    def describe(self) -> dict[str, Any]:
        """Return all that the result depends on beside the options: what `description.json` holds."""
        return {
            "model": self.model.spec.to_json(),
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "device": torch.cuda.get_device_name(self.ranks.device) if self.ranks.device.type == "cuda" else "cpu",
            "precision": self.config.machine.precision,
            "order": self.order,
            "ranks": self.ranks.num_ranks,
            "threads": self.store.num_threads,
            "manifest_sha256": self.manifest_sha256,
            "source_version": self.store.manifest.source_version,
            "patches": {split: len(rows) for split, rows in self.rows.items() if len(rows)},
            "bands": self.config.data.bands,
            "classes": self.config.data.nomenclature.names,
            "normalisation": asdict(self.normalisation),
            "versions": run_folder.versions(),
        }


@contextmanager
def open_session(
    config: TrainConfig,
    ranks: Ranks,
    progress: Progress,
    *,
    given: Given | None = None,
    kept: Chosen | None = None,
    normalised: Normalisation | None = None,
) -> Iterator[Session]:
    """Open the shards and make the network; report to `progress` what was chosen, and why.

    Args:
        config: of the run.
        ranks: this process among those of the run.
        progress: receives the reports.
        given: options that somebody gave; None for none.
        kept: what a run that is resumed had chosen; its weights come from its checkpoint.
        normalised: how a run that is resumed has normalised so far.

    Raises:
        InvalidValue: an option that was given has no effect.
        ShardError: the shards are damaged, or are none.
        TrainError: a split is missing, weights do not fit, or the like.
        ValueError: a name or a number is not allowed.
    """
    given = given or Given()
    cores = num_cores()
    threads = config.machine.threads or max(1, cores // ranks.num_local)
    with shards.open(
        config.data.shards,
        num_threads=threads,
        mapped=config.machine.mapped,
        cache_dir=config.machine.cache_dir,
        cache_bytes=config.machine.cache_bytes,
    ) as store:
        data = config.data
        evaluated = ("validation",) * data.validation + ("test",) * config.run.test
        labels = store.index.labels(data.nomenclature)
        rows = select(Subset.of(data), store.index, config.run.seed, needed=(*data.train_splits, *evaluated))
        scored = {split: patches_digest(store.index, rows[split], labels) for split in ("validation", "test")}
        if not data.validation:
            rows["validation"] = rows["validation"][:0]
            progress.say(
                f"trained on {' and '.join(data.train_splits)} without validation: best.pt is the last epoch, "
                f"thresholds are {THRESHOLD:g}"
            )
        for split in ("train", *evaluated):
            if len(rows[split]) < ranks.num_ranks:
                raise TrainError(f"{ranks.num_ranks} ranks share the {len(rows[split])} patches of the {split} split")
        normalisation = create_normalisation(config, store.manifest, normalised)
        order, why = choose_kind(store.folder) if config.data.order == "auto" else (config.data.order, "")
        if kept is not None and kept.order is not None:
            order = kept.order
        elif config.data.order == "auto" and order == "block":
            progress.say(f"order block: {why}")
        precision = resolve(
            kept.precision if kept is not None and kept.precision else config.machine.precision, ranks.device
        )
        effect.check_device(config, given, ranks, precision)
        if (line := why_steps_wait(precision, config.optimisation.optimizer)) is not None:
            progress.say(line)
        model = create_network(config, store, resumed=kept is not None)
        if kept is None:
            effect.check_rates(model.spec, given)
        repeats = use_labels(config, Given() if kept else given, labels, rows, progress)
        if model.loaded is not None:
            progress.say(str(model.loaded))
        if (line := describe_training(config, model)) is not None:
            progress.say(line)
        if config.machine.cache in ("ram", "auto"):
            memory.share_memory(store, ranks)
        yield Session(
            config=config.replace(precision=precision),
            options=config.to_json(),
            given=given,
            kept=kept,
            ranks=ranks,
            store=store,
            manifest_sha256=store.manifest_sha256(),
            rows=rows,
            scored=scored,
            repeats=repeats,
            normalisation=normalisation,
            model=model.to(ranks.device),
            order=order,
            progress=progress,
        )
