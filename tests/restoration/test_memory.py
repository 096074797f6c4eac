"""What a batch takes at its highest is what one image takes, and the answers."""

from tests.peak_memory import peak_growth
from torch import Tensor

from paecli.api import PAE
from paecli.restoration.files import CHUNK_BYTES, batch_size
from paecli.restoration.masks.drawing import draw_mask

LEFT = draw_mask("left", height=28, width=28)
COUNT = 8
ANSWER = 2.5e6  # bytes; 256 draws of 784 pixels and as many predictive images are 1.6 of them


def test_a_batch_takes_no_more_than_one_image_beside_its_answers(
    trained_pae: PAE, blobs: Tensor
) -> None:
    def restore(count: int) -> None:
        trained_pae.restore_batch(blobs[500 : 500 + count], mask=LEFT, method="is", starts=4)

    restore(1)  # what is imported and kept at the first time is not counted
    alone = peak_growth(lambda: restore(1))
    assert peak_growth(lambda: restore(COUNT)) < max(alone, 10e6) + COUNT * ANSWER


def test_answers_that_wait_for_their_files_are_bounded() -> None:
    assert batch_size((1, 28, 28), 64) == 24
    assert batch_size((3, 256, 256), 64) == 1
    for side in (32, 64, 128):
        answers = batch_size((3, side, side), 64) * 4 * 3 * side**2 * (256 + 64)
        assert answers <= CHUNK_BYTES
