import torch
torch.set_printoptions(profile="default")

import copy
import warnings

import numpy as np

warnings.simplefilter("ignore")


def show(*values):
    for value in values:
        print(value)


def refused(call):
    try:
        call()
    except (IndexError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        kinds = (IndexError, OverflowError, RuntimeError, TypeError, ValueError)
        kind = next(kind for kind in kinds if isinstance(error, kind))
        print(f"{kind.__name__}: {error}")


# Tensors of arrays: three constructors, three rules.
a = np.array([5, 7, 1, 2, 4, 4])
show(torch.from_numpy(a), torch.Tensor(a), torch.tensor(a, dtype=torch.int32))
show(torch.tensor(a / 3, dtype=torch.float64), torch.as_tensor(a).dtype)
refused(lambda: torch.from_numpy([1, 2]))
refused(lambda: torch.from_numpy(np.array(["a"])))

# Of lists and numbers.
show(torch.tensor([[1, 2], [3, 4.5]]), torch.tensor(7), torch.tensor(True))
show(torch.tensor([1 + 2j]), torch.tensor([]), torch.Tensor([1, 2]))
refused(lambda: torch.tensor([[1, 2], [3]]))
refused(lambda: torch.tensor([300], dtype=torch.int8))
refused(lambda: torch.tensor("text"))

# What a tensor tells of itself.
t = torch.tensor(np.arange(24.0).reshape(2, 3, 4), dtype=torch.float32)
show(t.shape, t.dtype, t.device, t.ndim, t.numel(), t.stride(), t.size(-1))
show(t.is_contiguous(), t.element_size(), t.is_floating_point(), len(t))
show(torch.is_tensor(t), torch.is_tensor(a))

# Casts.
show(t.half().dtype, t.to(torch.bfloat16), t.type(torch.int16)[0])
show(torch.tensor([1.9, -1.9, 0.0]).int(), torch.tensor([0.1, 0.0]).bool())
show(torch.tensor([300, -1]).byte(), torch.tensor([1e10]).half())
show(torch.tensor([0.1], dtype=torch.float64).float().double())
show(t.float() is t, t.to(t.device) is t, t.to(torch.float32, copy=True) is t)

# Views share storage; nothing is copied.
show(t[0, 1:], t[..., -1], t[1, 2, 3], t[None, 0, 0].shape)
show(t.T.shape if t.ndim == 2 else t.permute(2, 0, 1).shape)
show(t.reshape(4, 6)[1], t.view(-1)[5:9:2], t.flatten(1).shape)
show(t.transpose(0, 2).stride(), t.unsqueeze(0).shape, t[:1].squeeze().shape)
refused(lambda: t[2])
refused(lambda: t.transpose(0, 1).view(-1))
refused(lambda: t.reshape(5, 5))

# Autograd's flags.
w = torch.tensor(a, dtype=torch.float32, requires_grad=True)
show(w, w.is_leaf, w.grad_fn)
h = w.half()
show(h, h.is_leaf, h.grad_fn.name())
show(w.detach(), w.detach().requires_grad, w.requires_grad)
refused(lambda: w.numpy())
refused(lambda: torch.tensor(a, requires_grad=True))
refused(lambda: torch.tensor(a).requires_grad_())
v = torch.tensor([1.0])
show(v.requires_grad_(), v.requires_grad_(False))
refused(lambda: copy.deepcopy(h))
show(copy.deepcopy(w), copy.copy(w).is_leaf)

# Back to NumPy.
show(repr(w.detach().cpu().numpy()), repr(w.numpy(force=True)))
show(repr(np.asarray(t[0, 0])), repr(np.from_dlpack(t[0, 0])))
show(t[0, 1].tolist(), t[0, 0, 3].item(), float(t[1, 1, 1]), bool(t[0, 0, 0]))
refused(lambda: t.item())
refused(lambda: bool(t))

# How they print.
show(torch.tensor(np.arange(2000)), torch.tensor([1e-8, 1.0, 1e8]))
show(torch.tensor([float("nan"), float("inf"), -1.5]), torch.tensor([[], []]))
show(torch.tensor(np.ones((2, 2)), dtype=torch.float16), torch.tensor([1 - 1j]))
