"""Model files, run folders and the registry they are fetched from."""
