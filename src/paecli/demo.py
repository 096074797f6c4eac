"""`pae demo`: the main job end to end on the bundled images, by the commands' own workflows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from paecli.data import load_dataset, write_image
from paecli.evaluation.evaluate import evaluate
from paecli.evaluation.result import Evaluation
from paecli.model.model import Model
from paecli.outliers.compare_sets import SetComparison, compare_sets
from paecli.outliers.flag_images import FlagReport, flag_images
from paecli.restoration.files import RestoredFile, restore_files
from paecli.restoration.reading import RestoreSettings
from paecli.restoration.solve import Method
from paecli.sampling import (
    InterpolationReport,
    SampleReport,
    draw_samples,
    interpolate,
)
from paecli.store.runs import load_with_header
from paecli.system.progress import NullProgress, Progress
from paecli.train import train_autoencoder, train_flow
from paecli.training.run import TrainingReport
from paecli.training.settings import RunSettings

OUTLIERS = "mnist-mini"  # digits, which no model of clothes has seen
COMPARED = (OUTLIERS, "hflip", "vflip")
SCORES = ("log_prob", "reconstruction_error", "combined")
INBOX_SCORE = "combined"  # what `pae ood IMAGES` uses
CLOTHES_IN_INBOX, DIGITS_IN_INBOX = 95, 5
FALSE_ALARMS = 0.05  # share of in-distribution images that may be flagged
ENDS = (0, 1)  # test images between which the interpolation goes
RESTORED = 8  # test images of which a part is hidden and restored
HIDDEN = "bottom"
METHOD: Method = "is"  # many times as fast as the chains that `auto` may need


@dataclass(frozen=True, eq=False)
class DemoReport:
    """What each step of the demo gave.

    Attributes:
        model: what was trained or given.
        trainings: of the autoencoder and of the flow; empty when the model was given.
        evaluation: figures and pictures on test images.
        comparison: outlier scores on whole data sets.
        inbox: a folder of clothes with a few digits among them, scored image by image.
        restored: test images of which a part was hidden.
        samples: images drawn from the model.
        interpolation: the way from one test image to another.
        seconds: how long each step took, in order.
    """

    model: str
    trainings: tuple[TrainingReport, ...]
    evaluation: Evaluation
    comparison: SetComparison
    inbox: FlagReport
    restored: tuple[RestoredFile, ...]
    samples: SampleReport
    interpolation: InterpolationReport
    seconds: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Returns what `--json` prints."""
        flow = self.evaluation.flow
        return {
            "model": self.model,
            "reconstruction": {"mse": self.evaluation.reconstruction.mse},
            "flow": {"nll": flow and flow.nll},
            "results": [
                {
                    "dataset": result.dataset,
                    "score": result.score,
                    "auroc": result.metrics.auroc,
                    "auroc_ci": result.metrics.auroc_ci,
                    "fpr95": result.metrics.fpr95,
                }
                for result in self.comparison.results
            ],
            "outliers": [str(image.path) for image in self.inbox.images if image.outlier],
            "restored": [
                {
                    "path": str(each.path),
                    "method": each.restoration.method,
                    "coverage": each.coverage,
                }
                for each in self.restored
            ],
            "seconds": {name: round(seconds, 2) for name, seconds in self.seconds.items()},
        }


def run_demo(
    settings: RunSettings,
    folder: Path,
    *,
    model_name: str | None = None,
    progress: Progress = NullProgress(),
) -> DemoReport:
    """Trains both stages on the bundled images, then uses the model for everything it can do.

    Args:
        settings: what to train; the preset `demo` in ordinary use.
        folder: gets the run folder `model` and the images that are scored (`inbox`) and restored
            (`damaged`); older ones are replaced.
        model_name: shows this model instead of training one; see `paecli.store.runs.load`.
        progress: told of every step.

    Raises:
        TrainingError: the loss is no longer finite.
        CheckpointError: there is no such model, or the folder cannot be written.
        UsageError: the bundled images do not fit the model.
    """
    clock = _Clock(progress)
    trainings = () if model_name else _train(settings, folder / "model", clock, progress)
    name = model_name or str(folder / "model")
    dataset = settings.autoencoder.data.dataset
    model, header = load_with_header(name)
    test = load_dataset(dataset).test.images
    with clock.step("evaluating"):
        evaluation = evaluate(name, dataset=dataset, progress=progress)
    with clock.step("detecting outliers"):
        comparison = compare_sets(model, header, COMPARED, scores=SCORES, progress=progress)
        inbox = _score_inbox(model, test, folder / "inbox", progress)
    with clock.step("restoring damaged images"):
        restored = _restore(model, test[:RESTORED], folder / "damaged", progress)
    with clock.step("drawing new images"):
        samples = draw_samples(model)
        way = interpolate(model, test[ENDS[0]], test[ENDS[1]])
    return DemoReport(
        model=name,
        trainings=trainings,
        evaluation=evaluation,
        comparison=comparison,
        inbox=inbox,
        restored=restored,
        samples=samples,
        interpolation=way,
        seconds=clock.seconds,
    )


class _Clock:
    """Announces steps and keeps how long each took."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._progress.say(f"{len(self.seconds) + 1}. {name}")
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def _train(
    settings: RunSettings, run_dir: Path, clock: _Clock, progress: Progress
) -> tuple[TrainingReport, ...]:
    with clock.step("training the autoencoder"):
        first = train_autoencoder(settings, run_dir=run_dir, overwrite=True, progress=progress)
    with clock.step("training the flow"):
        second = train_flow(settings.flow, run_dir=run_dir, overwrite=True, progress=progress)
    return first, second


def _restore(
    model: Model, images: Tensor, folder: Path, progress: Progress
) -> tuple[RestoredFile, ...]:
    """Writes images and restores them without looking at the hidden part."""
    for number, image in enumerate(images, start=1):
        write_image(folder / f"clothes-{number}.png", image)
    settings = RestoreSettings(mask=HIDDEN, method=METHOD)
    restored = restore_files(
        model, folder, settings, out=folder / "restored", truth=folder, progress=progress
    )
    return tuple(restored)


def _score_inbox(model: Model, clothes: Tensor, folder: Path, progress: Progress) -> FlagReport:
    """Writes a folder of clothes with a few digits, as a user may have one, and scores it."""
    digits = load_dataset(OUTLIERS).test.images[:DIGITS_IN_INBOX]
    # from the end: the first images are the ones that other steps show
    for name, images in (("clothes", clothes[-CLOTHES_IN_INBOX:]), ("digit", digits)):
        for number, image in enumerate(images, start=1):
            write_image(folder / f"{name}-{number:02}.png", image)
    return flag_images(model, [folder], score=INBOX_SCORE, fpr=FALSE_ALARMS, progress=progress)
