"""The package is typed, for itself and for programs that use it."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest
from tensord import _native

ROOT = pathlib.Path(__file__).parents[3]
PACKAGE = ROOT / "client/python/src/tensord"


def mypy(*arguments):
    pytest.importorskip("mypy")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--cache-dir",
            ROOT / "build/mypy",
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_package_is_strictly_typed():
    assert mypy(PACKAGE).startswith("Success")


PROGRAM = """
import asyncio
import numpy as np
import tensord
import tensord.aio

c = tensord.connect()
t = c.tensor(np.zeros(3), "float32", name="a")
reveal_type(t)  # RemoteTensor
reveal_type(t.half().detach().T[0])  # RemoteTensor
reveal_type(t.numpy())  # ndarray[
reveal_type(t.shape)  # Size
reveal_type(t.dtype)  # dtype
reveal_type(t.device)  # device
reveal_type(c.create_batch([np.zeros(1)]))  # list[tensord._tensor.RemoteTensor]
reveal_type(c.convert([1], "int8"))  # ndarray[
reveal_type(c.put_many({"a": [1]}))  # dict[str, tensord._tensor.RemoteTensor]
reveal_type(c.put_many([[1]], ttl=60))  # list[tensord._tensor.RemoteTensor]
reveal_type(c.asarray([1], dtype=c.float16, ttl=60))  # RemoteTensor
reveal_type(c.load("a.npy", progress=print))  # Any
reveal_type(c.float16)  # dtype

async def main() -> None:
    async with await tensord.aio.connect() as client:
        reveal_type(client)  # aio._client.Client
        u = await client.tensor([1])
        reveal_type(u)  # aio._tensor.RemoteTensor
        reveal_type(await u.half())  # aio._tensor.RemoteTensor
        reveal_type(u.half().T)  # aio._tensor.PendingTensor
        reveal_type(await client.tensor([1]).detach().numpy())  # ndarray[
        reveal_type(await u[0])  # aio._tensor.RemoteTensor
        reveal_type(await u.numpy())  # ndarray[
        reveal_type(await client.create_batch([]))  # list[tensord.aio._tensor.Remote
        reveal_type([name async for name in client])  # list[str
        reveal_type(await client.put_many({"a": 1}))  # dict[str, tensord.aio.
        task = asyncio.create_task(client.tensor([1]))
        reveal_type(await task)  # aio._tensor.RemoteTensor
"""


def test_programs_are_typed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    shown = mypy(program)
    assert "error" not in shown
    # Paths are those of the run that is in the cache.
    notes = dict(re.findall(r"program\.py:(\d+): note: (Revealed .*)", shown))
    for number, line in enumerate(PROGRAM.splitlines(), 1):
        if "# " in line:
            assert line.split("# ")[1] in notes[str(number)], line


def test_the_stub_is_of_the_module():
    tree = ast.parse((PACKAGE / "_native.pyi").read_text())
    classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    call = {one.name for one in classes.pop("_Call").body[1:]}
    info = classes.pop("Info")
    assert info
    stub = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    stub |= {
        node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)
    }
    for name, node in classes.items():
        methods = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
        if any("_Call" in ast.unparse(base) for base in node.bases):
            methods |= call
        stub |= {name} | {f"{name}.{method}" for method in methods}
    module = set()
    for name, value in vars(_native).items():
        if name.startswith("__"):
            continue
        module.add(name)
        if isinstance(value, type):
            module |= {
                f"{name}.{method}"
                for method in vars(value)
                if method == "__init__" or not method.startswith("__")
            }
    # Classes that Python can not make have one that refuses.
    assert stub == {
        name
        for name in module
        if not name.endswith(".__init__") or name in stub
    }
