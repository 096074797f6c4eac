"""The FID's standard network: pytorch-fid's port of TensorFlow's 2015 InceptionV3."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytorch_fid.inception
import torch
from torch import Tensor

STANDARD_WEIGHTS = "6726825d"  # first digits of the published weight file's SHA-256
POOL3 = 2048  # features of the last pooling layer


class InceptionFeatures:
    """Features of InceptionV3's last pooling layer ("pool3"), as pytorch-fid computes them.

    Images go in as [0, 1] floats in three channels, resized to 299 x 299 bilinearly
    without antialiasing.
    """

    name = "inception"
    size = POOL3
    batch = 50

    def __init__(
        self, weights: Mapping[str, Tensor], *, identity: str, device: str = "cpu"
    ) -> None:
        """Builds the network around its weights.

        Args:
            weights: the 566 entries of pytorch-fid's weight file.
            identity: SHA-256 of that file.
            device: where to compute.

        Raises:
            RuntimeError: the weights do not fit the network.
        """
        self.identity = identity
        self.description = f"FID: pytorch-fid InceptionV3 pool3, weights {identity[:8]}" + (
            "" if identity.startswith(STANDARD_WEIGHTS) else " (not the standard ones)"
        )
        self._device = device
        with _handing_over(weights):
            network = pytorch_fid.inception.InceptionV3([3])
        # it is built in training mode, where features depend on the rest of the batch
        self._network = network.eval().to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Maps `(b, 1 or 3, h, w)` uint8 to `(b, 2048)` float32."""
        x = (images.to(self._device).float() / 255).expand(-1, 3, -1, -1)
        return self._network(x)[0].flatten(1).cpu()  # type: ignore[no-any-return]


@contextmanager
def _handing_over(weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Makes pytorch-fid take these weights; its own download unpickles unchecked files."""
    module = pytorch_fid.inception
    download = module.load_state_dict_from_url
    module.load_state_dict_from_url = lambda *_args, **_options: weights
    try:
        yield
    finally:
        module.load_state_dict_from_url = download
