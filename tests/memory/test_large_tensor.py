"""The bounds on memory, with an array that is quick to send."""

import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).with_name("large_tensor.py")


def test_memory_stays_within_the_tensor_and_a_few_chunks():
    # A process of its own: the peak of this one has nothing to do with it.
    done = subprocess.run(
        [sys.executable, SCRIPT, "--size-gib", "0.25"], timeout=120,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("MiB, bound") == 6, done.stdout
