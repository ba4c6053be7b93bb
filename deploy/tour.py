"""A walk through tensord: every statement as typed, with what it printed.

Usage: tour.py ADDRESS
"""

import code
import contextlib
import io
import sys

# Each entry is one statement at a Python prompt.
WALK = """
import numpy as np, tensord
c = tensord.connect(address)
a = np.array([5, 7, 1, 2, 4, 4])
c.from_numpy(a)
c.Tensor(a)
c.tensor(a, dtype="int32")
t = c.tensor(a, dtype="float32", requires_grad=True, name="w/0")
t
t.cpu().numpy()
t.detach().cpu().numpy()
c["w/0"].shape
t.to("bfloat16")
t[1:3].detach().numpy()
del c["w/0"]
c.tensor(a, device="cuda:0")

from sklearn.datasets import load_digits
digits = load_digits().images
images = c.tensor(digits, dtype="float16")
images.shape, images.dtype
images[0]
np.array_equal(images.float().numpy(), digits)

from skimage.data import astronaut
photo = c.from_numpy(astronaut())
photo
photo.bfloat16()[0, :3]
np.array_equal(photo.half().byte().numpy(), astronaut())
c.convert(np.array([300.0, -1.0, np.nan]), "uint8", overflow="saturate")
c.convert(np.array([300.0, -1.0, np.nan]), "uint8", overflow="error")
"""


def walk(address: str) -> None:
    """Types each statement of WALK at a prompt and prints what came of it.

    A statement that raises shows the last line of its traceback; the tour
    goes on, as it would at a prompt.
    """
    console = code.InteractiveConsole({"address": address})
    for line in WALK.strip().splitlines():
        print(f">>> {line}" if line else "")
        if not line:
            continue
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            console.push(line)
        if errors.getvalue():
            print(errors.getvalue().strip().splitlines()[-1])


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__.strip().splitlines()[-1], file=sys.stderr)
        return 2
    walk(sys.argv[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
