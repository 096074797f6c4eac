"""A trained model as one ONNX file, which answers without torch as the model itself does."""
