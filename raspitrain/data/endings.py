"""How files of recordings end that are not text; also where numpy is not."""

OTHER_SUFFIXES = (
    ".wav", ".edf", ".bdf", ".hea", ".mat", ".parquet", ".pq", ".feather", ".arrow",
)  # fmt: skip
