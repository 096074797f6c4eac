"""Plain strided convolutional network (DCGAN shape, arXiv:1511.06434)."""

from itertools import pairwise

from torch import nn

from paecli.model.networks.layers import Centre, ChannelsLast, CropTo, ImageShape, PadTo
from paecli.model.networks.resnet import halvings


def build_conv(
    *,
    image_shape: ImageShape,
    latent_size: int,
    encoder_outputs: int,
    channels: int = 32,
    dropout: float = 0.0,
) -> tuple[nn.Module, nn.Module]:
    """Builds a strided convolutional encoder and its mirror image.

    Args:
        image_shape: `(channels, height, width)`; any size, padded inside to fit.
        latent_size: inputs of the decoder.
        encoder_outputs: outputs of the encoder.
        channels: features at half resolution; each further halving doubles them.
        dropout: probability of dropping a feature map after each layer.

    Returns:
        Encoder and decoder; the decoder returns logits.
    """
    count = halvings(image_shape)
    multiple = 2**count
    levels = [image_shape[0], *(channels * 2**i for i in range(count))]
    rows, columns = (-(-side // multiple) for side in image_shape[1:])
    features = levels[-1] * rows * columns

    def activated(layer: nn.Module, channels_out: int) -> list[nn.Module]:
        return [layer, nn.BatchNorm2d(channels_out), nn.LeakyReLU(0.2), nn.Dropout2d(dropout)]

    down: list[nn.Module] = []
    up: list[nn.Module] = []
    for finer, coarser in pairwise(levels):
        down += activated(nn.Conv2d(finer, coarser, 4, stride=2, padding=1), coarser)
        grow = nn.ConvTranspose2d(coarser, finer, 4, stride=2, padding=1)
        up = [*([grow] if finer == levels[0] and not up else activated(grow, finer)), *up]

    encoder = nn.Sequential(
        Centre(),
        PadTo(image_shape, multiple=multiple),
        ChannelsLast(),
        *down,
        nn.Flatten(),
        nn.Linear(features, encoder_outputs),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_size, features),
        nn.BatchNorm1d(features),
        nn.LeakyReLU(0.2),
        nn.Unflatten(1, (levels[-1], rows, columns)),
        ChannelsLast(),
        *up,
        CropTo(image_shape),
    )
    return encoder, decoder
