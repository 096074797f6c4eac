import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from paecli.model.principal_components import principal_components


@pytest.mark.parametrize("count", [1, 5, 40])
def test_components_and_errors_are_those_of_scikit_learn(count: int) -> None:
    mixing = torch.randn(60, 48, generator=torch.Generator().manual_seed(0))
    latents = torch.randn(300, 60) * torch.linspace(1, 0.02, 60)
    x = ((latents @ mixing) / 40 + 0.5).clamp(0, 1).view(300, 3, 4, 4)
    train, test = x[:200], x[200:]
    expected = PCA(count, svd_solver="full").fit(train.flatten(1).numpy())
    found = principal_components(train, count)
    variances = expected.explained_variance_ * 199 / 200
    np.testing.assert_allclose(found.variances, variances, rtol=1e-3)
    flat = test.flatten(1).numpy()
    error = np.square(flat - expected.inverse_transform(expected.transform(flat))).mean()
    assert found.mse(test) == pytest.approx(error, rel=1e-3)
    assert found.total == pytest.approx(
        train.flatten(1).var(0, correction=0).sum().item(), rel=1e-4
    )


def test_draws_of_others_stay_as_they_were_and_few_images_give_few_components() -> None:
    images = torch.randint(0, 256, (4, 1, 3, 3), dtype=torch.uint8)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    found = principal_components(images, 50)
    assert torch.equal(torch.rand(2), expected)
    assert found.directions.shape == (9, 4)
    assert found.mse(images / 255) == pytest.approx(0, abs=1e-9)
