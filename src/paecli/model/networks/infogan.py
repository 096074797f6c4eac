"""The paper's network: infoGAN's discriminator and generator as encoder and decoder.

Boehm & Seljak, arXiv:2006.05479, appendix; Chen et al., arXiv:1606.03657.
"""

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm as with_spectral_norm

from paecli.model.networks.layers import CropTo, ImageShape, PadTo

DENSE_FEATURES = 1024
SLOPE = 0.2


def build_infogan(
    *,
    image_shape: ImageShape,
    latent_size: int,
    encoder_outputs: int,
    dropout: float = 0.25,
    spectral_norm: bool = True,
) -> tuple[nn.Module, nn.Module]:
    """Builds the infoGAN encoder and decoder.

    Args:
        image_shape: `(channels, height, width)`; any size, padded inside to a multiple of 4.
        latent_size: inputs of the decoder.
        encoder_outputs: outputs of the encoder.
        dropout: probability of dropping a dense feature of the encoder.
        spectral_norm: whether the encoder's weights are divided by their spectral norm
            (Miyato et al., arXiv:1802.05957).

    Returns:
        Encoder and decoder; the decoder returns logits.
    """
    rows, columns = (-(-side // 4) for side in image_shape[1:])
    features = 128 * rows * columns

    def normed(layer: nn.Module) -> nn.Module:
        return with_spectral_norm(layer) if spectral_norm else layer

    encoder = nn.Sequential(
        PadTo(image_shape, multiple=4),
        normed(nn.Conv2d(image_shape[0], 64, 4, stride=2, padding=1)),
        nn.LeakyReLU(SLOPE),
        normed(nn.Conv2d(64, 128, 4, stride=2, padding=1)),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(SLOPE),
        nn.Flatten(),
        normed(nn.Linear(features, DENSE_FEATURES)),
        nn.BatchNorm1d(DENSE_FEATURES),
        nn.LeakyReLU(SLOPE),
        nn.Dropout(dropout),
        nn.Linear(DENSE_FEATURES, encoder_outputs),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_size, DENSE_FEATURES),
        nn.BatchNorm1d(DENSE_FEATURES),
        nn.LeakyReLU(SLOPE),
        nn.Linear(DENSE_FEATURES, features),
        nn.BatchNorm1d(features),
        nn.LeakyReLU(SLOPE),
        nn.Unflatten(1, (128, rows, columns)),
        nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1),
        nn.BatchNorm2d(64),
        nn.LeakyReLU(SLOPE),
        nn.ConvTranspose2d(64, image_shape[0], 4, stride=2, padding=1),
        CropTo(image_shape),
    )
    return encoder, decoder
