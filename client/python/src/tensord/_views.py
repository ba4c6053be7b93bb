"""The methods of a tensor that see its elements in another shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tensord._arguments import dimension, sizes
from tensord._dtype import dtype
from tensord._index import index_terms
from tensord.errors import InvalidTypeError, StateError, UnimplementedError

if TYPE_CHECKING:
    from tensord._device import Size


# What a method that makes a tensor gives: the tensor, or what is to be awaited.
TensorT = TypeVar("TensorT")


class Views(Generic[TensorT]):
    """Views and copies of another shape; see :class:`tensord.RemoteTensor`."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def shape(self) -> Size: ...
        @property
        def ndim(self) -> int: ...
        def _itself(self) -> TensorT: ...
        def _transform(self, *operations: Any, **options: Any) -> TensorT: ...
        def is_contiguous(self) -> bool: ...

    def __getitem__(self, key: Any) -> TensorT:
        """A view of some of the elements; basic indexing only."""
        return self._transform(("index", index_terms(key, self.ndim)))

    def __len__(self) -> int:
        if self.ndim == 0:
            raise InvalidTypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[TensorT]:
        if self.ndim == 0:
            raise InvalidTypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self)))

    def detach(self) -> TensorT:
        """A view that does not require grad."""
        return self._transform(("detach",))

    def clone(self) -> TensorT:
        """A copy in storage of its own."""
        return self._transform(("clone",))

    def contiguous(self) -> TensorT:
        """This tensor in C order; the very same if it is."""
        if self.is_contiguous():
            return self._itself()
        return self._transform(("contiguous",))

    def reshape(self, *shape: Any, **named: Any) -> TensorT:
        """The same elements in another shape; a view where strides allow."""
        wanted = _shape_argument(shape, named, "reshape", "shape")
        return self._transform(("reshape", wanted, False))

    def view(self, *shape: Any, **named: Any) -> TensorT:
        """The same elements in another shape, never copied.

        Raises
        ------
        StateError
            Strides do not allow it.
        """
        if not shape and not named:
            raise InvalidTypeError(
                "view() received an invalid combination of arguments - got "
                "(), but expected one of:\n * (tensord.dtype dtype)\n"
                " * (tuple of ints size)\n"
            )
        if len(shape) == 1 and isinstance(shape[0], dtype):
            raise UnimplementedError("view(dtype) is not supported")
        wanted = _shape_argument(shape, named, "view", "size")
        return self._transform(("reshape", wanted, True))

    def permute(self, *dims: Any, **named: Any) -> TensorT:
        """A view with its dimensions in another order."""
        wanted = _shape_argument(dims, named, "permute", "dims")
        _check_permutation(wanted, self.ndim)
        return self._transform(("permute", wanted))

    def transpose(self, dim0: int, dim1: int) -> TensorT:
        """A view with two dimensions exchanged."""
        return self._swap(dim0, dim1, "TransposeBackward0")

    def _swap(self, dim0: Any, dim1: Any, grad_fn: str) -> TensorT:
        first = dimension(dim0, self.ndim, "transpose")
        second = dimension(dim1, self.ndim, "transpose")
        order = list(range(self.ndim))
        if order:
            order[first], order[second] = order[second], order[first]
        return self._transform(("permute", order), grad_fn=grad_fn)

    def t(self) -> TensorT:
        """The transpose of a tensor with at most two dimensions."""
        if self.ndim > 2:
            raise StateError(
                "t() expects a tensor with <= 2 dimensions, but self is "
                f"{self.ndim}D",
                code="INVALID_ARGUMENT",
            )
        return self._swap(0, -1, "TBackward0")

    @property
    def T(self) -> TensorT:
        """A view with its dimensions in reverse order."""
        return self._transform(("permute", list(range(self.ndim))[::-1]))

    @property
    def mT(self) -> TensorT:
        """A view with its last two dimensions exchanged."""
        if self.ndim == 1:
            raise StateError(
                "tensor.mT is only supported on matrices or batches of "
                "matrices. Got 1-D tensor.",
                code="INVALID_ARGUMENT",
            )
        return self._swap(-2 if self.ndim else 0, -1, "TransposeBackward0")

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> TensorT:
        """Dimensions `start_dim` to `end_dim` as one."""
        first = dimension(start_dim, self.ndim, "flatten")
        last = dimension(end_dim, self.ndim, "flatten")
        if first > last:
            raise StateError(
                "flatten() has invalid args: start_dim cannot come after "
                "end_dim",
                code="INVALID_ARGUMENT",
            )
        if first == last and self.ndim > 0:
            return self._itself()
        count = 1
        for size in self.shape[first : last + 1]:
            count *= size
        shape = [*self.shape[:first], count, *self.shape[last + 1 :]]
        return self._transform(("reshape", shape, False))

    def squeeze(self, dim: int | Sequence[int] | None = None) -> TensorT:
        """A view without dimensions of size 1, or without those of `dim`."""
        if dim is None:
            dropped, grad_fn = set(range(self.ndim)), "SqueezeBackward0"
        elif isinstance(dim, (tuple, list)):
            dropped, grad_fn = self._distinct(dim), "SqueezeBackward2"
        else:
            dropped = {dimension(dim, self.ndim, "squeeze")}
            grad_fn = "SqueezeBackward1"
        terms = [
            0 if i in dropped and size == 1 else (None, None, None)
            for i, size in enumerate(self.shape)
        ]
        return self._transform(("index", terms), grad_fn=grad_fn)

    def _distinct(self, dims: Sequence[int]) -> set[int]:
        seen: set[int] = set()
        for one in dims:
            number = dimension(one, self.ndim, "squeeze")
            if number in seen:
                raise StateError(
                    f"dim {number} appears multiple times in the list of dims",
                    code="INVALID_ARGUMENT",
                )
            seen.add(number)
        return seen

    def unsqueeze(self, dim: int) -> TensorT:
        """A view with a new dimension of size 1 at `dim`."""
        place = dimension(dim, self.ndim + 1, "unsqueeze")
        terms = [(None, None, None)] * place + [None]
        return self._transform(("index", terms), grad_fn="UnsqueezeBackward0")


def _shape_argument(
    args: Sequence[Any], named: dict[str, Any], function: str, argument: str
) -> list[int]:
    if set(named) - {argument}:
        wrong = next(iter(set(named) - {argument}))
        raise InvalidTypeError(
            f"{function}() got an unexpected keyword argument '{wrong}'"
        )
    if named:
        args = (*args, named[argument])
    if not args:
        raise InvalidTypeError(
            f"{function}() missing 1 required positional arguments: "
            f'"{argument}"'
        )
    return sizes(args, function, argument)


def _check_permutation(dims: Sequence[int], ndim: int) -> None:
    if len(dims) != ndim:
        raise StateError(
            "permute(sparse_coo): number of dimensions in the tensor input "
            "does not match the length of the desired ordering of dimensions "
            f"i.e. input.dim() = {ndim} is not equal to len(dims) = "
            f"{len(dims)}",
            code="INVALID_ARGUMENT",
            reason="DIMS_INVALID",
        )
    places = [dimension(dim, ndim, "permute") for dim in dims]
    if len(set(places)) != len(places):
        raise StateError(
            "permute(): duplicate dims are not allowed.",
            code="INVALID_ARGUMENT",
            reason="DIMS_INVALID",
        )
