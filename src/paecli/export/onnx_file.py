"""The bytes of an ONNX file: traced, worked out beforehand, and stored small."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import Tensor

from paecli.export.graph import INPUT, OUTPUTS, ScoringGraph

OPSET = 18  # of 2022; onnxruntime knows it from 1.14 on
HALVED = 1_000  # numbers from which on a constant is stored in half the space, if that loses none
TRACED = 3  # images that are passed through; any number but 1, which would be broadcast
FLOAT = onnx.TensorProto.FLOAT


def trace(graph: ScoringGraph, example: Tensor, path: Path) -> None:
    """Writes what a graph computes to an ONNX file.

    torch has two exporters. The newer one takes minutes for a flow of many layers; this is the
    older, see docs/decisions.md.

    Args:
        graph: what to write.
        example: `(c, h, w)` an image of the type that the file is to take.
        path: the file.
    """
    with warnings.catch_warnings(), torch.no_grad():
        # it is deprecated, and warns of sizes that are fixed on purpose
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.eval(),
            (example.expand(TRACED, *example.shape).contiguous(),),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "n"} for name in (INPUT, *OUTPUTS)},
        )


def work_out(traced: Path, path: Path) -> None:
    """Computes whatever does not depend on the image, so that opening the file takes no time.

    What comes out has operators of the ONNX standard only, and no assumption about a processor.

    Args:
        traced: a file from `trace`.
        path: the file to write.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(traced), options, providers=["CPUExecutionProvider"])


def finish(path: Path, *, shapes: Mapping[str, Sequence[int]], facts: Mapping[str, object]) -> None:
    """Stores large constants small, and says in the file what it is.

    Args:
        path: a file from `work_out`; it is written again.
        shapes: sizes of each output after the first one, which is the number of images.
        facts: what `metadata_props` holds, each as JSON unless it is text.
    """
    model = onnx.load(path)
    _halve(model.graph)
    for output in model.graph.output:
        sizes = output.type.tensor_type.shape
        del sizes.dim[:]
        sizes.dim.add().dim_param = "n"
        for size in shapes[output.name]:
            sizes.dim.add().dim_value = size
    del model.graph.value_info[:]  # sizes of the traced batch
    texts = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()
    }
    # onnxruntime plans which results share memory, in a time that grows as the square of those
    # whose shapes it cannot tell
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _halve(graph: onnx.GraphProto) -> None:
    """Stores float32 constants as float16 where that loses nothing.

    The latents of training images and the weights of shipped models are such.
    """
    casts = []
    for constant in graph.initializer:
        values = numpy_helper.to_array(constant)
        if constant.data_type != FLOAT or values.size < HALVED:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if np.array_equal(half.astype(np.float32), values):
            name = constant.name
            constant.CopyFrom(numpy_helper.from_array(half, f"{name}/half"))
            casts.append(onnx.helper.make_node("Cast", [constant.name], [name], to=FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
