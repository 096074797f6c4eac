"""Residual multilayer perceptron: the fastest network per step on a CPU."""

from math import prod

from torch import nn

from paecli.model.networks.layers import Centre, ImageShape, ResidualMLPBlock


def build_mlp(
    *,
    image_shape: ImageShape,
    latent_size: int,
    encoder_outputs: int,
    width: int = 1024,
    blocks: int = 2,
    dropout: float = 0.0,
) -> tuple[nn.Module, nn.Module]:
    """Builds a residual MLP encoder and decoder.

    Args:
        image_shape: `(channels, height, width)`.
        latent_size: inputs of the decoder.
        encoder_outputs: outputs of the encoder.
        width: features of every hidden layer.
        blocks: residual blocks on each side.
        dropout: probability of dropping a hidden feature inside a block.

    Returns:
        Encoder and decoder; the decoder returns logits.
    """
    pixels = prod(image_shape)

    def trunk() -> list[nn.Module]:
        hidden = [ResidualMLPBlock(width, hidden=width, dropout=dropout) for _ in range(blocks)]
        return [*hidden, nn.LayerNorm(width)]

    encoder = nn.Sequential(
        Centre(),
        nn.Flatten(),
        nn.Linear(pixels, width),
        *trunk(),
        nn.Linear(width, encoder_outputs),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_size, width),
        *trunk(),
        nn.Linear(width, pixels),
        nn.Unflatten(1, image_shape),
    )
    return encoder, decoder
