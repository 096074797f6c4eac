"""What a batch takes is what one image takes, and the answers."""

import pytest
from tests.peak_memory import peak_growth
from torch import Tensor

from paecli.api import PAE
from paecli.restoration.masks.drawing import draw_mask
from paecli.restoration.solve import Method

LEFT = draw_mask("left", height=28, width=28)
ANSWER = 2.5e6  # bytes; 256 draws of 784 pixels and as many predictive images are 1.6 of them


@pytest.mark.parametrize("method", ["laplace", "is"])
def test_sixty_images_take_no_more_than_one_beside_their_answers(
    trained_pae: PAE, blobs: Tensor, method: Method
) -> None:
    def restore(images: Tensor) -> None:
        trained_pae.restore_batch(images, mask=LEFT, method=method, starts=8)

    restore(blobs[500:501])  # what is imported and kept at the first time is not counted
    alone = peak_growth(lambda: restore(blobs[500:501]))
    assert peak_growth(lambda: restore(blobs[500:560])) < alone + 60 * ANSWER
