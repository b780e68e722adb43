"""Make examples/motions/ again: recordings of a smart watch as a logger's CSV files.

Taken from BasicMotions of the UEA archive (Bagnall et al. 2018, arXiv:1811.00075), in the package
aeon: acceleration and rotation, ten samples a second for ten seconds; six recordings of each motion
out of its training part. `pip install -c constraints.txt -e '.[ucr]'`, then

    python examples/make_motions.py
"""

from pathlib import Path

from aeon.datasets import load_basic_motions

HEADER = "time_s,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z"
RATE = 10  # Hz
PER_CLASS = 6


def main() -> None:
    signals, labels = load_basic_motions(split="train")  # (40, 6, 100)
    folder = Path(__file__).with_name("motions")
    for name in sorted(set(labels)):
        chosen = signals[labels == name][:PER_CLASS]
        (folder / name.lower()).mkdir(parents=True, exist_ok=True)
        for number, signal in enumerate(chosen):
            rows = (
                ",".join([f"{n / RATE:.1f}", *(f"{value:.6g}" for value in sample)])
                for n, sample in enumerate(signal.T)
            )
            path = folder / name.lower() / f"{number:02d}.csv"
            path.write_text("\n".join([HEADER, *rows, ""]))


if __name__ == "__main__":
    main()
