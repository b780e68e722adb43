"""Cycles of the hottest blocks of instructions, by llvm-mca's model of a Neoverse N1.

python3 benchmarks/a76/pipeline.py COSTS FOLDER reads what caches.c wrote and writes COSTS for
it: of each block the hash and the cycles. The Neoverse N1 is the server's sibling of the
Cortex-A76, with the same pipeline. Each block is taken as the body of a loop whose data lie in the
level 1 cache and whose jumps are foreseen.
"""

import collections
import json
import pathlib
import re
import shutil
import subprocess
import sys

SHARE = 0.99  # of a step's instructions that blocks are looked at for; the rest: one a cycle
NUM_SHOWN = 12
# From Debian 12's newest on. Before 16 the processor's name stood for a Cortex-A57's pipeline.
LLVM_VERSIONS = range(19, 30)
ITERATIONS = 100


def llvm_tools() -> tuple[str, str]:
    """The newest llvm-mc and llvm-mca here."""
    for version in reversed(LLVM_VERSIONS):
        tools = [shutil.which(f"{name}-{version}") for name in ("llvm-mc", "llvm-mca")]
        if tools[0] and tools[1]:
            return tools[0], tools[1]
    print("There is no llvm-mca of LLVM 19 or newer here: apt-get install llvm-19", file=sys.stderr)
    sys.exit(2)


def read_blocks(path: pathlib.Path) -> tuple[collections.Counter[str], dict[str, list[str]]]:
    """Instructions that went to each block, and its code, one word of hexadecimals each."""
    instructions: collections.Counter[str] = collections.Counter()
    code: dict[str, list[str]] = {}
    for block in json.loads(path.read_text())["blocks"]:
        words = re.findall("." * 8, block["code"])
        code[block["hash"]] = words
        instructions[block["hash"]] += block["times"] * len(words)
    return instructions, code


def disassemble(assembler: str, words: list[str]) -> dict[str, str]:
    """Each word's instruction, as text."""
    bytes_of = (" ".join(f"0x{byte:02x}" for byte in bytes.fromhex(word)[::-1]) for word in words)
    result = subprocess.run(
        [assembler, "--disassemble", "-triple=aarch64", "-mcpu=cortex-a76"],
        input="\n".join(bytes_of),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.strip() for line in result.stdout.splitlines()]
    lines = [line for line in lines if line and not line.startswith(".")]
    if len(lines) != len(words):
        sys.exit(f"{assembler} did not know all instructions:\n{result.stderr}")
    return dict(zip(words, lines, strict=True))


def cycles_of(analyser: str, blocks: dict[str, list[str]]) -> dict[str, float]:
    """Cycles that each block takes, once its loop is under way."""
    regions = (
        "\n".join((f"# LLVM-MCA-BEGIN {name}", *lines, "# LLVM-MCA-END"))
        for name, lines in blocks.items()
    )
    result = subprocess.run(
        [
            analyser,
            "-mtriple=aarch64",
            "-mcpu=neoverse-n1",
            "-json",
            f"-iterations={ITERATIONS}",
            "-instruction-info=false",
            "-resource-pressure=false",
            "-call-latency=1",
            "-skip-unsupported-instructions=lack-sched",  # atomic ones
        ],
        input="\n".join(regions),
        capture_output=True,
        text=True,
    )
    if result.returncode:
        sys.exit(f"{analyser} failed:\n{result.stderr[-2000:]}")
    report = json.loads(result.stdout)
    return {
        region["Name"]: region["SummaryView"]["TotalCycles"] / ITERATIONS
        for region in report["CodeRegions"]
    }


def main() -> None:
    if sys.argv[1:] == ["--tools"]:  # are they there?
        llvm_tools()
        return
    costs_path, folder = (pathlib.Path(argument) for argument in sys.argv[1:])
    assembler, analyser = llvm_tools()
    instructions, code = read_blocks(folder / "laps.1.json")
    total, seen = instructions.total(), 0
    hot = []
    for name, count in instructions.most_common():
        if seen >= SHARE * total:
            break
        hot.append(name)
        seen += count
    text = disassemble(assembler, sorted({word for name in hot for word in code[name]}))
    cycles = cycles_of(analyser, {name: [text[word] for word in code[name]] for name in hot})
    costs_path.write_text("".join(f"{name} {cycles[name]:.3f}\n" for name in sorted(hot)))

    spent = sum(instructions[name] / len(code[name]) * cycles[name] for name in hot)
    print(
        f"{pathlib.Path(analyser).name}, neoverse-n1: {len(hot)} blocks, {seen / total:.1%} of the "
        f"instructions, {seen / spent:.2f} of them a cycle; one a cycle assumed for the rest"
    )
    print(f"{'share':>6} {'length':>6} {'cycles':>7} {'a cycle':>7} {'fmla':>5}  begins with")
    for name in hot[:NUM_SHOWN]:
        length = len(code[name])
        multiply_adds = sum(text[word].startswith("fmla") for word in code[name])
        first = text[code[name][0]].replace("\t", " ")
        print(
            f"{instructions[name] / total:6.1%} {length:6d} {cycles[name]:7.1f} "
            f"{length / cycles[name]:7.2f} {multiply_adds:5d}  {first}"
        )


if __name__ == "__main__":
    main()
