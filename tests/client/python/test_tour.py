"""The tour that deploy/run.sh gives, and what the README says it printed."""

import pathlib
import re
import subprocess
import sys

import tensord

ROOT = pathlib.Path(__file__).parents[3]


def take_tour(target):
    return subprocess.run(
        [sys.executable, ROOT / "deploy/tour.py", target],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_tour_goes_as_the_readme_shows(server):
    tour = take_tour(server.target)
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"```pycon\n(.*?)```", readme, re.DOTALL)[1]
    assert (tour.returncode, tour.stderr) == (0, "")
    # The README shows a machine without CUDA.
    if not tensord.connect(server.target).server_info().cuda_built:
        assert tour.stdout == shown


def test_tour_without_a_server_fails():
    assert take_tour("127.0.0.1:1").returncode != 0
