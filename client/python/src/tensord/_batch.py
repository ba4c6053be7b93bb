"""The methods of a client that run many small calls at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, overload

import numpy as np

from tensord import _native as native
from tensord._arguments import (
    Lifetime,
    check_bool,
    check_grad,
    is_tensor,
    keeping,
    overflow_code,
    parse_to,
    tensor_id,
)
from tensord._array import allocate, to_source
from tensord._casts import Casts
from tensord._connection import Connection
from tensord._constructors import to_array
from tensord._device import to_device
from tensord._dtype import ALL_DTYPES, to_dtype, type_name
from tensord._tensor import RemoteTensor
from tensord.errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tensord._described import Described

_TensorT = TypeVar("_TensorT", bound="Described")


class CreateBatch:
    """``create_batch``, as a call that is yet to be made."""

    def __init__(
        self,
        client: Connection,
        arrays: Iterable[np.ndarray],
        dtype: Any,
        device: Any,
        requires_grad: bool,
        names: Iterable[str] | None,
        overflow: str,
        ttl: Lifetime,
        lease: Lifetime,
        replace: bool,
        report: bool,
    ) -> None:
        check_bool(requires_grad, "create_batch", "requires_grad")
        target = None if dtype is None else to_dtype(dtype, "create_batch")
        place = None if device is None else to_device(device, "create_batch")
        kept = keeping(
            "create_batch",
            overflow=overflow,
            ttl=ttl,
            lease=lease,
            replace=replace,
            report=report,
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
        self.call = native.CreateBatchCall(
            client._open,
            sources,
            batch_ids(names, len(sources)),
            None if target is None else target._code,
            "" if place is None else place._canonical,
            requires_grad,
            kept.overflow,
            kept.ttl,
            kept.lease,
            kept.replace,
            kept.report,
        )


class TransformBatch(Generic[_TensorT]):
    """``to_batch``, as a call that is yet to be made."""

    def __init__(
        self,
        client: Connection,
        tensors: Iterable[_TensorT],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        names: Iterable[str] | None,
        overflow: str,
        ttl: Lifetime,
        report: bool,
    ) -> None:
        wanted = parse_to(args, kwargs)
        kept = keeping("to_batch", overflow=overflow, ttl=ttl, report=report)
        self._tensors = _of_client(client, tensors, "to_batch")
        ids = batch_ids(names, len(self._tensors))
        self._changing = [
            place
            for place, tensor in enumerate(self._tensors)
            if ids
            or kept.report
            or (isinstance(tensor, Casts) and tensor._changes(wanted))
        ]
        operation = (
            "to",
            None if wanted.dtype is None else wanted.dtype._code,
            "" if wanted.device is None else wanted.device._canonical,
            wanted.copy,
            kept.overflow,
            kept.report,
        )
        self.call = native.TransformBatchCall(
            client._open,
            [self._tensors[place]._handle for place in self._changing],
            [operation],
            ids,
            kept.ttl,
        )

    def results(self, made: Sequence[_TensorT]) -> list[_TensorT]:
        """What was made, beside the tensors that did not change."""
        for place, tensor in zip(self._changing, made, strict=True):
            self._tensors[place] = tensor
        return self._tensors


class ReadBatch:
    """``numpy_batch``, as a call that is yet to be made."""

    def __init__(
        self,
        client: Connection,
        tensors: Iterable[Described],
        force: bool,
        dtype: Any,
        overflow: str,
    ) -> None:
        wanted = None if dtype is None else to_dtype(dtype, "numpy_batch")
        code = None if wanted is None else wanted._code
        policy = overflow_code(overflow)
        mine = _of_client(client, tensors, "numpy_batch")
        if not check_bool(force, "numpy_batch", "force"):
            for tensor in mine:
                tensor._check_readable()
        handles = [tensor._handle for tensor in mine]
        results = [
            allocate(handle.read_layout((), code, policy, force))
            for handle in handles
        ]
        # Filled by the call.
        self.arrays = [result.array for result in results]
        self.call = native.ReadBatchCall(
            client._open,
            handles,
            [result.memory for result in results],
            code,
            policy,
            force,
        )


class DeleteBatch:
    """``delete_batch``, as a call that is yet to be made."""

    def __init__(
        self, client: Connection, tensors: Iterable[Described]
    ) -> None:
        doomed = _of_client(client, tensors, "delete_batch")
        handles = [tensor._handle for tensor in doomed]
        connection = client._open
        for tensor in doomed:
            tensor._native = None
        self.call = native.DeleteBatchCall(connection, handles)


class Batches(Connection):
    """Many small calls at once; see :class:`tensord.Client`."""

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
        batch = CreateBatch(
            self,
            arrays,
            dtype,
            device,
            requires_grad,
            names,
            overflow,
            ttl,
            lease,
            replace,
            report,
        )
        return self._handles_on(batch.call.run())

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
        batch = TransformBatch(
            self, tensors, args, kwargs, names, overflow, ttl, report
        )
        return batch.results(self._handles_on(batch.call.run()))

    def get_batch(self, names: Iterable[str]) -> list[RemoteTensor]:
        """Handles on the tensors of these names, each as ``client[name]``.

        Raises
        ------
        NotFoundError
            There is no tensor of the first name of which that is so.
        """
        call = native.GetBatchCall(self._open, batch_ids(names))
        return self._handles_on(call.run())

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
        batch = ReadBatch(self, tensors, force, dtype, overflow)
        batch.call.run()
        return batch.arrays

    def delete_batch(self, tensors: Iterable[RemoteTensor]) -> None:
        """Deletes many tensors, named or not, as :meth:`RemoteTensor.delete`.

        Raises
        ------
        StateError
            One of them was deleted before; then all others stay.
        """
        DeleteBatch(self, tensors).call.run()

    # The same for anything that a single call takes, and by names.

    @overload
    def put_many(
        self, arrays: Mapping[str, Any], **options: Unpack[PutOptions]
    ) -> dict[str, RemoteTensor]: ...
    @overload
    def put_many(
        self, arrays: Iterable[Any], **options: Unpack[PutOptions]
    ) -> list[RemoteTensor]: ...
    def put_many(
        self,
        arrays: Mapping[str, Any] | Iterable[Any],
        **options: Unpack[PutOptions],
    ) -> dict[str, RemoteTensor] | list[RemoteTensor]:
        """Stores many arrays, each of what :meth:`tensor` takes, in one stream.

        Parameters
        ----------
        arrays
            By the names that tensors get; or without names, which makes
            tensors that go with their handles.
        dtype, device, requires_grad, overflow, ttl, lease, replace, report
            Of all tensors, as of :meth:`tensor`.

        Returns
        -------
        dict or list of RemoteTensor
            As `arrays`.

        Raises
        ------
        TensordError
            What :meth:`tensor` raises for the first array that is refused.
            Then none of the tensors is kept.

        Examples
        --------
        >>> c.put_many({"w": [[1.0, 2.0]], "n": 7}, ttl=60)["n"]
        tensor(7)
        >>> [t.shape for t in c.put_many([[1, 2], [3]])]
        [tensord.Size([2]), tensord.Size([1])]
        """
        putting = Putting(arrays, options)
        return putting.results(
            self.create_batch(
                putting.arrays, names=putting.names, **putting.options
            )
        )

    def get_many(
        self,
        tensors: Iterable[str | RemoteTensor],
        *,
        force: bool = False,
        dtype: Any = None,
        overflow: str = "torch",
    ) -> list[np.ndarray]:
        """The elements of many tensors, or of the tensors of many names.

        Parameters
        ----------
        tensors
            Names, tensors of this client, or some of both.
        force, dtype, overflow
            Of all reads, as of :meth:`RemoteTensor.numpy`.

        Returns
        -------
        list of numpy.ndarray
            In the order of `tensors`.

        Raises
        ------
        NotFoundError
            There is no tensor of the first name of which that is so.
        TensordError
            What :meth:`RemoteTensor.numpy` raises for the first tensor that
            is refused.

        Examples
        --------
        >>> t = c.tensor([1.5, 2.5], name="w")
        >>> c.get_many(["w", t[1]], dtype="int32")
        [array([1, 2], dtype=int32), array(2, dtype=int32)]
        """
        mixed = [*tensors]
        found = self.get_batch(one for one in mixed if isinstance(one, str))
        return self.numpy_batch(
            with_handles(mixed, found),
            force=force,
            dtype=dtype,
            overflow=overflow,
        )

    def _handles_on(self, made: list[native.Tensor]) -> list[RemoteTensor]:
        return [RemoteTensor._make(self, one) for one in made]


class PutOptions(TypedDict, total=False):
    """The keyword-only arguments of ``put_many``."""

    dtype: Any
    device: Any
    requires_grad: bool
    overflow: str
    ttl: Lifetime
    lease: Lifetime
    replace: bool
    report: bool


class Putting:
    """What ``put_many`` hands on to ``create_batch``."""

    def __init__(
        self, arrays: Mapping[str, Any] | Iterable[Any], options: PutOptions
    ) -> None:
        self.names = [*arrays] if isinstance(arrays, Mapping) else None
        given = arrays.values() if isinstance(arrays, Mapping) else arrays
        dtype = options.get("dtype")
        target = None if dtype is None else to_dtype(dtype, "put_many")
        self.arrays = [to_array(one, target) for one in given]
        self.options = options

    def results(
        self, made: list[_TensorT]
    ) -> dict[str, _TensorT] | list[_TensorT]:
        if self.names is None:
            return made
        return dict(zip(self.names, made, strict=True))


def with_handles(
    mixed: Iterable[str | _TensorT], found: Iterable[_TensorT]
) -> list[_TensorT]:
    """Tensors, where the handles of names stand in place of these."""
    handles = iter(found)
    return [next(handles) if isinstance(one, str) else one for one in mixed]


def _of_client(
    client: Connection, tensors: Iterable[_TensorT], function: str
) -> list[_TensorT]:
    """The tensors as a new list; refuses those of other clients."""
    mine = [*tensors]
    for tensor in mine:
        if not is_tensor(tensor):
            raise InvalidTypeError(
                f"{function}(): argument 'tensors' must be tensors, not "
                f"{type_name(tensor)}"
            )
        if tensor._client is not client:
            raise InvalidArgumentError(
                f"{function}(): a tensor is one of another client"
            )
    return mine


def batch_ids(
    names: Iterable[str] | None, count: int | None = None
) -> list[str]:
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
