"""How much memory there is to take: the machine's, or less where the process is confined."""

from pathlib import Path


def available_memory() -> int:
    """Return the bytes that this process can still take, control groups included."""
    import psutil

    available = int(psutil.virtual_memory().available)
    for limit, used in _cgroup_readings():
        available = min(available, max(limit - used, 0))
    return available


def _cgroup_readings() -> list[tuple[int, int]]:
    """Return (limit, used) in bytes for every control group with a limit above this process."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    readings = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit_name, used_name = Path("/sys/fs/cgroup"), "memory.max", "memory.current"
            cache_key = "inactive_file"
        elif "memory" in controllers.split(","):
            root = Path("/sys/fs/cgroup/memory")
            limit_name, used_name = "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache_key = "total_inactive_file"
        else:
            continue
        # Inside a container the path of the host may not exist; its own group is then the root.
        group = root / path.lstrip("/")
        for folder in [group, *group.parents]:
            if folder != root and root not in folder.parents:
                break
            try:
                limit = int((folder / limit_name).read_text())
                used = int((folder / used_name).read_text())
                stat = dict(
                    row.split() for row in (folder / "memory.stat").read_text().splitlines()
                )
            except (OSError, ValueError):  # no such group, or "max": no limit
                continue
            # Cached file pages are given back when memory is asked for.
            readings.append((limit, used - int(stat.get(cache_key, 0))))
    return readings
