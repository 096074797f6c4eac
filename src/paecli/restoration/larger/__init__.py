"""Images larger than the model: refused where they would be shrunk, or restored in tiles."""
