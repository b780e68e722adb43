"""A number of samples that may be given in seconds."""

import re

from raspitrain.data.files.time_names import SECONDS
from raspitrain.errors import InputError


class Span:
    """A number of samples, or of seconds, that the user gave under the name `key`."""

    def __init__(self, key: str, value: int | str, least: int) -> None:
        self.key, self.value, self.least = key, value, least
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(s|ms)\s*", str(value))
        self.seconds = None if match is None else float(match[1]) * SECONDS[match[2]]
        whole = isinstance(value, int) and not isinstance(value, bool)
        if self.seconds is None and not whole:
            raise InputError(
                f"{key} is {value!r}, but must be a whole number of samples, or seconds "
                "such as 2.56s."
            )
        if whole and int(value) < least:
            raise InputError(f"{key} is {value}, but must be a whole number from {least}.")

    def samples(self, rate: float | None) -> int:
        if self.seconds is None:
            return int(self.value)
        if rate is None:
            raise InputError(
                f"{self.key}={self.value} needs to know how many samples a second there "
                "are, and no column of time says so; give samples, or name that column and its "
                "unit with dataset.time_column and dataset.time_unit."
            )
        samples = round(self.seconds * rate)
        if samples < self.least:
            raise InputError(
                f"{self.key}={self.value} is {samples} samples at {rate:g} Hz, but must "
                f"be at least {self.least}, as with {self.key}={self.least}."
            )
        return samples
