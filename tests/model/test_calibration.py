import torch

from paecli.model.calibration import KEPT_IMAGES, Calibration, fit_calibration
from paecli.model.pixel_table import is_pixel_table


def fitted() -> Calibration:
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(KEPT_IMAGES + 2, 1, 8, 8, generator=draw)
    calibration = Calibration()
    u = torch.randn(len(images), 3, generator=draw)
    fit_calibration(calibration, u=u, images=images, decoded=images)
    return calibration


def test_it_keeps_a_table_and_some_of_the_images() -> None:
    calibration = fitted()
    assert calibration.fitted
    assert is_pixel_table(calibration.edges, calibration.quantiles)
    assert calibration.u.shape == (KEPT_IMAGES, 3)
    assert calibration.images.shape == (KEPT_IMAGES, 1, 8, 8)
    assert calibration.images.dtype == torch.uint8


def test_a_fitted_calibration_survives_its_state_dict_and_an_old_file_has_none() -> None:
    calibration = fitted()
    copy = Calibration()
    copy.load_state_dict(calibration.state_dict())
    for name, buffer in calibration.named_buffers():
        assert torch.equal(copy.get_buffer(name), buffer)
    copy = Calibration()
    copy.load_state_dict({})
    assert not copy.fitted
