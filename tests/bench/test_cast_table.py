"""The script that compares casts runs, and says what it should."""

import os
import pathlib
import subprocess
import sys

import pytest

BENCH = pathlib.Path(__file__).parent
BUILD = pathlib.Path(os.environ.get("TENSORD_SERVER", "")).parents[1]
LIBRARY = BUILD / "bench" / "libcast_library.so"


@pytest.mark.skipif(
    BUILD.name in ("asan", "tsan"),
    reason="an interpreter can not load an instrumented library",
)
def test_compares_one_pair():
    done = subprocess.run(
        [
            sys.executable,
            BENCH / "cast_table.py",
            f"--library={LIBRARY}",
            "--pairs=f32:f16",
            "--elements",
            "4096",
            "--rounds=5",
            "--repeat-elements=4096",
            "--no-layouts",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "4096 elements, in cache" in done.stdout
    row = next(
        line for line in done.stdout.splitlines() if line.startswith("| **f32**")
    )
    cells = [cell.strip() for cell in row.strip("|").split("|")[1:]]
    # By memcpy, PyTorch where it is installed, and NumPy.
    rate, memcpy, torch, numpy = cells[9].split()
    assert float(rate) > 0 and float(memcpy) > 0 and float(numpy) >= 0
    assert torch == "-" or float(torch) > 0
    assert not any(cells[:9])
