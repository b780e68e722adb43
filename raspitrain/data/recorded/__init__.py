"""Recordings as loggers leave them: their files, columns, clocks and labels, cut to windows."""
