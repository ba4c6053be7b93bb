"""Which exception each refusal of a server becomes."""

import pickle

import pytest
import tensord
from tensord import errors


@pytest.mark.parametrize(
    ("code", "reason", "builtin"),
    [
        ("FAILED_PRECONDITION", "NEEDS_CPU", TypeError),
        ("FAILED_PRECONDITION", "NEEDS_DETACH", RuntimeError),
        ("FAILED_PRECONDITION", "GRAD_NON_LEAF", RuntimeError),
        ("FAILED_PRECONDITION", "VIEW_NEEDS_COPY", RuntimeError),
        ("FAILED_PRECONDITION", "DEVICE_NOT_PRESENT", RuntimeError),
        ("INVALID_ARGUMENT", "GRAD_DTYPE", RuntimeError),
        ("INVALID_ARGUMENT", "DEVICE_INVALID", RuntimeError),
        ("INVALID_ARGUMENT", "SIZE_MISMATCH", RuntimeError),
        ("INVALID_ARGUMENT", "DTYPE_UNKNOWN", TypeError),
        ("INVALID_ARGUMENT", "DTYPE_AMBIGUOUS", TypeError),
        ("INVALID_ARGUMENT", "NAME_INVALID", ValueError),
        ("INVALID_ARGUMENT", "", ValueError),
        ("ALREADY_EXISTS", "TENSOR_EXISTS", ValueError),
        ("OUT_OF_RANGE", "CAST_VALUE_OUT_OF_RANGE", OverflowError),
        ("OUT_OF_RANGE", "SLICE_OUT_OF_RANGE", IndexError),
        ("NOT_FOUND", "TENSOR_NOT_FOUND", KeyError),
        ("RESOURCE_EXHAUSTED", "MEMORY_EXHAUSTED", MemoryError),
        ("DEADLINE_EXCEEDED", "", TimeoutError),
        ("UNAVAILABLE", "DRAINING", ConnectionError),
        ("UNIMPLEMENTED", "CUDA_NOT_BUILT", NotImplementedError),
        ("UNIMPLEMENTED", "CUDA_NOT_BUILT", RuntimeError),
        ("PERMISSION_DENIED", "", PermissionError),
        ("UNAUTHENTICATED", "", PermissionError),
        ("ABORTED", "ETAG_MISMATCH", RuntimeError),
        ("INTERNAL", "INTERNAL", RuntimeError),
        ("A_CODE_OF_LATER", "A_REASON_OF_LATER", RuntimeError),
    ],
)
def test_status_becomes_the_exception_that_torch_users_expect(
    code, reason, builtin
):
    error = errors.from_status(code, "text", reason)
    assert isinstance(error, builtin)
    assert isinstance(error, tensord.TensordError)
    assert (error.code, error.reason) == (code, reason)


@pytest.mark.parametrize(
    "cls", [getattr(errors, name) for name in errors.__all__]
)
def test_every_exception_prints_its_message_and_can_be_pickled(cls):
    error = cls(
        "it's 'quoted'",
        reason="WHY",
        metadata={"k": "v"},
        violations=[("f", "d")],
    )
    assert str(error) == "it's 'quoted'"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert vars(again) == vars(error)
    assert getattr(tensord, cls.__name__) is cls


def test_a_server_s_refusal_carries_its_details(c):
    with pytest.raises(tensord.CastOverflowError) as caught:
        c.tensor([1.0, 300.0, -1.0]).to("uint8", overflow="error")
    error = caught.value
    assert error.code == "OUT_OF_RANGE"
    assert error.reason == "CAST_VALUE_OUT_OF_RANGE"
    assert error.metadata["firstIndex"] == "1"
    assert error.metadata["firstValue"] == "300.0"
    assert error.metadata["count"] == "2"


def test_field_violations_name_the_field(c):
    with pytest.raises(ValueError, match="..") as caught:
        c.tensor([1], name="a/../b")
    assert caught.value.reason == "NAME_INVALID"
    assert caught.value.violations[0][0] == "tensor_id"


def test_no_server(server):
    with pytest.raises(ConnectionError) as caught:
        tensord.connect("127.0.0.1:1", timeout=2)
    assert isinstance(caught.value, tensord.TensordError)


@pytest.mark.parametrize("target", ["", "nonsense", "host:port", "unix:"])
def test_bad_targets(target):
    with pytest.raises(ValueError, match=".") as caught:
        tensord.connect(target, timeout=2)
    assert isinstance(caught.value, tensord.InvalidArgumentError)


def test_tracebacks_show_public_names(c):
    with pytest.raises(RuntimeError) as caught:
        c.tensor([1.0], requires_grad=True).numpy()
    assert caught.exconly().startswith("tensord.StateError: Can't call numpy()")
