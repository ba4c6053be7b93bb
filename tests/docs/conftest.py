"""The server that the commands of the docs talk to."""

import importlib.util
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[2]


def _client_fixtures():
    path = ROOT / "tests/client/python/conftest.py"
    spec = importlib.util.spec_from_file_location("client_fixtures", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


server = _client_fixtures().server
