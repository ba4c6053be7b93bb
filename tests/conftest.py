"""Lets all tests import what they share."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.register_assert_rewrite("server_process")

import server_process  # noqa: E402

# For servers that other programs start.
os.environ.update(server_process.SETTINGS)
