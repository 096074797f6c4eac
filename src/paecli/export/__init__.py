"""A trained model as one ONNX file, which answers without torch as the model itself does."""

import os

# onnxruntime 1.32 (1.24 did not) tells its makers of its use, and keeps a file for that in TMPDIR
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
