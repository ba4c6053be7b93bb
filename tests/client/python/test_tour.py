"""The tour that deploy/run.sh gives, and what the README says it printed."""

import pathlib
import re
import subprocess
import sys

import pytest
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


def without_reason(tour):
    """A tour but for why there is no cuda:9: no GPU, no driver, no CUDA."""
    return re.sub(
        r'(device="cuda:9"\)\ntensord\.)\w+Error: .*; (its|the) devices are: ',
        r"\1", tour)


def test_tour_goes_as_the_readme_shows(server):
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    tour = take_tour(server.target)
    readme = (ROOT / "README.md").read_text()
    shown = re.search(
        r"```pycon\n([^`]*connect\(address\).*?)```", readme, re.DOTALL
    )[1]
    assert (tour.returncode, tour.stderr) == (0, "")
    if len(tensord.connect(server.target).devices()) == 1:
        assert without_reason(tour.stdout) == without_reason(shown)


def test_tour_without_a_server_fails():
    assert take_tour("127.0.0.1:1").returncode != 0
