"""`pae train-ae`: stage 1, from a data set to `autoencoder.safetensors`."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paecli.config import AutoencoderSettings, RunSettings, check, to_yaml
from paecli.core.augment import augment
from paecli.core.autoencoder import Autoencoder
from paecli.core.objectives import AutoencoderObjective
from paecli.core.pae import BATCH, PAE
from paecli.core.scores import fit_sigma
from paecli.data import ImageDataset, ImageSplit, hold_out, load_dataset
from paecli.errors import ConfigError, TrainingError
from paecli.files import write_atomically
from paecli.progress import NullProgress, Progress
from paecli.store.checkpoint import Header, hash_tensors, save_pae
from paecli.store.runs import AUTOENCODER_FILE
from paecli.workflows.training_run import (
    CONFIG_FILE,
    TrainingReport,
    begin,
    library_versions,
    on_main_process,
    open_accelerator,
    run_loop,
    state_file,
)
from paecli.workflows.training_state import TrainingState

STAGE = "autoencoder"


def train_autoencoder(
    settings: RunSettings,
    *,
    run_dir: Path,
    data_dir: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> TrainingReport:
    """Trains an autoencoder and writes it to a run folder.

    Args:
        settings: the run; with `resume` they must be the ones it was started with.
        run_dir: where everything is written.
        data_dir: where to look for data sets first.
        resume: go on with the interrupted run in `run_dir`.
        overwrite: replace what `run_dir` holds.
        device: `auto` or `cpu`.
        progress: told of every step.

    Raises:
        DataError: the data set is missing or damaged.
        ConfigError: an option does not fit the network.
        TrainingError: the folder holds another run, or the loss is no longer finite.
    """
    progress = progress or NullProgress()
    result_file = run_dir / AUTOENCODER_FILE
    resumed = begin(run_dir, STAGE, result_file, resume=resume, overwrite=overwrite)
    own = settings.autoencoder
    data = read_data(own, data_dir=data_dir, progress=progress)
    kept, held_out = split_data(own, data)
    autoencoder, arguments = build_autoencoder(own, kept)
    accelerator = open_accelerator(device)
    config = to_yaml(settings).encode()
    on_main_process(accelerator, lambda: write_atomically(run_dir / CONFIG_FILE, config))
    loop = run_loop(
        AutoencoderStage(autoencoder, own, kept.images, held_out.images),
        name=STAGE,
        run_dir=run_dir,
        settings=own.optimiser,
        seed=own.seed,
        described=settings.model_dump(mode="json"),
        accelerator=accelerator,
        resumed=resumed,
        progress=progress,
    )
    model = PAE(autoencoder.cpu()).eval()
    fit_sigma(model, held_out.images)
    metrics = {
        "held_out_mse": reconstruction_mse(autoencoder, held_out.images),
        "test_mse": reconstruction_mse(autoencoder, data.test.images),
    }
    header = _describe(autoencoder, arguments, own, data, metrics)
    on_main_process(accelerator, lambda: _write(result_file, model, header))
    return TrainingReport.of(
        loop, run_dir=run_dir, stage=STAGE, metrics=metrics, accelerator=accelerator
    )


def settings_of_interrupted_run(run_dir: Path, stage: str) -> RunSettings:
    """Returns the settings an interrupted run was started with.

    Raises:
        TrainingError: nothing to resume.
    """
    path = state_file(run_dir, stage)
    return check(TrainingState.load(path).settings, where=str(path))


def read_data(
    settings: AutoencoderSettings, *, data_dir: Path | None, progress: Progress
) -> ImageDataset:
    """Loads the data set that the settings name."""
    data = settings.data
    return load_dataset(
        data.dataset,
        data_dir=data_dir,
        image_size=data.image_size,
        channels=data.channels,
        split_seed=data.split_seed,
        progress=progress,
    )


def split_data(settings: AutoencoderSettings, data: ImageDataset) -> tuple[ImageSplit, ImageSplit]:
    """Splits the training images into those trained on and those held out for tuning."""
    kept, held_out = hold_out(
        data.train, fraction=settings.data.held_out, seed=settings.data.split_seed
    )
    return (kept.take(settings.data.limit) if settings.data.limit else kept), held_out


def _describe(
    autoencoder: Autoencoder,
    arguments: dict[str, object],
    settings: AutoencoderSettings,
    data: ImageDataset,
    metrics: dict[str, float],
) -> Header:
    return Header(
        kind="autoencoder",
        autoencoder=arguments,
        autoencoder_hash=hash_tensors(autoencoder.state_dict()),
        config={STAGE: settings.model_dump(mode="json")},
        data={
            "dataset": data.name,
            "content_hash": data.content_hash,
            "split_seed": settings.data.split_seed,
            "held_out": settings.data.held_out,
            "classes": list(data.train.classes),
        },
        versions=library_versions(),
        metrics=metrics,
    )


def _write(path: Path, model: PAE, header: Header) -> None:
    save_pae(path, model, header)
    state_file(path.parent, STAGE).unlink(missing_ok=True)


def build_autoencoder(
    settings: AutoencoderSettings, images: ImageSplit
) -> tuple[Autoencoder, dict[str, object]]:
    """Builds the network, and the arguments that build it again.

    Raises:
        ConfigError: the network has no such option.
        TrainingError: one image is too few for batch normalisation.
    """
    torch.manual_seed(settings.seed)
    arguments: dict[str, object] = {
        "network": settings.network,
        "image_shape": tuple(images.images.shape[1:]),
        "latent_size": settings.latent_size,
        "variational": settings.objective.loss != "ae",
        **settings.network_options,
    }
    try:
        autoencoder = Autoencoder(**arguments)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"network {settings.network!r} cannot be built with latents of size "
            f"{settings.latent_size} and the options {settings.network_options}: {reason:.200}"
        ) from error
    batch = min(settings.optimiser.batch_size, len(images))
    if batch == 1 and not _trains_on_one_image(arguments):
        raise TrainingError(
            f"network {settings.network!r} normalises over the batch and needs at least 2 images; "
            "use --network mlp or a larger --batch-size"
        )
    return autoencoder.to(memory_format=torch.channels_last), arguments


def _trains_on_one_image(arguments: dict[str, object]) -> bool:
    """Tells whether batch normalisation has more than one value a channel with one image."""
    with torch.device("meta"):  # shapes only
        autoencoder = Autoencoder(**arguments)  # type: ignore[arg-type]
        try:
            autoencoder(torch.zeros(1, *autoencoder.image_shape))
        except ValueError:
            return False
    return True


@torch.no_grad()
def reconstruction_mse(autoencoder: Autoencoder, images: Tensor) -> float:
    """Returns the mean squared error per pixel, [0, 1] units, of uint8 images `(n, c, h, w)`."""
    autoencoder.eval()
    device = next(autoencoder.parameters()).device
    total = 0.0
    for part in images.split(BATCH):
        x = part.to(device).float() / 255
        total += F.mse_loss(autoencoder(x), x, reduction="sum").item()
    return total / images.numel()


class AutoencoderStage:
    """Batches, loss and held-out metric of stage 1."""

    metric_name = "mse"

    def __init__(
        self,
        autoencoder: Autoencoder,
        settings: AutoencoderSettings,
        images: Tensor,
        held_out: Tensor,
    ) -> None:
        self.autoencoder = autoencoder
        self.images = images
        self.held_out = held_out
        self.examples = len(images)
        self.settings = settings
        self.module: nn.Module = AutoencoderObjective(
            autoencoder, **settings.objective.model_dump()
        )

    def batch(
        self, index: Tensor, *, fraction: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Returns what the encoder sees and what should come back, `(b, c, h, w)` in [0, 1]."""
        x = self.images[index].float() / 255
        options = self.settings.augment
        if fraction >= 1 - options.clean_epochs:
            return x, x
        x = augment(
            x,
            generator=generator,
            shift=options.shift,
            shift_probability=options.shift_probability,
            horizontal_flip=options.horizontal_flip,
            rotation=options.rotation,
            brightness=options.brightness,
        )
        if not options.noise:
            return x, x
        return x + options.noise * torch.randn(x.shape, generator=generator), x

    def held_out_metric(self) -> float:
        """Returns the mean squared error per pixel of the held-out images."""
        return reconstruction_mse(self.autoencoder, self.held_out)
