"""The one error that is the user's to mend."""


class InputError(ValueError):
    """A mistake in what the user gave: a key, a value, a file.

    Its text is one sentence that names the key or the file, what is wrong and what would be
    right. The command line prints that sentence alone and exits with 2.
    """
