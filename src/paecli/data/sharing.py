"""Work shared by the processes that torchrun started: each does a part, and all know the whole.

What they tell each other is tensors and JSON, never pickles, which would run code.
"""

import atexit
import json
from datetime import timedelta
from typing import Any, NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor, distributed

from paecli.system.cores import process_count, process_index

LONGEST_WAIT = timedelta(days=7)  # for the slowest process
SAID = "said"


class Told(NamedTuple):
    """What one process tells the others.

    Attributes:
        tensors: by name; not called `said`.
        said: anything that JSON can hold.
    """

    tensors: dict[str, Tensor]
    said: Any


def is_own(number: int) -> bool:
    """Tells whether a part of the work is this process's: parts go round among them."""
    return number % process_count() == process_index()


def tell_all(own: Told) -> list[Told]:
    """Returns what each process tells, in their order, to all of them; each must call it.

    A process alone gets its own back.
    """
    if process_count() == 1:
        return [own]
    if not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=LONGEST_WAIT)
        atexit.register(distributed.destroy_process_group)
    letter = _encode(own)
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(process_count())]
    distributed.all_gather(lengths, torch.tensor([len(letter)]))
    longest = int(max(lengths))
    letters = [torch.zeros(longest, dtype=torch.uint8) for _ in lengths]
    padded = torch.zeros(longest, dtype=torch.uint8)
    padded[: len(letter)] = letter
    distributed.all_gather(letters, padded)
    return [_decode(each[: int(length)]) for each, length in zip(letters, lengths, strict=True)]


def share_parts(parts: dict[int, Tensor]) -> list[Tensor]:
    """Returns all parts of the work in order, of which this process did some; each must call it.

    Args:
        parts: by their numbers, see `is_own`, what this process made.
    """
    found: dict[int, Tensor] = {}
    for told in tell_all(Told({str(number): part for number, part in parts.items()}, None)):
        found.update({int(name): part for name, part in told.tensors.items()})
    return [found[number] for number in sorted(found)]


def _encode(own: Told) -> Tensor:
    said = torch.frombuffer(bytearray(json.dumps(own.said).encode()), dtype=torch.uint8)
    tensors = {name: tensor.contiguous() for name, tensor in own.tensors.items()}
    return torch.frombuffer(bytearray(save({**tensors, SAID: said})), dtype=torch.uint8)


def _decode(letter: Tensor) -> Told:
    tensors = load(letter.numpy().tobytes())
    said = tensors.pop(SAID)
    return Told(tensors, json.loads(said.numpy().tobytes()))
