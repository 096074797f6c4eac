"""The network against timm's, stage by stage, with random and with the published weights."""

import pytest
import torch
from torch import Tensor, nn

from paecli.model.patches.lite0 import STAGES, Lite0
from paecli.store.feature_weights import has_photo_weights, open_photo_network

timm = pytest.importorskip("timm")

STAGE_OF_TIMM = (0, 1, 2, 4, 6)  # timm returns the last stage of each stride


def reference(weights: dict[str, Tensor]) -> nn.Module:
    """timm's network: its weights map one to one, in order."""
    whole = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    whole.load_state_dict(dict(zip(whole.state_dict(), weights.values(), strict=True)))
    levels = timm.create_model(
        "tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=(0, 1, 2, 3, 4)
    )
    own = levels.state_dict().keys()
    levels.load_state_dict({k: v for k, v in whole.state_dict().items() if k in own})
    return levels.eval()


@pytest.mark.parametrize("size", [(64, 96), (61, 45), (33, 32)])
def test_stages_are_those_of_another_implementation(size: tuple[int, int]) -> None:
    weights = random_weights()
    network = Lite0().eval()
    network.load_published(weights)
    images = 255 * torch.rand(2, 3, *size)
    with torch.no_grad():
        ours = network.stage_maps(images, last=len(STAGES) - 1)
        theirs = reference(weights)((images - 127) / 128)
    for stage, other in zip(STAGE_OF_TIMM, theirs, strict=True):
        torch.testing.assert_close(ours[stage], other, rtol=1e-3, atol=1e-3)


def random_weights() -> dict[str, Tensor]:
    """Weights of the published layout, with statistics of batch normalisation that matter."""
    whole = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    values = []
    for name, tensor in whole.state_dict().items():
        if name.endswith("running_var"):
            tensor = 0.5 + torch.rand_like(tensor)
        elif name.endswith(("running_mean", "bias")):
            tensor = 0.1 * torch.randn_like(tensor)
        values.append(tensor)
    return dict(zip(published_layout(), values, strict=True))


def published_layout() -> list[str]:
    """Names of the published state dict, in its order."""

    def norm(name: str) -> list[str]:
        ends = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return [f"{name}.{end}" for end in ends]

    names = ["_conv_stem.weight", *norm("_bn0")]
    block = 0
    for blocks, _, _, ratio, _ in STAGES:
        for _ in range(blocks):
            prefix = f"_blocks.{block}."
            if ratio > 1:
                names += [prefix + "_expand_conv.weight", *norm(prefix + "_bn0")]
            names += [prefix + "_depthwise_conv.weight", *norm(prefix + "_bn1")]
            names += [prefix + "_project_conv.weight", *norm(prefix + "_bn2")]
            block += 1
    return [*names, "_conv_head.weight", *norm("_bn1"), "_fc.weight", "_fc.bias"]


@pytest.mark.skipif(not has_photo_weights(), reason="the extra `photo` is not installed")
def test_published_weights_see_what_they_saw_when_first_tried() -> None:
    network = open_photo_network()
    rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing="ij")
    image = torch.stack((rows * 2, columns, (rows + columns) % 50 * 5))[None]
    with torch.no_grad():
        maps = network.stage_maps(image, last=6)
        pooled = network(image)
    figures = torch.tensor([each.abs().mean() for each in (*maps, pooled)])
    torch.testing.assert_close(figures, torch.tensor(FROZEN), rtol=1e-3, atol=1e-4)


# mean absolute value of each stage and of the pooled features; timm's network gives the same
FROZEN = (4.25972, 7.40045, 7.97535, 7.1937, 4.83702, 4.75822, 2.19136, 0.23422)
