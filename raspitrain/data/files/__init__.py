"""One file, of whatever form, to a table of columns or an array."""
