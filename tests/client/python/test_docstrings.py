"""Examples in the package's docstrings and README print what they show.

They find `np`, `tensord` and a client `c` of an empty server, and know that
server as localhost:50051. In tensord.aio the client is one of that module,
and examples may await, as at the prompt of `python -m asyncio`.
"""

import ast
import asyncio
import doctest
import importlib
import inspect
import io
import pathlib
import pkgutil

import numpy as np
import pytest
import tensord
import tensord.aio

ROOT = pathlib.Path(__file__).parents[3]
ADDRESS = "localhost:50051"


class Finder(doctest.DocTestFinder):
    """Finds what says to be of a module, and all methods of its classes."""

    def _from_module(self, module, object):
        home = getattr(object, "__module__", None)
        if home is None:
            return super()._from_module(module, object)
        is_method = "." in getattr(object, "__qualname__", "")
        return home == module.__name__ or (
            is_method and home.partition(".")[0] == "tensord"
        )


def modules():
    # Its names are there once they were used.
    for name in dir(tensord):
        getattr(tensord, name)
    yield tensord
    for found in pkgutil.walk_packages(tensord.__path__, "tensord."):
        module = importlib.import_module(found.name)
        if module.__file__.endswith(".py"):
            yield module


def in_readme():
    path = ROOT / "client/python/README.md"
    # Otherwise the end of a block would be part of what is printed.
    text = path.read_text().replace("\n```", "\n\n")
    parser = doctest.DocTestParser()
    return parser.get_doctest(text, {}, path.name, str(path), 0)


def examples():
    """Docstrings with examples, by what they are of."""
    finder = Finder()
    found = [
        one
        for module in modules()
        for one in finder.find(module, globs={})
        if one.examples
    ]
    return {one.name: one for one in (*found, in_readme())}


EXAMPLES = examples()


def rewritten(test, target):
    """A copy whose examples connect to `target`."""
    return doctest.DocTest(
        [
            doctest.Example(
                one.source.replace(ADDRESS, target),
                one.want.replace(ADDRESS, target),
                one.exc_msg and one.exc_msg.replace(ADDRESS, target),
                one.lineno,
                one.indent,
                one.options,
            )
            for one in test.examples
        ],
        *({}, test.name, test.filename, test.lineno, test.docstring),
    )


@pytest.fixture
def loop(monkeypatch):
    """Lets examples await."""
    loop = asyncio.new_event_loop()

    def execute(code, namespace):
        made = eval(code, namespace)
        if inspect.iscoroutine(made):
            loop.run_until_complete(made)

    # Hides the built-in from doctest alone.
    monkeypatch.setattr(doctest, "exec", execute, raising=False)
    yield loop
    loop.close()


@pytest.fixture
def client(empty_server, loop, request):
    if request.param.startswith("tensord.aio"):
        connecting = tensord.aio.connect(empty_server.target)
        client = loop.run_until_complete(connecting)
        yield client
        loop.run_until_complete(client.close())
    else:
        with tensord.connect(empty_server.target) as client:
            yield client
    with tensord.connect(empty_server.target) as cleaner:
        for name in list(cleaner):
            del cleaner[name]


@pytest.mark.parametrize(
    ("name", "client"),
    [(one, one) for one in EXAMPLES],
    indirect=["client"],
    ids=EXAMPLES,
)
def test_examples(name, client, empty_server, tmp_path, monkeypatch):
    # For the files that they write.
    monkeypatch.chdir(tmp_path)
    test = rewritten(EXAMPLES[name], empty_server.target)
    test.globs.update(np=np, tensord=tensord, c=client)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    shown = io.StringIO()
    result = runner.run(
        test, compileflags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, out=shown.write
    )
    assert result.attempted == len(test.examples)
    assert not result.failed, shown.getvalue()


def test_examples_are_found():
    assert EXAMPLES.keys() >= {
        "README.md",
        "tensord",
        "tensord._casts.Casts.to",
        "tensord.aio",
        "tensord.dtype",
    }
