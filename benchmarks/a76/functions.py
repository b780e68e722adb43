"""Print which functions the counted laps went to: called by run.sh --profile.

python benchmarks/a76/functions.py FOLDER ROOT, where FOLDER holds what count.c wrote and ROOT is
the emulated board's root.
"""

import bisect
import collections
import pathlib
import struct
import subprocess
import sys
from typing import NamedTuple

NUM_FUNCTIONS = 30

# What C++ names repeat without telling kernels apart.
NOISE = (
    "void c10::function_ref<void (char**, long const*, long, long)>::callback_fn<",
    "(anonymous namespace)::",
    "at::native::",
    "DEFAULT::",
    "dnnl::impl::cpu::",
)


class Function(NamedTuple):
    address: int
    size: int
    name: str


class Library:
    """The function symbols of one 64-bit little-endian ELF file."""

    def __init__(self, path: pathlib.Path) -> None:
        data = path.read_bytes()
        header = struct.unpack_from("<16xHHIQQQIHHHHHH", data)
        segments_at, sections_at = header[4], header[5]
        segment_size, num_segments, section_size, num_sections = header[8:12]
        self.loaded = []  # (file offset, size, address)
        for i in range(num_segments):
            kind, _, at, address, _, size = struct.unpack_from(
                "<IIQQQQ", data, segments_at + i * segment_size
            )
            if kind == 1:  # PT_LOAD
                self.loaded.append((at, size, address))
        sections = [
            struct.unpack_from("<IIQQQQIIQQ", data, sections_at + i * section_size)
            for i in range(num_sections)
        ]
        functions = {}
        for _, kind, _, _, offset, size, link, _, _, entry_size in sections:
            if kind not in (2, 11):  # SHT_SYMTAB, SHT_DYNSYM
                continue
            strings = sections[link][4]
            for at in range(offset, offset + size, entry_size):
                name_at, info, _, _, address, length = struct.unpack_from("<IBBHQQ", data, at)
                if info & 15 == 2 and address:  # STT_FUNC
                    start = strings + name_at
                    name = data[start : data.index(b"\0", start)].decode()
                    functions[address] = Function(address, length, name)
        self.functions = [functions[address] for address in sorted(functions)]
        self.addresses = [function.address for function in self.functions]

    def address(self, offset: int) -> int:
        """Address, as objdump and nm show it, of what stands at a file offset."""
        for at, size, address in self.loaded:
            if at <= offset < at + size:
                return offset - at + address
        return offset

    def function(self, address: int) -> str:
        """Name of the function at an address; where a library was stripped, the one before."""
        position = bisect.bisect_right(self.addresses, address) - 1
        if position < 0:
            return "?"
        function = self.functions[position]
        if address < function.address + function.size:
            return function.name
        return f"(no symbol; after {function.name})"


def read_maps(path: pathlib.Path) -> list[tuple[int, int, int, str]]:
    """Mappings of /proc/self/maps: (start, end, file offset, path), in order."""
    mappings = []
    for line in path.read_text().splitlines():
        span, _, offset, _, _, *name = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in span.split("-"))
        mappings.append((start, end, int(offset, 16), name[0] if name else ""))
    return mappings


def report(title: str, blocks: pathlib.Path, root: pathlib.Path) -> None:
    """Print the functions of one lap, most instructions first, with their hottest block."""
    mappings = read_maps(blocks.with_name(blocks.name + ".maps"))
    starts = [mapping[0] for mapping in mappings]
    libraries: dict[str, Library] = {}
    totals: collections.Counter[tuple[str, str]] = collections.Counter()
    hottest: dict[tuple[str, str], tuple[int, int, int]] = {}
    for line in blocks.read_text().splitlines():
        address_text, length_text, count_text = line.split()
        address, length, instructions = int(address_text, 16), int(length_text), int(count_text)
        start, end, offset, path = mappings[bisect.bisect_right(starts, address) - 1]
        where = ("generated code", "")
        if start <= address < end and path.startswith("/"):
            if path not in libraries:
                inside = root / path[1:]
                libraries[path] = Library(inside if inside.exists() else pathlib.Path(path))
            address = libraries[path].address(address - start + offset)
            where = (path, libraries[path].function(address))
        totals[where] += instructions
        hottest[where] = max(hottest.get(where, (0, 0, 0)), (instructions, address, length))

    total = sum(totals.values())
    top = totals.most_common(NUM_FUNCTIONS)
    names = readable([function for (_, function), _ in top])
    print(f"\n{title}: {total / 1e6:.3f} M instructions")
    print(f"{'M':>10} {'share':>6}  hottest block: share, address, length; library: function")
    for (where, instructions), name in zip(top, names, strict=True):
        block, address, length = hottest[where]
        print(
            f"{instructions / 1e6:10.3f} {instructions / total:6.1%}  {block / total:6.1%} "
            f"{address:#10x} {length:4d}  {pathlib.Path(where[0]).name}: {name[:150]}"
        )
    rest = total - sum(instructions for _, instructions in top)
    print(f"{rest / 1e6:10.3f} {rest / total:6.1%}  the rest")


def readable(names: list[str]) -> list[str]:
    """C++ names as people write them, where binutils is there, less what they all share."""
    try:
        result = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True)
        names = result.stdout.splitlines()
    except FileNotFoundError:
        pass
    for noise in NOISE:
        names = [name.replace(noise, "") for name in names]
    return names


def main() -> None:
    folder, root = (pathlib.Path(argument) for argument in sys.argv[1:3])
    names = folder / "laps.names"
    if names.exists():
        laps = [tuple(line.split(maxsplit=1)) for line in names.read_text().splitlines()]
    else:
        num_laps = len((folder / "laps").read_text().split())
        laps = [(str(lap), f"lap {lap}") for lap in range(1, num_laps)]
    for lap, name in laps:
        report(name, folder / f"profile.{lap}", root)


if __name__ == "__main__":
    main()
