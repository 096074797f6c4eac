"""What models would compute with, as torch and accelerate say."""

import torch
from accelerate import PartialState
from paecli.system.compute import Compute

from paecli.training.loop import choose_bfloat16


def ask_torch() -> Compute:
    """Asks torch for device, threads and bfloat16."""
    device = PartialState().device
    return Compute(str(device), torch.get_num_threads(), choose_bfloat16("auto", device))
