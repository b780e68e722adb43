"""What calling C takes, from the module that ctypes stands on.

Importing ctypes itself costs an eighth of the way from a start to the first answer, for what is not
needed here. The names mean what they mean there.
"""

TYPE_CHECKING = False  # typing's, which nothing else here needs
if TYPE_CHECKING:
    from ctypes import (
        Array,
        PyDLL,
        Structure,
        addressof,
        c_char,
        c_char_p,
        c_double,
        c_float,
        c_int,
        c_int64,
        c_uint8,
        c_void_p,
        sizeof,
    )
else:
    from _ctypes import (
        FUNCFLAG_CDECL,
        FUNCFLAG_PYTHONAPI,
        Array,
        CFuncPtr,
        Structure,
        _SimpleCData,
        addressof,
        dlopen,
        sizeof,
    )

    def _simple(name: str, code: str) -> type:
        """A type that holds what the module struct calls `code`; z is text, P an address."""
        return type(_SimpleCData)(name, (_SimpleCData,), {"_type_": code})

    c_char, c_char_p = _simple("c_char", "c"), _simple("c_char_p", "z")
    c_double, c_float = _simple("c_double", "d"), _simple("c_float", "f")
    c_int, c_int64 = _simple("c_int", "i"), _simple("c_int64", "q")
    c_uint8, c_void_p = _simple("c_uint8", "B"), _simple("c_void_p", "P")

    class _Function(CFuncPtr):
        _flags_ = FUNCFLAG_CDECL | FUNCFLAG_PYTHONAPI
        _restype_ = c_int

    class PyDLL:
        """A library whose functions hold Python's lock; an OSError says why it cannot be loaded."""

        def __init__(self, path: str) -> None:
            self._handle = dlopen(path, 0)

        def __getattr__(self, name: str) -> _Function:
            function = _Function((name, self))
            setattr(self, name, function)
            return function


__all__ = [
    "Array",
    "PyDLL",
    "Structure",
    "addressof",
    "c_char",
    "c_char_p",
    "c_double",
    "c_float",
    "c_int",
    "c_int64",
    "c_uint8",
    "c_void_p",
    "sizeof",
]
