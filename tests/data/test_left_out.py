"""Packages left out of an import, and only of that one."""

import subprocess
import sys

import pytest

from data.left_out import left_out


def test_what_is_left_out_is_missing_inside_and_there_again_outside() -> None:
    assert "wave" not in sys.modules
    with left_out("wave", "json"):
        import json  # imported already

        assert json.dumps([]) == "[]"
        with pytest.raises(ImportError):
            import wave
    import wave

    assert wave.open


def test_the_tokeniser_leaves_others_their_packages() -> None:
    code = (
        "import sys, tasks.seams.tokeniser as t; assert 'scipy' not in sys.modules;"
        "import scipy, sklearn.cluster; print(t.tokens_of('It is.', 'word'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['It', 'is', '.']"


def test_arrow_can_do_without_pandas() -> None:
    code = (
        "import sys, data.table, pyarrow as pa\n"
        "pa.array(['a']); assert 'pandas' not in sys.modules\n"
        "print(pa.table({'a': [1]}).to_pandas()['a'].sum())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
