"""Errors whose text is a sentence for the user, printed alone."""

UNWRITTEN = 74  # exit code: EX_IOERR of sysexits.h


class InputError(ValueError):
    """A mistake in what the user gave: a key, a value, a file.

    Its text is one sentence that names the key or the file, what is wrong and what would be
    right. The command line prints that sentence alone and exits with 2.
    """


class UnwrittenError(Exception):
    """A run has ended and some of its results could not be written; the sentence says which.

    The command line exits with UNWRITTEN.
    """


LONGEST = 800  # characters of a sentence on a terminal; a value in it may be as long as a book


def printable(text: str) -> str:
    """The text in one line, with nothing in it that a terminal would take for a command."""
    shown = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
    if len(shown) > LONGEST:
        shown = f"{shown[: LONGEST * 2 // 3]} … {shown[-LONGEST // 3 :]}"
    return shown
