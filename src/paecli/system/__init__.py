"""Leaves: files, locks, folders, YAML, limits, progress, errors; nothing else of the package."""
