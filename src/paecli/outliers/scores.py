"""Scores of how unusual an image is by name; for every one of them higher means more unusual.

What each score is stands in `outliers.ingredients`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from paecli.model.held_out_errors import calibration_part, fitting_part
from paecli.model.model import BATCH, Model
from paecli.model.reference_images import IMAGES
from paecli.model.requirements import FAST_SCORES, SCORE_NAMES, require_scores
from paecli.outliers.ingredients import Ingredients
from paecli.system.progress import NullProgress, Progress
from paecli.system.threads import fitting

Score = Callable[[Model, Tensor], Tensor]
# Names of scores are short and say what is measured; higher is more unusual for all of them.
ATTRIBUTES = {
    "log_prob": "negative_log_prob",
    "local_log_prob": "negative_local_log_prob",
    "marginal_likelihood": "negative_log_marginal_likelihood",
}


def measure_scores(
    model: Model,
    images: Tensor,
    names: Sequence[str],
    *,
    description: str = "scoring images",
    progress: Progress = NullProgress(),
) -> dict[str, Tensor]:
    """Scores images; what several scores need is computed once.

    Args:
        model: a trained model.
        images: `(n, c, h, w)`, uint8 or float in [0, 1].
        names: which of `SCORE_NAMES`.
        description: what the progress is called.
        progress: told of every batch.

    Returns:
        For each name `(n,)` float32 on the CPU, finite, higher = more unusual.

    Raises:
        UsageError: no such score, or the images do not fit the model.
        CheckpointError: the score needs a flow and the model has none.
    """
    names = tuple(dict.fromkeys(names))
    require_scores(names)
    parts: dict[str, list[Tensor]] = {name: [torch.zeros(0)] for name in names}
    with progress.task(description, len(images)) as task, torch.no_grad():
        for batch in images.split(BATCH) if len(images) else ():
            with fitting(f"scores {names}", len(batch)):
                ingredients = Ingredients(model, model.as_images(batch))
                for name in names:
                    parts[name].append(as_finite(score_of(ingredients, name)).cpu())
            task.advance(len(batch))
    return {name: torch.cat(values) for name, values in parts.items()}


def score_of(ingredients: Ingredients, name: str) -> Tensor:
    """Returns a score by name, `(b,)`, as it comes."""
    score: Tensor = getattr(ingredients, ATTRIBUTES.get(name, name))
    return score


def as_finite(values: Tensor) -> Tensor:
    """Takes overflow and NaN, which only images far from all reference ones cause, as highest."""
    highest = torch.finfo(torch.float32).max
    return values.detach().float().nan_to_num(highest, highest, -highest)


def _one_score(name: str) -> Score:
    def score(model: Model, images: Tensor) -> Tensor:
        return measure_scores(model, images, [name])[name]

    return score


SCORES: dict[str, Score] = {name: _one_score(name) for name in SCORE_NAMES}


def fit_reference_scores(
    model: Model, held_out: Tensor, *, training: Tensor, names: Sequence[str] = FAST_SCORES
) -> None:
    """Sets `model.reference_images` and `model.reference_scores`.

    Images are compared with the training images; one half of the held-out images tells how
    such a comparison comes out, the other half is scored, ascending, for p-values.

    Args:
        model: a model with a flow, after `Model.fit_sigma`.
        held_out: `(n, c, h, w)` held-out images, uint8 or float in [0, 1].
        training: `(m, c, h, w)` images the model was trained on; of more than 60,000 some are
            left out.
        names: which scores.
    """
    stride = -(-len(training) // IMAGES)  # folders are sorted by class: take some of each
    model.reference_images.keep(*_latents_and_features(model, training[::stride]))
    model.reference_images.fit(*_latents_and_features(model, fitting_part(held_out)))
    scores = measure_scores(model, calibration_part(held_out), names)
    model.reference_scores = {name: values.sort().values for name, values in scores.items()}


@torch.no_grad()
def _latents_and_features(model: Model, images: Tensor) -> tuple[Tensor, Tensor]:
    """Returns whitened latents `(n, latent_size)` and features `(n, 3)`."""
    batches = (Ingredients(model, model.as_images(batch)) for batch in images.split(BATCH))
    parts = [(batch.white, batch.features) for batch in batches]
    latents, features = (torch.cat(column) for column in zip(*parts, strict=True))
    return latents, features
