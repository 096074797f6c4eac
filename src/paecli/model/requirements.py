"""What jobs ask of their arguments and of a model; told without torch, so before it is imported."""

from collections.abc import Collection, Sequence
from math import ceil, floor, isfinite, log10

from paecli.system.errors import CheckpointError, DataError, UsageError
from paecli.system.names import counted

FAST_SCORES = (
    "log_prob",
    "local_log_prob",
    "nearest_distance",
    "orientation",
    "typicality",
    "reconstruction_error",
    "weighted_error",
    "cycle_distance",
    "combined",
)
DEFAULT_SCORE = "combined"  # of the p-values of models of whole images
PATCH_SCORE = "top"  # the only one of models of patches
SCORE_NAMES = (*FAST_SCORES, "marginal_likelihood")
# Measured beside the scores, for `pae watch` only: they tell of lamp and lens, not of outliers.
PIXEL_STATISTICS = ("brightness", "saturation", "roughness")
MAP_PEAK = "map_peak"  # likewise, for the regions of `pae ood --maps`
FEWEST_COMPARED = 2  # images in a folder of `pae fid`: fewer have no covariance
FEWEST_RECALIBRATED = 100  # images; below, the rate itself scatters by more than .02
ROUNDING = 1e-9  # of a quotient
GREY_LEVELS = 255  # of a pixel in most files
CLASSIFIER_SHAPE = (1, 28, 28)  # of the images that the bundled feature network takes


def require_flow(has_flow: bool) -> None:
    """Refuses a model of stage 1 alone.

    Raises:
        CheckpointError: only stage 1 is trained.
    """
    if not has_flow:
        raise CheckpointError(
            "this model has no flow yet; train it with `pae train-flow RUN_FOLDER`"
        )


def require_scores(names: Sequence[str]) -> None:
    """Refuses names that no score has.

    Raises:
        UsageError: names the first.
    """
    for name in names:
        if name not in SCORE_NAMES:
            raise UsageError(f"no score {name!r}; choose one of {', '.join(SCORE_NAMES)}")


def scores_among(measured: Collection[str]) -> tuple[str, ...]:
    """Returns the names of scores among those of all that was measured on reference images."""
    return tuple(name for name in measured if name not in (*PIXEL_STATISTICS, MAP_PEAK))


def require_reference_scores(score: str, measured: Collection[str]) -> None:
    """Refuses a score that was not measured on reference images.

    Raises:
        CheckpointError: it is not among those that were.
    """
    if score not in measured:
        raise CheckpointError(
            f"this model has no reference scores of {score!r} for p-values, it has: "
            f"{', '.join(scores_among(measured)) or 'none'}; "
            "`pae train-flow RUN_FOLDER --measure-only` stores those of all fast scores"
        )


def require_rate(rate: float, reference_count: int) -> None:
    """Refuses a rate of false alarms that so few reference scores cannot tell.

    Raises:
        UsageError: it is below the smallest p-value, or NaN.
    """
    smallest = 1 / (reference_count + 1)
    if not rate >= smallest:  # NaN, too
        raise UsageError(
            f"a rate of {rate:g} is finer than the model's {reference_count} reference scores can "
            f"tell; use at least {typed_rate(smallest)}"
        )


def typed_rate(rate: float) -> str:
    """Writes a smallest rate with two digits, rounded up: what is below it would be refused."""
    unit = 10.0 ** (floor(log10(rate)) - 1)
    return f"{ceil(rate / unit - ROUNDING) * unit:.2g}"


def require_temperature(temperature: float) -> None:
    """Refuses a temperature that scales nothing.

    Raises:
        UsageError: negative, infinite or NaN.
    """
    if not 0 <= temperature < float("inf"):
        raise UsageError(f"temperature {temperature} is out of range; give 0 or more, such as 0.8")


def require_comparable(name: str, count: int) -> None:
    """Refuses a set of too few images to compare with another.

    Raises:
        DataError: it is.
    """
    if count < FEWEST_COMPARED:
        raise DataError(f"{name} holds 1 image; give at least {FEWEST_COMPARED}, better thousands")


def require_recalibration(count: int) -> None:
    """Refuses too few images to set p-values by.

    Raises:
        DataError: they are.
    """
    if count < FEWEST_RECALIBRATED:
        raise DataError(
            f"too few to recalibrate with: {counted(count, 'image')}; give at least "
            f"{FEWEST_RECALIBRATED}, better 500, all of them good"
        )


def require_noise(noise: float, source: str = "noise") -> None:
    """Refuses what is no standard deviation.

    Args:
        noise: standard deviation.
        source: where it comes from, as the user calls it.

    Raises:
        UsageError: negative, infinite or NaN.
    """
    if not (isfinite(noise) and noise >= 0):
        raise UsageError(f"{source} is {noise:g}, it must be a standard deviation of 0 or more")


def require_noise_of_file(noise: float, source: str) -> None:
    """Refuses noise that pixels in [0, 1] cannot have, and asks whether grey levels were meant.

    Args:
        noise: standard deviation.
        source: where it comes from, as the user calls it.

    Raises:
        UsageError: negative, infinite, NaN, or above 1.
    """
    require_noise(noise, source)
    if noise > GREY_LEVELS:
        raise UsageError(
            f"{source} is {noise:g}, but pixels lie in [0, 1]; give a standard deviation of these"
        )
    if noise > 1:
        raise UsageError(
            f"{source} is {noise:g}, but pixels lie in [0, 1]: is {noise:g} of {GREY_LEVELS} grey "
            f"levels meant? That is {noise / GREY_LEVELS:.3g}"
        )


def require_operator(
    image_shape: tuple[int, int, int], *, blur: float, downsample: int
) -> tuple[int, int, int]:
    """Refuses a blur or a down-sampling that the model's images cannot have had.

    Returns:
        The shape of what is seen of an image.

    Raises:
        UsageError: a blur that is no standard deviation of pixels, or blocks that do not divide
            the image's sides.
    """
    channels, height, width = image_shape
    if not 0 <= blur <= max(height, width):  # NaN, too
        raise UsageError(
            f"blur is {blur:g}; --blur takes a standard deviation of 0 to {max(height, width)} "
            "pixels"
        )
    if downsample < 1 or height % downsample or width % downsample:
        common = [n for n in range(2, min(height, width)) if not (height % n or width % n)]
        raise UsageError(
            f"the model's {width} x {height} pixels cannot be down-sampled by {downsample}; "
            f"--downsample takes 1, {', '.join(map(str, common)) or 'nothing else'}"
        )
    return channels, height // downsample, width // downsample


def require_damage(any_damage: bool) -> None:
    """Refuses to restore what is whole.

    Raises:
        UsageError: there is neither noise nor a missing pixel, no blur and no down-sampling.
    """
    if not any_damage:
        raise UsageError(
            "no pixel is missing and there is no noise: nothing to restore; say what is wrong with "
            "the image by --mask, --noise, --blur or --downsample"
        )


def require_features(name: str, image_shape: tuple[int, int, int]) -> None:
    """Refuses images that a feature network cannot see.

    Raises:
        UsageError: the classifier takes no such images.
    """
    if name == "classifier" and image_shape != CLASSIFIER_SHAPE:
        raise UsageError(
            f"--features classifier takes grey 28 x 28 images, the model's have shape "
            f"{image_shape}; use --features inception"
        )
