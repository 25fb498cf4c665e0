"""The options of `bep train`, `bep evaluate` and `bep bench`, and what is known of each: data for `test_options.py`."""

from dataclasses import dataclass, field

STEP = {"optimisation.schedule": "step", "optimisation.step_epochs": "1"}


@dataclass(frozen=True, kw_only=True)
class Option:
    """Facts about an option.

    Attributes:
        value: of the option, which makes another run than the same options without it.
        beside: what it goes with.
        refused: options with which it is refused, and what the message says that it goes with.
        shown_by: a test that shows its effect, where two steps do not.
    """

    value: str | None = None
    beside: dict[str, str] = field(default_factory=dict)
    refused: tuple[tuple[dict[str, str], str], ...] = ()
    shown_by: str = ""


LOOP, CLI = "trainer/training/test_loop.py", "bigearth_pipeline/cli/models/test_train.py"
NATIVE: dict[str, str] = {"model.model": "bepnet-s"}
TRAIN = {
    "data.shards": Option(shown_by=f"{LOOP}::test_a_run_goes_on_with_the_same_shards_only"),
    "run.out": Option(shown_by=f"{LOOP}::test_the_folder_of_a_run_is_complete"),
    "file": Option(shown_by="trainer/config/test_files.py::test_a_run_is_repeated_from_its_file"),
    "assignments": Option(shown_by="trainer/config/test_files.py::test_every_option_can_be_set"),
    "resume": Option(shown_by=f"{CLI}::test_a_signal_saves_the_state"),
    "recipe": Option(shown_by=f"{LOOP}::test_the_published_recipe_is_that_of_the_paper"),
    "optimisation.epochs": Option(shown_by=f"{LOOP}::test_metrics_have_a_line_an_epoch"),
    "run.max_steps": Option(shown_by=f"{LOOP}::test_max_steps_ends_the_run"),
    "run.max_minutes": Option(shown_by=f"{LOOP}::test_max_minutes_stops_the_run"),
    "run.patience": Option(
        value="3",
        shown_by=f"{LOOP}::test_early_stopping",
        refused=(({"optimisation.epochs": "1"}, "--epochs 1"), ({"optimisation.epochs": "3"}, "--epochs 3")),
    ),
    "run.seed": Option(value="1"),
    "run.monitor": Option(
        value="loss",
        refused=(({"data.validation": "false"}, "--set data.validation=false leaves no score"),),
        shown_by="trainer/training/epochs/test_kept.py::test_the_monitored_value_decides",
    ),
    "run.keep": Option(
        value="2",
        refused=(({"data.validation": "false"}, "--set data.validation=false leaves no score"),),
        shown_by="trainer/training/epochs/test_kept.py::test_the_best_epochs_are_kept",
    ),
    "run.log_steps": Option(
        value="3",
        shown_by="trainer/training/step/test_logged_steps.py::test_windows_are_means_since_the_last_logged_step",
        refused=(({}, "the run has 2 steps"),),
    ),
    "run.logger": Option(shown_by="trainer/runs/test_loggers.py::test_a_run_is_logged_and_resumed"),
    "run.test": Option(shown_by=f"{CLI}::test_json_and_progress_are_apart"),
    "run.save_minutes": Option(shown_by="trainer/runs/test_run_folder.py::test_a_state_is_saved_within_an_epoch"),
    "run.save_steps": Option(shown_by="trainer/runs/test_run_folder.py::test_a_state_is_saved_within_an_epoch"),
    "as_json": Option(shown_by=f"{CLI}::test_json_and_progress_are_apart"),
    "data.classes": Option(shown_by="trainer/training/test_nomenclature.py::test_a_run_on_43_classes"),
    "data.bands": Option(value="rgb"),
    "data.where": Option(value="key != 'train_0'"),
    "data.fraction": Option(value="0.5"),
    "data.patches": Option(shown_by="trainer/data/subset/test_subset.py::test_conditions_combine_by_intersection"),
    "data.normalise": Option(value="percentile"),
    "data.train_splits": Option(
        value="train,validation",
        beside={"data.validation": "false"},
        refused=(({}, "data.validation=false goes with it"),),
    ),
    "data.repeat_threshold": Option(value="0.9", refused=(({"data.repeat_threshold": "0.001"}, "the rarest class"),)),
    "data.ignore_labels": Option(value="broad-leaved"),
    "data.validation": Option(
        value="false", shown_by="trainer/training/test_all_splits.py::test_a_run_without_validation_says_so"
    ),
    "data.statistics": Option(
        value="published", refused=(({"data.normalise": "percentile"}, "--set data.normalise=standard"),)
    ),
    "data.interpolation": Option(
        value="bilinear",
        refused=(
            (NATIVE, "networks of timm or --set augmentation.crop=resized"),
            (NATIVE | {"data.interpolation": "nearest"}, "networks of timm"),
            ({"data.bands": "rgb"}, "all --bands of this run are at 10 m"),
        ),
    ),
    "data.order": Option(value="block"),
    "machine.cache_dir": Option(
        shown_by="shards/storage/disk/test_cache.py::test_a_second_run_sends_no_request_for_records"
    ),
    "machine.cache_bytes": Option(shown_by="shards/storage/disk/test_budget.py::test_the_cache_keeps_to_its_size"),
    "machine.mapped": Option(shown_by=f"{CLI}::test_damage_is_one_line"),
    "machine.verify": Option(shown_by="trainer/data/test_loader_failures.py::test_a_damaged_record_names_itself"),
    "augmentation.augment": Option(
        value="none", refused=(({"augmentation.augment": "strong", "optimisation.batch_size": "1"}, "--batch-size 1"),)
    ),
    "augmentation.turn": Option(value="flips"),
    "augmentation.crop": Option(value="resized"),
    "augmentation.crop_pad": Option(
        value="5", refused=(({"augmentation.crop": "resized"}, "--set augmentation.crop=pad"),)
    ),
    "augmentation.crop_scale": Option(
        value="[0.2, 0.3]",
        beside={"augmentation.crop": "resized"},
        refused=(({}, "--set augmentation.crop=resized"),),
    ),
    "augmentation.erase_area": Option(
        value="[0.5, 0.6]",
        beside={"augmentation.erase": "1"},
        refused=(({}, "--set augmentation.erase above 0"),),
    ),
    "augmentation.gain": Option(value="0.5"),
    "augmentation.offset": Option(value="0.5"),
    "augmentation.band_dropout": Option(value="0.5", refused=(({"data.bands": "B02"}, "--bands B02"),)),
    "augmentation.erase": Option(value="1"),
    "augmentation.mixup": Option(value="1", refused=(({"optimisation.batch_size": "1"}, "--batch-size 1"),)),
    "augmentation.cutmix": Option(value="1", refused=(({"optimisation.batch_size": "1"}, "--batch-size 1"),)),
    "model.model": Option(value="test_vit3"),
    "model.pretrained": Option(
        value="true",
        shown_by="trainer/models/test_timm_models.py::test_pretrained_weights",
        refused=((NATIVE, "no published weights of bepnet-s"),),
    ),
    "model.weights": Option(shown_by=f"{CLI}::test_the_other_version_needs_a_word"),
    "model.freeze": Option(value="backbone"),
    "model.checkpointing": Option(
        value="true",
        shown_by="trainer/training/parts/test_parts_of_the_network.py::test_checkpointing_keeps_fewer_features",
        refused=(
            ({"model.freeze": "backbone"}, "--set model.freeze=backbone needs no gradients"),
            ({"machine.compile": "default"}, "--compile default"),
        ),
    ),
    "model.drop_rate": Option(value="0.5"),
    "model.drop_path_rate": Option(
        value="0.9",
        refused=(
            ({"model.model": "test_efficientnet"}, "test_efficientnet"),
            ({"model.freeze": "backbone"}, "--set model.freeze=backbone leaves no layer"),
        ),
    ),
    "optimisation.ema": Option(value="0.5"),
    "model.weights_bands": Option(
        shown_by="trainer/models/test_published_weights.py::test_each_band_gets_the_filters_of_its_channel",
        refused=(({"model.weights_bands": "rgb"}, "--weights"),),
    ),
    "model.weights_classes": Option(
        shown_by="trainer/models/test_published_weights.py::test_rows_of_the_classifier_go_by_class",
        refused=(({"model.weights_classes": "paper"}, "--weights"),),
    ),
    "model.allow_mixed_version": Option(
        value="true", shown_by=f"{CLI}::test_the_other_version_needs_a_word", refused=(({}, "--weights FILE"),)
    ),
    "optimisation.batch_size": Option(value="5"),
    "optimisation.accumulate": Option(
        value="2",
        refused=(
            ({"optimisation.accumulate": "5"}, "--batch-size 4"),
            ({"optimisation.accumulate": "25", "optimisation.batch_size": "50"}, "24 patches of a step"),
        ),
    ),
    "optimisation.optimizer": Option(value="sgd"),
    "optimisation.lr": Option(value="0.1"),
    "optimisation.weight_decay": Option(value="0.5"),
    "optimisation.decay": Option(
        value="all",
        beside={"optimisation.weight_decay": "0.9"},
        refused=(({"optimisation.weight_decay": "0"}, "--set optimisation.weight_decay above 0"),),
    ),
    "optimisation.momentum": Option(
        value="0.5",
        beside={"optimisation.optimizer": "sgd"},
        refused=(
            ({}, "--set optimisation.optimizer=sgd"),
            ({"optimisation.momentum": "0.9", "optimisation.optimizer": "lamb"}, "--set optimisation.optimizer=sgd"),
        ),
    ),
    "optimisation.backbone_lr": Option(
        value="0.1", refused=(({"model.freeze": "backbone"}, "--set model.freeze=backbone leaves the classifier"),)
    ),
    "optimisation.layer_decay": Option(
        value="0.5", refused=(({"model.freeze": "backbone"}, "--set model.freeze=backbone leaves the classifier"),)
    ),
    "optimisation.clip": Option(
        value="0.001",
        beside={"optimisation.optimizer": "sgd"},
        refused=(({"optimisation.optimizer": "lamb", "optimisation.clip": "1"}, "--set optimisation.optimizer=lamb"),),
    ),
    "optimisation.schedule": Option(
        value="constant",
        beside={"optimisation.warmup_steps": "0"},
        refused=(({"optimisation.schedule": "step"}, "--set optimisation.step_epochs=30"),),
    ),
    "optimisation.warmup_steps": Option(
        value="1", refused=(({"optimisation.warmup_steps": "2"}, "the run has 2 steps"),)
    ),
    "optimisation.start_factor": Option(
        value="0.5",
        beside={"optimisation.warmup_steps": "1"},
        refused=(({"optimisation.warmup_steps": "0"}, "leaves no warm-up"),),
    ),
    "optimisation.final_factor": Option(
        value="0.5", refused=(({"optimisation.schedule": "constant"}, "--set optimisation.schedule=cosine"),)
    ),
    "optimisation.step_epochs": Option(
        value="1",
        beside={"optimisation.schedule": "step", "optimisation.epochs": "40", "optimisation.batch_size": "24"},
        refused=(
            ({}, "--set optimisation.schedule=step"),
            ({"optimisation.schedule": "constant"}, "--set optimisation.schedule=step"),
        ),
    ),
    "optimisation.step_gamma": Option(
        value="0.5",
        beside=STEP | {"optimisation.batch_size": "24"},
        refused=(
            ({}, "--set optimisation.schedule=step"),
            ({"optimisation.schedule": "cosine"}, "--set optimisation.schedule=step"),
        ),
    ),
    "optimisation.plateau_epochs": Option(
        value="1",
        shown_by="trainer/training/epochs/test_schedules_of_scores.py::test_the_rate_falls_on_a_plateau",
        refused=(
            ({}, "--set optimisation.schedule=plateau"),
            ({"optimisation.schedule": "plateau", "optimisation.epochs": "1"}, "--epochs 1"),
        ),
    ),
    "optimisation.restart_epochs": Option(
        value="1",
        beside={"optimisation.schedule": "restarts", "optimisation.epochs": "40", "optimisation.batch_size": "24"},
        refused=(
            ({}, "--set optimisation.schedule=restarts"),
            ({"optimisation.schedule": "restarts", "optimisation.epochs": "1"}, "--epochs 1"),
        ),
    ),
    "optimisation.restart_growth": Option(
        value="2",
        shown_by="trainer/optimisation/test_schedule.py::test_cycles_restart",
        refused=(
            ({}, "--set optimisation.schedule=restarts"),
            ({"optimisation.schedule": "restarts"}, "--set optimisation.restart_epochs=10"),
        ),
    ),
    "optimisation.loss": Option(value="focal"),
    "optimisation.label_smoothing": Option(value="0.5"),
    "optimisation.positive_weights": Option(value="true", refused=(({"optimisation.loss": "focal"}, "bce"),)),
    "optimisation.max_positive_weight": Option(
        value="1.5",
        beside={"optimisation.positive_weights": "true"},
        refused=(({}, "--set optimisation.positive_weights=true"),),
    ),
    "machine.device": Option(shown_by="bigearth_pipeline/cli/test_options.py::test_no_gpu_is_one_line"),
    "machine.precision": Option(value="bf16"),
    "machine.compile": Option(value="default", refused=(({"machine.compile": "reduce-overhead"}, "need a GPU"),)),
    "machine.loader": Option(value="numba"),
    "machine.cache": Option(value="ram", refused=(({"machine.cache": "gpu"}, "there is none"),)),
    "machine.threads": Option(value="3"),
}
"""The options of `bep train` by key, and its other parameters. A new one has to be put here."""

EVALUATE = {"run", "split", "shards", "where", "patches", "batch_size", "device", "threads", "verify"}
EVALUATE |= {"allow_mixed_version", "as_json", "mapped", "weights", "model", "bands", "weights_bands"}
EVALUATE |= {
    "cache_dir",
    "cache_bytes",
    "weights_classes",
    "statistics",
    "interpolation",
    "out",
    "ensemble",
    "tta",
    "checkpoint",
}
BENCH_LOADER = {"folders", "batch_size", "threads", "orders", "augment", "loader", "device", "patches", "repeats"}
BENCH_LOADER |= {"least_seconds", "plot", "as_json"}
BENCH_TRAIN = {"data", "model", "batch_size", "augment", "precision", "mode", "loader", "cache", "device", "threads"}
BENCH_TRAIN |= {"steps", "repeats", "least_seconds", "trace", "as_json"}


OTHERS = {"resume", "recipe", "as_json", "file", "assignments"}
"""Parameters that are no options of a run."""
