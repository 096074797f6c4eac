"""Scores of how unusual an image is by name; for every one of them higher means more unusual.

What each score is stands in `outliers.ingredients`.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from paecli.model.held_out_errors import calibration_part, fitting_part
from paecli.model.model import BATCH, Model
from paecli.model.reference_images import IMAGES
from paecli.model.requirements import FAST_SCORES, MAP_PEAK, SCORE_NAMES, require_scores
from paecli.outliers.ingredients import Ingredients
from paecli.outliers.pixel_statistics import pixel_statistics
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
    return measure_with_parts(model, images, names, description=description, progress=progress)[0]


def measure_with_parts(
    model: Model,
    images: Tensor,
    names: Sequence[str],
    *,
    description: str = "scoring images",
    progress: Progress = NullProgress(),
) -> tuple[dict[str, Tensor], list[str] | None]:
    """Scores images, and names for each the part of `combined` that made its score.

    Args:
        model: a trained model.
        images: as in `measure_scores`, like the others.
        names: which scores.
        description: what the progress is called.
        progress: told of every batch.

    Returns:
        The scores, and the parts, see `Voices.name_loudest`; None without `combined` or where the
        model was measured before it had parts.
    """
    names = tuple(dict.fromkeys(names))
    require_scores(names)
    parts: dict[str, list[Tensor]] = {name: [torch.zeros(0)] for name in names}
    loudest: list[str] | None = [] if "combined" in names and model.voices.fitted else None
    with progress.task(description, len(images)) as task, torch.no_grad():
        for batch in images.split(BATCH) if len(images) else ():
            with fitting(f"scores {names}", len(batch)):
                ingredients = Ingredients(model, model.as_images(batch))
                for name in names:
                    parts[name].append(as_finite(score_of(ingredients, name)).cpu())
                if loudest is not None:
                    loudest += ingredients.loudest
            task.advance(len(batch))
    return {name: torch.cat(values) for name, values in parts.items()}, loudest


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
    model: Model,
    held_out: Tensor,
    *,
    training: Tensor,
    latents: Tensor | None = None,
    names: Sequence[str] = FAST_SCORES,
) -> None:
    """Sets `model.reference_images`, `model.voices` and `model.reference_scores`.

    Images are compared with the training images; one half of the held-out images tells how
    such a comparison comes out, the other half is scored, ascending, for p-values.

    Args:
        model: a model with a flow, after `Model.fit_sigma`.
        held_out: `(n, c, h, w)` held-out images, uint8 or float in [0, 1].
        training: `(m, c, h, w)` images the model was trained on; of more than 60,000 some are
            left out.
        latents: `(m, latent_size)` of the training images, if they were encoded before.
        names: which scores.
    """
    stride = -(-len(training) // IMAGES)  # folders are sorted by class: take some of each
    keep_reference_images(model, training[::stride], None if latents is None else latents[::stride])
    components, statements = compare_with_reference(model, fitting_part(held_out))
    model.reference_images.fit(components)
    model.voices.fit(model.reference_images.combine(components), statements)
    calibration = calibration_part(held_out)
    scores = measure_scores(model, calibration, names) | measure_beside(model, calibration)
    model.reference_scores = {name: values.sort().values for name, values in scores.items()}


@torch.no_grad()
def measure_beside(model: Model, images: Tensor) -> dict[str, Tensor]:
    """Measures what is no score but compared with reference images, too: `(n,)` by name.

    Pixel statistics are for `pae watch`, peaks of residual maps for `pae ood --maps`.

    Args:
        model: a model with a flow.
        images: `(n, c, h, w)`, uint8 or float in [0, 1].
    """
    peaks = [Ingredients(model, model.as_images(batch)).map_peak for batch in images.split(BATCH)]
    return pixel_statistics(images) | {MAP_PEAK: torch.cat(peaks).cpu()}


@torch.no_grad()
def keep_reference_images(model: Model, images: Tensor, latents: Tensor | None = None) -> None:
    """Sets the images that `model.reference_images` compares with.

    Args:
        model: a model with a flow.
        images: `(n, c, h, w)`, n at least 1.
        latents: `(n, latent_size)` of the same images, if they were encoded before.
    """
    latents = model.encode(images) if latents is None else latents
    batches = (
        Ingredients(model, model.as_images(x), known_z=z)
        for x, z in zip(images.split(BATCH), latents.split(BATCH), strict=True)
    )
    white, features = _joined((batch.white, batch.features) for batch in batches)
    model.reference_images.keep(white, features)


@torch.no_grad()
def compare_with_reference(model: Model, images: Tensor) -> tuple[Tensor, Tensor]:
    """Compares images with the model's reference images.

    Args:
        model: a model with reference images.
        images: `(n, c, h, w)`, n at least 1.

    Returns:
        What `ReferenceImages.fit` and `Voices.fit` learn from: components `(n, 5)` and
        statements `(n, statements)`.
    """
    batches = (Ingredients(model, model.as_images(batch)) for batch in images.split(BATCH))
    return _joined((batch.components, batch.statements) for batch in batches)


def _joined(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Returns the first and the second of each pair, one after the other."""
    first, second = (torch.cat(column) for column in zip(*pairs, strict=True))
    return first, second
