"""A run of the pipeline in a process of its own, as `bookloom run` runs it.

Its argument is a file of settings. It prints its summary, or, with exit code 2, the mistake and
its remedy.
"""

import json
import sys
from pathlib import Path

from data.errors import UserMistake
from flows.environment import prepare


def main() -> None:
    prepare()
    from flows.running import run_pipeline

    try:
        summary = run_pipeline(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    except UserMistake as error:
        print(json.dumps({"message": error.message, "remedy": error.remedy}))
        sys.exit(2)
    print(json.dumps(summary))
