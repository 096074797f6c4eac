"""A folder that is watched: every image that appears is scored once, and drift is told."""
