import torch

from paecli.model.held_out_errors import KEPT_IMAGES, HeldOutErrors, fit_held_out_errors
from paecli.model.pixel_table import is_pixel_table


def fitted() -> HeldOutErrors:
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(KEPT_IMAGES + 2, 1, 8, 8, generator=draw)
    errors = HeldOutErrors()
    u = torch.randn(len(images), 3, generator=draw)
    fit_held_out_errors(errors, u=u, images=images, decoded=images)
    return errors


def test_it_keeps_a_table_and_some_of_the_images() -> None:
    errors = fitted()
    assert errors.fitted
    assert is_pixel_table(errors.edges, errors.quantiles)
    assert errors.u.shape == (KEPT_IMAGES, 3)
    assert errors.images.shape == (KEPT_IMAGES, 1, 8, 8)
    assert errors.images.dtype == torch.uint8


def test_a_fitted_calibration_survives_its_state_dict_and_an_old_file_has_none() -> None:
    errors = fitted()
    copy = HeldOutErrors()
    copy.load_state_dict(errors.state_dict())
    for name, buffer in errors.named_buffers():
        assert torch.equal(copy.get_buffer(name), buffer)
    copy = HeldOutErrors()
    copy.load_state_dict({})
    assert not copy.fitted
