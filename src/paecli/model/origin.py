"""What a model's file says of the images that it was trained on."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a model comes from, so far as its file tells.

    Attributes:
        training_set: name of a data set or path of a folder; empty when unknown.
        content_hash: SHA-256 of the images of all splits; empty when unknown.
        image_shape: `(channels, height, width)` that the model takes.
        split_seed: of the draws of test and held-out images.
        split_by: their rule, `content`, or `position` as in version 0.1.
        held_out: part of the training split that was held out, in (0, 1).
        limit: how many of the others were trained on at most; None is all.
        training_keys: `(n,)` int64 ascending, what `content_keys` gives for the images trained
            on, each once; empty when unknown, as in version 0.1.
    """

    training_set: str
    content_hash: str
    image_shape: tuple[int, int, int]
    split_seed: int = 0
    split_by: str = "position"
    held_out: float = 1 / 12
    limit: int | None = None
    training_keys: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    @property
    def remembers(self) -> bool:
        """Whether it is known which images the model was trained on."""
        return len(self.training_keys) > 0

    def knows(self, keys: Tensor) -> Tensor:
        """Tells which images were trained on, by their keys `(m,)` int64: `(m,)` bool."""
        return torch.isin(keys, self.training_keys)


class TrainingKeys(nn.Module):
    """The keys of the images that a model was trained on, saved with it.

    Attributes:
        keys: `(n,)` int64, see `Origin.training_keys`.
    """

    keys: Tensor

    def __init__(self) -> None:
        """Starts without keys."""
        super().__init__()
        self.register_buffer("keys", torch.zeros(0, dtype=torch.int64))

    def remember(self, keys: Tensor) -> None:
        """Replaces the keys by those of images `(m,)` int64; copies count once."""
        self.keys = keys.unique().to(self.keys.device)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # there are as many as images; files of version 0.1 have none
        stored = state_dict.setdefault(f"{prefix}keys", self.keys)
        self.keys = torch.empty_like(stored)
        super()._load_from_state_dict(state_dict, prefix, *rest)
