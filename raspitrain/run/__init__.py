"""One run in one folder: prepared, trained, resumed, finished."""
