"""`pae train-ae`: stage 1, from a data set to `autoencoder.safetensors`."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paecli.data import ImageDataset, content_keys
from paecli.data.dataset import without_training_pixels
from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.model.held_out_errors import fitting_part
from paecli.model.model import BATCH, Model
from paecli.store.checkpoint import Header, hash_tensors, save_pae
from paecli.store.header import Architecture
from paecli.system.files import write_atomically
from paecli.system.outputs import AUTOENCODER_FILE, CONFIG_FILE
from paecli.system.progress import NullProgress, Progress
from paecli.system.threads import fitting
from paecli.training.augmentation import augment, require_shift
from paecli.training.build_networks import build_autoencoder, build_flow
from paecli.training.choices import Choices, choose
from paecli.training.history import Log
from paecli.training.images import (
    describe_split,
    held_out_part,
    read_data,
    refuse_other_data,
    split_data,
)
from paecli.training.objectives import AutoencoderObjective
from paecli.training.run import (
    Measure,
    TrainingReport,
    begin,
    library_versions,
    on_main_process,
    only_training,
    open_accelerator,
    run_loop,
)
from paecli.training.run_folder import AUTOENCODER_STAGE as STAGE
from paecli.training.run_folder import state_file, with_absolute_folder
from paecli.training.settings import AutoencoderSettings, RunSettings, to_yaml


def train_autoencoder(
    settings: RunSettings,
    *,
    run_dir: Path,
    measure: Measure,
    data_dir: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    log: Log = "csv",
    progress: Progress | None = None,
) -> TrainingReport:
    """Trains an autoencoder and writes it to a run folder.

    With the loss `flow-vae` the flow is trained along, and the file holds the whole model.

    Args:
        settings: the run; with `resume` they must be the ones it was started with.
        run_dir: where everything is written.
        measure: sets in a model with a flow what later jobs compare with.
        data_dir: where to look for data sets first.
        resume: go on with the interrupted run in `run_dir`.
        overwrite: replace what `run_dir` holds.
        device: `auto` or `cpu`.
        log: `csv`, or `tensorboard` beside it; see `History`.
        progress: told of every step.

    Raises:
        DataError: the data set is missing or damaged.
        ConfigError: an option does not fit the network.
        TrainingError: the folder holds another run, another process trains into it, the images
            of an interrupted run have changed, or the loss is no longer finite.
    """
    progress = progress or NullProgress()
    result_file = run_dir / AUTOENCODER_FILE
    accelerator = open_accelerator(device)
    with only_training(run_dir, accelerator):
        resumed = begin(run_dir, STAGE, resume=resume, overwrite=overwrite)
        settings = with_absolute_folder(settings, data_dir)
        own = settings.autoencoder
        data = read_data(own.data, data_dir=data_dir, leave_out=run_dir, progress=progress)
        refuse_other_data(resumed, data, run_dir)
        kept, held_out = split_data(own.data, data)
        progress.say(describe_split(data, kept, held_out))
        data = without_training_pixels(data)  # they would be in memory twice
        require_shift(own.augment.shift, kept.image_shape)
        tuning = fitting_part(held_out.images)  # the others must not choose: they judge p-values
        choices = Choices(own, None)  # a run that goes on has chosen, and its components
        if resumed is None:
            choices = choose(own, kept.images, tuning, progress)
        own = choices.settings
        settings = settings.model_copy(update={"autoencoder": own})
        autoencoder, arguments = build_autoencoder(own, kept, choices.components)
        prior, flow_arguments = _build_prior(settings)
        config = to_yaml(settings).encode()
        on_main_process(accelerator, lambda: write_atomically(run_dir / CONFIG_FILE, config))
        loop = run_loop(
            AutoencoderStage(autoencoder, own, kept.images, tuning, prior=prior),
            name=STAGE,
            run_dir=run_dir,
            settings=own.optimiser,
            seed=own.seed,
            described=settings.model_dump(mode="json"),
            content_hash=data.content_hash,
            accelerator=accelerator,
            resumed=resumed,
            log=log,
            progress=progress,
        )
        model = Model(autoencoder.cpu(), None if prior is None else prior.cpu()).eval()
        model.trained_on.remember(content_keys(kept.images))
        metrics = _measure(
            model, measure, training=kept.images, held_out=held_out.images, test=data.test.images
        )
        header = _describe(
            model, settings, data, metrics, autoencoder=arguments, flow=flow_arguments
        )
        on_main_process(accelerator, lambda: _write(result_file, model, header))
    return TrainingReport.of(
        loop, run_dir=run_dir, stage=STAGE, metrics=metrics, accelerator=accelerator
    )


def _build_prior(settings: RunSettings) -> tuple[LatentFlow | None, Architecture | None]:
    """Builds the flow of `flow-vae`; whitening stays the identity, so it starts as N(0, I)."""
    if settings.autoencoder.objective.loss != "flow-vae":
        return None, None
    return build_flow(settings.flow, settings.autoencoder.latents)


def _measure(
    model: Model, measure: Measure, *, training: Tensor, held_out: Tensor, test: Tensor
) -> dict[str, float]:
    """Measures errors, and sets in the model what later jobs need."""
    metrics = {
        "held_out_mse": reconstruction_mse(model.autoencoder, held_out),
        "test_mse": reconstruction_mse(model.autoencoder, test),
    }
    if model.flow is None:
        model.fit_sigma(held_out)
        return metrics
    measure(model, training=training, held_out=held_out)
    return metrics | {
        "held_out_nll": -model.log_prob(held_out).mean().item(),
        "test_nll": -model.log_prob(test).mean().item(),
    }


def _describe(
    model: Model,
    settings: RunSettings,
    data: ImageDataset,
    metrics: dict[str, float],
    *,
    autoencoder: Architecture,
    flow: Architecture | None,
) -> Header:
    own = settings.autoencoder
    stages = {STAGE} if flow is None else {STAGE, "flow"}
    return Header(
        kind="autoencoder" if flow is None else "pae",
        autoencoder=autoencoder,
        flow=flow,
        autoencoder_hash=hash_tensors(model.autoencoder.state_dict()),
        config=settings.model_dump(mode="json", include=stages),
        data={
            "dataset": data.name,
            "content_hash": data.content_hash,
            "split_seed": own.data.split_seed,
            "held_out": held_out_part(own.data, len(data.train)),
            "classes": list(data.train.classes),
        },
        versions=library_versions(),
        metrics=metrics,
    )


def _write(path: Path, model: Model, header: Header) -> None:
    save_pae(path, model, header)
    state_file(path.parent, STAGE).unlink(missing_ok=True)


@torch.no_grad()
def reconstruction_mse(autoencoder: Autoencoder, images: Tensor) -> float:
    """Returns the mean squared error per pixel, [0, 1] units, of uint8 images `(n, c, h, w)`."""
    autoencoder.eval()
    device = next(autoencoder.parameters()).device
    total = 0.0
    for part in images.split(BATCH):
        with fitting("reconstructing", len(part)):
            x = part.to(device).float() / 255
            total += F.mse_loss(autoencoder(x), x, reduction="sum").item()
    return total / images.numel()


class AutoencoderStage:
    """Batches, loss and held-out metric of stage 1."""

    example_kind = "images"

    def __init__(
        self,
        autoencoder: Autoencoder,
        settings: AutoencoderSettings,
        images: Tensor,
        held_out: Tensor,
        *,
        prior: LatentFlow | None = None,
    ) -> None:
        self.autoencoder = autoencoder
        self.images = images
        self.held_out = held_out
        self.examples = len(images)
        self.settings = settings
        self.module: nn.Module = AutoencoderObjective(
            autoencoder, prior=prior, **settings.objective.model_dump()
        )
        objective = settings.objective
        self.by_error = objective.loss == "ae" and not objective.map_stage
        self.metric_name = "mse" if self.by_error else "loss"

    def batch(
        self, index: Tensor, *, fraction: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Returns what the encoder sees and what should come back, `(b, c, h, w)` in [0, 1]."""
        x = self.images[index].float() / 255
        options = self.settings.augment
        if fraction >= 1 - options.clean_fraction:
            return x, x
        x = augment(
            x,
            generator=generator,
            shift=options.shift,
            shift_probability=options.shift_probability,
            horizontal_flip=options.flip_probability,
            rotation=options.rotation,
            brightness=options.brightness,
        )
        if not options.noise:
            return x, x
        return x + options.noise * torch.randn(x.shape, generator=generator), x

    def held_out_metric(self) -> float:
        """Returns the squared error per pixel of held-out images; of other losses, the loss."""
        if self.by_error:
            return reconstruction_mse(self.autoencoder, self.held_out)
        return self._held_out_loss()

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        """Measures the loss as it is at the end of training.

        Not the error: weights from before beta has risen reconstruct best, and would win.
        """
        torch.manual_seed(0)  # the same draws of q(z|x) for every epoch
        device = next(self.autoencoder.parameters()).device
        total = 0.0
        for part in self.held_out.split(BATCH):
            x = part.to(device).float() / 255
            total += len(x) * self.module(x, x, 1.0).item()
        return total / len(self.held_out)
