"""Image files: pixels read, checked and brought into the model's shape."""
