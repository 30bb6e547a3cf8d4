"""One step a file: which tables it reads and writes, its settings, its core."""

import data  # noqa: F401  # before anything of a step imports Arrow
