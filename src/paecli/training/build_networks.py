"""Networks from settings, and the arguments with which a checkpoint builds them again."""

from typing import Any

import torch

from paecli.data import ImageSplit
from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.model.principal_components import PrincipalComponents
from paecli.system.errors import ConfigError, TrainingError
from paecli.training.settings import AutoencoderSettings, FlowSettings

COMPONENTS = "components"  # Gaussians of a flow's base, in `flow_options`
SPLINE_REACH = 5.0  # of the subnets of new flows with splines; older files have none


def build_autoencoder(
    settings: AutoencoderSettings,
    images: ImageSplit,
    components: PrincipalComponents | None = None,
) -> tuple[Autoencoder, dict[str, object]]:
    """Builds the network, and the arguments that build it again.

    Args:
        settings: of stage 1, with nothing left open.
        images: what it will be trained on.
        components: what a linear path starts from.

    Raises:
        ConfigError: the network has no such option.
        TrainingError: one image is too few for batch normalisation.
    """
    torch.manual_seed(settings.seed)
    objective = settings.objective
    arguments: dict[str, object] = {
        "network": settings.network,
        "image_shape": tuple(images.images.shape[1:]),
        "latent_size": settings.latents,
        "variational": objective.loss != "ae" and not objective.posterior_sigma,
        **({"linear": True} if settings.linear else {}),  # older releases know no such option
        **settings.network_options,
    }
    try:
        autoencoder = Autoencoder(**arguments)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"network {settings.network!r} cannot be built with latents of size "
            f"{settings.latents} and the options {settings.network_options}: {reason:.200}"
        ) from error
    batch = min(settings.optimiser.batch_size, len(images))
    if batch == 1 and not _trains_on_one_image(arguments):
        raise TrainingError(
            f"network {settings.network!r} normalises over the batch and needs at least 2 images; "
            "use --network mlp or a larger --batch-size"
        )
    if autoencoder.linear is not None and components is not None:
        autoencoder.linear.fit(components)
    return autoencoder.to(memory_format=torch.channels_last), arguments


def _trains_on_one_image(arguments: dict[str, object]) -> bool:
    """Tells whether batch normalisation has more than one value a channel with one image."""
    # principal components normalise nothing, and know no device without numbers
    others = {name: value for name, value in arguments.items() if name != "linear"}
    with torch.device("meta"):  # shapes only
        autoencoder = Autoencoder(**others)  # type: ignore[arg-type]
        try:
            autoencoder(torch.zeros(1, *autoencoder.image_shape))
        except ValueError:
            return False
    return True


def build_flow(settings: FlowSettings, latent_size: int) -> tuple[LatentFlow, dict[str, Any]]:
    """Builds the flow, and the arguments that build it again.

    Where the settings leave the number of Gaussians of its base open, it has none yet.

    Raises:
        ConfigError: an option that the flow does not have, or affine couplings over one latent.
    """
    torch.manual_seed(settings.seed)
    options = dict(settings.flow_options)
    if options.get(COMPONENTS) == "auto":
        options[COMPONENTS] = 0
    if "auto" in options.values():
        raise ConfigError(f"flow_options: only `{COMPONENTS}` can be auto; give numbers")
    arguments = {
        "kind": settings.flow,
        "latent_size": latent_size,
        "blocks": settings.blocks,
        "reach": SPLINE_REACH if settings.flow in ("nsf", "hybrid") else 0.0,
        **options,
    }
    try:
        return LatentFlow(**arguments), arguments  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"this flow cannot be built: {reason:.300}") from error
