import platform
import resource

import pytest
import torch

from paecli.system.heap import keep_freed_memory


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def test_memory_that_is_freed_is_used_again_without_page_faults() -> None:
    if not keep_freed_memory():
        assert platform.libc_ver()[0] != "glibc"
        return
    size = 64 * 2**20  # above the 32 MiB from which glibc always asks the system
    for _ in range(20):  # until the heap has grown to what this needs
        torch.ones(size, dtype=torch.uint8)
    before = faults()
    for _ in range(10):
        torch.ones(size, dtype=torch.uint8)
    assert faults() - before < size // 4096  # instead of ten times as many


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
