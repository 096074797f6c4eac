"""What is measured on normal images once a model is trained."""

from torch import Tensor

from paecli.model.model import PAE
from paecli.outliers.scores import fit_normal_scores, fit_sigma


def measure_normal_images(model: PAE, *, training: Tensor, held_out: Tensor) -> None:
    """Sets what later jobs compare with: pixel noise, its calibration, normal scores.

    Args:
        model: a model with a flow.
        training: uint8 `(n, c, h, w)` images that the model was trained on.
        held_out: `(m, c, h, w)` images that no stage was trained on.
    """
    fit_sigma(model, held_out)
    model.calibrate(held_out)
    fit_normal_scores(model, held_out, training=training)
