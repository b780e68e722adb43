"""Errors whose text is a sentence for the user, printed alone; each knows its exit code.

    InputError          2   a mistake in what was given: trying again is of no use
        TemporaryError  75  a state that can pass: a full card, too little memory just now
    UnwrittenError      74  a run has ended, and the card would not take all of its results

74 and 75 are EX_IOERR and EX_TEMPFAIL of sysexits.h.
"""

import errno
from collections.abc import Iterable, Sequence
from unicodedata import combining, east_asian_width

ADDRESSES = ("http://", "https://", "ftp://", "s3://", "gs://", "hf://")


class InputError(ValueError):
    """A mistake in what the user gave: a key, a value, a file.

    Its text is one sentence that names the key or the file, what is wrong and what would be
    right.

    Attributes
    ----------
    warnings : what looked like a mistake before, and may be behind this one
    """

    exit_code = 2
    warnings: tuple[str, ...] = ()


class TemporaryError(InputError):
    """What was given will do, but not just now: the same command may work later."""

    exit_code = 75


class Warned:
    """Around what may be refused: what is suspicious by then goes with the InputError, which may
    come of it."""

    # No generator: contextlib imports more than the use of a model needs.
    def __init__(self, warnings: Sequence[str]) -> None:
        self.warnings = warnings

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, InputError):
            error.warnings = (*self.warnings, *error.warnings)


class UnwrittenError(Exception):
    """A run has ended and some of its results could not be written; the sentence says which."""

    exit_code = 74


REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room, or raise the quota",
    errno.EROFS: "make the file system writable again (after a fault of the card, fsck first)",
    errno.EIO: "look for a fault of the card (dmesg)",
    errno.ESTALE: "mount the file system again",
    errno.ETIMEDOUT: "see that the file system can be reached",
    errno.ENOMEM: "end other programs",
    errno.ENFILE: "end other programs",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
    errno.ENAMETOOLONG: "use a shorter path",
    errno.ENOENT: "do not remove the folder while the run goes on",
    errno.EACCES: "allow this user to write there",
    errno.EPERM: "allow this user to write there",
}
CAN_PASS = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ETIMEDOUT,
    errno.ENOMEM, errno.ENFILE,
}  # fmt: skip


def reason(error: Exception) -> str:
    """What stands in brackets after "cannot be written"."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def remedy(error: Exception, other: str = "", *, link: str = ", or ") -> str:
    """What a person can do about it, and the `other` thing to do, as a part of a sentence."""
    number = error.errno if isinstance(error, OSError) else None
    number = errno.ENOMEM if isinstance(error, MemoryError) else number
    known = "" if number is None else REMEDIES.get(number, "")
    return link.join(filter(None, [known, other]))


def input_error(sentence: str, error: Exception) -> InputError:
    """An error of the kind that fits the OSError behind it: can the state pass, or not?"""
    can_pass = isinstance(error, OSError) and error.errno in CAN_PASS
    return TemporaryError(sentence) if can_pass else InputError(sentence)


LONGEST = 800  # characters of a sentence on a terminal; a value in it may be as long as a book


def visible(text: str, keep: str = "") -> str:
    """The text with whatever a terminal would take for a command written out, but for `keep`."""
    return "".join(
        letter
        if letter.isprintable() or letter in keep
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


def printable(text: str) -> str:
    """The text in one line, shortened, with nothing in it that a terminal would take for a
    command."""
    shown = visible(text)
    if len(shown) > LONGEST:
        shown = f"{shown[: LONGEST * 2 // 3]} … {shown[-LONGEST // 3 :]}"
    return shown


def refuse_address(path: object, key: str = "") -> None:
    """Refuse what is somewhere in a network, as https://… and s3://… are."""
    if isinstance(path, str) and path.startswith(ADDRESSES):
        given = f"{key}={path}" if key else path
        raise InputError(f"{given} is an address: fetch it, and name the folder here.")


def counted(number: int, noun: str) -> str:
    """As "1 core" and "3 cores"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def num_cells(text: str) -> int:
    """How many cells of a terminal a text takes: letters of East Asia take two, marks above others
    none."""
    wide = sum(east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(map(bool, map(combining, text)))


def aligned(rows: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    """The lines of a table in columns, two blanks apart.

    Parameters
    ----------
    right : whether columns after the first end where each other's cells end, as those of numbers
    """
    widths = [max(map(num_cells, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        blanks = [" " * (w - num_cells(cell)) for cell, w in zip(row, widths, strict=True)]
        padded = [
            blank + cell if right and k else cell + blank
            for k, (cell, blank) in enumerate(zip(row, blanks, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


FORMULA = tuple("=+-@\t\r")  # how one begins


def no_formula(cell: object) -> object:
    """A cell of a table; text that a spreadsheet would take for a formula has an apostrophe before
    it (OWASP, "CSV injection"), as a name may come from anywhere."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in FORMULA else cell


def a_few(names: Iterable[str]) -> str:
    """The first three in order, as "run, sit, walk, …"."""
    shown = sorted(names)
    return ", ".join(shown[:3]) + (", …" if len(shown) > 3 else "")
