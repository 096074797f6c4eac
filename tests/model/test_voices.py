import pytest
import torch
from torch import Tensor

from paecli.model.voices import RESERVE, SINGLE, STATEMENTS, Voices, _on_gaussian_scale


def gaussian_voices(count: int = 20_000) -> tuple[Voices, Tensor]:
    """Statements that are normal and independent but the first two, which go together."""
    generator = torch.Generator().manual_seed(0)
    statements = torch.randn(count, len(STATEMENTS), generator=generator)
    statements[:, 1] = statements[:, 0] + 0.1 * statements[:, 1]
    voices = Voices()
    voices.fit(torch.randn(count, generator=generator), statements)
    return voices, statements


def test_normal_values_stay_as_they_are_and_the_order_holds_beyond_the_ends() -> None:
    values = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(1))
    voices = Voices()
    voices.fit(values[:, 0], values.repeat(1, len(STATEMENTS)))
    grid = torch.linspace(-6, 6, 200)[:, None]
    mapped = _on_gaussian_scale(grid, voices.tables[:1])
    assert (mapped.diff(dim=0) > 0).all()
    assert (mapped - grid)[grid.abs() < 2.5].abs().max() < 0.06


def test_the_voices_share_one_scale() -> None:
    voices, statements = gaussian_voices()
    said = voices.speak(torch.randn(len(statements)), statements) + torch.tensor(RESERVE)
    for column in said.unbind(1):
        assert column.quantile(0.95).item() == pytest.approx(1.645, abs=0.05)


def test_each_voice_is_heard_for_what_only_it_sees_and_named() -> None:
    voices, _ = gaussian_voices()
    usual, names = torch.zeros(1, len(STATEMENTS)), list(STATEMENTS)
    unlike = usual.clone()
    unlike[0, 0], unlike[0, 1] = 1.0, -1.0  # each ordinary, but they go together
    dull = usual.clone()
    dull[0, names.index("sharpness")] = -7.0
    wrong = usual.clone()
    wrong[0, names.index("error")] = 6.0
    quiet = voices.speak(torch.zeros(1), usual).amax().item()
    for statements, part in ((unlike, "density low"), (dull, "sharpness low"), (wrong, "error")):
        assert voices.speak(torch.zeros(1), statements).amax().item() > quiet + 2
        assert voices.name_loudest(torch.zeros(1), statements)[0] in (part, "local density high")
    assert voices.name_loudest(torch.tensor([5.0]), usual) == [SINGLE[0]]


@pytest.mark.parametrize("count", [1, 2, 6, 20])
def test_few_images_give_finite_voices(count: int) -> None:
    voices = Voices()
    voices.fit(torch.randn(count), torch.randn(count, len(STATEMENTS)))
    assert voices.speak(torch.randn(50), 3 * torch.randn(50, len(STATEMENTS))).isfinite().all()
