"""A walk through tensord: every statement as typed, with what it printed.

Usage: tour.py ADDRESS
"""

import code
import contextlib
import io
import sys

# One statement of a Python prompt a line; those behind a ! have to be refused.
WALK = """
import numpy as np, tensord
c = tensord.connect(address)
a = np.array([5, 7, 1, 2, 4, 4])
c.from_numpy(a)
c.Tensor(a)
c.tensor(a, dtype="int32")
device = c.devices()[-1].device
device
t = c.tensor(a, dtype="float32", device=device, requires_grad=True, name="w/0")
t
! t.numpy()
! t.cpu().numpy()
t.detach().cpu().numpy()
c["w/0"].shape
t.to("bfloat16")
t[1:3].detach().numpy()
del c["w/0"]
! c.tensor(a, device="cuda:9")

from sklearn.datasets import load_digits
digits = load_digits().images
images = c.tensor(digits, dtype="float16")
images.shape, images.dtype
images[0]
np.array_equal(images.float().numpy(), digits)

from skimage.data import astronaut
photo = c.from_numpy(astronaut())
photo[0, :3]
photo.bfloat16()[0, :3]
np.array_equal(photo.half().byte().numpy(), astronaut())
c.convert(np.array([300.0, -1.0, np.nan]), "uint8", overflow="saturate")
! c.convert(np.array([300.0, -1.0, np.nan]), "uint8", overflow="error")
"""


def walk(address: str) -> bool:
    """Types each statement of WALK at a prompt and prints what came of it.

    A refusal shows the last line of its traceback; the tour goes on, as it
    would at a prompt. Returns whether just what had to be refused was.
    """
    console = code.InteractiveConsole({"address": address})
    as_planned = True
    for line in WALK.strip().splitlines():
        statement = line.removeprefix("! ")
        print(f">>> {statement}" if statement else "")
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            console.push(statement)
        if errors.getvalue():
            print(errors.getvalue().strip().splitlines()[-1])
        as_planned &= line.startswith("!") == bool(errors.getvalue())
    return as_planned


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__.strip().splitlines()[-1], file=sys.stderr)
        return 2
    return 0 if walk(sys.argv[1]) else 1


if __name__ == "__main__":
    sys.exit(main())
