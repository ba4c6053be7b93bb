"""The committed table of golden casts is what PyTorch's vectors say."""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE.parents[1] / "core/device/golden_casts.cc"


def test_the_table_is_that_of_the_vectors(tmp_path):
    written = tmp_path / "golden_casts.cc"
    subprocess.run([sys.executable, HERE / "generate_golden_casts.py", written],
                   check=True)
    assert written.read_text() == TABLE.read_text()
