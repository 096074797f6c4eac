import pytest
import torch

from paecli.model.base_distribution import StandardGaussian
from paecli.model.held_out_errors import HeldOutErrors, fit_held_out_errors
from paecli.restoration import inflation as inflation_module
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.inflation import measure_inflations
from paecli.restoration.target import Generate

PIXELS, LATENT, IMAGES = 64, 3, 48


def linear_images(*, correlated: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images of a linear decoder with errors of standard deviation 0.02."""
    draw = torch.Generator().manual_seed(0)
    weight = 0.05 * torch.randn(LATENT, PIXELS, generator=draw)
    u = torch.randn(IMAGES, LATENT, generator=draw)
    error = torch.randn(IMAGES, PIXELS, generator=draw)
    if correlated:  # neighbours in groups of 8 share their error
        error = error[:, ::8].repeat_interleave(8, dim=1)
        weight = weight[:, ::8].repeat_interleave(8, dim=1)
    return weight, u, (0.5 + u @ weight + 0.02 * error).clamp(0, 1)


def fitted(*, correlated: bool) -> tuple[HeldOutErrors, torch.Tensor]:
    weight, u, images = linear_images(correlated=correlated)
    errors = HeldOutErrors()
    images = images.view(-1, 1, 8, 8)
    fit_held_out_errors(errors, u=u, images=images, decoded=images)
    return errors, weight


def identity_space(decode: Generate, size: int) -> LatentSpace:
    """Latents that are base vectors."""
    base = StandardGaussian(size)
    return LatentSpace(decode, lambda w: (w, w.new_zeros(len(w))), lambda u: u, base)


def inflation(*, correlated: bool) -> float:
    errors, weight = fitted(correlated=correlated)
    (factor,) = measure_inflations(
        errors,
        identity_space(lambda u: (0.5 + u @ weight).view(-1, 1, 8, 8), LATENT),
        sigma=torch.full((1, 8, 8), 0.02),
        masks=torch.ones(1, 64, dtype=torch.bool),
    )
    return factor


def test_correlated_errors_need_inflation_by_the_size_of_their_groups() -> None:
    assert inflation(correlated=False) == pytest.approx(1, rel=0.3)
    assert inflation(correlated=True) == pytest.approx(8, rel=0.3)


def test_nothing_observed_or_not_fitted_means_no_inflation() -> None:
    errors, _ = fitted(correlated=True)
    hidden, seen = torch.zeros(1, 64).bool(), torch.ones(1, 64).bool()
    sigma = torch.ones(1, 8, 8)
    never = lambda u: pytest.fail("not needed")  # noqa: E731
    for empty, masks in ((errors, hidden), (HeldOutErrors(), seen)):
        space = identity_space(never, LATENT)
        assert measure_inflations(empty, space, sigma=sigma, masks=masks) == [1.0]


def test_only_directions_that_move_missing_pixels_count() -> None:
    """Half of the latents fits badly where it is seen, but moves no missing pixel."""
    draw = torch.Generator().manual_seed(0)
    u = torch.randn(400, 2, generator=draw)
    weight = torch.zeros(2, PIXELS)
    weight[0, ::2], weight[1, 1:32:2] = 0.05, 0.05
    error = 0.02 * torch.randn(400, PIXELS, generator=draw)
    error[:, 1:32:2] = 3 * error[:, 1:2]  # of the second latent: shared, and large
    errors = HeldOutErrors()
    images = (0.5 + u @ weight + error).clamp(0, 1).view(-1, 1, 8, 8)
    fit_held_out_errors(errors, u=u, images=images, decoded=images)
    missing_row = torch.arange(PIXELS) >= 48  # moved by the first latent alone

    def measured(observed: torch.Tensor) -> float:
        (factor,) = measure_inflations(
            errors,
            identity_space(lambda u: (0.5 + u @ weight).view(-1, 1, 8, 8), 2),
            sigma=torch.full((1, 8, 8), 0.02),
            masks=observed[None],
        )
        return factor

    assert measured(~missing_row) < 2
    assert measured(torch.ones(PIXELS, dtype=torch.bool)) > 10


def test_each_of_several_masks_gets_the_factor_it_gets_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors, weight = fitted(correlated=True)
    decoded: list[int] = []

    def decode(u: torch.Tensor) -> torch.Tensor:
        decoded.append(len(u))
        return (0.5 + u @ weight).view(-1, 1, 8, 8)

    def measure(masks: torch.Tensor) -> list[float]:
        decoded.clear()
        space, sigma = identity_space(decode, LATENT), torch.full((1, 8, 8), 0.02)
        return measure_inflations(errors, space, sigma=sigma, masks=masks)

    masks = torch.rand(4, PIXELS, generator=torch.Generator().manual_seed(1)) < 0.6
    masks[2] = False
    alone = [measure(mask[None])[0] for mask in masks]
    passes = sum(decoded)
    assert alone[2] == 1
    assert len({*alone}) == 4
    assert measure(masks) == alone
    assert sum(decoded) == passes  # as many as for one mask
    monkeypatch.setattr(inflation_module, "JACOBIAN_BYTES", 1)  # a held-out image at a time
    assert measure(masks) == pytest.approx(alone)
    assert max(decoded) == 1
