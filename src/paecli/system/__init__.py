"""Leaves: files, locks, folders, YAML, limits, progress, errors. They import nothing of the package."""
