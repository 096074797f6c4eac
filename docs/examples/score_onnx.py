"""Scores image files with a file of `pae export`; needs onnxruntime, numpy and pillow only."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

options = onnxruntime.SessionOptions()  # the file needs no more work: it opens three times as fast
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
session = onnxruntime.InferenceSession(sys.argv[1], options)
_, channels, height, width = session.get_inputs()[0].shape
for path in sys.argv[2:]:
    image = Image.open(path).convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        sys.exit(f"{path} has {image.size} pixels, the model takes {width} x {height}")
    pixels = np.asarray(image, np.uint8).reshape(1, height, width, channels)
    p_value, score = session.run(["p_value", "score"], {"image": pixels.transpose(0, 3, 1, 2)})
    print(json.dumps({"path": path, "p_value": p_value.item(), "score": score.item()}))
