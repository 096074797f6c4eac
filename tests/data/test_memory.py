import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from paecli.data import memory
from paecli.data.memory import comfortable_bytes, gather
from paecli.system.errors import DataError

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


@pytest.mark.parametrize(("free", "fits"), [(24, True), (23, False)])
def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_mapped(
    monkeypatch: pytest.MonkeyPatch, free: int, fits: bool
) -> None:
    monkeypatch.setattr(memory, "comfortable_bytes", lambda: 0)
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    if fits:
        assert len(gather(IMAGES, torch.arange(4))) == 4
        return
    with pytest.raises(DataError, match=r"the decoded images take 0\.0 GB"):
        gather(IMAGES, torch.arange(4))


def test_a_fourth_of_the_memory_is_comfortable(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(memory.os, "sysconf", sizes.__getitem__)
    assert comfortable_bytes() == 1_024_000
    sizes.clear()
    monkeypatch.setattr(memory.os, "sysconf", lambda name: int(name))  # as where it is not known
    assert comfortable_bytes() == 2 * 2**30


def test_a_cache_that_cannot_be_written_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path))
    assert memory._disk_folder() == tmp_path / "mapped"
    monkeypatch.setattr(memory.os, "access", lambda folder, mode: False)
    assert memory._disk_folder() == Path(tempfile.gettempdir())
