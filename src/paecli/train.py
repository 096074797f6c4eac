"""Both stages of training, each ending with what scores and restorations need of a model.

`paecli.training` knows neither outliers nor restorations; it is handed the measurement here.
"""

from functools import partial

from torch import Tensor

from paecli.model.model import Model
from paecli.outliers.scores import fit_reference_scores
from paecli.training import autoencoder, flow


def measure_held_out(
    model: Model, *, training: Tensor, held_out: Tensor, latents: Tensor | None = None
) -> None:
    """Sets what later jobs compare with: pixel noise, errors, reference scores.

    Args:
        model: a model with a flow.
        training: uint8 `(n, c, h, w)` images that the model was trained on.
        held_out: `(m, c, h, w)` images that no stage was trained on.
        latents: `(n, latent_size)` of the training images, if they were encoded before.
    """
    model.measure_errors(held_out)
    fit_reference_scores(model, held_out, training=training, latents=latents)


train_autoencoder = partial(autoencoder.train_autoencoder, measure=measure_held_out)
train_flow = partial(flow.train_flow, measure=measure_held_out)
measure_again = partial(flow.measure_again, measure=measure_held_out)
