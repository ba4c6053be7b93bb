"""The package's names, which are looked up when they are first used."""

import pytest
import tensord
from tensord import _dtype


def test_importing_it_imports_little(run_python):
    """What takes long: NumPy, and gRPC in the native module."""
    code, out, err = run_python(
        "import sys, tensord\n"
        "print(sorted({'numpy', 'tensord._native'} & {*sys.modules}))\n"
        "tensord.float32\n"
        "print('numpy' in sys.modules)"
    )
    assert (code, out, err) == (0, "[]\nTrue\n", "")


def test_every_name_is_there(run_python):
    code, _, err = run_python(
        "import tensord\n"
        "from tensord import *\n"
        "for name in tensord.__all__:\n"
        "    assert globals()[name] is getattr(tensord, name), name\n"
        "    assert name in dir(tensord), name\n"
    )
    assert (code, err) == (0, "")


def test_dtypes_go_by_all_their_names():
    for name, one in _dtype.BY_NAME.items():
        assert getattr(tensord, name) is one
        assert name in dir(tensord)


def test_the_rest_is_not_there():
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = tensord.nope
    assert not hasattr(tensord, "_nope")
