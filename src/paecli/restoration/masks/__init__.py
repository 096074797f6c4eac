"""What is missing from an image: shapes in words, and mask files."""
