"""The mathematics: pure torch, keyword arguments, no files and no printing."""
