"""Residual convolutional network on pixel-unshuffled images."""

from torch import nn

from paecli.model.networks.layers import (
    Centre,
    ChannelsLast,
    CropTo,
    ImageShape,
    PadTo,
    ResidualConvBlock,
    ResidualMLPBlock,
)

SMALLEST_SIDE = 8  # halve until the feature map is at most this many pixels wide


def halvings(image_shape: ImageShape) -> int:
    """Counts how often an image must be halved to be at most 8 pixels wide (at least once)."""
    side, count = max(image_shape[1:]), 1
    while -(-side // 2**count) > SMALLEST_SIDE:
        count += 1
    return count


def build_resnet(
    *,
    image_shape: ImageShape,
    latent_size: int,
    encoder_outputs: int,
    channels: int = 32,
    width: int = 512,
    blocks: int = 1,
    dropout: float = 0.0,
) -> tuple[nn.Module, nn.Module]:
    """Builds a residual convolutional encoder and decoder.

    The image is first folded 2x2 into channels, so that no convolution runs at full
    resolution; each further halving doubles the channels.

    Args:
        image_shape: `(channels, height, width)`; any size, padded inside to fit.
        latent_size: inputs of the decoder.
        encoder_outputs: outputs of the encoder.
        channels: features at half resolution.
        width: features of the dense layer that opens the decoder.
        blocks: residual blocks at the smallest resolution (one at each of the others).
        dropout: probability of dropping a feature map inside a block.

    Returns:
        Encoder and decoder; the decoder returns logits.
    """
    count = halvings(image_shape)
    multiple = 2**count
    levels = [channels * 2**i for i in range(count)]
    rows, columns = (-(-side // multiple) for side in image_shape[1:])
    smallest = (levels[-1], rows, columns)

    def stage(level: int) -> list[nn.Module]:
        repeats = blocks if level == count - 1 else 1
        return [ResidualConvBlock(levels[level], dropout=dropout) for _ in range(repeats)]

    down: list[nn.Module] = []
    up: list[nn.Module] = []
    for level in range(1, count):
        down += [nn.Conv2d(levels[level - 1], levels[level], 2, stride=2), *stage(level)]
        up = [
            nn.ConvTranspose2d(levels[level], levels[level - 1], 2, stride=2),
            *stage(level - 1),
            *up,
        ]

    encoder = nn.Sequential(
        Centre(),
        PadTo(image_shape, multiple=multiple),
        ChannelsLast(),
        nn.PixelUnshuffle(2),
        nn.Conv2d(4 * image_shape[0], channels, 3, padding=1),
        *stage(0),
        *down,
        nn.BatchNorm2d(levels[-1]),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(levels[-1] * rows * columns, encoder_outputs),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_size, width),
        ResidualMLPBlock(width, hidden=width),
        nn.LayerNorm(width),
        nn.Linear(width, levels[-1] * rows * columns),
        nn.Unflatten(1, smallest),
        ChannelsLast(),
        *stage(count - 1),
        *up,
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, 4 * image_shape[0], 3, padding=1),
        nn.PixelShuffle(2),
        CropTo(image_shape),
    )
    return encoder, decoder
