"""Identity matrices that a model without memory can have, too."""

import torch
from torch import Tensor


def identities(count: int, size: int) -> Tensor:
    """Returns identity matrices `(count, size, size)`.

    Not by `torch.eye` and `repeat`: on the meta device, where a model is built before its file is
    read, these import torch's compiler and sympy, which takes as long as importing torch.
    """
    matrices = torch.zeros(count, size, size)
    matrices.diagonal(dim1=1, dim2=2).fill_(1)
    return matrices
