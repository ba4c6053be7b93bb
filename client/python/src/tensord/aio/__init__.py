"""The client for asyncio: what :mod:`tensord` has, to be awaited.

>>> import asyncio, numpy as np, tensord.aio
>>> async def main():
...     async with await tensord.aio.connect("localhost:50051") as c:
...         t = await c.tensor(np.array([5, 7, 1]), dtype="float32")
...         return await t.detach().cpu().numpy()
>>> asyncio.run(main())
array([5., 7., 1.], dtype=float32)

Methods follow each other as in PyTorch, with one ``await`` for all of them.
Calls that are awaited at once, as by :func:`asyncio.gather`, run at once; no
call has a thread of its own. A task that is cancelled gives its call up, and
ends when the call has let go of the arrays that it was given. What needs no
server, such as ``t.shape``, is not awaited.
"""

from __future__ import annotations

from tensord.aio._client import Client, connect
from tensord.aio._tensor import PendingTensor, RemoteTensor

__all__ = ["Client", "PendingTensor", "RemoteTensor", "connect"]
