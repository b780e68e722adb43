"""From chunks of bytes to lines of text, in bounded memory."""

from collections.abc import Iterator

from raspitrain.use.columns import LONGEST_LINE


class Lines:
    """Puts lines together from chunks that end anywhere.

    Attributes
    ----------
    number : of the last line, from 1 on
    """

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._rest = bytearray()
        self._longest = longest
        self._dropping = False
        self._ended_in_return = False
        self.number = 0

    def feed(self, chunk: bytes) -> Iterator[str | None]:
        """The lines that end in a chunk; None for one that was too long, and is dropped."""
        if self._ended_in_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._ended_in_return = False
        if not chunk:
            return
        self._ended_in_return = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            self._add(part)
            yield self._line()
        self._add(rest)

    def end(self) -> Iterator[str | None]:
        """What is left when nothing more comes: a last line without an end."""
        if self._rest or self._dropping:
            yield self._line()

    def forget(self) -> None:
        """Drop the line that has begun: the rest of it will never come."""
        self._rest.clear()
        self._dropping = self._ended_in_return = False

    def _add(self, part: bytes) -> None:
        if len(self._rest) + len(part) > self._longest:
            self._dropping = True
            self._rest = bytearray()
        if not self._dropping:
            self._rest += part

    def _line(self) -> str | None:
        self.number += 1
        dropped, text = self._dropping, self._rest
        self._dropping, self._rest = False, bytearray()
        return None if dropped else text.decode("utf-8", "replace")
