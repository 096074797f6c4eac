"""What is left to be chosen from the images: latent size, epochs, whether to mirror them."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from paecli.model.principal_components import PrincipalComponents, principal_components
from paecli.system.progress import Progress
from paecli.training.settings import AutoencoderSettings

SIZES = (4, 8, 16, 32, 64, 128, 256)
ENOUGH = 0.95  # of what the largest size explains
IMAGES_A_LATENT = 16  # fewer training images for each latent are too few to learn their density
ALIKE = 1.05  # times the error, at most, that mirrored images may have
PIXELS = 500_000_000  # all that are looked at: some minutes on two cores
FEWEST_EPOCHS, MOST_EPOCHS = 5, 1000


@dataclass(frozen=True)
class Choices:
    """Settings with nothing left open.

    Attributes:
        settings: the same as asked for, where something was asked for; `chosen` says why each of
            the others is what it is.
        components: principal components of the training images, if they were needed.
    """

    settings: AutoencoderSettings
    components: PrincipalComponents | None


def choose(
    settings: AutoencoderSettings, training: Tensor, tuning: Tensor, progress: Progress
) -> Choices:
    """Chooses what the settings leave to `auto`.

    Args:
        settings: of stage 1.
        training: uint8 `(n, c, h, w)` images.
        tuning: others, that nothing is trained on.
        progress: told what was chosen, and why.
    """
    open_size = settings.latent_size == "auto"
    open_flip = settings.augment.horizontal_flip == "auto"
    components = None
    if open_size or open_flip or settings.linear:
        wanted = SIZES[-1] if settings.latent_size == "auto" else settings.latent_size
        progress.say("looking at the spectrum of the images")
        components = principal_components(training, wanted)
    changes: dict[str, Any] = {}
    chosen: dict[str, str] = {}
    size = settings.latent_size
    if size == "auto" and components is not None:
        size, chosen["latent_size"] = _latent_size(components, tuning, len(training))
        changes["latent_size"] = size
    if open_flip and components is not None and size != "auto":
        flip, chosen["horizontal_flip"] = _horizontal_flip(components, tuning, size)
        changes["augment"] = settings.augment.model_copy(update={"horizontal_flip": flip})
    if settings.optimiser.epochs == "auto" and not settings.optimiser.minutes:
        epochs, chosen["epochs"] = _epochs(training, settings)
        changes["optimiser"] = settings.optimiser.model_copy(update={"epochs": epochs})
    for reason in chosen.values():
        progress.say(reason)
    return Choices(settings.model_copy(update={**changes, "chosen": chosen}), components)


def _latent_size(components: PrincipalComponents, tuning: Tensor, count: int) -> tuple[int, str]:
    """Returns the least size that explains enough of held-out images."""
    errors = components.errors(tuning).tolist()
    most = min(SIZES[-1], len(errors) - 1)
    room = max(SIZES[0], count // IMAGES_A_LATENT)
    sizes = [size for size in SIZES if size <= min(most, room)] or [min(most, room)]

    def share(size: int) -> float:
        return (errors[0] - errors[size]) / max(errors[0] - errors[most], 1e-12)

    size = next((size for size in sizes if share(size) >= ENOUGH), sizes[-1])
    capped = share(size) < ENOUGH and most > room
    why = f"; more would need more than {count:,} images" if capped else ""
    return size, (
        f"{size} latents: {share(size):.0%} of what {most} principal components explain of "
        f"held-out images{why}"
    )


def _horizontal_flip(
    components: PrincipalComponents, tuning: Tensor, size: int
) -> tuple[float, str]:
    """Mirrors training images where mirrored held-out images are reconstructed as well."""
    plain = components.mse(tuning, size)
    ratio = components.mse(tuning.flip(-1), size) / max(plain, 1e-12)
    alike = ratio <= ALIKE
    what = "look like the others, so half are mirrored" if alike else "do not look like the others"
    return 0.5 * alike, (
        f"mirrored images {what} (error of {size} principal components {ratio:.2f} times)"
    )


def _epochs(training: Tensor, settings: AutoencoderSettings) -> tuple[int, str]:
    """Returns as many epochs as fit a fixed number of pixels."""
    pixels = len(training) * training.shape[-1] * training.shape[-2]
    epochs = min(max(round(PIXELS / pixels), FEWEST_EPOCHS), MOST_EPOCHS)
    sooner = ", fewer when the held-out error is flat" if settings.optimiser.patience else ""
    return epochs, f"{epochs} epochs for {len(training):,} images of this size{sooner}"
