"""The page of `pae serve`: restore, find and explore in a browser on this machine."""
