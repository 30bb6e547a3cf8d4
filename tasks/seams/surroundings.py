"""What a run's results may depend on beside settings and books: code, libraries, machine."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PROJECT_ROOT = Path(__file__).parents[2]
LOCK_FILE = "requirements.lock"
COMPUTING_LIBRARIES = (
    "torch", "numpy", "scipy", "scikit-learn", "gensim", "nltk", "pyarrow",
)  # fmt: skip
# Which of a processor's instructions the products of torch and NumPy choose among.
TELLING_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")
# By which a user chooses other products than the processor offers.
VARIABLES = (
    "OMP_NUM_THREADS", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "OPENBLAS_CORETYPE",
)  # fmt: skip
NONE, UNKNOWN = "none", "unknown"


CHANGES = "changes since the commit"


def provenance() -> dict[str, str]:
    """The git commit, in an image that which it was built of, what is changed since, and the lock's
    digest.
    """
    commit = git("rev-parse", "HEAD").strip() or os.environ.get("BOOKLOOM_GIT_COMMIT", UNKNOWN)
    changes = git("diff", "HEAD", "--", "*.py", "*.toml", "*.txt")
    lock = PROJECT_ROOT / LOCK_FILE
    return {
        "git_commit": commit,
        CHANGES: _digest(changes) if changes else NONE,
        "lock_digest": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else NONE,
    }


def surroundings(num_threads: int) -> dict[str, str]:
    """What the promise of equal digests stands on: it holds where all of these are the same."""
    libraries = {f"library {name}": _version(name) for name in COMPUTING_LIBRARIES}
    return {
        **provenance(),
        "processor": _processor(),
        "number of threads": str(num_threads),
        **{f"environment {name}": os.environ.get(name, NONE) for name in VARIABLES},
        "operating system": platform.system(),
        "library python": platform.python_version(),
        **libraries,
    }


def git(*arguments: str) -> str:
    """What git says of this checkout; nothing where it fails, or there is none."""
    command = ["git", "-C", str(PROJECT_ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return ""


def _processor() -> str:
    """Its name, and those of its instructions that change the order of sums."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    flags = (told.get("flags") or told.get("Features") or "").split()
    telling = " ".join(flag for flag in TELLING_FLAGS if flag in flags)
    return f"{told.get('model name', platform.machine()).strip()} ({telling})"


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return NONE


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
