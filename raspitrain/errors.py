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
