"""Scores image files with a file of `pae export`; needs onnxruntime, numpy and pillow only."""

import json
import sys

import numpy as np
import onnxruntime as ort
from PIL import Image

options = ort.SessionOptions()  # opening takes longest: nothing is planned for many images
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
options.enable_mem_reuse, options.intra_op_num_threads = False, 1
session = ort.InferenceSession(sys.argv[1], options)
_, channels, height, width = session.get_inputs()[0].shape
for image in map(Image.open, sys.argv[2:]):
    if image.size != (width, height):
        sys.exit(f"{image.filename} has {image.size} pixels, the model takes {width} x {height}")
    data = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(1, height, width, -1)
    p_value, score = session.run(["p_value", "score"], {"image": data.transpose(0, 3, 1, 2)})
    print(json.dumps({"path": image.filename, "p_value": p_value.item(), "score": score.item()}))
