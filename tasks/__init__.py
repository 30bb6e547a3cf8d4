"""One step a file: which tables it reads and writes, its settings, its core."""
