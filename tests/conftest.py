"""Lets all tests import what they share."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.register_assert_rewrite("server_process")

# A machine that runs tests side by side is overloaded, which servers would
# tell some of the calls.
os.environ.setdefault("TENSORD_MAX_QUEUE_DELAY_MILLISECONDS", "0")
