"""The methods of a tensor that change dtype or device."""

from __future__ import annotations

import builtins
import re
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tensord._arguments import (
    ToArguments,
    check_bool,
    keeping,
    parse_to,
)
from tensord._device import device as Device
from tensord._device import to_device
from tensord._dtype import ALL_DTYPES, BY_NAME, find_dtype
from tensord._dtype import dtype as DType
from tensord.errors import InvalidArgumentError, InvalidTypeError, StateError

_BY_LEGACY_NAME = {one._legacy: one for one in ALL_DTYPES}
_LEGACY_TYPE = re.compile(r"(?:tensord|torch)\.(cuda\.)?([A-Za-z0-9_]+)Tensor")


def _parse_type(wanted: Any) -> tuple[DType, Device | None]:
    """What ``type(wanted)`` asks for: PyTorch's legacy names, or a dtype."""
    if isinstance(wanted, str):
        legacy = _LEGACY_TYPE.fullmatch(wanted)
        if legacy and legacy[2] in _BY_LEGACY_NAME:
            place = Device("cuda" if legacy[1] else "cpu")
            return _BY_LEGACY_NAME[legacy[2]], place
    found = find_dtype(wanted)
    if found is not None:
        return found, None
    if isinstance(wanted, (str, builtins.type)):
        shown = wanted if isinstance(wanted, str) else wanted.__name__
        raise InvalidArgumentError(
            f"invalid type: '{shown}'", reason="DTYPE_UNKNOWN"
        )
    raise InvalidTypeError("dtype must be a type, str, or dtype object")


# What a method that makes a tensor gives: the tensor, or what is to be awaited.
TensorT = TypeVar("TensorT")


class Casts(Generic[TensorT]):
    """Casts and transfers; see :class:`tensord.RemoteTensor`.

    Examples
    --------
    >>> t = c.tensor([1.5, 2.5])
    >>> t.half()
    tensor([1.5000, 2.5000], dtype=tensord.float16)
    >>> t.int()
    tensor([1, 2], dtype=tensord.int32)
    >>> c.tensor([300.0]).byte(overflow="saturate")
    tensor([255], dtype=tensord.uint8)
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def dtype(self) -> DType: ...
        @property
        def device(self) -> Device: ...
        def _itself(self) -> TensorT: ...
        def _transform(self, *operations: Any, **options: Any) -> TensorT: ...

    def _keeps(
        self, wanted: ToArguments
    ) -> tuple[builtins.bool, builtins.bool]:
        """Whether the dtype stays what it is, and whether the device does."""
        same_dtype = wanted.dtype in (None, self.dtype)
        same_device = (
            wanted.device is None
            or wanted.device._canonical == self.device._canonical
        )
        return same_dtype, same_device

    def _changes(self, wanted: ToArguments) -> builtins.bool:
        """Whether what is wanted is another tensor than this one."""
        return wanted.copy or not all(self._keeps(wanted))

    def _to(
        self,
        wanted: ToArguments,
        overflow: str = "torch",
        name: str | None = None,
        ttl: Any = None,
        report: builtins.bool = False,
        function: str = "to",
        **replacing: Any,
    ) -> TensorT:
        kept = keeping(
            function,
            name=name,
            overflow=overflow,
            ttl=ttl,
            report=report,
            **replacing,
        )
        same_dtype, same_device = self._keeps(wanted)
        same = same_dtype and same_device and not wanted.copy
        replaces = kept.replace or kept.if_match
        if same and name is None and not report and not replaces:
            return self._itself()
        operation = (
            "to",
            None if same_dtype else wanted.dtype._code,  # type: ignore[union-attr]
            "" if same_device else wanted.device._canonical,  # type: ignore[union-attr]
            wanted.copy,
            kept.overflow,
            kept.report,
        )
        return self._transform(operation, kept=kept)

    def to(
        self,
        *args: Any,
        overflow: str = "torch",
        name: str | None = None,
        ttl: Any = None,
        lease: Any = None,
        replace: builtins.bool = False,
        if_match: str | None = None,
        report: builtins.bool = False,
        **kwargs: Any,
    ) -> TensorT:
        """Casts, or moves to another device.

        Takes PyTorch's overloads: ``to(dtype)``, ``to(device)``,
        ``to(device, dtype)``, ``to(other)``, each with ``non_blocking=``
        (which changes nothing) and ``copy=``.

        Parameters
        ----------
        overflow : {"torch", "saturate", "error"}
            What becomes of values that the dtype can not hold.
        name : str, optional
            Keeps the result on the server under this name.
        ttl : float or datetime.timedelta, optional
            Lifetime of the result, in seconds.
        lease, replace, if_match
            As of the constructors of :class:`Client`.
        report
            Asks what the cast does to the values, for the result's
            :attr:`conversion_report`. Costs some time.

        Returns
        -------
        RemoteTensor
            This very tensor where nothing changes, without `copy`, `name` and
            `report`.

        Raises
        ------
        CastOverflowError
            A value does not fit, under ``overflow="error"``.
        StateError
            There is no such device.

        Examples
        --------
        >>> t = c.tensor([300.0, -1.5])
        >>> t.to("float16")
        tensor([300.0000,  -1.5000], dtype=tensord.float16)
        >>> t.to("float32") is t
        True

        Values that an integer can not hold become what PyTorch makes of them,
        or what `overflow` says:

        >>> t.to(tensord.uint8)
        tensor([ 44, 255], dtype=tensord.uint8)
        >>> t.to(tensord.uint8, overflow="saturate")
        tensor([255,   0], dtype=tensord.uint8)

        Under a name the result stays when its handle goes:

        >>> _ = t.to("bfloat16", name="w/0", ttl=60)
        >>> c["w/0"].dtype
        tensord.bfloat16
        """
        return self._to(
            parse_to(args, kwargs),
            overflow,
            name,
            ttl,
            report,
            lease=lease,
            replace=replace,
            if_match=if_match,
        )

    def _cast(self, name: str, overflow: str) -> TensorT:
        return self._to(ToArguments(BY_NAME[name], None, False), overflow)

    def bool(self, *, overflow: str = "torch") -> TensorT:
        """``to(tensord.bool)``."""
        return self._cast("bool", overflow)

    def byte(self, *, overflow: str = "torch") -> TensorT:
        """``to(tensord.uint8)``."""
        return self._cast("uint8", overflow)

    def char(self, *, overflow: str = "torch") -> TensorT:
        """``to(tensord.int8)``."""
        return self._cast("int8", overflow)

    def short(self, *, overflow: str = "torch") -> TensorT:
        """``to(tensord.int16)``."""
        return self._cast("int16", overflow)

    def int(self, *, overflow: str = "torch") -> TensorT:
        """``to(tensord.int32)``."""
        return self._cast("int32", overflow)

    def long(self, *, overflow: str = "torch") -> TensorT:
        """``to(tensord.int64)``."""
        return self._cast("int64", overflow)

    def half(self, *, overflow: str = "torch") -> TensorT:
        """``to(tensord.float16)``."""
        return self._cast("float16", overflow)

    def bfloat16(self, *, overflow: str = "torch") -> TensorT:
        """``to(tensord.bfloat16)``."""
        return self._cast("bfloat16", overflow)

    def float(self, *, overflow: str = "torch") -> TensorT:
        """``to(tensord.float32)``."""
        return self._cast("float32", overflow)

    def double(self, *, overflow: str = "torch") -> TensorT:
        """``to(tensord.float64)``."""
        return self._cast("float64", overflow)

    def cfloat(self, *, overflow: str = "torch") -> TensorT:
        """``to(tensord.complex64)``."""
        return self._cast("complex64", overflow)

    def cdouble(self, *, overflow: str = "torch") -> TensorT:
        """``to(tensord.complex128)``."""
        return self._cast("complex128", overflow)

    def type(
        self,
        dtype: Any = None,
        non_blocking: builtins.bool = False,
        *,
        overflow: str = "torch",
        report: builtins.bool = False,
    ) -> TensorT | str:
        """The name of this tensor's legacy type, or a cast to `dtype`.

        Parameters
        ----------
        dtype : dtype or str, optional
            A dtype, or a legacy name such as ``"torch.DoubleTensor"`` or
            ``"tensord.DoubleTensor"``.
        overflow, report
            As for :meth:`to`.

        Examples
        --------
        >>> t = c.tensor([1.5, 2.5])
        >>> t.type()
        'tensord.FloatTensor'
        >>> t.type("torch.ByteTensor")
        tensor([1, 2], dtype=tensord.uint8)
        """
        if dtype is None:
            place = "cuda." if self.device.type == "cuda" else ""
            return f"tensord.{place}{self.dtype._legacy}Tensor"
        check_bool(non_blocking, "type", "non_blocking")
        wanted, place_wanted = _parse_type(dtype)
        if place_wanted is not None and place_wanted.type == self.device.type:
            place_wanted = None
        return self._to(
            ToArguments(wanted, place_wanted, False),
            overflow,
            report=report,
            function="type",
        )

    def cpu(self) -> TensorT:
        """This tensor in CPU memory; the very same if it is there.

        Examples
        --------
        >>> t = c.tensor([1.0])
        >>> t.cpu() is t
        True
        """
        return self._to(ToArguments(None, Device("cpu"), False))

    def cuda(
        self, device: Any = None, non_blocking: builtins.bool = False
    ) -> TensorT:
        """This tensor on a CUDA device; the very same if it is there.

        Parameters
        ----------
        device : device, str or int, optional
            Which; ``cuda:0`` if not given.
        non_blocking
            Taken as PyTorch takes it; changes nothing.

        Raises
        ------
        StateError
            `device` is no CUDA device, or the server has no such device.
        """
        check_bool(non_blocking, "cuda", "non_blocking")
        wanted = to_device("cuda" if device is None else device, "cuda")
        if wanted.type != "cuda":
            raise StateError(
                "Invalid device, must be cuda device",
                code="INVALID_ARGUMENT",
                reason="DEVICE_INVALID",
            )
        return self._to(ToArguments(None, wanted, False))
