"""What loading and saving files takes, whether calls block or are awaited."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from tensord._arguments import KeepingOptions, overflow_code
from tensord._connection import checked_name
from tensord._dtype import to_dtype
from tensord._files import ArraySpec, File, format_of, open_arrays
from tensord._progress import check_progress, parts_of, reporting
from tensord.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tensord._described import Described
    from tensord._progress import Progress, Report


class Loading:
    """The arrays of a file, and how each is to be kept."""

    def __init__(
        self,
        file: File,
        format: str | None,
        dtype: Any,
        kept: KeepingOptions,
    ) -> None:
        target = None if dtype is None else to_dtype(dtype, "load")
        found = format_of(file, format)
        self.kept = kept
        self.arrays = open_arrays(file, found, target)
        # That of a file which holds no other.
        self.single = self.arrays[""] if found == "npy" else None
        if self.single is not None:
            return
        if kept.get("if_match") is not None:
            raise InvalidArgumentError(
                "load(): if_match is for the tensor of a .npy; a file of "
                "several replaces by replace=True",
                reason="ETAG_MISMATCH",
            )
        prefix = kept.pop("name", None)
        self._prefix = None if prefix is None else checked_name(prefix)
        self.progress = check_progress(kept.pop("progress", None))
        self.size_bytes = sum(one.nbytes for one in self.arrays.values())
        self.report_to(None)

    def report_to(self, report: Report | None) -> None:
        """Has the transfers, one after the other, report as one."""
        self._next_part = parts_of(report, self.size_bytes)

    def options_of(self, key: str) -> KeepingOptions:
        """How to keep the next array, whose name in the file is `key`."""
        name = None if self._prefix is None else f"{self._prefix}{key}"
        part = self._next_part(self.arrays[key].nbytes)
        options = {**self.kept, "name": name, "progress": part}
        return cast(KeepingOptions, options)


class Saving:
    """How tensors are written to a file."""

    def __init__(
        self,
        tensors: Mapping[str, Described],
        dtype: Any,
        overflow: str,
        progress: Progress,
    ) -> None:
        self.dtype = None if dtype is None else to_dtype(dtype, "save")
        overflow_code(overflow)
        self.overflow = overflow
        self.specs = {
            checked_name(name): ArraySpec(
                self.dtype or tensor.dtype, tuple(tensor.shape)
            )
            for name, tensor in tensors.items()
        }
        self._progress = check_progress(progress)
        self._size_bytes = sum(spec.size_bytes for spec in self.specs.values())
        self.next_part = parts_of(None, self._size_bytes)

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Has the transfers, one after the other, report as one."""
        with reporting(self._progress, self._size_bytes) as report:
            self.next_part = parts_of(report, self._size_bytes)
            yield
