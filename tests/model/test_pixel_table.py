import pytest
import torch

from paecli.model.pixel_table import (
    KNOTS,
    LEVELS,
    STRATA,
    is_pixel_table,
    local_variation,
    tabulate_pixels,
)
from paecli.restoration.pixel_model import TabulatedPixels

SIDE = 40


def flat_and_textured(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey images, half of them textured; true pixels scatter more about the textured ones."""
    draw = torch.Generator().manual_seed(0)
    texture = 0.004 * (torch.rand(number, 1, SIDE, SIDE, generator=draw) - 0.5)
    texture[::2] *= 1e-3
    decoded = 0.5 + texture
    scatter = torch.where(torch.arange(number) % 2 == 0, 0.01, 0.1)[:, None, None, None]
    error = torch.rand(decoded.shape, generator=draw) - 0.5
    return decoded, (decoded + scatter * error).clamp(0, 1)


def fitted() -> tuple[TabulatedPixels, torch.Tensor, torch.Tensor]:
    decoded, true = flat_and_textured(20)
    edges, quantiles = tabulate_pixels(decoded, true)
    return TabulatedPixels(edges, quantiles, (1, SIDE, SIDE)), decoded, true


def test_local_variation_is_the_mean_change_over_nine_pixels() -> None:
    ramp = torch.arange(5.0).expand(1, 2, 5, 5)
    variation = local_variation(ramp)
    assert variation.shape == ramp.shape
    assert (variation[..., 1:-2, 1:-2] == 1).all()  # one step to the right, none down
    assert local_variation(torch.ones(1, 1, 1, 1)).item() == 0


def test_table_holds_the_quantiles_of_the_true_pixels() -> None:
    decoded = torch.full((1, 1, 200, 200), 0.5)
    true = torch.linspace(0.3, 0.7, 40_000).view(1, 1, 200, 200)
    edges, quantiles = tabulate_pixels(decoded, true)
    assert edges.shape == (STRATA - 1,)
    expected = 0.3 + 0.4 * (torch.arange(LEVELS) + 0.5) / LEVELS
    for table in quantiles.split(len(KNOTS)):  # those without pixels hold what all pixels say
        torch.testing.assert_close(table[KNOTS.index(0.5)], expected, atol=1e-3, rtol=0)
        assert torch.equal(table[0], torch.zeros(LEVELS))  # no pixels there: the knot itself


def test_strata_have_about_equal_numbers_of_pixels() -> None:
    pixels, decoded, _ = fitted()
    stratum = torch.bucketize(local_variation(decoded), pixels.edges)
    shares = stratum.flatten().bincount() / stratum.numel()
    torch.testing.assert_close(shares, torch.full((STRATA,), 1 / STRATA), atol=0.01, rtol=0)


def test_pixels_scatter_more_where_the_image_varies_more() -> None:
    pixels, decoded, true = fitted()
    variance = pixels.variance(decoded.flatten(1))
    measured = (true - decoded).flatten(1).var(1)
    assert variance[::2].mean() == pytest.approx(measured[::2].mean().item(), rel=0.2)
    assert variance[1::2].mean() == pytest.approx(measured[1::2].mean().item(), rel=0.2)


def test_draws_have_the_mean_and_the_variance_and_are_bytes() -> None:
    pixels, decoded, _ = fitted()
    one = decoded[1].flatten().expand(500, -1)
    draws = pixels.draw(one, torch.Generator().manual_seed(0))
    assert torch.equal((draws * 255).round() / 255, draws)
    torch.testing.assert_close(draws.mean(0), pixels.mean(one)[0], atol=0.01, rtol=0)
    torch.testing.assert_close(draws.var(0), pixels.variance(one)[0], atol=5e-4, rtol=0.4)


def test_an_unstratified_table_serves_every_pixel() -> None:
    table = torch.tensor(KNOTS)[:, None].expand(-1, LEVELS)
    pixels = TabulatedPixels(torch.zeros(0), table, (1, 2, 2))
    decoded = torch.tensor([[0.0, 0.3, 0.77, 1.0]])
    torch.testing.assert_close(pixels.mean(decoded), decoded)


@pytest.mark.parametrize(
    ("edges", "rows", "levels", "good"),
    [
        (STRATA - 1, STRATA * len(KNOTS), LEVELS, True),
        (0, len(KNOTS), LEVELS, True),  # a file of the first release
        (0, 0, LEVELS, True),
        (1, 0, LEVELS, False),
        (0, 2 * len(KNOTS), LEVELS, False),
        (0, len(KNOTS), 0, False),
    ],
)
def test_a_table_has_a_row_for_each_knot_of_each_stratum(
    edges: int, rows: int, levels: int, good: bool
) -> None:
    assert is_pixel_table(torch.zeros(edges), torch.zeros(rows, levels)) is good
