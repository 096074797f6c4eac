"""What is told of a machine without torch is what torch tells."""

import sys
from pathlib import Path

import pytest
import torch

from paecli.diagnosis import compute
from paecli.diagnosis.compute import ask_torch, find_compute, has_gpu_sign

without_gpu = pytest.mark.skipif(
    sys.platform != "linux" or has_gpu_sign(), reason="torch is asked on such a machine"
)


@without_gpu
def test_it_agrees_with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    assert find_compute() == ask_torch()


@without_gpu
@pytest.mark.parametrize(
    ("flags", "fast"), [("sse avx512_bf16", True), ("amx_bf16", True), ("avx512f", False)]
)
def test_processor_flags_tell_fast_bfloat16(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, fast: bool
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nphysical id\t: 0\ncore id\t: 0\nflags\t: {flags}\n\n")
    monkeypatch.setattr(compute, "CPUINFO", file)
    assert find_compute().bfloat16 is fast


@without_gpu
def test_threads_are_the_users_or_one_a_core(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    file = tmp_path / "cpuinfo"
    block = "processor\t: {0}\nphysical id\t: 0\ncore id\t: {1}\n\n"  # two threads a core
    file.write_text("".join(block.format(number, number // 2) for number in range(4)))
    monkeypatch.setattr(compute, "CPUINFO", file)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    assert find_compute().threads == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert find_compute().threads == 3


def test_a_sign_of_a_gpu_makes_torch_speak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compute, "GPU_SIGNS", (str(tmp_path),))
    assert has_gpu_sign()
    assert find_compute() == ask_torch()
