"""`pae train-ae FOLDER --features ...`, and the `pae train-flow` that follows it."""

from collections.abc import Sequence
from pathlib import Path

from paecli.data.images.photographs import Photographs, list_photographs
from paecli.data.moved_folders import load_moved
from paecli.model.patches.autoencoder import PatchAutoencoder
from paecli.model.patches.features import PatchFeatures
from paecli.model.patches.model import PatchPAE
from paecli.store.checkpoint import hash_tensors
from paecli.store.feature_weights import HOW_TO_INSTALL, PHOTO_PACKAGE, open_patch_features
from paecli.store.header import Header, PatchSettings
from paecli.store.patch_checkpoint import load_patch_pae, save_patch_pae
from paecli.system.errors import CheckpointError, ConfigError, DataError
from paecli.system.files import write_atomically
from paecli.system.outputs import AUTOENCODER_FILE, CONFIG_FILE, MODEL_FILE
from paecli.system.progress import NullProgress, Progress
from paecli.training.build_networks import COMPONENTS
from paecli.training.history import Log
from paecli.training.images import USUAL_PART
from paecli.training.patches.feature_maps import (
    MOST_FITTED,
    FeatureMap,
    evenly_spaced,
    fit_autoencoder,
    read_feature_maps,
)
from paecli.training.patches.flow_trainer import FlowTrainer
from paecli.training.patches.reference import (
    ReferenceMaps,
    cross_fit,
    fold_count,
    measure_usual_scores,
    score_held_out,
)
from paecli.training.run import (
    TrainingReport,
    begin,
    library_versions,
    on_main_process,
    only_training,
    open_accelerator,
)
from paecli.training.run_folder import AUTOENCODER_STAGE, FLOW_STAGE, state_file
from paecli.training.settings import AutoencoderSettings, FlowSettings, RunSettings, check, to_yaml

SIDE = 448  # of the square that images are scaled to the area of, unless --image-size


def train_patch_autoencoder(
    settings: RunSettings,
    *,
    run_dir: Path,
    overwrite: bool = False,
    progress: Progress = NullProgress(),
) -> TrainingReport:
    """Fits stage 1 to the patches of a folder of images and writes it to a run folder.

    Principal components need one pass over the images, of many over a hundred, and no epochs.

    Args:
        settings: the run; `autoencoder.features` names the features.
        run_dir: where everything is written.
        overwrite: replace what `run_dir` holds.
        progress: told of every image.

    Raises:
        CheckpointError: the features are not installed.
        ConfigError: more latents than features.
        DataError: no folder of images.
        TrainingError: the folder holds another run.
    """
    result_file = run_dir / AUTOENCODER_FILE
    with only_training(run_dir, open_accelerator("auto")):
        begin(run_dir, AUTOENCODER_STAGE, resume=False, overwrite=overwrite)
        own = settings.autoencoder
        features = open_patch_features(own.features)
        if own.features == "pixels":
            progress.say(
                "--features photo finds more kinds of defects than pixels (painted on photographs "
                f"of tiles: AUROC .87 instead of .76); {HOW_TO_INSTALL}"
            )
        data = own.data
        photographs = list_photographs(Path(data.dataset), limit=data.limit, progress=progress)
        model = _build(own, features)
        files = evenly_spaced(photographs.files, MOST_FITTED)
        seconds = fit_autoencoder(model, files, progress=progress)
        metrics = {"explained_variance": model.autoencoder.explained()}
        write_atomically(run_dir / CONFIG_FILE, to_yaml(settings).encode())
        save_patch_pae(result_file, model, _describe(model, settings, photographs, metrics))
    return TrainingReport(
        run_dir=run_dir,
        stage=AUTOENCODER_STAGE,
        epochs=1,
        seconds=seconds,
        images_per_second=len(files) / seconds,
        metrics=metrics,
        history=[],
    )


def train_patch_flow(
    settings: FlowSettings,
    *,
    run_dir: Path,
    data_dir: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    log: Log = "csv",
    progress: Progress = NullProgress(),
) -> TrainingReport:
    """Trains a flow on the latents of patches, then measures the maps of held-out images.

    Args:
        settings: the flow; with `resume` they must be the ones it was started with.
        run_dir: a folder with a trained autoencoder of patches.
        data_dir: where the images are by now; None: where they were.
        resume: go on with the interrupted run.
        overwrite: replace a flow that is already there.
        device: `auto` or `cpu`.
        log: `csv`, or `tensorboard` beside it; see `History`.
        progress: told of every step.

    Raises:
        ConfigError: the settings ask for a mixture of Gaussians as the flow's base.
        DataError: the images are not those that the autoencoder was trained on.
        TrainingError: the folder holds another run, or the loss is no longer finite.
    """
    if settings.flow_options.get(COMPONENTS):
        raise ConfigError(f"flow_options: {COMPONENTS} is for whole images only; leave it out")
    result_file = run_dir / MODEL_FILE
    accelerator = open_accelerator(device)
    with only_training(run_dir, accelerator):
        resumed = begin(run_dir, FLOW_STAGE, resume=resume, overwrite=overwrite)
        model, header = load_patch_pae(run_dir / AUTOENCODER_FILE)
        run_settings = check(header.config | {"flow": settings.model_dump()}, where=str(run_dir))
        photographs = _same_photographs(run_settings.autoencoder, header, run_dir, data_dir)
        maps = read_feature_maps(model, photographs.files, paint=settings.seed, progress=progress)
        trainer = FlowTrainer(settings, accelerator, content_hash=photographs.content_hash)
        loop, arguments = trainer.train(
            model, maps, run_dir=run_dir, resumed=resumed, log=log, progress=progress
        )
        reference = _measure(model, trainer, maps, photographs, run_settings, progress)
        header = header.model_copy(
            update={
                "kind": "patch-pae",
                "flow": arguments,
                "patches": _with_discriminator(header.patches, model),
                "versions": library_versions(),
                "metrics": header.metrics | _metrics(reference),
                "config": run_settings.model_dump(mode="json"),
            }
        )

        def write() -> None:
            save_patch_pae(result_file, model, header)
            write_atomically(run_dir / CONFIG_FILE, to_yaml(run_settings).encode())
            state_file(run_dir, FLOW_STAGE).unlink(missing_ok=True)

        on_main_process(accelerator, write)
    return TrainingReport.of(
        loop, run_dir=run_dir, stage=FLOW_STAGE, metrics=header.metrics, accelerator=accelerator
    )


def measure_patches_again(
    run_dir: Path, *, data_dir: Path | None = None, progress: Progress = NullProgress()
) -> Path:
    """Measures the maps of held-out images anew; returns the model file, rewritten.

    Args:
        run_dir: a folder with a trained model of patches.
        data_dir: where the images are by now; None: where they were.
        progress: told of every image.

    Raises:
        CheckpointError: the folder holds no trained flow.
        DataError: the images are not those that the model was trained on.
    """
    path = run_dir / MODEL_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{run_dir} holds no trained flow; train it with `pae train-flow {run_dir}`"
        )
    accelerator = open_accelerator("auto")
    with only_training(run_dir, accelerator):
        model, header = load_patch_pae(path)
        settings = check(header.config, where=str(path))
        photographs = _same_photographs(settings.autoencoder, header, run_dir, data_dir)
        trainer = FlowTrainer(settings.flow, accelerator, content_hash=photographs.content_hash)
        paint = None if model.discriminator is None else settings.flow.seed
        maps = read_feature_maps(model, photographs.files, paint=paint, progress=progress)
        measure_usual_scores(model, maps)
        reference = _measure(model, trainer, maps, photographs, settings, progress)
        metrics = header.metrics | _metrics(reference)
        save_patch_pae(path, model, header.model_copy(update={"metrics": metrics}))
    return path


def _measure(
    model: PatchPAE,
    trainer: FlowTrainer,
    maps: Sequence[FeatureMap],
    photographs: Photographs,
    settings: RunSettings,
    progress: Progress,
) -> ReferenceMaps:
    """Sets what p-values compare with: held-out images, or all of them by cross-fitting."""
    if photographs.held_out:
        paint = None if model.discriminator is None else settings.flow.seed + 1
        held_out = read_feature_maps(model, photographs.held_out, paint=paint, progress=progress)
        reference = score_held_out(model, held_out)
    else:
        folds = fold_count(settings.autoencoder.data.held_out or USUAL_PART)
        with progress.task("cross-fitting", min(folds, len(maps))) as task:

            def fit(others: Sequence[FeatureMap]) -> PatchPAE:
                apart = trainer.train_apart(model, others)
                task.advance()
                return apart

            reference = cross_fit(fit, maps, folds=folds)
    model.reference_scores = reference.scores
    return reference


def _metrics(reference: ReferenceMaps) -> dict[str, float]:
    metrics = {"held_out_nll": reference.nll}
    if reference.painted_auroc is not None:
        metrics["painted_auroc"] = reference.painted_auroc
    return metrics


def _same_photographs(
    settings: AutoencoderSettings, header: Header, run_dir: Path, data_dir: Path | None
) -> Photographs:
    """Lists the images that stage 1 was trained on, from where they are now."""
    known = str(header.data.get("content_hash"))
    photographs = load_moved(
        settings.data.dataset,
        data_dir,
        content_hash=known,
        load=lambda folder: list_photographs(Path(folder), limit=settings.data.limit),
    )
    if photographs.content_hash != known:
        raise DataError(
            f"{settings.data.dataset} is not what the autoencoder in {run_dir} was trained on; "
            "put the same files back or point --data-dir to them, or train it again"
        )
    return photographs


def _build(settings: AutoencoderSettings, features: PatchFeatures) -> PatchPAE:
    try:
        autoencoder = PatchAutoencoder(size=features.size, latent_size=settings.latents)
    except ValueError as error:
        raise ConfigError(f"the autoencoder of patches cannot be built: {error}") from error
    return PatchPAE(features, autoencoder, area=(settings.data.image_size or SIDE) ** 2)


def _with_discriminator(settings: PatchSettings | None, model: PatchPAE) -> PatchSettings:
    assert settings is not None
    found = model.discriminator
    arguments = found and {"size": found.size, "hidden": found.hidden, "weight": found.weight}
    return settings.model_copy(update={"discriminator": arguments})


def _describe(
    model: PatchPAE, settings: RunSettings, photographs: Photographs, metrics: dict[str, float]
) -> Header:
    data = settings.autoencoder.data
    return Header(
        kind="patch-autoencoder",
        autoencoder={
            "size": model.autoencoder.size,
            "latent_size": model.autoencoder.latent_size,
        },
        patches=PatchSettings(
            features=settings.autoencoder.features,
            network=PHOTO_PACKAGE if model.features.identity else "",
            identity=model.features.identity,
            area=model.area,
        ),
        autoencoder_hash=hash_tensors(model.autoencoder.state_dict()),
        config=settings.model_dump(mode="json", include={AUTOENCODER_STAGE}),
        data={
            "dataset": photographs.name,
            "content_hash": photographs.content_hash,
            "split_seed": data.split_seed,
            "held_out": data.held_out,
            "images": len(photographs.files),
        },
        preprocessing={"pixels": "uint8 / 255", "scaled_to_area": model.area},
        versions=library_versions(),
        metrics=metrics,
    )
