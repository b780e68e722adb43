"""Which build of torch is installed, and whether it works here, without importing it into this
process: on the wrong processor the import ends the process."""

import json
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace

PROBE_SECONDS = 120.0  # a Zero 2 W with a slow card reads torch for half a minute

# Runs in a Python of its own; a line before torch is imported, and one after it has worked.
PROBE = """
import json, os, sys
from importlib import metadata, util
from pathlib import Path
spec = util.find_spec("torch")
if spec is None or not spec.origin:
    raise SystemExit(print(json.dumps({"installed": False}), flush=True))
folder = Path(spec.origin).parent
facts = {"installed": True}
try:
    facts["version"] = metadata.version("torch")
except metadata.PackageNotFoundError:
    facts["version"] = None
try:
    names = {}
    exec((folder / "version.py").read_text(), names)
    facts["version"] = names.get("__version__", facts["version"])
    facts["cuda"] = names.get("cuda")
except Exception:
    pass
size = 0
for name in ("nvidia", "triton"):
    for path in (folder.parent / name).rglob("*"):
        if path.is_file() and not path.is_symlink():
            size += path.stat().st_size
facts["gpu_packages_mb"] = size / 1e6
print(json.dumps(facts), flush=True)
import torch
signals = torch.randn(2, 3, 16, requires_grad=True)
loss = torch.nn.functional.conv1d(signals, torch.randn(4, 3, 3)).relu().mean()
loss.backward()
(torch.randn(64, 64) @ torch.randn(64, 64)).sum().item()
facts = {
    "works": True,
    "num_threads": torch.get_num_threads(),
    "capability": torch.backends.cpu.get_cpu_capability(),
    "gpus": torch.cuda.device_count() if torch.cuda.is_available() else 0,
}
print(json.dumps(facts), flush=True)
"""


@dataclass(frozen=True)
class TorchBuild:
    """What is known of the installed torch.

    Attributes
    ----------
    cuda : version of CUDA that it is built for; None for processors alone
    gpu_packages_mb : what NVIDIA's libraries beside it take on disk
    works : whether it could be imported and took a small step
    failure : how it did not: "illegal instruction", "out of memory", "too slow", or Python's words
    capability : the instructions that it has chosen, in torch's words
    """

    installed: bool = False
    version: str | None = None
    cuda: str | None = None
    gpu_packages_mb: float = 0.0
    works: bool = False
    failure: str | None = None
    num_threads: int | None = None
    capability: str | None = None
    gpus: int = 0
    seconds: float | None = None


def examine_torch(python: str, seconds: float = PROBE_SECONDS) -> TorchBuild:
    """Look at the torch that the interpreter `python` would import, in processes of their own."""
    started = time.monotonic()
    # In a file, the output of a process that dies or hangs is kept.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run(
                [python, "-c", PROBE],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                timeout=seconds,
            )
            code: int | None = done.returncode
        except subprocess.TimeoutExpired:
            code = None
        except OSError as error:
            return TorchBuild(failure=f"{python} cannot be run ({error.strerror})")
        out.seek(0)
        errors.seek(0)
        lines = out.read().decode("utf-8", "replace").splitlines()
        words = errors.read().decode("utf-8", "replace").strip().splitlines()
    build = TorchBuild()
    for line in lines:
        try:
            build = replace(build, **json.loads(line))
        except (ValueError, TypeError):
            continue
    if not build.works and build.installed:
        build = replace(build, failure=_failure(code, words))
    return replace(build, seconds=time.monotonic() - started)


def _failure(code: int | None, words: list[str]) -> str:
    if code is None:
        return "too slow"
    # A shell in between tells a signal by 128 more.
    number = -code if code < 0 else code - 128
    if number == signal.SIGILL:
        return "illegal instruction"
    if number == signal.SIGKILL or any("MemoryError" in line for line in words):
        return "out of memory"
    if words:
        return words[-1]
    return f"exit code {code}"
