"""python -m raspitrain.doctor: what this machine is, and what would hurt a run on it.

Exit codes: 0 nothing found, 1 warnings, 2 raspitrain will not work here.
"""

import argparse
import json
import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from raspitrain.errors import counted, visible
from raspitrain.stop import exit_code_of

try:
    from raspitrain.doctor.checks import ERROR, Finding, Machine, find, gather
    from raspitrain.doctor.torch_build import TorchBuild, examine_torch
except ModuleNotFoundError as error:  # where installing has failed
    print(f"raspitrain will not work here: the package {error.name} is not installed.")
    if sys.maxsize < 1 << 32:
        print("This is a 32-bit system, and there is no torch for those.")
        print("Write Raspberry Pi OS (64-bit) to the card with Raspberry Pi Imager.")
    else:
        print(f"      {sys.executable} -m pip install -c constraints.txt -e .")
    sys.exit(2)

WIDTH = 88


def main(arguments: Sequence[str] | None = None) -> int:
    """Look and say; return the exit code, or 74 where nothing can be printed."""
    found: list[int] = []
    cannot_print = exit_code_of(lambda: found.append(_look(arguments)), writes="standard output")
    return cannot_print or max(found, default=0)


def _look(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m raspitrain.doctor",
        description="Says what this machine is, and what would hurt a run on it, with remedies.",
        epilog="Exit code: 0 nothing found, 1 warnings, 2 raspitrain will not work here.",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--folder", default=".", help="where runs will write (default: here)")
    parser.add_argument("--python", default=sys.executable, help="whose torch to look at")
    parser.add_argument("--root", default="/", help="where /proc and /sys are looked for")
    parser.add_argument("--vcgencmd", default="vcgencmd", help="the Raspberry Pi's own command")
    parser.add_argument("--boards", help="look at these instead, by ssh: pi@pi5a,pi@pi5b")
    parser.add_argument("--ssh-config", help="with --boards, in the place of ~/.ssh/config")
    given = parser.parse_args(arguments)
    if given.boards is not None:
        return _look_at_boards(given.boards.strip("[]").split(","), given.ssh_config, given.json)
    if sys.stderr.isatty():
        print("Looking at the machine, then loading torch: some seconds.", file=sys.stderr)
    machine = gather(Path(given.root), given.vcgencmd, Path(given.folder).absolute(), os.environ)
    # After the look at how busy others are: loading torch is work.
    torch = examine_torch(given.python)
    findings = [_for_python(finding, given.python) for finding in find(machine, torch)]
    exit_code = max((2 if f.level == ERROR else 1 for f in findings), default=0)
    if given.json:
        print(json.dumps(as_record(machine, torch, findings, exit_code), indent=2))
    else:
        print(as_text(machine, torch, findings))
    return exit_code


def _look_at_boards(boards: Sequence[str], ssh_config: str | None, as_json: bool) -> int:
    from raspitrain.doctor.boards import as_json as json_of
    from raspitrain.doctor.boards import as_text as text_of
    from raspitrain.doctor.boards import exit_code, look_at_boards

    found = look_at_boards([word.strip() for word in boards], ssh_config)
    print(json_of(found) if as_json else visible(text_of(found), keep="\n"))
    return exit_code(found)


def _for_python(finding: Finding, python: str) -> Finding:
    """Its commands meant for that interpreter, whatever environment they are pasted into."""
    own = f"{shlex.quote(python)} -m pip"
    return replace(
        finding, commands=tuple(line.replace("python -m pip", own) for line in finding.commands)
    )


def as_record(
    machine: Machine, torch: TorchBuild, findings: Sequence[Finding], exit_code: int
) -> dict[str, Any]:
    return {
        "machine": asdict(machine),
        "torch": asdict(torch),
        "findings": [vars(finding) for finding in findings],
        "exit_code": exit_code,
    }


def as_text(machine: Machine, torch: TorchBuild, findings: Sequence[Finding]) -> str:
    lines = [f"{name:<9}{value}" for name, value in _facts(machine, torch)]
    errors = sum(finding.level == ERROR for finding in findings)
    warnings = len(findings) - errors
    lines.append("")
    if not findings:
        lines.append("Nothing found that would hurt a run.")
    if errors:
        also = f", {counted(warnings, 'warning')}" if warnings else ""
        lines.append(f"raspitrain will not work here: {counted(errors, 'error')}{also}.")
    elif warnings:
        lines.append(f"{counted(warnings, 'warning')}:")
    for number, finding in enumerate(findings, start=1):
        mark = "ERROR " if finding.level == ERROR else ""
        lines.append("")
        lines += textwrap.wrap(
            f"{number}. {mark}{finding.found} {finding.advice}", WIDTH,
            subsequent_indent="   ", break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        # Not wrapped: they are there to be pasted.
        lines += [f"      {command}" for command in finding.commands]
    return "\n".join(lines)


def _facts(machine: Machine, torch: TorchBuild) -> list[tuple[str, str]]:
    readings = machine.readings
    cores = f"{machine.cores} of {machine.cores_total}, {machine.architecture}"
    if readings.clock_limit_mhz:
        cores += f", up to {readings.clock_limit_mhz:.0f} MHz"
    if readings.governor:
        cores += f", governor {readings.governor}"
    facts = [
        ("machine", f"{machine.model or 'unknown'} (profile {machine.profile})"),
        ("system", machine.system or "unknown"),
        ("cores", cores),
        (
            "memory",
            f"{machine.memory_available_mb:.0f} of {machine.memory_total_mb:.0f} MB free",
        ),
    ]
    if machine.disk_free_mb is not None:
        facts.append(
            ("disk", f"{machine.disk_free_mb / 1000:.1f} GB free in {machine.disk_folder}")
        )
    now = []
    if readings.temperature_c is not None:
        now.append(f"{readings.temperature_c:.1f} °C")
    if readings.clock_mhz is not None:
        now.append(f"{readings.clock_mhz:.0f} MHz")
    if readings.throttled is not None:
        held = ", ".join(name.replace("_", " ") for name in readings.throttled.now)
        free = "not throttled" if readings.throttled.since_boot is not None else "no under-voltage"
        now.append(held or free)
    if readings.watts is not None:
        now.append(f"{readings.watts:.1f} W (estimate)")
    if readings.fan_rpm is not None:
        now.append("with a fan")
    facts.append(("now", ", ".join(now) or "no sensor can be read"))
    facts.append(("torch", _torch(torch)))
    return facts


def _torch(torch: TorchBuild) -> str:
    if not torch.installed:
        return "not installed"
    built = f"for CUDA {torch.cuda}" if torch.cuda else "for processors"
    if not torch.works:
        return f"{torch.version} {built}; does not work: {torch.failure}"
    words = [f"{torch.version} {built}", f"{torch.num_threads} threads"]
    if torch.capability and torch.capability != "DEFAULT":
        words.append(torch.capability)
    return f"{', '.join(words)}; loaded and took a step in {torch.seconds or 0:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
