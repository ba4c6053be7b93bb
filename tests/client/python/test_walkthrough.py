"""PyTorch's walk-through, with only its import and first line changed."""

import os
import pathlib
import re
import subprocess
import sys

DATA = pathlib.Path(__file__).parents[2] / "data"
OURS = "import tensord\ntorch = tensord.connect()\n"


def test_a_program_for_torch_prints_the_same(server, tmp_path):
    program = (DATA / "torch_walkthrough.py").read_text().splitlines(True)
    assert program[0] == "import torch\n"
    assert program[1].startswith("torch.")
    script = tmp_path / "walkthrough.py"
    script.write_text(OURS + "".join(program[2:]))
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TENSORD_URL": server.target},
    )
    assert (done.returncode, done.stderr) == (0, "")
    theirs = (DATA / "torch_walkthrough.txt").read_text()
    assert done.stdout == re.sub(r"torch\.(?!nn)", "tensord.", theirs)
