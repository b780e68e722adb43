"""Recordings that are not text, each into the same table as a CSV file.

A format with a small reader of our own costs nothing; the others need a package, named in a
sentence where it is missing.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection
from importlib import import_module
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from raspitrain.data.files import date_shapes, dates
from raspitrain.data.files.cbor import decode
from raspitrain.data.files.cells import is_number, position_name
from raspitrain.data.files.comtrade import comtrade_head, read_comtrade
from raspitrain.data.files.csv_file import Column, Table, read_table
from raspitrain.data.files.edf import read_edf
from raspitrain.data.files.endings import PACKED
from raspitrain.data.files.missing import is_missing
from raspitrain.data.files.npy_file import load_npy
from raspitrain.data.files.records import LEAST_SERIES, flattened, spread
from raspitrain.data.files.wav import read_wav
from raspitrain.data.files.wfdb import read_wfdb
from raspitrain.errors import InputError, input_error
from raspitrain.hardware.board import available_memory
from raspitrain.hardware.memory import memory_error

HDF5_START = b"\x89HDF\r\n\x1a\n"
AGAIN = "export it again, or move it away"  # what is cut off or no such file
QUANTISED = 1e-3  # so near to whole numbers values are taken for these, where they are labels
COLUMN_COPIES = 3
LARGEST_JSON = 256 << 20
UNLIKE = 4  # times as long as wide an array is, from which its longer axis is time for sure
MANY_COLUMNS = 64  # of arrays side by side: more likely cases
MOST_STRUCTS = 64  # in one array of them
MATLAB_RATE = re.compile(r"(?:.*_)?(?:fs|sr|sampl(?:e|ing)_?(?:rate|freq(?:uency)?))", re.I)
JSON_RATE = re.compile(r"(?:sampl(?:e|es|ing)_?rate|rate|fs|freq(?:uency)?)(?:_?hz)?", re.I)
OF_COLUMNS = r"(?:data_?)?(?:col(?:umn)?|channel|field|header|sensor|signal|feature|variable)"
JSON_NAMES = re.compile(rf"names?|{OF_COLUMNS}(?:s|_?names?|_?labels?)?", re.I)
TEXTUAL = (".hea", ".json", ".jsonl", ".ndjson")
JSON_UNITS = re.compile(rf"(?:{OF_COLUMNS}_?)?units?", re.I)


def read_recording_file(
    path: Path, *, as_text: Collection[str | int] = (), skip_lines: int = 0
) -> Table:
    """Read a file of any format that is known, by its ending; as text otherwise.

    Parameters
    ----------
    as_text, skip_lines
        As for `read_table`.

    Raises
    ------
    InputError
        It is damaged, or needs a package that is not there.
    """
    reader = READERS.get(path.suffix.lower())
    if path.suffix.lower() == PACKED and path.with_suffix("").suffix.lower() in READERS:
        raise InputError(f"{path} is packed by gzip, which is read of text alone: gunzip it first.")
    if reader is None and (head := comtrade_head(path)) is not None:
        return read_comtrade(path, head)
    if reader is None:
        return read_table(path, as_text=as_text, skip_lines=skip_lines)
    if (size := 4 * path.stat().st_size) > (free := available_memory()):
        raise memory_error(
            f"{path} does not fit into the {free / 1e9:.1f} GB of memory that are free; cut it "
            "into shorter recordings.",
            size,
        )
    try:
        table = reader(path, as_text) if reader in HAVE_SINGLE_VALUES else reader(path)
    except InputError as error:
        if path.suffix.lower() not in TEXTUAL and (text := _text_at_begin(path)):
            raise InputError(
                f"{path} is a page of the web, as a download that failed leaves it; get it again, "
                "or move it away."
                if text.lstrip().startswith(b"<")
                else f"{path} is text and no {path.suffix}: give such files another ending, as "
                f"by: grep -rIlZ . FOLDER --include='*{path.suffix}' | xargs -0 -I{{}} mv {{}} "
                "{}.csv (in place of FOLDER, that of dataset.path)."
            ) from error
        raise
    except OSError as error:
        raise input_error(f"{path} cannot be read: {error.strerror or error}.", error) from None
    for wanted in as_text:
        for k, column in enumerate(table.columns):
            if wanted in (k, k - len(table.columns), column.name) and column.kind == "number":
                table.columns[k] = _as_words(column)
    return table


def _text_at_begin(path: Path) -> bytes:
    """What a file of lines of text begins with; nothing of any other."""
    with path.open("rb") as file:
        head = file.read(1 << 12)
    is_text = b"\n" in head and re.fullmatch(rb"[\t\n\r\x20-\x7e\x80-\xff]+", head)
    return head if is_text else b""


def _as_words(column: Column) -> Column:
    values, codes = np.unique(column.values, return_inverse=True)
    whole = np.round(values) + 0.0  # a class that EDF or WAV holds as a part of a range
    if len(np.unique(whole)) == len(values) and not (np.abs(values - whole) > QUANTISED).any():
        values = whole
    words = ["" if np.isnan(value) else f"{value:.17g}" for value in values[:10_000].tolist()]
    return Column(column.name, column.unit, "text", codes.astype(np.int32), tuple(words))


def package(name: str, extra: str, path: Path) -> Any:
    """A module that reads `path`; InputError, which names the extra to install, without it."""
    try:
        return import_module(name)
    except ImportError:
        raise InputError(
            f"{path} needs the package {name.split('.')[0]}, which is the extra {extra}: "
            f".venv/bin/pip install -c constraints.txt -e '.[{extra}]'."
        ) from None


def _check_fits(path: Path, num_values: int) -> None:
    size, free = COLUMN_COPIES * 8 * num_values, available_memory()
    if size > free:
        raise memory_error(
            f"{path} takes {size / 1e9:.1f} GB to read, but {free / 1e9:.1f} GB of memory are "
            "free; cut it into shorter recordings.",
            size,
        )


def read_parquet(path: Path) -> Table:
    """Read Parquet, Feather or Arrow: a column a channel, a row a moment."""
    arrow = package("pyarrow", "parquet", path)
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            file = package("pyarrow.parquet", "parquet", path).ParquetFile(path)
            _check_fits(path, file.metadata.num_rows * file.metadata.num_columns)
            table = file.read()
        else:
            table = package("pyarrow.feather", "parquet", path).read_table(path)
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read: {str(error).splitlines()[0][:200].rstrip('.')}; {AGAIN}."
        ) from None
    if not table.num_rows or not table.num_columns:
        raise InputError(f"{path} holds no rows; move it away.")
    columns = []
    for name, values in zip(table.column_names, table.columns, strict=True):
        kind = values.type
        if arrow.types.is_timestamp(kind) or arrow.types.is_date(kind):
            nanos = values.cast(arrow.timestamp("ns")).cast(arrow.int64())
            columns.append(Column(name, "", "time", _floats(nanos) / 1e9))
        elif arrow.types.is_duration(kind):
            nanos = values.cast(arrow.duration("ns")).cast(arrow.int64())
            columns.append(Column(name, "s", "number", _floats(nanos) / 1e9))
        elif arrow.types.is_boolean(kind):
            columns.append(Column(name, "", "number", _floats(values.cast(arrow.int8()))))
        elif arrow.types.is_integer(kind) or arrow.types.is_floating(kind):
            columns.append(Column(name, "", "number", _floats(values)))
        elif arrow.types.is_decimal(kind):
            columns.append(Column(name, "", "number", _floats(values.cast(arrow.float64()))))
        else:
            coded = values.cast(arrow.string()) if not arrow.types.is_nested(kind) else None
            if arrow.types.is_struct(kind) and "bytes" in {own.name for own in kind}:
                raise InputError(
                    f"{path}, column '{name}' holds whole files, as sets of the Hub do: "
                    "docs/data.md, under Other files, shows the lines that write them into folders."
                )
            if coded is None:
                raise InputError(
                    f"{path}, column '{name}' holds {kind}, not one number a row: spread it over "
                    "columns or rows."
                )
            cells = ["" if cell is None else cell.strip() for cell in coded.to_pylist()]
            columns.append(_column_of_words(name, cells))
    return Table(path, columns, True, [(0, 1)])


def _floats(values: Any) -> np.ndarray:
    floats = values.to_numpy(zero_copy_only=False) if hasattr(values, "to_numpy") else values
    return np.array(floats, dtype=np.float64)


def read_matlab(path: Path, asked: Collection[str | int] = ()) -> Table:
    """Read the arrays of numbers of a .mat file (up to version 7) that are as long as the longest:
    a vector is a channel, of a matrix each column (or each row, if it is wider than high). The
    fields of a struct count as arrays, and a number such as fs as the rate; a single word or number
    is a column where it is asked for."""
    with path.open("rb") as file:
        if file.read(len(HDF5_START)) == HDF5_START:  # version 7.3, without MATLAB's head
            return read_hdf5(path, asked)
    io = package("scipy.io", "matlab", path)
    try:
        shapes = io.whosmat(path)
        _check_fits(path, sum(int(np.prod(shape)) for _, shape, _ in shapes))
        held = io.loadmat(path)
        own = held.get(path.stem)  # a struct that is called as the file is
        if getattr(getattr(own, "dtype", None), "names", None) is not None and own.size == 1:
            held |= {field: own.flat[0][field] for field in own.dtype.names}
            del held[path.stem]
        held = _flat_struct(held)
    except NotImplementedError:
        return read_hdf5(path, asked)  # as version 7.3 is
    except Exception as error:  # whatever a damaged file makes of the reader
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as a .mat file: {error}; {AGAIN}.") from None
    return _table_of_arrays(path, held, asked)


def read_hdf5(path: Path, asked: Collection[str | int] = ()) -> Table:
    """Read the arrays of numbers of an HDF5 file as those of a .mat file are; a field of a table
    counts as one, and an attribute such as fs says the rate."""
    h5py = package("h5py", "hdf5", path)
    held: dict[str, Any] = {}
    notes: list[str] = []
    others: list[str] = []

    def take(name: str, own: Any) -> None:
        for said, value in own.attrs.items():
            if MATLAB_RATE.fullmatch(said) and np.asarray(value).dtype.kind in "iuf":
                held[f"{name}_{said}"] = np.asarray(value)
        if not isinstance(own, h5py.Dataset) or own.attrs.get("MATLAB_class") == b"char":
            return
        if name[0] == "#" or "/_i_" in f"/{name}":  # an index of PyTables'
            return
        called = name.replace("/", "_")
        if own.dtype.names and own.ndim == 1:
            if "values_block_0" in own.dtype.names:
                raise InputError(
                    f"{path} is a table of pandas', whose columns have no names outside pandas: "
                    f"python -c \"import pandas; pandas.read_hdf('{path}').to_csv("
                    f"'{path.with_suffix('.csv')}')\""
                )
            _check_fits(path, own.size * len(own.dtype.names))
            rows = own[()]
            for field in own.dtype.names:
                if own.dtype[field].base.kind in "iuf" and rows[field].ndim <= 2:
                    held[f"{called}_{field}"] = rows[field]
                else:
                    notes.append(f"{called}_{field}, which holds no numbers")
        elif own.dtype.kind in "iuf" and own.ndim <= 2:
            _check_fits(path, own.size)
            held[called] = own[()]
        elif h5py.check_string_dtype(own.dtype) is not None and own.ndim <= 1:
            held[called] = np.asarray(own.asstr(errors="replace")[()], dtype=object)
        else:
            others.append(name)

    try:
        with h5py.File(path, "r") as file:
            take("", file)
            file.visititems(take)
    except Exception as error:  # whatever a damaged file makes of the reader
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as HDF5: {error}; {AGAIN}.") from None
    table = _table_of_arrays(
        path,
        {name: np.asarray(value) for name, value in held.items()} or dict.fromkeys(others),
        asked,
    )
    table.notes.extend(notes)
    return table


def _table_of_arrays(path: Path, held: dict[str, Any], asked: Collection[str | int]) -> Table:
    words = {name: text for name, value in held.items() if (text := _words_of(value)) is not None}
    held = {name: value for name, value in held.items() if name not in words}
    arrays = {
        name: value.T if value.ndim == 2 and value.shape[1] > value.shape[0] else value
        for name, value in held.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.ndim <= 2
        and value.size and not name.startswith("__")
    }  # fmt: skip
    if not arrays:
        names = ", ".join(n for n in (*held, *words) if not n.startswith("__")) or "nothing"
        raise InputError(
            f"{path} holds no arrays of numbers, but {names}; export it as CSV, a column a channel."
        )
    length = max(len(np.atleast_1d(value)) for value in arrays.values())
    cells = {
        name: value.size for name, value in held.items()
        if isinstance(value, np.ndarray) and value.dtype == object
    }  # fmt: skip
    if cells and max(cells.values()) >= length:
        raise InputError(
            f"{path} holds cells ({', '.join(cells)}), not arrays of numbers: if each is a case, "
            "store them as data.npy (cases, channels, length) and label.npy for dataset=npy; if "
            "each is a recording, save it as a .mat of its own."
        )
    shapes_of = Counter(value.shape for value in arrays.values() if value.ndim == 2)
    alike, count = shapes_of.most_common(1)[0] if shapes_of else ((0, 0), 0)
    if count > 1 and count * alike[1] > MANY_COLUMNS:
        some = [name for name, value in arrays.items() if value.shape == alike]
        raise InputError(
            f"{path} holds {count} arrays of {alike[0]} by {alike[1]} numbers (such as {some[0]}), "
            f"more likely {alike[1]} cases of each than channels side by side: store them as "
            "data.npy (cases, channels, length) and label.npy for dataset=npy, or if they are "
            "recordings, each as a .mat of its own."
        )
    columns, notes = [], []
    rates = {
        float(value.flat[0]) for name, value in arrays.items()
        if value.size == 1 and MATLAB_RATE.fullmatch(name) and value.flat[0] > 0
    }  # fmt: skip
    bare_names = _without_numbers(list(arrays), path.stem)
    for name, value in arrays.items():
        if value.size == 1 and MATLAB_RATE.fullmatch(name):
            continue
        if value.size == 1 < length and name in asked:
            columns.append(Column(name, "", "number", np.full(length, float(value.flat[0]))))
            continue
        if name not in bare_names:
            notes.append(f"{name}, whose number is another file's")
            continue
        if value.ndim == 0 or len(value) != length:
            notes.append(f"{bare_names[name]} {value.shape}, which has another length")
            continue
        bare = bare_names[name]
        table = value.reshape(length, -1)
        for k in range(table.shape[1]):
            full = bare if table.shape[1] == 1 else f"{bare}_{k}"
            columns.append(Column(full, "", "number", table[:, k].astype(np.float64)))
    for name, text in words.items():
        if len(text) == length or (len(text) == 1 and name in asked):
            columns.append(_column_of_words(name, text if len(text) == length else text * length))
    rate = rates.pop() if len(rates) == 1 else None
    return Table(path, columns, True, [(0, 1)], notes, rate=rate)


def _words_of(value: Any) -> list[str] | None:
    """The words of an array of text, or of cells of one word each; None where it holds others."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "UO" or not value.size:
        return None
    cells = [own.flat[0] if getattr(own, "size", 0) == 1 else own for own in value.ravel()]
    if not all(isinstance(cell, str) for cell in cells):
        return None
    return [str(cell).strip() for cell in cells]


def _flat_struct(held: dict[str, Any]) -> dict[str, Any]:
    """The fields of structs as variables: bearing.gs as bearing_gs."""
    flat: dict[str, Any] = {}
    for name, value in held.items():
        fields = getattr(getattr(value, "dtype", None), "names", None)
        if fields is not None and 1 < value.size <= MOST_STRUCTS:
            for k, one in enumerate(value.ravel()):
                said = one["Name"].ravel().tolist() if "Name" in fields else []
                called = str(said[0]) if len(said) == 1 else str(k)
                inner = _flat_struct({field: one[field] for field in fields})
                flat |= {f"{name}_{called}_{below}": own for below, own in inner.items()}
        elif fields is None or value.size != 1:
            flat[name] = value
        else:
            inner = {field: value.flat[0][field] for field in fields}
            flat |= {f"{name}_{below}": own for below, own in _flat_struct(inner).items()}
    return flat


def _without_numbers(names: list[str], stem: str) -> dict[str, str]:
    """Names such as X097_DE_time, as bearing data sets have them, without the number of the file;
    of several numbers, that of the file's own name counts."""
    bare = {name: re.sub(r"^X\d+_?", "", name) or name for name in names}
    if len(set(bare.values())) == len(bare):
        return bare
    own = {
        name: short for name, short in bare.items()
        if (found := re.match(r"X0*(\d+)", name)) and found[1] == stem.lstrip("0")
    }  # fmt: skip
    return own or {name: name for name in names}


def read_json(path: Path) -> Table:
    """Read JSON: Edge Impulse's, records in a list or one a line, or an array for each channel."""
    notes: list[str] = []
    return _parsed_table(path, lambda content: _parsed(content, notes), "JSON", notes)


def read_cbor(path: Path) -> Table:
    """Read CBOR, as `read_json` reads JSON."""
    return _parsed_table(path, decode, "CBOR", [])


def _parsed_table(path: Path, parse: Callable[[bytes], Any], kind: str, notes: list[str]) -> Table:
    if path.stat().st_size > LARGEST_JSON:
        raise InputError(f"{path} is larger than {LARGEST_JSON >> 20} MB; export it as CSV.")
    try:
        held = parse(path.read_bytes())
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as {kind}: {error}; {AGAIN}.") from None
    if isinstance(held, dict) and "payload" in held:
        return _edge_impulse(path, held["payload"])
    return _of_records(path, held, notes)


def _of_records(path: Path, held: Any, notes: list[str]) -> Table:
    held = _by_row_number(held)
    for read in (_cells_of_tables, _cells_of, _cells_without_names):
        passed_over: list[str] = []
        try:
            cells, rate = read(held, passed_over)
            columns = [_json_column(name, own) for name, own in cells.items()]
        except (ValueError, TypeError, OverflowError, RecursionError):
            continue
        named = read is not _cells_without_names
        return Table(path, columns, named, [(0, 1)], notes + passed_over, rate=rate)
    records = [own for own in held if isinstance(own, dict)] if isinstance(held, list) else []
    beside = flattened(records[0]).values() if len(records) > 1 else ()
    is_one = any(isinstance(own, int | float) for own in beside)
    if is_one and (name := _list_in(records[0])) is not None:
        each = 'if type == "array" then .[] else . end'
        raise InputError(
            f"{path} has a list in each record, {name}: if it holds channels, name them, as by: "
            f'jq -c \'{each} | . + ({name} | to_entries | map({{("{name[1:]}_\\(.key)"): .value}}) '
            f"| add) | del({name})' OLD > NEW.jsonl; if it is no signal, leave it out: "
            f"jq -c '{each} | del({name})' OLD > NEW.jsonl"
        )
    raise InputError(
        f"{path} is no recording: {path.suffix[1:].upper()} is read as Edge Impulse writes it, as "
        "a list of records with a number for each channel, as an array for each channel, or as "
        "names (columns) beside rows (data) and lists as long as these; convert it to CSV, a "
        "column a channel."
    )


def _list_in(record: dict[str, Any], above: str = "") -> str | None:
    """Where numbers stand in a list, as jq writes it, such as .energy.by_minute; None without."""
    for name, own in record.items():
        if isinstance(own, dict) and (found := _list_in(own, f"{above}.{name}")) is not None:
            return found
        if isinstance(own, list) and all(isinstance(one, int | float) for one in own):
            return f"{above}.{name}"
    return None


def _by_row_number(held: Any) -> Any:
    """What pandas writes if nothing is said, {"x": {"0": 1.5, "1": 2}}, as an array for each name,
    and rows by their number, {"0": {"x": 1.5}}, as records; all else as it is."""
    tables = [*held.values()] if isinstance(held, dict) else []
    if not tables or not all(isinstance(own, dict) and own for own in tables):
        return held
    if any(isinstance(cell, list | dict) for own in tables for cell in own.values()):
        return held
    if all(map(str.isdigit, held)):
        return [{"index": int(key), **own} for key, own in held.items()]
    keys = [*tables[0]]
    if all(map(str.isdigit, keys)) and all([*own] == keys for own in tables):
        return {"index": [*map(int, keys)]} | {name: [*own.values()] for name, own in held.items()}
    return held


def _cells_without_names(held: Any, notes: list[str]) -> tuple[dict[str, list[Any]], float | None]:
    """Of a list of rows, each a list; ValueError where they are not alike."""
    if len(held) < LEAST_SERIES or not all(isinstance(row, list) and row for row in held):
        raise ValueError
    columns = zip(*held, strict=True)
    return {position_name(k): [*own] for k, own in enumerate(columns)}, None


def _parsed(content: bytes, notes: list[str]) -> Any:
    """What JSON holds, or a list of what each line does, without a last one that is cut."""
    written = content.rstrip(b"\0")
    if len(written) < len(content):
        notes.append(f"{len(content) - len(written)} NUL bytes at the end")
    try:
        return json.loads(written)
    except ValueError:
        lines = written.splitlines(keepends=True)
        if len(lines) < 2 or not lines[0].strip().endswith((b"}", b"]")):
            raise
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            if number < len(lines) or line.endswith(b"\n"):
                why = getattr(error, "msg", error)
                raise ValueError(f"line {number}: {why}; mend or delete that line") from None
            notes.append("the last line, which is cut")
    return records


def _cells_of(held: Any, notes: list[str]) -> tuple[dict[str, list[Any]], float | None]:
    """The cells of each column, and the rate where a number beside them says it; ValueError where
    it is none of these. Records with other names than most are passed over and noted."""
    if isinstance(held, list):
        records = [one for record in held for one in spread(flattened(record))]
        (names, count), *rest = Counter(map(frozenset, records)).most_common()
        if 2 * count <= len(records):
            raise ValueError
        if rest:
            notes.append(f"{len(records) - count} records with other names than most")
        alike = [record for record in records if record.keys() == names]
        return {name: [record[name] for record in alike] for name in alike[0]}, None
    if not isinstance(held, dict):
        raise ValueError
    if not any(isinstance(own, list) for own in held.values()):
        held = {name: _only_list(own) for name, own in held.items()}
    flat = flattened(held)  # {"acc": {"x": [0.1, 0.2], "y": [0.3, 0.4]}}
    if len({len(own) for own in flat.values() if isinstance(own, list) and own}) == 1:
        held = flat
    lists = {str(name): own for name, own in held.items() if isinstance(own, list) and own}
    for name, own in [*lists.items()]:  # as of places: [[51.2, 7.1], [51.3, 7.1]]
        if all(isinstance(one, list) and len(one) == len(own[0]) <= 3 for one in own):
            del lists[name]
            lists |= {f"{name}_{k}": list(one) for k, one in enumerate(zip(*own, strict=True))}
    rates = [own for name, own in held.items() if JSON_RATE.fullmatch(name) and name not in lists]
    rate = float(rates[0]) if len(rates) == 1 and float(rates[0]) > 0 else None
    said = {name: own for name, own in held.items() if isinstance(own, str)}
    notes += [
        f"{name}, which stands apart"
        for name, own in held.items()
        if isinstance(own, dict) and any(isinstance(one, list) for one in own.values())
    ]
    if len(lists) == 1 and isinstance(next(iter(lists.values()))[0], dict):
        cells = _cells_of(next(iter(lists.values())), notes)[0]
        length = len(next(iter(cells.values())))
        return {name: [own] * length for name, own in said.items()} | cells, rate
    if not lists or len({len(own) for own in lists.values()}) > 1:
        raise ValueError
    length = len(next(iter(lists.values())))
    return lists | {name: [own] * length for name, own in said.items()}, rate


def _only_list(own: Any) -> Any:
    """The numbers of {"data": [1, 2], "resolution": "high"}, as of Strava; else what it is."""
    inner = [*own.values()] if isinstance(own, dict) else []
    if any(isinstance(one, dict) for one in inner):
        return own
    lists = [one for one in inner if isinstance(one, list)]
    return lists[0] if len(lists) == 1 and lists[0] else own


def _cells_of_tables(held: Any, notes: list[str]) -> tuple[dict[str, list[Any]], float | None]:
    """As `_cells_of`, of names beside rows; of a list of such tables, one below the other."""
    tables = [_cells_of(table, notes) for table in _named_rows(held, {})]
    if len({(*cells, rate) for cells, rate in tables}) != 1:
        raise ValueError
    names, rate = tables[0]
    return {name: [cell for cells, _ in tables for cell in cells[name]] for name in names}, rate


def _named_rows(held: dict[str, Any] | list[Any], above: dict[str, Any]) -> list[dict[str, Any]]:
    """Tables of names and rows, as pandas' "split", InfluxDB and Bosch's BME AI-Studio have them,
    each as an array for each name, with what stands beside and above it; ValueError where one of
    several would be lost."""
    if not isinstance(held, dict):
        each = [_named_rows(own, above) if isinstance(own, dict) else [] for own in held]
        if any(each) and not all(each):
            raise ValueError
        return [table for tables in each for table in tables]
    inside = {key: own for key, own in held.items() if isinstance(own, dict | list)}
    if not inside:
        return []
    lists = {key: own for key, own in inside.items() if isinstance(own, list) and own}
    named = {
        key: [_said_name(each) for each in own]
        for key, own in lists.items() if JSON_NAMES.fullmatch(key)
    }  # fmt: skip
    found = [
        (key, of_rows)
        for key, names in named.items() if all(isinstance(name, str) for name in names)
        for of_rows, rows in lists.items()
        if all(isinstance(row, list) and len(row) == len(names) for row in rows)
    ]  # fmt: skip
    beside = above | held
    if not found:
        inner = [
            _named_rows(own, {name: one for name, one in beside.items() if name != key})
            for key, own in inside.items()
        ]
        if sum(map(bool, inner)) > 1:  # such as one of each sensor
            raise ValueError
        return [table for tables in inner for table in tables]
    [(key, of_rows)] = found
    names, rows = named[key], beside.pop(of_rows)
    del beside[key]
    for of_units in [other for other in lists if JSON_UNITS.fullmatch(other)]:
        units = beside.pop(of_units)
        if not all(isinstance(unit, str) for unit in units):
            raise ValueError
        names = [
            f"{name} ({unit})" if unit else name for name, unit in zip(names, units, strict=True)
        ]
    tags = {name: own for name, own in flattened(held).items() if isinstance(own, str)}
    beside |= tags
    if len(set(names) - set(beside)) < len(names):
        raise ValueError
    return [beside | dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))]


def _said_name(said: Any) -> Any:
    """Of a column, with its unit in brackets."""
    if not isinstance(said, dict):
        return said
    name, unit = said.get("name"), said.get("unit") or said.get("units")
    return f"{name} ({unit})" if isinstance(name, str) and unit else name


def _json_column(name: str, cells: list[Any]) -> Column:
    if any(isinstance(cell, str) for cell in cells):
        own = [f"{cell:.17g}" if isinstance(cell, int | float) else cell for cell in cells]
        cells = ["" if cell is None else cell for cell in own]
    if all(isinstance(cell, str) for cell in cells):
        return _column_of_words(name, cells)
    if not all(cell is None or isinstance(cell, int | float) for cell in cells):
        raise ValueError
    return Column(name, "", "number", np.array(cells, dtype=np.float64))


def _column_of_words(name: str, cells: list[str]) -> Column:
    """Numbers or times, where all cells are written so, else words."""
    words, codes = np.unique(cells, return_inverse=True)
    known = [word for word in words.tolist() if not is_missing(word)]
    if all(map(is_number, known)):
        values = [nan if is_missing(w) else float(w.replace(",", ".")) for w in words.tolist()]
        return Column(name, "", "number", np.array(values)[codes])
    if date_shapes.is_time(known[0]):
        day, told = date_shapes.day_first(cells)
        seconds = dates.to_seconds(cells, day_comes_first=bool(day))
        if np.isfinite(seconds).all():
            return Column(name, "", "time", seconds, day_first=day, is_told=told)
    return Column(name, "", "text", codes.astype(np.int32), tuple(words.tolist()))


def _edge_impulse(path: Path, payload: Any) -> Table:
    """Edge Impulse's data acquisition format in JSON: sensors, values and the interval.

    https://docs.edgeimpulse.com, data acquisition format.
    """
    try:
        sensors = [(str(each["name"]), str(each.get("units", ""))) for each in payload["sensors"]]
        values = np.array(payload["values"], dtype=np.float64)
        interval = float(payload["interval_ms"])
        if values.ndim == 1 and len(sensors) == 1:
            values = values[:, None]
        if values.ndim != 2 or values.shape[1] != len(sensors) or not interval > 0:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise InputError(
            f"{path} is no recording of Edge Impulse's (payload with sensors, values and "
            "interval_ms); convert it to CSV, a column a channel."
        ) from None
    if not len(values):
        raise InputError(f"{path} holds no samples; move it away.")
    columns = [
        Column(name, unit, "number", np.ascontiguousarray(values[:, k]))
        for k, (name, unit) in enumerate(sensors)
    ]
    return Table(path, columns, True, [(0, 1)], rate=1000 / interval)


def read_npy(path: Path) -> Table:
    """Read an array of one recording: (T,), or (T, C) or (C, T), of which T is the longer."""
    array = load_npy(path)
    if array.dtype.kind not in "iuf" or array.ndim not in (1, 2) or not array.size:
        raise InputError(
            f"{path} holds {array.dtype} of the shape {array.shape}; a recording is numbers of the "
            "shape (samples, channels), and arrays of cases are read with dataset=npy."
        )
    if array.ndim == 2 and array.shape[1] > array.shape[0]:
        array = array.T
    rows = array.reshape(len(array), -1).astype(np.float64).T
    columns = [
        Column(position_name(k), "", "number", np.ascontiguousarray(row))
        for k, row in enumerate(rows)
    ]
    table = Table(path, columns, False, [(0, 1)])
    if array.ndim == 2 and len(array) < UNLIKE * array.shape[1]:
        table.changes.append(f"{len(array)} taken as samples and {array.shape[1]} as channels")
    return table


# In which a word or a number may stand once for the whole recording, and is read where asked for.
HAVE_SINGLE_VALUES = (read_matlab, read_hdf5)
READERS: dict[str, Callable[..., Table]] = {
    ".wav": read_wav,
    ".edf": read_edf,
    ".bdf": read_edf,
    ".hea": read_wfdb,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".json": read_json,
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".cbor": read_cbor,
    ".mat": read_matlab,
    ".npy": read_npy,
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".feather": read_parquet,
    ".arrow": read_parquet,
}
