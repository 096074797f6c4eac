"""Trains stage 2 over patches, flow and discriminator: what is kept, and one for each fold."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from paecli.model.patches.autoencoder import PatchAutoencoder
from paecli.model.patches.model import PatchPAE
from paecli.system.progress import NullProgress, Progress
from paecli.training.build_networks import build_flow
from paecli.training.flow import FlowLatents, FlowStage
from paecli.training.history import Log
from paecli.training.loop import LoopResult
from paecli.training.patches.discriminator_trainer import train_discriminator
from paecli.training.patches.feature_maps import FeatureMap, fit_components, patch_latents
from paecli.training.patches.reference import measure_usual_scores
from paecli.training.run import run_loop
from paecli.training.run_folder import FLOW_STAGE
from paecli.training.settings import FlowSettings
from paecli.training.state import TrainingState

MONITORED = 20_000  # training patches whose density says which epoch was best


class FlowTrainer:
    """Trains flows with the same settings on different images."""

    def __init__(
        self, settings: FlowSettings, accelerator: Accelerator, *, content_hash: str
    ) -> None:
        """Takes what all flows share; `content_hash` is that of the images."""
        self.settings = settings
        self.accelerator = accelerator
        self.content_hash = content_hash

    def train(
        self,
        model: PatchPAE,
        maps: Sequence[FeatureMap],
        *,
        run_dir: Path,
        resumed: TrainingState | None = None,
        log: Log = "csv",
        progress: Progress = NullProgress(),
    ) -> tuple[LoopResult, dict[str, Any]]:
        """Gives a model a flow over the patches of images, and measures what is usual of them.

        Where images have painted ones, it gets a discriminator, too.

        Args:
            model: with a fitted autoencoder.
            maps: of the images.
            run_dir: where the state of an interrupted training is kept.
            resumed: go on with it.
            log: see `History`.
            progress: told of every step.

        Returns:
            What the loop did, and the arguments that build the flow again.
        """
        settings = self.settings
        latents = patch_latents(model.autoencoder, maps, seed=settings.seed)
        flow, arguments = build_flow(settings, model.autoencoder.latent_size)
        flow.fit_whitening(latents)
        loop = run_loop(
            FlowStage(flow, settings.latent_noise, FlowLatents(latents, _some(latents))),
            name=FLOW_STAGE,
            run_dir=run_dir,
            settings=settings.optimiser,
            seed=settings.seed,
            described=settings.model_dump(mode="json"),
            content_hash=self.content_hash,
            accelerator=self.accelerator,
            resumed=resumed,
            log=log,
            progress=progress,
        )
        model.flow = flow.cpu().eval()
        if any(each.painted is not None for each in maps):
            with progress.task("telling painted defects", 1):
                model.discriminator = train_discriminator(
                    maps, weight=model.features.odds_weight, seed=settings.seed
                )
        measure_usual_scores(model, maps)
        return loop, arguments

    def train_apart(self, like: PatchPAE, maps: Sequence[FeatureMap]) -> PatchPAE:
        """Trains both stages anew on some images, without a trace on the disk.

        Args:
            like: a model of the same features and sizes.
            maps: of the images.
        """
        own = like.autoencoder
        autoencoder = PatchAutoencoder(size=own.size, latent_size=own.latent_size)
        fit_components(autoencoder, maps)
        model = PatchPAE(like.features, autoencoder, area=like.area)
        with tempfile.TemporaryDirectory() as folder:
            self.train(model, maps, run_dir=Path(folder))
        return model.eval()


def _some(latents: Tensor) -> Tensor:
    return latents[:: -(-len(latents) // MONITORED)]
