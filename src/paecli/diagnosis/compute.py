"""What models would compute with: device, threads, bfloat16; asks torch only if it must."""

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from paecli.system.cores import available_cores

CPUINFO = Path("/proc/cpuinfo")
# any of these may mean a GPU; only torch knows whether it can use it
GPU_SIGNS = ("/proc/driver/nvidia", "/dev/nvidia0", "/dev/dxg", "/dev/kfd", "/dev/accel")
GPU_PROGRAMS = ("nvidia-smi", "rocm-smi", "xpu-smi")
FAST_BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # as `training.loop.choose_bfloat16` wants them


@dataclass(frozen=True)
class Compute:
    """What models would compute with.

    Attributes:
        device: what they run on by default, as torch calls it.
        threads: that torch computes with.
        bfloat16: whether the device multiplies in bfloat16 fast.
    """

    device: str
    threads: int
    bfloat16: bool


def find_compute() -> Compute:
    """Looks at this machine; imports torch where there may be a GPU, or no Linux."""
    if not CPUINFO.is_file() or has_gpu_sign():
        return ask_torch()
    processors = _read_processors(CPUINFO.read_text("utf-8", "replace"))
    flags = set(processors[0].get("flags", "").split()) if processors else set()
    return Compute("cpu", _threads(processors), bool(flags & FAST_BFLOAT16))


def ask_torch() -> Compute:
    """Asks torch for device, threads and bfloat16; takes seconds, for a GPU's sake only."""
    import torch
    from accelerate import PartialState

    from paecli.training.loop import choose_bfloat16

    device = PartialState().device
    return Compute(str(device), torch.get_num_threads(), choose_bfloat16("auto", device))


def has_gpu_sign() -> bool:
    """Tells whether this machine may have a GPU that torch can use."""
    return any(Path(sign).exists() for sign in GPU_SIGNS) or any(map(shutil.which, GPU_PROGRAMS))


def _threads(processors: list[dict[str, str]]) -> int:
    """Returns torch's number: what the user set, else the physical cores (on x86, through MKL)."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        if os.environ.get(variable, "").isdecimal() and int(os.environ[variable]) > 0:
            return int(os.environ[variable])
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return available_cores()
    usable = os.sched_getaffinity(0)
    cores = {
        (processor.get("physical id"), processor.get("core id", processor["processor"]))
        for processor in processors
        if processor.get("processor", "").isdecimal() and int(processor["processor"]) in usable
    }
    return len(cores) or available_cores()


def _read_processors(text: str) -> list[dict[str, str]]:
    """Takes /proc/cpuinfo apart: one dictionary a logical processor."""
    processors = []
    for block in filter(str.strip, text.split("\n\n")):
        lines = (line.partition(":") for line in block.splitlines())
        processors.append({key.strip(): value.strip() for key, _, value in lines})
    return processors
