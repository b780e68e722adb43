"""Write a made data set as data.npy and label.npy, of any size.

python -m raspitrain.data.write random --out noise --cases 100 --channels 3 --length 224
python -m raspitrain.data.write synthetic --out waves --cases 100000 --classes 6 --seed 1
python -m raspitrain dataset=npy dataset.path=waves
"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from raspitrain.data.files.npy_file import user_path
from raspitrain.data.synthetic import (
    RANDOM_TABLES,
    SYNTHETIC_TABLES,
    check_fits,
    check_sizes,
    random_blocks,
    synthetic_blocks,
)
from raspitrain.errors import InputError
from raspitrain.results.atomic import atomic_path


def write_folder(
    folder: Path,
    blocks: Iterator[tuple[np.ndarray, np.ndarray]],
    *,
    shape: tuple[int, int, int],
    force: bool,
) -> None:
    """Write blocks of float32 (B, C, L) and int64 (B,) as data.npy and label.npy.

    Whole files appear or none: each is written under another name first, then renamed.

    Parameters
    ----------
    shape : tuple of int
        (N, C, L) of all blocks together.
    force : bool
        Whether files that are there may be replaced.
    """
    data, label = folder / "data.npy", folder / "label.npy"
    for path in (data, label):
        if path.exists() and not force:
            raise InputError(f"{path} is there already; name another folder or say --force.")
    size = 4 * prod(shape)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if size > free:
            raise InputError(
                f"{folder}: data.npy takes {size / 1e9:.2f} GB but {free / 1e9:.2f} GB are free."
            )
        with atomic_path(label) as label_partial, atomic_path(data) as data_partial:
            with data_partial.open("xb") as data_file, label_partial.open("xb") as label_file:
                _write_header(data_file, shape, np.dtype(np.float32))
                _write_header(label_file, shape[:1], np.dtype(np.int64))
                for signals, labels in blocks:
                    data_file.write(np.ascontiguousarray(signals, dtype=np.float32).data)
                    label_file.write(np.ascontiguousarray(labels, dtype=np.int64).data)
            # A folder without label.npy is no data set: so a power cut between the two
            # renames cannot leave new signals beside old labels.
            label.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}.") from None


def _write_header(file: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(file, header)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 after a mistake of the user."""
    parser = argparse.ArgumentParser(
        prog="python -m raspitrain.data.write",
        description="Write a made data set as data.npy and label.npy, for dataset=npy.",
    )
    parser.add_argument(
        "kind",
        choices=("synthetic", "random"),
        help="synthetic: waveforms that differ by class; random: noise with random labels",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where the files go")
    parser.add_argument("--cases", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--channels", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--length", type=int, default=224, help="samples; default: %(default)s")
    parser.add_argument("--classes", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--noise", type=float, default=1.5, help="of synthetic; %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    given = parser.parse_args(arguments)
    sizes = {
        "num_cases": given.cases,
        "num_channels": given.channels,
        "length": given.length,
        "num_classes": given.classes,
        "seed": given.seed,
    }
    try:
        check_sizes(**sizes)
        tables = SYNTHETIC_TABLES if given.kind == "synthetic" else RANDOM_TABLES
        check_fits(given.cases, given.channels, given.length, tables, kept=False)
        if given.kind == "synthetic":
            blocks = synthetic_blocks(**sizes, noise=given.noise)
        else:
            blocks = random_blocks(**sizes)
        folder = user_path(given.out, "--out")
        shape = (given.cases, given.channels, given.length)
        write_folder(folder, blocks, shape=shape, force=given.force)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{folder}: data.npy {shape} float32, label.npy ({given.cases},) int64")
    return 0


if __name__ == "__main__":
    sys.exit(main())
