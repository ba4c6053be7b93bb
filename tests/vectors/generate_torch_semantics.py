"""Records what PyTorch does, for tests/client/python/vectors_test.py.

Usage: python tests/vectors/generate_torch_semantics.py, with a Python that has
torch 2.x. Writes tests/data/torch_semantics.json and
tests/data/torch_semantics_repr.json.

A case is an expression that means the same in both worlds: `c` has the
constructors, `D` the dtypes and `device`, and the names of ARRAYS are bound.
"""

import base64
import copy
import json
import operator
import pathlib
import pickle
import warnings

import numpy as np
import torch

DATA = pathlib.Path(__file__).parent.parent / "data"

DTYPES = (
    "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 bfloat16 "
    "float32 float64 complex64 complex128 float8_e4m3fn float8_e5m2"
).split()
NUMPY_DTYPES = [d for d in DTYPES if d[:2] != "bf" and d[:6] != "float8"]

ARRAYS = {
    "a": "np.array([5, 7, 1, 2, 4, 4])",
    "f": "np.array([5.0, 7.5, -1.25], np.float32)",
    "m": "np.arange(6, dtype=np.float32).reshape(2, 3)",
    "u": "np.array([[0, 255], [7, 128]], np.uint8)",
    "s": "np.array(3.5)",
    "z": "np.array([1 + 2j, -3.5j], np.complex64)",
    "e": "np.zeros((0, 3), np.float32)",
    "cube": "np.arange(24, dtype=np.int64).reshape(2, 3, 4)",
    "F": "np.asfortranarray(np.arange(6.0).reshape(2, 3))",
    "strided": "np.arange(40, dtype=np.int16).reshape(5, 8)[::2, 1::3]",
    "swapped": "np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1)",
    "masked": "np.ma.array([1, 2], mask=[True, False])",
    "mixed": "np.array([[0, 1], [2, 127]], np.int8)",
}


def constructor_cases():
    for dtype in NUMPY_DTYPES:
        array = f"np.array([[0, 1, 2], [3, 100, 7]]).astype('{dtype}')"
        yield f"c.from_numpy({array})"
        yield f"c.Tensor({array})"
        yield f"c.tensor({array})"
    for dtype in DTYPES:
        yield f"c.tensor(mixed, dtype=D.{dtype})"
        yield f"c.tensor(f, dtype=D.{dtype})"
        yield f"c.tensor(a, dtype=D.{dtype}).type()"
        yield f"c.tensor([0, 1, 2.5], dtype=D.{dtype})"
    for name in ARRAYS:
        yield f"c.tensor({name})"
        if name not in ("masked", "strided", "e"):
            yield f"c.from_numpy({name}).stride()"
            yield f"c.from_numpy({name})"
        if name not in ("masked", "s", "z", "strided"):
            yield f"c.Tensor({name})"
    for bad in (
        "np.array([object()])",
        "np.array(['a'])",
        "np.array([b'a'])",
        "np.array(['2020'], 'M8[D]')",
        "np.array([1], 'm8[s]')",
        "np.zeros(2, [('x', 'i4')])",
        "np.zeros(2, np.longdouble)",
        "np.zeros(2, np.clongdouble)",
        "np.zeros(2, 'V2')",
        "np.zeros((0,), 'O')",
    ):
        yield f"c.from_numpy({bad})"
        yield f"c.Tensor({bad})"
        yield f"c.tensor({bad})"
    for bad in ("[1]", "1", "None", "np.float32(1)", "c.tensor([1])", "'a'"):
        yield f"c.from_numpy({bad})"


def nested_cases():
    for data in (
        "1", "1.0", "True", "1j", "[1, 2]", "[1, 2.0]", "[True, 1]",
        "[1, 1j]", "[]", "[[], []]", "(1, 2)", "[[1, 2], (3, 4)]", "range(3)",
        "[True, 1.5]", "bytearray(b'ab')", "[np.float64(1)]",
        "[np.float32(1), 2]", "np.int8(3)", "[np.int8(3)]", "np.bool_(True)",
        "np.complex64(1)", "[np.array([1, 2]), np.array([3, 4])]",
        "[np.float16(1), 2]", "[np.float16(1), 2.0]", "[np.uint8(1), 3]",
        "[np.complex64(1), np.float64(1)]", "[np.uint8(1), np.int8(1)]",
        "[np.uint16(1), 1.0]", "[np.uint16(1), 1]", "[np.uint8(1), True]",
        "[np.uint16(1), np.uint32(1)]", "[1.0, 2**63]", "[1.0, 2**64]",
        "[[[]]]", "[[1], []]", "[(), ()]", "[[1, 2], [3]]",
        "[[1], 2]", "[1, [2]]", "[1.0, [2]]", "[[[1]], [[2], [3]]]", "'a'",
        "b'ab'", "['a']", "[['a']]", "None", "[None]", "{1: 2}", "[{}]",
        "{1}", "iter([1])", "[2**63]", "-2**63 - 1", "float('nan')",
        "[float('inf'), 1e39]", "[np.array(1.0)]", "np.datetime64('2020')",
        "(lambda l: l.append(l) or l)([])", "[c.tensor(2.5), 1]",
        "[c.tensor([1]), c.tensor([2])]",
    ):
        yield f"c.tensor({data})"
    for data in (
        "[1, 2]", "[[1, 2], [3, 4]]", "(1.5, True)", "[]", "[[], []]",
        "[1, 1j]", "[None]", "[[1], 2]", "['a']", "'a'", "1.0", "True",
        "np.float32(1)", "range(3)", "[1, [2]]", "[2**63]",
    ):
        yield f"c.Tensor({data})"
    for data, dtype in (
        ("[300]", "int8"), ("[-1]", "uint8"), ("[255]", "int8"),
        ("[256]", "uint8"), ("[-300]", "uint8"), ("[-255]", "uint8"),
        ("[-1]", "uint16"), ("[65536]", "uint16"), ("[2**32]", "uint32"),
        ("[2**32]", "int32"), ("[2**63]", "uint64"), ("[2**64]", "uint64"),
        ("[-1]", "uint64"), ("[1.5, -1.5]", "int32"), ("[-1.5]", "uint8"),
        ("[300.5]", "int8"), ("[127.5]", "int8"), ("[1e30]", "int64"),
        ("[float('nan')]", "int64"), ("[float('inf')]", "int32"),
        ("[1j]", "float32"), ("[1j]", "int32"), ("[1 + 0j]", "float32"),
        ("[1j, 0]", "bool"), ("[2, 0.5, 0.0, float('nan')]", "bool"),
        ("['a']", "float32"), ("[None]", "float32"), ("[1e10]", "float16"),
        ("[1e39]", "float32"), ("[1e39]", "bfloat16"), ("300", "int8"),
        ("np.float64(300.5)", "int8"), ("[np.float64(30.5)]", "int8"),
        ("np.array([300.5])", "int8"), ("[2**53 + 1]", "float64"),
        ("[2**1024]", "float64"), ("[1.1]", "float16"), ("[1, 2]", "complex64"),
        ("[True]", "int8"), ("[np.bool_(True)]", "int8"),
    ):
        yield f"c.tensor({data}, dtype=D.{dtype})"
    for dtype in ("float", "int", "bool", "complex"):
        yield f"c.tensor([1], dtype={dtype})"
    yield "c.tensor([1], dtype=str)"
    yield "c.tensor([1], dtype=1)"
    yield "c.tensor([1], requires_grad=1)"
    yield "c.tensor([1.0], requires_grad=None)"
    yield "c.tensor([1.0], device=1.5)"
    yield "c.tensor([1.0], device='cpu')"
    yield "c.tensor([1.0], device=D.device('cpu')).device"


def to_cases():
    for call in (
        "to()", "to(None)", "to(D.float32)", "to('cpu')", "to(D.float64)",
        "to('cpu', D.float32)", "to('cpu', D.int32)", "to(None, D.float64)",
        "to('cpu', D.float64, False, True)", "to(D.float64, False, True)",
        "to(dtype=D.float64)", "to(device='cpu')", "to(dtype=None)",
        "to(device=None)", "to(c.tensor([1]))", "to(c.tensor([1.0]))",
        "to(c.tensor([1]), copy=True)", "to(copy=True)", "to(non_blocking=True)",
        "to(D.device('cpu'))", "to(float)", "to(int)", "to(D.float32, copy=True)",
        "cpu()", "float()", "contiguous()", "requires_grad_(False)",
        "type(D.float32)", "type('tensord.FloatTensor')", "bool()", "byte()",
        "char()", "short()", "int()", "long()", "half()", "bfloat16()",
        "double()", "cfloat()", "cdouble()", "type('tensord.DoubleTensor')",
        "type('tensord.BFloat16Tensor')", "type(D.int32)", "type(dtype=D.int32)",
        "detach()", "clone()", "flatten()", "flatten(0, 0)", "squeeze()",
        "reshape(3)", "view(3)", "t()",
    ):
        yield f"c.from_numpy(f).{call}"
        yield f"(lambda t: t.{call} is t)(c.from_numpy(f))"
    for bad in (
        "[1]", "D.float64, 'cpu'", "D.float64, D.float64", "D.float64, foo=1",
        "'gpu'", "'cuda:x'", "'cuda:-1'", "'cuda:01'", "''", "'cpu!'",
        "D.float64, copy=1", "'cpu', D.float64, False, True, 1", "f",
        "D.float64, dtype=D.float32",
    ):
        yield f"c.from_numpy(f).to({bad})"
    for bad in ("'foo'", "'FloatTensor'", "1", "1.5"):
        yield f"c.from_numpy(f).type({bad})"
    yield "c.from_numpy(f).type(None)"
    yield "c.from_numpy(f).type()"
    yield "c.from_numpy(f).cuda('cpu')"
    for dtype in DTYPES:
        for source in ("u", "f", "z"):
            yield f"c.from_numpy({source}).to(D.{dtype})"


def flag_cases():
    grad = "c.tensor(m, requires_grad=True)"
    yield grad
    for attribute in ("requires_grad", "is_leaf", "grad_fn"):
        yield f"{grad}.{attribute}"
        yield f"c.tensor(m).{attribute}"
    for call in (
        "double()", "half()", "long()", "float()", "detach()", "clone()",
        "to(D.float32, copy=True)", "cfloat()", "bool()", "cpu()", "T", "mT",
        "t()", "permute(1, 0)", "transpose(0, 1)", "flatten()", "squeeze()",
        "squeeze(0)", "squeeze((0,))", "unsqueeze(0)", "reshape(3, 2)",
        "view(6)", "T.contiguous()", "T.reshape(6)", "contiguous()", "[0]",
        "[0, 1]", "[:, 1]", "[..., None]", "[...]", "[1:]", "[:]", "[1:, 1:]",
        "[()]", "[None]", "[:, :]", "[0, ...]", "double().float()",
        "double().detach()", "detach().double()", "long().double()",
        "T.flatten()", "[:, 0:1, None]",
    ):
        dot = "" if call.startswith("[") else "."
        yield f"{grad}{dot}{call}"
    for dtype in DTYPES:
        yield f"c.tensor([1, 0], dtype=D.{dtype}, requires_grad=True)"
        yield f"c.tensor([1, 0], dtype=D.{dtype}).requires_grad_()"
    ints = "c.tensor(a)"
    yield f"{ints}.requires_grad_(False)"
    yield f"setattr({ints}, 'requires_grad', True)"
    yield f"setattr({ints}, 'requires_grad', False)"
    yield f"setattr({ints}, 'requires_grad', 1)"
    for value in ("'a'", "1", "None"):
        yield f"{ints}.requires_grad_({value})"
    yield f"{grad}.double().requires_grad_(False)"
    yield f"{grad}.double().requires_grad_(True)"
    yield f"setattr({grad}.double(), 'requires_grad', False)"
    yield "(lambda t: t.requires_grad_() is t)(c.tensor(f))"
    yield "(lambda t: (t.requires_grad_(), t.detach().requires_grad))(c.tensor(f))"
    yield "(lambda t: (t.detach().requires_grad_(), t))(c.tensor(f))"
    yield f"{grad}.grad_fn is None"
    yield f"{grad}.double().grad_fn.name()"


def attribute_cases():
    for name in ("a", "m", "s", "z", "e", "cube", "F", "strided", "swapped"):
        for attribute in (
            "shape", "dtype", "device", "ndim", "dim()", "numel()",
            "nelement()", "size()", "stride()", "storage_offset()",
            "element_size()", "nbytes", "itemsize", "is_contiguous()",
            "is_cuda", "is_cpu", "is_floating_point()", "is_complex()",
            "is_signed()", "T.shape", "T.stride()", "T.is_contiguous()",
        ):
            if attribute.startswith("T.") and name in ("a", "s", "z", "cube"):
                continue
            # NumPy's strides of what has no elements mean nothing, and a copy
            # has no gaps.
            laid_out = "stride" in attribute or "contig" in attribute
            if laid_out and name in ("e", "strided"):
                continue
            yield f"c.from_numpy({name}).{attribute}"
    for expression in (
        "size(0)", "size(-1)", "size(2)", "size(-3)", "stride(0)", "stride(2)",
        "shape[0]", "shape[1:]", "shape + (1,)", "shape * 2", "shape.numel()",
        "T.T.stride()", "mT.shape",
    ):
        yield f"c.from_numpy(m).{expression}"
    yield "c.from_numpy(s).size(0)"
    yield "(1,) + tuple(c.from_numpy(m).shape)"
    yield "isinstance(c.from_numpy(m).shape, tuple)"
    yield "c.from_numpy(cube).mT.shape"
    yield "c.from_numpy(a).mT"
    yield "c.from_numpy(m)[1].storage_offset()"
    for dtype in DTYPES:
        yield f"D.{dtype}"
        for attribute in (
            "itemsize", "is_floating_point", "is_complex", "is_signed",
        ):
            yield f"D.{dtype}.{attribute}"
    for alias in "half float double int long short cfloat cdouble".split():
        yield f"D.{alias}"
    yield "copy.deepcopy(D.float32) is D.float32"
    yield "pickle.loads(pickle.dumps(D.bfloat16)) is D.bfloat16"
    yield "D.float32 == 'float32'"
    yield "D.dtype()"
    for device in (
        "'cpu'", "'cuda'", "'cuda:1'", "'cuda', 1", "0", "'cpu:0'", "''",
        "'cuda:x'", "'cuda:-1'", "'cuda:01'", "'cuda:1', 2", "type='cuda'",
        "D.device('cuda:3')", "'!'", "'cuda:'",
    ):
        yield f"D.device({device})"
        yield f"str(D.device({device}))"
    yield "D.device('cpu') == 'cpu'"
    yield "D.device('cpu') == D.device('cpu')"
    yield "D.device('cpu:0') == D.device('cpu')"
    yield "(D.device('cuda:1').type, D.device('cuda:1').index)"
    yield "D.device('cpu').index"
    yield "hash(D.device('cuda:1')) == hash(D.device('cuda', 1))"


def index_cases():
    for key in (
        "0", "-1", "2", "-3", "0, 2", "0, 3", "0, 0, 0", "...", "()", "None",
        "0:1", "1:", "::2", "5:9", ":, -100:2", "-1:", "1:0", "..., 0",
        "0, ...", "None, ..., None", "0, None, :, None", "::0", "None:None",
        "'a':2", "1.0:2", "1.5", "{}", "object()", "np.float32(1)",
        "np.int64(1)", "np.uint8(0)", "np.array(1)", "2**63", "0:2**70",
        "c.tensor(1)", "np.int64(0):np.int64(1)", ":, 1:3, None", "1, 1:",
        "-2**63 - 1", ":, ::3",
    ):
        yield f"c.from_numpy(m)[{key}]"
    for key in ("0", "0, 0", "()", "...", "None", ":", "None, ..."):
        yield f"c.from_numpy(s)[{key}]"
    for key in ("0", ":, 0", "..., 1:", "0:0", "1"):
        yield f"c.from_numpy(e)[{key}]"
    for key in (
        "1", "1, 2", "1, 2, 3", ":, 1", "..., ::2", "0, :, 1", "::2, ::2, ::3",
        "..., 0, :", "1:, 0, None, 2:", ":, :, -1", "1, ..., 3", "0, 1:2, ...",
    ):
        yield f"c.from_numpy(cube)[{key}]"
        yield f"c.from_numpy(swapped)[{key}].stride()"
        yield f"c.from_numpy(cube)[{key}].storage_offset()"


def view_cases():
    for call in (
        "reshape(3, 2)", "reshape((3, 2))", "reshape([6])", "reshape(-1)",
        "reshape(3, -1)", "reshape(4, 2)", "reshape(-1, 4)", "reshape(-1, -1)",
        "reshape(2, -3)", "reshape(0, -1)", "reshape()", "reshape(())",
        "reshape('a')", "reshape(1.5)", "reshape(shape=(6,))", "view(6)",
        "reshape(np.int64(3), 2)", "view((3, 2))", "view(4)", "view()",
        "T.view(6)", "T.view(-1)", "T.view(3, 2)", "T.reshape(6)",
        "T.reshape(3, 1, 2)", "permute(1, 0)", "permute((1, 0))",
        "permute([-1, 0])", "permute(0)", "permute(0, 0)", "permute(0, 2)",
        "permute()", "permute(dims=(1, 0))", "transpose(0, 1)",
        "transpose(-1, 0)", "transpose(0, 2)", "t()", "flatten()", "flatten(1)",
        "flatten(start_dim=1, end_dim=1)", "flatten(1, 0)", "flatten(0, 2)",
        "squeeze()", "squeeze(2)", "squeeze((0, 0))", "unsqueeze(0)",
        "unsqueeze(-1)", "unsqueeze(2)", "unsqueeze(-3)", "unsqueeze(3)",
        "unsqueeze(1).squeeze(1)", "unsqueeze(0).squeeze()",
        "unsqueeze(0).unsqueeze(-1).squeeze((0, 3))", "T.contiguous()",
        "T.clone()", "T.double()", "T.contiguous().stride()",
        "T.clone().stride()", "T.double().stride()", "unsqueeze(0).stride()",
    ):
        yield f"c.from_numpy(m).{call}"
    for call in (
        "reshape(1)", "reshape(1, 1)", "reshape(())", "view(1)", "flatten()",
        "squeeze()", "squeeze(0)", "squeeze(-1)", "unsqueeze(0)",
        "unsqueeze(1)", "t()", "transpose(0, -1)", "contiguous()",
    ):
        yield f"c.from_numpy(s).{call}"
    for call in (
        "reshape(0)", "reshape(-1, 0)", "reshape(-1, 3)", "reshape(3, -1)",
        "flatten()", "reshape(5, 0)", "view(3, 0)", "T.shape",
    ):
        yield f"c.from_numpy(e).{call}"
    for call in (
        "t()", "permute(2, 0, 1)", "flatten(1)", "flatten(0, 1)", "mT",
        "permute(2, 0, 1).reshape(4, 6)", "permute(2, 0, 1).flatten(1)",
        "permute(2, 0, 1).view(4, 6)", "[:, ::2].reshape(-1)",
        "[:, ::2].view(4, 4)", "[..., 1:3].contiguous()", "transpose(0, 2)[1]",
    ):
        dot = "" if call.startswith("[") else "."
        yield f"c.from_numpy(cube){dot}{call}"


def scalar_cases():
    one = (
        "c.tensor(3.5)", "c.tensor([[1.5]])", "c.tensor(True)", "c.tensor(7)",
        "c.tensor(1 + 2j)", "c.tensor(1 + 0j)", "c.from_numpy(f)", "c.tensor([])",
        "c.tensor(float('nan'))", "c.tensor(float('inf'))", "c.tensor(1e30)",
        "c.tensor(-1.9)", "c.tensor(2**63, dtype=D.uint64)", "c.tensor(-0.0)",
        "c.tensor(1.1, dtype=D.bfloat16)", "c.tensor(1.1, dtype=D.float16)",
        "c.tensor(7, dtype=D.float8_e5m2)", "c.tensor([3])",
        "c.tensor(2**63 - 1)", "c.tensor(0j)", "c.from_numpy(e)",
    )
    for tensor in one:
        for call in (
            "float", "int", "bool", "complex", "operator.index", "len", "list",
        ):
            yield f"{call}({tensor})"
        yield f"{tensor}.item()"
        yield f"{tensor}.tolist()"
    yield "c.from_numpy(m).tolist()"
    yield "c.from_numpy(cube).tolist()"
    yield "c.from_numpy(z).tolist()"
    yield "c.from_numpy(u).T.tolist()"
    yield "c.tensor(m, requires_grad=True).tolist()"
    yield "[1, 2, 3, 4][c.tensor(2)]"
    yield "list(c.from_numpy(m))"
    yield "len(c.from_numpy(cube))"
    yield "format(c.tensor(3.5), '.2f')"
    yield "format(c.tensor(3.5), '')"
    yield "format(c.from_numpy(f), '')"
    yield "2.0 in c.from_numpy(m)"
    yield "9 in c.from_numpy(m)"
    yield "'a' in c.from_numpy(m)"


def numpy_cases():
    for tensor in (
        "c.from_numpy(m)", "c.from_numpy(m).T", "c.from_numpy(m)[:, ::2]",
        "c.from_numpy(m)[1]", "c.from_numpy(s)", "c.from_numpy(e)",
        "c.from_numpy(cube).permute(2, 0, 1)", "c.from_numpy(F)",
        "c.from_numpy(swapped)", "c.from_numpy(strided)", "c.from_numpy(z)",
        "c.tensor([True])", "c.from_numpy(u).half()", "c.from_numpy(cube)[0].T",
        "c.tensor(m, requires_grad=True).detach()",
    ):
        yield f"{tensor}.numpy()"
        yield f"np.asarray({tensor})"
        yield f"np.asarray({tensor}, dtype='f4')" if "z" not in tensor else (
            f"np.asarray({tensor}, dtype='c16')"
        )
        yield f"np.from_dlpack({tensor})"
        yield f"{tensor}.numpy().flags.writeable"
    # Torch keeps strides where elements are dense in some order.
    for tensor in (
        "c.from_numpy(m)", "c.from_numpy(m).T", "c.from_numpy(F)",
        "c.from_numpy(cube).permute(2, 0, 1)", "c.from_numpy(swapped)",
    ):
        yield f"{tensor}.numpy().strides"
    grad = "c.tensor(m, requires_grad=True)"
    yield f"{grad}.numpy()"
    yield f"{grad}.double().numpy()"
    yield f"{grad}.numpy(force=True)"
    yield f"{grad}.numpy(force=False)"
    yield f"np.asarray({grad})"
    yield f"np.from_dlpack({grad})"
    yield f"{grad}.cpu().numpy()"
    yield "c.from_numpy(m).numpy(force=1)"
    yield "tuple(map(int, c.from_numpy(m).__dlpack_device__()))"


GROUPS = {
    "constructors": constructor_cases,
    "nested": nested_cases,
    "to": to_cases,
    "flags": flag_cases,
    "attributes": attribute_cases,
    "indexing": index_cases,
    "views": view_cases,
    "scalars": scalar_cases,
    "numpy": numpy_cases,
}

# What this project does otherwise, each with a row in client/semantics.md.
DIFFERENT = {
    "c.from_numpy(f).to('gpu')",
    "c.tensor([0, 1, 2.5], dtype=D.uint64)",
    "int(c.tensor(2**63, dtype=D.uint64))",
    "bool(c.tensor(2**63, dtype=D.uint64))",
    "operator.index(c.tensor(2**63, dtype=D.uint64))",
}


def ours(text):
    return text.replace("torch.", "tensord.")


def bits_of(tensor):
    """The elements' bytes, in C order."""
    if tensor.numel() == 0:
        return b""
    flat = tensor.detach().clone().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def describe(value):
    """A value as JSON: tensors and arrays by everything that shows."""
    if isinstance(value, torch.Tensor):
        return {
            "tensor": ours(repr(value)),
            "stride": list(value.stride()) if value.numel() else None,
            "bits": bits_of(value).hex(),
        }
    if isinstance(value, np.ndarray):
        return {
            "array": str(value.dtype),
            "shape": list(value.shape),
            "bits": value.tobytes().hex(),
        }
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return {type(value).__name__: list(map(describe, value))}
    if type(value).__name__.endswith(("Backward0", "Backward1", "Backward2")):
        return {"grad_fn": value.name()}
    return {"value": ours(repr(value))}


def message_of(error):
    # Traces of C++ are no part of a message.
    return ours(str(error).split("\nException raised from")[0])


def builtin_name(error):
    return next(
        cls.__name__
        for cls in type(error).__mro__
        if cls.__module__ == "builtins"
    )


def outcome(expression, names):
    torch_expression = expression.replace("'tensord.", "'torch.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = eval(torch_expression, dict(names))
    except Exception as error:
        return {"error": builtin_name(error), "message": message_of(error)}
    return describe(value)


def semantics():
    names = {
        "np": np, "copy": copy, "pickle": pickle, "operator": operator,
        "c": torch, "D": torch,
    }
    for name, expression in ARRAYS.items():
        names[name] = eval(expression, {"np": np})
    groups = {}
    for group, cases in GROUPS.items():
        expressions = [e for e in dict.fromkeys(cases()) if e not in DIFFERENT]
        groups[group] = [[e, outcome(e, names)] for e in expressions]
    return {"torch": torch.__version__, "arrays": ARRAYS, "groups": groups}


def random_values(rng, count):
    """Numbers of a kind that a notation is chosen for."""
    kind = rng.integers(7)
    normal = rng.normal(size=count)
    if kind == 0:
        return rng.integers(-60, 60, count).astype(float)
    if kind == 1:
        return normal
    if kind == 2:
        return normal * 10.0 ** rng.integers(-12, 12)
    if kind == 3:
        return normal * 10.0 ** rng.integers(-7, 7, count)
    if kind == 4:
        special = [np.nan, np.inf, -np.inf, 0.0, -0.0]
        rounded = normal.round(int(rng.integers(5)))
        return np.where(rng.random(count) < 0.5, rounded, rng.choice(special, count))
    edges = [1e-4, 9.9999e-5, 1e8, 1.00001e8, 0.5, 1.0, 123456.0, 0.0]
    edge = rng.choice(edges)
    return rng.choice([edge, edge * 1000, edge * 999.99, edge * 1000.1], count)


def random_tensor(rng):
    dtype = getattr(torch, DTYPES[rng.integers(len(DTYPES))])
    ndim = int(rng.choice([0, 1, 1, 2, 2, 3, 4]))
    shape = rng.choice([0, 1, 2, 3, 3, 4, 5, 7, 11], ndim).tolist()
    while np.prod(shape) > 70:
        shape.pop()
    count = int(np.prod(shape))
    values = torch.from_numpy(random_values(rng, count))
    if dtype.is_complex:
        values = torch.complex(values, torch.from_numpy(random_values(rng, count)))
    tensor = values.to(dtype).reshape(shape)
    if (dtype.is_complex or dtype.is_floating_point) and rng.random() < 0.2:
        tensor.requires_grad_()
    return tensor


def repr_case(tensor):
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "requires_grad": tensor.requires_grad,
        "data": base64.b64encode(bits_of(tensor)).decode(),
        "text": ours(repr(tensor)),
    }


# Too long to print whole; made from ints, so that expressions do.
LARGE = (
    "np.arange(1001)",
    "np.arange(2000.0).reshape(40, 50)",
    "np.arange(2000.0).reshape(4, 500) * 1000",
    "np.arange(1200).reshape(300, 4) % 7 / 8",
    "np.arange(5000).reshape(2, 50, 50).astype(np.uint8)",
    "np.arange(5000).reshape(50, 4, 25) % 2 == 0",
    "(np.arange(4096) * (1 + 1j)).reshape(8, 8, 8, 8)",
    "np.arange(1100).reshape(1100, 1).astype(np.float16)",
    "np.arange(1100).reshape(1, 1100).astype(np.int8)",
    "np.arange(7 * 7 * 7 * 7).reshape(7, 7, 7, 7).astype(np.float32) / 3",
    "np.zeros((1001,))",
    "np.zeros((7, 143)) - 0.5",
    "np.zeros((1000,))",
    "np.zeros((10, 100), np.float32)",
    "np.arange(1000)",
    "np.zeros((2000, 0))",
)


def reprs():
    rng = np.random.default_rng(2)
    large = [
        [expression, ours(repr(torch.from_numpy(eval(expression))))]
        for expression in LARGE
    ]
    small = [repr_case(random_tensor(rng)) for _ in range(180)]
    return {"torch": torch.__version__, "large": large, "small": small}


def write(path, content):
    path.write_text(json.dumps(content, indent=None, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


def main():
    write(DATA / "torch_semantics.json", semantics())
    write(DATA / "torch_semantics_repr.json", reprs())


if __name__ == "__main__":
    main()
