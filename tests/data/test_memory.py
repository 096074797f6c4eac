import pytest
import torch

from paecli.data import memory
from paecli.data.memory import comfortable_bytes, gather

IMAGES = torch.arange(60, dtype=torch.uint8).view(10, 1, 2, 3)


@pytest.mark.parametrize("comfortable", [10**6, 0], ids=["in memory", "mapped"])
@pytest.mark.parametrize("index", [torch.tensor([9, 0, 3, 3]), torch.arange(10) % 3 == 0])
def test_gather_is_indexing(
    monkeypatch: pytest.MonkeyPatch, comfortable: int, index: torch.Tensor
) -> None:
    monkeypatch.setattr(memory, "comfortable_bytes", lambda: comfortable)
    monkeypatch.setattr(memory, "CHUNK", 3)
    gathered = gather(IMAGES, index)
    assert torch.equal(gathered, IMAGES[index])
    gathered.zero_()
    assert IMAGES[9, 0, 0, 0] == 54


def test_nothing_to_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "comfortable_bytes", lambda: 0)
    assert gather(IMAGES, torch.tensor([], dtype=torch.int64)).shape == (0, 1, 2, 3)


def test_part_of_the_memory_is_comfortable() -> None:
    assert 10**8 < comfortable_bytes() < 10**14
