"""The machine that trains: its threads, its device, its memory."""
