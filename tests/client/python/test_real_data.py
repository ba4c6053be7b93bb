"""Data that people have: digits, photographs."""

import ml_dtypes
import numpy as np
import pytest

data = pytest.importorskip("skimage.data")
datasets = pytest.importorskip("sklearn.datasets")


def test_digits_survive_half_precision(c):
    digits = datasets.load_digits().images
    for dtype in ("float16", "bfloat16", "float32", "uint8"):
        tensor = c.tensor(digits, dtype=dtype)
        assert tensor.shape == digits.shape
        assert np.array_equal(tensor.double().numpy(), digits)
    batch = c.from_numpy(digits)[100:164].half()
    assert np.array_equal(batch.numpy(), digits[100:164].astype(np.float16))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_photograph_survives_floats(c, dtype):
    photo = data.astronaut()
    assert photo.dtype == np.uint8
    tensor = c.from_numpy(photo).to(dtype)
    assert np.array_equal(tensor.byte().numpy(), photo)
    wanted = {"bfloat16": ml_dtypes.bfloat16}.get(dtype, dtype)
    assert np.array_equal(tensor.numpy(), photo.astype(wanted))


def test_a_photograph_as_channels_first(c):
    photo = data.astronaut()
    planes = c.from_numpy(photo).permute(2, 0, 1)
    assert planes.shape == (3, 512, 512)
    assert np.array_equal(planes.numpy(), photo.transpose(2, 0, 1))
    normal = c.tensor(photo.transpose(2, 0, 1)[:, ::-1], dtype="float32")
    assert np.array_equal(
        normal.numpy(), photo.transpose(2, 0, 1)[:, ::-1].astype(np.float32)
    )
    corner = planes[:, :2, :2].contiguous()
    assert np.array_equal(corner.numpy(), photo[:2, :2].transpose(2, 0, 1))
