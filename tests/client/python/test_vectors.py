"""What PyTorch did with each expression, tensord does too.

The expected outcomes are PyTorch's own, recorded by
tests/vectors/generate_torch_semantics.py.
"""

import base64
import builtins
import copy
import json
import operator
import pathlib
import pickle
import warnings

import numpy as np
import pytest
import tensord

DATA = pathlib.Path(__file__).parents[2] / "data"
SEMANTICS = json.loads((DATA / "torch_semantics.json").read_text())
REPRS = json.loads((DATA / "torch_semantics_repr.json").read_text())
ARRAYS = {
    name: eval(expression, {"np": np})
    for name, expression in SEMANTICS["arrays"].items()
}
CASES = [
    pytest.param(expression, expected, id=f"{group}-{expression}")
    for group, cases in SEMANTICS["groups"].items()
    for expression, expected in cases
]


def describe(value):
    """The counterpart of `describe` in the generator."""
    if isinstance(value, tensord.RemoteTensor):
        return {
            "tensor": repr(value),
            "stride": list(value.stride()) if value.numel() else None,
            "bits": value.numpy(force=True).tobytes().hex(),
        }
    if isinstance(value, np.ndarray):
        return {
            "array": str(value.dtype),
            "shape": list(value.shape),
            "bits": value.tobytes().hex(),
        }
    if isinstance(value, (tuple, list)) and not isinstance(value, tensord.Size):
        return {type(value).__name__: list(map(describe, value))}
    if hasattr(value, "name") and repr(value).startswith("<"):
        return {"grad_fn": value.name()}
    return {"value": repr(value)}


@pytest.mark.parametrize(("expression", "expected"), CASES)
def test_does_what_torch_does(c, expression, expected):
    names = {
        "np": np,
        "copy": copy,
        "pickle": pickle,
        "operator": operator,
        "c": c,
        "D": tensord,
        **ARRAYS,
    }
    if "error" in expected:
        with pytest.raises(getattr(builtins, expected["error"])) as caught:
            eval(expression, names)
        assert str(caught.value) == expected["message"]
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = eval(expression, names)
    assert describe(value) == expected


@pytest.mark.parametrize(("expression", "text"), REPRS["large"])
def test_long_tensors_print_as_in_torch(c, expression, text):
    assert repr(c.from_numpy(eval(expression, {"np": np}))) == text


@pytest.mark.parametrize("case", REPRS["small"])
def test_tensors_print_as_in_torch(c, case):
    dtype = getattr(tensord, case["dtype"])
    data = base64.b64decode(case["data"])
    array = np.frombuffer(data, dtype.numpy_dtype).reshape(case["shape"])
    tensor = c.tensor(array, requires_grad=case["requires_grad"])
    assert repr(tensor) == case["text"]
