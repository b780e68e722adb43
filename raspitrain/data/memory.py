"""How much a data set may take."""


def available_memory() -> int:
    """Return the bytes that are free to this process, within its control group's limit."""
    from raspitrain.results.environment import memory_mb

    return int(memory_mb()[1] * 1e6)
