"""The door: the words of the command line, Hydra, and the exit code."""
