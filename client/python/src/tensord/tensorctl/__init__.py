"""The command line ``tensorctl``; ``tensorctl --help`` is its reference.

Only :func:`main` is meant for other programs.
"""

from tensord.tensorctl._main import main

__all__ = ["main"]
