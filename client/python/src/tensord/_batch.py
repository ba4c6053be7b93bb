"""The methods of a client that run many small calls at once."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tensord import _native as native
from tensord._arguments import (
    check_bool,
    check_grad,
    is_tensor,
    keeping,
    overflow_code,
    parse_to,
    tensor_id,
)
from tensord._array import allocate, to_source
from tensord._device import to_device
from tensord._dtype import ALL_DTYPES, to_dtype, type_name
from tensord._tensor import RemoteTensor
from tensord.errors import InvalidArgumentError, InvalidTypeError

Lifetime = float | datetime.timedelta | None


class Batches:
    """Many small calls at once; see :class:`tensord.Client`."""

    if TYPE_CHECKING:

        @property
        def _open(self) -> native.Client: ...

    def create_batch(
        self,
        arrays: Iterable[np.ndarray],
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        *,
        names: Iterable[str] | None = None,
        overflow: str = "torch",
        ttl: Lifetime = None,
        lease: Lifetime = None,
        replace: bool = False,
        report: bool = False,
    ) -> list[RemoteTensor]:
        """Stores copies of many arrays, as :meth:`tensor` stores one.

        All travel in one stream, which costs a fraction of single calls where
        the arrays are small.

        Parameters
        ----------
        arrays
            NumPy arrays, of any dtypes and shapes.
        dtype, device, requires_grad, overflow, ttl, lease, replace, report
            Of all tensors, as of :meth:`tensor`.
        names
            One for each array. Without them tensors go with their handles:
            let :meth:`delete_batch` delete them rather than one by one.

        Returns
        -------
        list of RemoteTensor
            In the order of the arrays.

        Raises
        ------
        TensordError
            What :meth:`tensor` raises for the first array that is refused.
            Then none of the tensors is kept.
        """
        check_bool(requires_grad, "create_batch", "requires_grad")
        target = None if dtype is None else to_dtype(dtype, "create_batch")
        place = None if device is None else to_device(device, "create_batch")
        kept = keeping(
            None,
            overflow,
            ttl,
            report,
            "create_batch",
            lease=lease,
            replace=replace,
        )
        sources = []
        for array in arrays:
            if not isinstance(array, np.ndarray):
                raise InvalidTypeError(
                    f"expected np.ndarray (got {type_name(array)})"
                )
            source = to_source(array)
            check_grad(target or ALL_DTYPES[source.dtype], requires_grad)
            sources.append(source)
        made = native.create_batch(
            self._open,
            sources,
            _ids(names, len(sources)),
            None if target is None else target._code,
            "" if place is None else place._canonical,
            requires_grad,
            kept.overflow,
            kept.ttl,
            kept.lease,
            kept.replace,
            kept.report,
        )
        return self._handles_on(made)

    def to_batch(
        self,
        tensors: Iterable[RemoteTensor],
        *args: Any,
        names: Iterable[str] | None = None,
        overflow: str = "torch",
        ttl: Lifetime = None,
        report: bool = False,
        **kwargs: Any,
    ) -> list[RemoteTensor]:
        """Casts many tensors, or moves them to another device.

        All calls travel in one stream, which costs a fraction of single calls
        where the tensors are small.

        Parameters
        ----------
        tensors
            Tensors of this client.
        names
            One for each tensor, to keep the results under.
        *args, overflow, ttl, report, **kwargs
            Of all tensors, as of :meth:`RemoteTensor.to`.

        Returns
        -------
        list of RemoteTensor
            In the order of `tensors`; as from :meth:`RemoteTensor.to`, the
            very same tensor where nothing changes.

        Raises
        ------
        TensordError
            What :meth:`RemoteTensor.to` raises for the first tensor that is
            refused. Then none of the results is kept.
        """
        wanted = parse_to(args, kwargs)
        kept = keeping(None, overflow, ttl, report, "to_batch")
        results = self._mine(tensors, "to_batch")
        ids = _ids(names, len(results))
        changing = [
            place
            for place, tensor in enumerate(results)
            if ids or kept.report or tensor._changes(wanted)
        ]
        operation = (
            "to",
            None if wanted.dtype is None else wanted.dtype._code,
            "" if wanted.device is None else wanted.device._canonical,
            wanted.copy,
            kept.overflow,
            kept.report,
        )
        made = native.transform_batch(
            self._open,
            [results[place]._handle for place in changing],
            [operation],
            ids,
            kept.ttl,
        )
        for place, handle in zip(changing, made, strict=True):
            results[place] = RemoteTensor._make(self, handle)  # type: ignore[arg-type]
        return results

    def get_batch(self, names: Iterable[str]) -> list[RemoteTensor]:
        """Handles on the tensors of these names, each as ``client[name]``.

        Raises
        ------
        NotFoundError
            There is no tensor of the first name of which that is so.
        """
        connection = self._open
        names = _ids(names, None)
        return self._handles_on(native.get_batch(connection, names))

    def numpy_batch(
        self,
        tensors: Iterable[RemoteTensor],
        *,
        force: bool = False,
        dtype: Any = None,
        overflow: str = "torch",
    ) -> list[np.ndarray]:
        """The elements of many tensors, each as :meth:`RemoteTensor.numpy`.

        All travel in one stream, which costs a fraction of single calls where
        the tensors are small.

        Parameters
        ----------
        tensors
            Tensors of this client.
        force, dtype, overflow
            Of all reads, as of :meth:`RemoteTensor.numpy`.

        Returns
        -------
        list of numpy.ndarray
            In the order of `tensors`.

        Raises
        ------
        TensordError
            What :meth:`RemoteTensor.numpy` raises for the first tensor that
            is refused.
        """
        wanted = None if dtype is None else to_dtype(dtype, "numpy_batch")
        code = None if wanted is None else wanted._code
        policy = overflow_code(overflow)
        mine = self._mine(tensors, "numpy_batch")
        if not check_bool(force, "numpy_batch", "force"):
            for tensor in mine:
                tensor._check_readable()
        handles = [tensor._handle for tensor in mine]
        results = [
            allocate(handle.read_layout((), code, policy, force))
            for handle in handles
        ]
        memories = [result.memory for result in results]
        native.read_batch(self._open, handles, memories, code, policy, force)
        return [result.array for result in results]

    def delete_batch(self, tensors: Iterable[RemoteTensor]) -> None:
        """Deletes many tensors, named or not, as :meth:`RemoteTensor.delete`.

        Raises
        ------
        StateError
            One of them was deleted before; then all others stay.
        """
        doomed = self._mine(tensors, "delete_batch")
        handles = [tensor._handle for tensor in doomed]
        for tensor in doomed:
            tensor._native = None
        native.delete_batch(self._open, handles)

    def _mine(
        self, tensors: Iterable[RemoteTensor], function: str
    ) -> list[RemoteTensor]:
        """The tensors as a new list; refuses those of other clients."""
        mine = [*tensors]
        for tensor in mine:
            if not is_tensor(tensor):
                raise InvalidTypeError(
                    f"{function}(): argument 'tensors' must be tensors, not "
                    f"{type_name(tensor)}"
                )
            if tensor._client is not self:
                raise InvalidArgumentError(
                    f"{function}(): a tensor is one of another client"
                )
        return mine

    def _handles_on(
        self: Any, made: list[native.Tensor]
    ) -> list[RemoteTensor]:
        return [RemoteTensor._make(self, one) for one in made]


def _ids(names: Iterable[str] | None, count: int | None) -> list[str]:
    """The ids to ask for; none without names."""
    if names is None:
        return []
    if isinstance(names, str):
        raise InvalidTypeError("names must be many str, not str")
    ids = [*map(tensor_id, names)]
    if count is not None and len(ids) != count:
        raise InvalidArgumentError(
            f"{len(ids)} names for {count} tensors", reason="NAME_INVALID"
        )
    return ids
