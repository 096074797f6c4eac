"""Buffers whose number of rows is known only when a file is read."""

from typing import Any

import torch
from torch import nn


class SizedByFile(nn.Module):
    """A module whose buffers take the size that they have in the saved state.

    Buffers that the state does not hold stay as they are: files of older versions lack some.
    """

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name, buffer in list(self.named_buffers(recurse=False)):
            stored = state_dict.setdefault(prefix + name, buffer)
            setattr(self, name, torch.empty_like(stored))
        super()._load_from_state_dict(state_dict, prefix, *rest)
