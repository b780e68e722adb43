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

NUM_FUNCTIONS = 30


class Library:
    """The function symbols of one 64-bit little-endian ELF file, by file offset."""

    def __init__(self, path: pathlib.Path) -> None:
        data = path.read_bytes()
        header = struct.unpack_from("<16xHHIQQQIHHHHHH", data)
        segments_at, sections_at = header[4], header[5]
        segment_size, num_segments, section_size, num_sections = header[8:12]
        segments = [
            struct.unpack_from("<IIQQQQ", data, segments_at + i * segment_size)
            for i in range(num_segments)
        ]
        loaded = [(address, size, at) for kind, _, at, address, _, size in segments if kind == 1]
        sections = [
            struct.unpack_from("<IIQQQQIIQQ", data, sections_at + i * section_size)
            for i in range(num_sections)
        ]
        symbols: dict[int, tuple[int, str]] = {}
        for section in sections:
            _, kind, _, _, offset, size, link, _, _, entry_size = section
            if kind not in (2, 11):  # SHT_SYMTAB, SHT_DYNSYM
                continue
            strings = sections[link][4]
            for at in range(offset, offset + size, entry_size):
                name_at, info, _, _, address, length = struct.unpack_from("<IBBHQQ", data, at)
                if info & 15 != 2 or not address:  # STT_FUNC
                    continue
                place = next((a for a in loaded if a[0] <= address < a[0] + a[1]), None)
                if place is None:
                    continue
                start = strings + name_at
                name = data[start : data.index(b"\0", start)].decode()
                symbols[address - place[0] + place[2]] = (length, name)
        self.starts = sorted(symbols)
        self.symbols = symbols

    def function(self, offset: int) -> str:
        """Name of the function at a file offset; with ``+`` and the distance past its end."""
        position = bisect.bisect_right(self.starts, offset) - 1
        if position < 0:
            return "?"
        start = self.starts[position]
        length, name = self.symbols[start]
        if offset < start + length:
            return name
        return f"(no symbol; after {name})"


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
        start, end, file_offset, path = mappings[bisect.bisect_right(starts, address) - 1]
        if not start <= address < end or not path.startswith("/"):
            where, offset = ("(generated code)", ""), address
        else:
            offset = address - start + file_offset
            if path not in libraries:
                inside = root / path[1:]
                libraries[path] = Library(inside if inside.exists() else pathlib.Path(path))
            where = (path, libraries[path].function(offset))
        totals[where] += instructions
        hottest[where] = max(hottest.get(where, (0, 0, 0)), (instructions, offset, length))

    total = sum(totals.values())
    top = totals.most_common(NUM_FUNCTIONS)
    names = demangle([function for (_, function), _ in top])
    print(f"\n{title}: {total / 1e6:.3f} M instructions")
    print(f"{'M':>10} {'share':>6}  hottest block: share, offset, length; library: function")
    for (where, instructions), name in zip(top, names, strict=True):
        block, offset, length = hottest[where]
        print(
            f"{instructions / 1e6:10.3f} {instructions / total:6.1%}  {block / total:6.1%} "
            f"{offset:#10x} {length:4d}  {pathlib.Path(where[0]).name}: {name[:150]}"
        )
    rest = total - sum(instructions for _, instructions in top)
    print(f"{rest / 1e6:10.3f} {rest / total:6.1%}  the rest")


def demangle(names: list[str]) -> list[str]:
    """C++ names as people read them, where binutils is there."""
    try:
        result = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True)
    except FileNotFoundError:
        return names
    return result.stdout.splitlines()


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
