"""How files end that are not text; also where numpy is not."""

import os

HOLD_ARRAYS = (".npz", ".h5", ".hdf5")  # several by name, and no recording
MAY_HOLD_ARRAYS = (*HOLD_ARRAYS, ".mat")
ARRAYS = frozenset(("data.npy", "label.npy", "labels.npy", "X.npy", "y.npy", "X_train.npy"))
PACKED = ".gz"  # behind the ending of a text file
NO_LINES = (
    ".wav", ".edf", ".bdf", ".hea", ".mat", ".parquet", ".pq", ".feather", ".arrow", ".cbor",
)  # fmt: skip
OTHER_SUFFIXES = (*NO_LINES, ".jsonl", ".ndjson")


def stem_of(name: str) -> str:
    """A file's name or path without its ending, and without that of packing behind it."""
    bare, ending = os.path.splitext(name)
    return os.path.splitext(bare)[0] if ending.lower() == PACKED else bare
