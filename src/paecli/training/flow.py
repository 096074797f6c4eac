"""`pae train-flow`: stage 2, from an autoencoder's latents to `model.safetensors`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paecli.data import ImageSplit, content_keys
from paecli.model.base_distribution import GaussianMixture
from paecli.model.flow import LatentFlow
from paecli.model.held_out_errors import fitting_part
from paecli.model.model import BATCH, Model
from paecli.store.checkpoint import Header, load_pae, save_pae
from paecli.system.files import write_atomically
from paecli.system.outputs import CONFIG_FILE, MODEL_FILE
from paecli.system.progress import NullProgress, Progress
from paecli.training.build_networks import COMPONENTS, build_flow
from paecli.training.history import Log
from paecli.training.images import describe_split, read_same_data, split_data
from paecli.training.objectives import FlowObjective
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
from paecli.training.run_folder import FLOW_STAGE as STAGE
from paecli.training.run_folder import require_trained_autoencoder, require_trained_flow, state_file
from paecli.training.settings import (
    FlowSettings,
    RunSettings,
    as_recorded,
    check,
    to_yaml,
)


@dataclass(frozen=True, eq=False)
class FlowLatents:
    """Latents that a flow is trained on, and others that choose its best epoch.

    Attributes:
        training: `(n, k)`.
        held_out: `(m, k)`.
        mirrored: `(n, k)` of the mirrored training images, if stage 1 mirrored some, too.
        flip_probability: that a mirrored image stands for one of a batch.
    """

    training: Tensor
    held_out: Tensor
    mirrored: Tensor | None = None
    flip_probability: float = 0.0

    @property
    def all(self) -> Tensor:
        """Latents of all training images and their mirror images, `(n or 2 n, k)`."""
        if self.mirrored is None:
            return self.training
        return torch.cat((self.training, self.mirrored))

    def draw(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """Returns the latents `(b, k)` of training images, some of them mirrored."""
        z = self.training[index]
        if self.mirrored is None:
            return z
        flipped = torch.rand(len(index), 1, generator=generator) < self.flip_probability
        return torch.where(flipped, self.mirrored[index], z)


def train_flow(
    settings: FlowSettings,
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
    """Trains a flow on the latents of the autoencoder in a run folder.

    Goes on with the flow that stage 1 trained along (`flow-vae`), if there is one and the
    settings describe the same; else starts a new one. Then measures on held-out images what
    later jobs need: the pixel noise sigma and the scores of reference images.

    Args:
        settings: the flow; with `resume` they must be the ones it was started with.
        run_dir: a folder with a trained autoencoder.
        measure: sets in the model what later jobs compare with.
        data_dir: where to look for data sets first.
        resume: go on with the interrupted run.
        overwrite: replace a flow that is already there.
        device: `auto` or `cpu`.
        log: `csv`, or `tensorboard` beside it; see `History`.
        progress: told of every step.

    Raises:
        CheckpointError: the folder holds no autoencoder.
        DataError: the data set is missing, or not the one the autoencoder was trained on.
        TrainingError: the folder holds another run, another process trains into it, or the loss
            is no longer finite.
    """
    progress = progress or NullProgress()
    result_file = run_dir / MODEL_FILE
    autoencoder_file = require_trained_autoencoder(run_dir)
    accelerator = open_accelerator(device)
    with only_training(run_dir, accelerator):
        resumed = begin(run_dir, STAGE, resume=resume, overwrite=overwrite)
        model, header = load_pae(autoencoder_file)
        config = as_recorded(header.config) | {"flow": settings.model_dump()}
        run_settings = check(config, where=str(run_dir))
        kept, held_out, test = _split(run_settings, header, run_dir, data_dir, progress)
        tuning = fitting_part(held_out.images)  # the others must not choose: they judge p-values
        flip = run_settings.autoencoder.augment.flip_probability
        latents = FlowLatents(
            training=model.encode(kept.images),
            held_out=model.encode(tuning),
            mirrored=_encode_mirrored(model, kept.images) if flip else None,
            flip_probability=flip,
        )
        flow, arguments = _first_flow(settings, model, header, latents, progress)
        if resumed is None:  # else the state of the interrupted run holds the base
            _fit_base(flow, latents.all, settings, progress)
        loop = run_loop(
            FlowStage(flow, settings.latent_noise, latents),
            name=STAGE,
            run_dir=run_dir,
            settings=settings.optimiser,
            seed=settings.seed,
            described=settings.model_dump(mode="json"),
            content_hash=str(header.data.get("content_hash", "")),
            accelerator=accelerator,
            resumed=resumed,
            log=log,
            progress=progress,
        )
        model.flow = flow.cpu().eval()
        model.trained_on.remember(content_keys(kept.images))
        measure(model, training=kept.images, held_out=held_out.images, latents=latents.training)
        metrics = header.metrics | {
            "held_out_nll": -model.log_prob(held_out.images).mean().item(),
            "test_nll": -model.log_prob(test.images).mean().item(),
        }
        changes = {
            "kind": "pae",
            "flow": arguments,
            "versions": library_versions(),
            "metrics": metrics,
            "config": run_settings.model_dump(mode="json"),
        }
        header = header.model_copy(update=changes)
        on_main_process(accelerator, lambda: _write(result_file, model, header, run_settings))
    return TrainingReport.of(
        loop, run_dir=run_dir, stage=STAGE, metrics=metrics, accelerator=accelerator
    )


def measure_again(
    run_dir: Path,
    *,
    measure: Measure,
    data_dir: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Measures anew what a trained model stores about reference images, with the same weights.

    For models that an older version trained, whose scores were other ones.

    Args:
        run_dir: a folder with a trained model.
        measure: sets in the model what later jobs compare with.
        data_dir: where to look for data sets first.
        progress: told of downloads.

    Returns:
        The model file, rewritten.

    Raises:
        CheckpointError: the folder holds no trained flow.
        DataError: the data set is missing, or not the one the autoencoder was trained on.
    """
    path = require_trained_flow(run_dir)
    with only_training(run_dir, open_accelerator("cpu")):
        model, header = load_pae(path)
        settings = check(as_recorded(header.config), where=str(path))
        kept, held_out, _ = _split(settings, header, run_dir, data_dir, progress or NullProgress())
        measure(model, training=kept.images, held_out=held_out.images)
        model.trained_on.remember(content_keys(kept.images))
        save_pae(path, model, header)
    return path


def _encode_mirrored(model: Model, images: Tensor) -> Tensor:
    return torch.cat([model.encode(part.flip(-1)) for part in images.split(BATCH)])


def _split(
    settings: RunSettings,
    header: Header,
    run_dir: Path,
    data_dir: Path | None,
    progress: Progress,
) -> tuple[ImageSplit, ImageSplit, ImageSplit]:
    """Returns the images that stage 1 was trained on, those held out and the test images."""
    own = settings.autoencoder.data
    expected = str(header.data.get("content_hash", ""))
    data = read_same_data(own, expected, run_dir=run_dir, data_dir=data_dir, progress=progress)
    kept, held_out = split_data(own, data)
    progress.say(describe_split(data, kept, held_out))
    return kept, held_out, data.test


def _first_flow(
    settings: FlowSettings, model: Model, header: Header, latents: FlowLatents, progress: Progress
) -> tuple[LatentFlow, dict[str, Any]]:
    """Returns the flow to start from, and the arguments that build it again."""
    flow, arguments = build_flow(settings, model.latent_size)
    if settings.warm_start and model.flow is not None:
        if header.flow == arguments:
            progress.say("going on with the flow that was trained with the autoencoder")
            return model.flow, arguments
        progress.say("starting a new flow: the one trained with the autoencoder is of another kind")
    flow.fit_whitening(latents.all)
    if settings.flow_options.get(COMPONENTS) == "auto":
        return _with_chosen_base(flow, arguments, latents, settings, progress)
    return flow, arguments


@torch.no_grad()
def _with_chosen_base(
    flow: LatentFlow,
    arguments: dict[str, Any],
    latents: FlowLatents,
    settings: FlowSettings,
    progress: Progress,
) -> tuple[LatentFlow, dict[str, Any]]:
    """Gives an untrained flow as many Gaussians for its base as held-out latents want."""
    from paecli.training.mixture_fit import choose_mixture, set_mixture  # brings scikit-learn

    mixture = choose_mixture(
        flow.to_base(latents.all)[0], flow.to_base(latents.held_out)[0], seed=settings.seed
    )
    if mixture is None:
        progress.say(
            "the flow maps to N(0, I): no mixture of Gaussians fits held-out images better"
        )
        return flow, arguments
    count = len(mixture.weights_)
    progress.say(f"the flow maps to {count} Gaussians, by the density of held-out images")
    base = GaussianMixture(count, flow.latent_size)
    set_mixture(base, mixture)
    flow.base = base
    return flow, arguments | {COMPONENTS: count}


@torch.no_grad()
def _fit_base(
    flow: LatentFlow, latents: Tensor, settings: FlowSettings, progress: Progress
) -> None:
    """Fits a base of a given number of Gaussians to where the untrained flow sends latents."""
    given = settings.flow_options.get(COMPONENTS) != "auto"
    if given and isinstance(flow.base, GaussianMixture):
        from paecli.training.mixture_fit import fit_mixture  # brings scikit-learn: seconds

        progress.say(f"fitting {len(flow.base.means)} Gaussians to {len(latents)} latents")
        fit_mixture(flow.base, flow.to_base(latents)[0], seed=settings.seed)


def _write(result_file: Path, model: Model, header: Header, settings: RunSettings) -> None:
    run_dir = result_file.parent
    save_pae(result_file, model, header)
    write_atomically(run_dir / CONFIG_FILE, to_yaml(settings).encode())
    state_file(run_dir, STAGE).unlink(missing_ok=True)


class FlowStage:
    """Batches, loss and held-out metric of stage 2."""

    metric_name = "nll"
    example_kind = "latents"

    def __init__(self, flow: LatentFlow, latent_noise: float, latents: FlowLatents) -> None:
        self.flow = flow
        self.latent_noise = latent_noise
        self.latents = latents
        self.examples = len(latents.training)
        self.module: nn.Module = FlowObjective(flow)

    def batch(self, index: Tensor, *, fraction: float, generator: torch.Generator) -> tuple[Tensor]:
        """Returns the latents `(b, latent_size)` of the examples in `index` `(b,)`, with noise."""
        del fraction
        z = self.latents.draw(index, generator)
        if self.latent_noise:
            noise = torch.randn(z.shape, generator=generator)
            z = z + self.latent_noise * noise @ self.flow.cholesky.T.to(z)
        return (z,)

    @torch.no_grad()
    def held_out_metric(self) -> float:
        """Returns the negative log density of held-out latents, nats."""
        device = self.flow.mean.device
        parts = [self.flow.log_prob(part.to(device)) for part in self.latents.held_out.split(2000)]
        return -torch.cat(parts).mean().item()
