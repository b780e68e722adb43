"""CBOR, the binary sister of JSON, as Edge Impulse's firmware writes recordings (RFC 8949)."""

import struct
from typing import Any

FLOATS = {25: ">e", 26: ">f", 27: ">d"}
CONSTANTS = {20: False, 21: True, 22: None, 23: None}
BREAK = object()  # ends what has no length


def decode(content: bytes) -> Any:
    """What it holds, as `json.loads` gives it; tags are passed over.

    Raises
    ------
    ValueError, RecursionError
        It is damaged, or nested too deeply.
    """
    value, end = _item(content, 0)
    if end != len(content) or value is BREAK:
        raise ValueError(f"no CBOR from byte {end} on")
    return value


def _item(content: bytes, at: int) -> tuple[Any, int]:
    if at >= len(content):
        raise ValueError("it ends early")
    kind, info = content[at] >> 5, content[at] & 31
    number, at = _number(content, at + 1, info)
    if kind == 7:
        if info == 31:
            return BREAK, at
        if info in FLOATS:
            size = 1 << (info - 24)
            return struct.unpack(FLOATS[info], number.to_bytes(size, "big"))[0], at
        return CONSTANTS.get(number), at
    if kind in (0, 1):
        return (number if kind == 0 else -1 - number), at
    if kind == 6:
        return _item(content, at)
    if kind in (2, 3) and info != 31:
        end = at + number
        if end > len(content):
            raise ValueError("it ends early")
        return (content[at:end] if kind == 2 else content[at:end].decode()), end
    count = len(content) if info == 31 else number * (2 if kind == 5 else 1)
    items: list[Any] = []
    while len(items) < count:
        item, at = _item(content, at)
        if item is BREAK:
            break
        items.append(item)
    if kind in (2, 3):
        return (b"" if kind == 2 else "").join(items), at
    return (items if kind == 4 else _mapping(items)), at


def _number(content: bytes, at: int, info: int) -> tuple[int, int]:
    if info < 24 or info == 31:
        return info, at
    if info > 27 or at + (size := 1 << (info - 24)) > len(content):
        raise ValueError("it ends early")
    return int.from_bytes(content[at : at + size], "big"), at + size


def _mapping(items: list[Any]) -> dict[str, Any]:
    if len(items) % 2:
        raise ValueError("a name has no value")
    return {str(name): value for name, value in zip(items[::2], items[1::2], strict=True)}
