"""What the tables are, how they are stored, and where books come from."""

import os
import sys

# Arrow reads this once, when it is first imported, here and in the processes that this one starts.
# Its own choice, mimalloc, keeps 30 MB in each process that has read or written a table.
if sys.platform == "linux":  # elsewhere Arrow may have been built without jemalloc
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
