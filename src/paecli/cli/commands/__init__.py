"""The commands, a file each: options in, a job called, the result printed."""
