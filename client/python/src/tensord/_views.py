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
    """Views and copies of another shape; see :class:`tensord.RemoteTensor`.

    Examples
    --------
    Views share the memory of what they are views of, in the server, and only
    what is asked for travels:

    >>> t = c.tensor(np.arange(12.0).reshape(3, 4), dtype="float32")
    >>> t.T[1]
    tensor([1., 5., 9.])
    >>> t[:, ::2].numpy()
    array([[ 0.,  2.],
           [ 4.,  6.],
           [ 8., 10.]], dtype=float32)
    """

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
        """A view of some of the elements; basic indexing only.

        Examples
        --------
        >>> t = c.tensor([[1, 2, 3], [4, 5, 6]])
        >>> t[0, 1:]
        tensor([2, 3])
        >>> t[..., None].shape
        tensord.Size([2, 3, 1])
        """
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
        """A view that does not require grad.

        Examples
        --------
        >>> t = c.tensor([1.0, 2.0], requires_grad=True)
        >>> t.detach().numpy()
        array([1., 2.], dtype=float32)
        """
        return self._transform(("detach",))

    def clone(self) -> TensorT:
        """A copy in storage of its own.

        Examples
        --------
        >>> t = c.tensor(np.zeros((1000, 1000), np.float32))
        >>> row = t[0].clone()
        >>> del t  # and its 4 MB, which a mere view would keep
        >>> row.nbytes
        4000
        """
        return self._transform(("clone",))

    def contiguous(self) -> TensorT:
        """This tensor in C order; the very same if it is.

        Examples
        --------
        >>> t = c.tensor([[1, 2], [3, 4]])
        >>> t.contiguous() is t
        True
        >>> t.T.stride(), t.T.contiguous().stride()
        ((1, 2), (2, 1))
        """
        if self.is_contiguous():
            return self._itself()
        return self._transform(("contiguous",))

    def reshape(self, *shape: Any, **named: Any) -> TensorT:
        """The same elements in another shape; a view where strides allow.

        Examples
        --------
        >>> c.tensor([[1, 2, 3], [4, 5, 6]]).T.reshape(2, -1)
        tensor([[1, 4, 2],
                [5, 3, 6]])
        """
        wanted = _shape_argument(shape, named, "reshape", "shape")
        return self._transform(("reshape", wanted, False))

    def view(self, *shape: Any, **named: Any) -> TensorT:
        """The same elements in another shape, never copied.

        Raises
        ------
        StateError
            Strides do not allow it.

        Examples
        --------
        >>> t = c.tensor([[1, 2, 3], [4, 5, 6]])
        >>> t.view(3, 2)
        tensor([[1, 2],
                [3, 4],
                [5, 6]])
        >>> t.T.view(6)
        Traceback (most recent call last):
            ...
        tensord.StateError: view size is not compatible with input tensor's ...
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
        """A view with its dimensions in another order.

        Examples
        --------
        >>> photo = c.from_numpy(np.zeros((480, 640, 3), np.uint8))
        >>> photo.permute(2, 0, 1).shape
        tensord.Size([3, 480, 640])
        """
        wanted = _shape_argument(dims, named, "permute", "dims")
        _check_permutation(wanted, self.ndim)
        return self._transform(("permute", wanted))

    def transpose(self, dim0: int, dim1: int) -> TensorT:
        """A view with two dimensions exchanged.

        Examples
        --------
        >>> c.tensor(np.zeros((4, 3, 2))).transpose(0, -1).shape
        tensord.Size([2, 3, 4])
        """
        return self._swap(dim0, dim1, "TransposeBackward0")

    def _swap(self, dim0: Any, dim1: Any, grad_fn: str) -> TensorT:
        first = dimension(dim0, self.ndim, "transpose")
        second = dimension(dim1, self.ndim, "transpose")
        order = list(range(self.ndim))
        if order:
            order[first], order[second] = order[second], order[first]
        return self._transform(("permute", order), grad_fn=grad_fn)

    def t(self) -> TensorT:
        """The transpose of a tensor with at most two dimensions.

        Examples
        --------
        >>> c.tensor([[1, 2, 3]]).t()
        tensor([[1],
                [2],
                [3]])
        """
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
        """Dimensions `start_dim` to `end_dim` as one.

        Examples
        --------
        >>> images = c.tensor(np.zeros((10, 8, 8)))
        >>> images.flatten(1).shape
        tensord.Size([10, 64])
        """
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
        """A view without dimensions of size 1, or without those of `dim`.

        Examples
        --------
        >>> t = c.tensor(np.zeros((1, 3, 1)))
        >>> t.squeeze().shape, t.squeeze(0).shape
        (tensord.Size([3]), tensord.Size([3, 1]))
        """
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
        """A view with a new dimension of size 1 at `dim`.

        Examples
        --------
        >>> c.tensor([1, 2]).unsqueeze(1).shape
        tensord.Size([2, 1])
        """
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
