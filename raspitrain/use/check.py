"""raspitrain check: what a model file is, whether this machine runs it right, and how fast."""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence

from raspitrain.errors import printable
from raspitrain.stop import exit_code_of
from raspitrain.use.kinds import name_of
from raspitrain.use.model import Model, load
from raspitrain.use.signature import SUFFIX

SECONDS = 1.0
WARM_UP = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Check; return the exit code: 0, or 2 where the file cannot be used here."""
    parser = argparse.ArgumentParser(
        prog="raspitrain check",
        description="Read a model file, prove it on this machine, time it, and say what it is.",
    )
    parser.add_argument("model", help="model.rpt, or the folder of a run")
    parser.add_argument(
        "--require-signature", metavar="FILE", help="ssh-keygen's file of allowed signers"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    given = parser.parse_args(arguments)
    return exit_code_of(lambda: _check(given), writes="standard output")


def _check(given: argparse.Namespace) -> None:
    report = check(load(given.model, allowed_signers=given.require_signature))
    print(json.dumps(report, indent=2, ensure_ascii=False) if given.json else as_text(report))


def check(model: Model) -> dict:
    """What a model is and how long a window takes here; that it is loaded is its proof."""
    milliseconds = _latency(model)
    network, given = model.header["network"], model.header["input"]
    return {
        "file": model.path,
        "bytes": model.num_bytes,
        "sha256": model.digest,
        "proved": True,
        "signature": os.path.exists(model.path + SUFFIX),
        "signer": model.signer,
        "network": name_of(network),
        "precision": network["precision"],
        "channels": model.channels,
        "units": given.get("units"),
        "quantiles": given.get("quantiles"),
        "rate": model.rate,
        "length": model.length,
        "hop": model.hop,
        "missing": given["missing"],
        "frontend": given.get("frontend"),
        "classes": model.classes,
        "events": model.header["output"].get("events"),
        "kernels": model.engine.kernels,
        "working_bytes": model.engine.num_bytes,
        "windows_timed": len(milliseconds),
        "p50_ms": milliseconds[len(milliseconds) // 2],
        "p99_ms": milliseconds[min(len(milliseconds) - 1, len(milliseconds) * 99 // 100)],
        "provenance": model.header["provenance"],
    }


def _latency(model: Model) -> list[float]:
    """Milliseconds of single windows, sorted, from the call to the logits."""
    given = model.header["input"]
    typical = [row[1] for row in given.get("quantiles") or [[0, 0, 0]] * len(model.channels)]
    if given.get("frontend") is None:
        typical = given["mean"]
    window = [[value] * model.length for value in typical]
    model.logits(window)
    address = model.window_address
    for _ in range(WARM_UP):
        model.engine.run(address, model.length, 1)
    found: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS and len(found) < 10_000:
        start = time.perf_counter()
        model.engine.run(address, model.length, 1)
        found.append(1000 * (time.perf_counter() - start))
    return sorted(found)


def _channel_lines(found: dict) -> list[tuple[str, str]]:
    """Each channel with its unit and what training saw of it; in one line where that is not
    known."""
    names = found["channels"]
    units = found["units"] or [None] * len(names)
    named = [n if unit is None else f"{n} ({unit})" for n, unit in zip(names, units, strict=True)]
    if found["quantiles"] is None:
        return [("channels", ", ".join(named))]
    return [
        (
            "" if number else "channels",
            f"{name}: {low:.4g} to {high:.4g}, median {median:.4g}"
            + ("" if number else " (0.1 % and 99.9 % of the training part)"),
        )
        for number, (name, (low, median, high)) in enumerate(
            zip(named, found["quantiles"], strict=True)
        )
    ]


def _frontend_lines(frontend: dict | None) -> Iterator[tuple[str, str]]:
    if frontend is None:
        return
    from raspitrain.use.frontend import num_bands, num_frames

    yield (
        "front end",
        f"{frontend['kind']}, {num_bands(frontend)} bands of each channel, {num_frames(frontend)} "
        f"spectra of a window ({frontend['window']} samples, one each {frontend['hop']})",
    )


def _event_lines(events: dict) -> Iterator[tuple[str, str]]:
    """What calibrate settled, and what it could promise."""
    classes = (events.get("calibration") or {}).get("classes", {})
    for number, (name, threshold) in enumerate(events["thresholds"].items()):
        text = f"{name} from {threshold:g} to below {events['releases'][name]:g}"
        if name in classes:
            own = classes[name]
            text += (
                f"; {own['false_alarms']} false alarms in {own['hours_without']:.3g} h, "
                f"{own['missed']} of {own['events']} missed"
            )
        yield "" if number else "events", text
    yield (
        "",
        f"means of {events['average']} windows, one each {events['hop']} samples, suppression "
        f"{events['suppress_seconds']:g} s",
    )


def as_text(found: dict) -> str:
    """The same for a screen."""
    provenance = found["provenance"]
    rate = "rate not known" if found["rate"] is None else f"{found['rate']:g} Hz"
    hop = "" if found["hop"] == found["length"] else f", a window every {found['hop']}"
    lines = [
        ("file", f"{found['file']}, {found['bytes'] / 1e6:.2f} MB"),
        ("sha256", found["sha256"]),
        ("signed", _signature(found)),
        ("proof", "this machine gives the answers that the file expects"),
        ("network", f"{found['network']}, {found['precision']}"),
        *_channel_lines(found),
        ("window", f"{found['length']} samples, {rate}{hop}"),
        *_frontend_lines(found["frontend"]),
        ("classes", ", ".join(found["classes"])),
        (
            "here",
            f"{found['p50_ms']:.3f} ms a window (p50), {found['p99_ms']:.3f} (p99), "
            f"{found['kernels']}, {found['working_bytes'] / 1e3:.0f} kB of working memory",
        ),
    ]
    if found["events"] is not None:
        lines += _event_lines(found["events"])
    if "run" in provenance:
        lines.append(("run", f"{provenance['run']}, epoch {provenance.get('epoch')}"))
    metrics = provenance.get("metrics")
    accuracy = metrics.get("test_accuracy") if isinstance(metrics, dict) else None
    if isinstance(accuracy, float):
        lines.append(("tested", f"{100 * accuracy:.2f} % of the run's test part (as trained)"))
    return "\n".join(f"{name:10}{printable(str(text))}" for name, text in lines)


def _signature(found: dict) -> str:
    if found["signer"] is not None:
        return f"by {found['signer']}"
    if found["signature"]:
        return f"{found['file']}{SUFFIX}, not checked: --require-signature FILE does"
    return "no"
