"""Records what PyTorch prints in its walk-through.

Usage: python tests/vectors/generate_torch_walkthrough.py, with a Python that
has torch 2.x. Writes tests/data/torch_walkthrough.txt, what
tests/data/torch_walkthrough.py prints.
"""

import pathlib
import subprocess
import sys

DATA = pathlib.Path(__file__).parent.parent / "data"

if __name__ == "__main__":
    done = subprocess.run(
        [sys.executable, DATA / "torch_walkthrough.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    (DATA / "torch_walkthrough.txt").write_text(done.stdout)
