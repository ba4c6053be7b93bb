#!/usr/bin/env python3
"""Writes tests/data/cast_vectors.bin: what PyTorch's casts give.

    python3 generate_cast_vectors.py [OUTPUT]

Needs PyTorch 2.x for x86-64 (with uint16 to uint64 and float8) and NumPy. The
file is ASCII lines up to one that says "data", then binary, little-endian:

    for each dtype, in the order of core/dtype.h:
        u16 n, then n elements
    for each pair (from, to), in that order, `to` varying faster:
        ceil(n / 8) bytes, a bit per element of `from`, lowest first;
        for each set bit, the element of `to` that PyTorch makes

An element without a bit is one that an exclusion, below, names.
"""

import collections
import pathlib
import struct
import sys

import numpy as np
import torch

DTYPES = """bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16
bfloat16 float32 float64 complex64 complex128 float8_e4m3fn float8_e5m2""".split()

BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
MANTISSA_BITS = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52,
                 "float8_e4m3fn": 3, "float8_e5m2": 2}
# What rounds to 448, the largest float8_e4m3fn.
FLOAT8_E4M3FN_LIMIT = 464.0
INPUTS_PER_DTYPE = 176


def torch_dtype(name):
    return getattr(torch, name)


def item_size(name):
    return torch.empty(0, dtype=torch_dtype(name)).element_size()


def tensor_of_bytes(data, name):
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(torch_dtype(name))


def bytes_of_tensor(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


# ---- Inputs ----------------------------------------------------------------


def integers(name, rng):
    info = np.iinfo(name)
    values = {info.min, info.max, 0, 1, 2, 127, 128, 255, 256, 448, 464, 465, 480, 2047, 2049}
    for bits in (8, 16, 24, 31, 32, 53, 63, 64):
        values |= {2**bits - 1, 2**bits, 2**bits + 1}
    # Halfway between two float16, bfloat16, float32 and float64, and beside.
    for kept in (4, 8, 11, 24, 53):
        for width in (12, 16, 31, 63):
            if width > kept + 1:
                values |= {2 ** (width - 1) + 2 ** (width - kept - 1) + d for d in (-1, 0, 1)}
    values |= {-v for v in values}
    fitting = sorted(v for v in values if info.min <= v <= info.max)
    return np.array(thin(fitting, rng), dtype=name)


def floats(name, rng):
    """Values at the edges of every destination, and NaNs, as bits of `name`."""
    edges = [0.0, 0.5, 1.0, 1.5, 255.5, 300.0, 448.0, 464.0, 465.0, 480.0, 57344.0, 61439.0,
             61440.0, 65504.0, 65519.0, 65520.0, 70000.0, 3e9, 5e9, 1e10, 1e19, 2e19, 1e20,
             2.0**-6, 2.0**-9, 2.0**-10, 2.0**-14, 2.0**-16, 2.0**-17, 2.0**-24, 2.0**-25,
             1.5 * 2.0**-25, 2.0**-126, 2.0**-149, 2.0**-150, 3.4e38, 1e300, 5e-324]
    edges += [2.0**b - d for b in (7, 8, 15, 16, 31, 32, 63, 64) for d in (0, 1)]
    edges += [1 + 2.0**-kept for kept in (3, 4, 8, 11, 24)]
    edges += [1 + 2.0**-kept + 2.0**-45 for kept in (4, 8, 11, 24)]
    wide = torch.tensor(edges + [-e for e in edges] + [np.inf, -np.inf], dtype=torch.float64)
    kind = BITS[item_size(name)]
    finite = np.frombuffer(bytes_of_tensor(wide.to(torch_dtype(name))), dtype=kind)
    ulps = np.concatenate([finite[: len(edges)] + kind(1), finite[1 : len(edges)] - kind(1)])
    mantissa = MANTISSA_BITS[name]
    infinity = np.frombuffer(
        bytes_of_tensor(torch.tensor([np.inf, -np.inf]).to(torch_dtype(name))), dtype=kind)
    if name == "float8_e4m3fn":
        nans = [0x7F, 0xFF]
    else:
        payloads = {1, 1 << (mantissa - 1), (1 << mantissa) - 1, 0xAAAAAAAAAAAAA >> (52 - mantissa)}
        nans = [int(i) + p for i in infinity for p in sorted(payloads)]
    chosen = thin(sorted(set(np.concatenate([finite, ulps]).tolist()) - set(nans)), rng)
    return np.array(nans + chosen[: INPUTS_PER_DTYPE - len(nans)], dtype=kind)


def thin(values, rng):
    if len(values) <= INPUTS_PER_DTYPE:
        return values
    return [values[i] for i in sorted(rng.choice(len(values), INPUTS_PER_DTYPE, replace=False))]


def inputs(name, rng):
    """The elements of `name` that are cast, as bytes."""
    if name == "bool":
        return bytes([0, 1])
    if name.startswith("complex"):
        part = "float32" if name == "complex64" else "float64"
        real = floats(part, rng)
        imaginary = rng.permutation(real)
        return np.stack([real, imaginary], axis=1).tobytes()
    if name in MANTISSA_BITS:
        return floats(name, rng).tobytes()
    return integers(name, rng).tobytes()


# ---- Exclusions ------------------------------------------------------------


def real_value(element):
    """The float64 that the real part of a one-element tensor holds."""
    if element.is_complex():
        element = torch.view_as_real(element).reshape(-1)[:1]
    return element.to(torch.float64).item()


def has_nan(element):
    if element.is_complex():
        return bool(torch.view_as_real(element).isnan().any())
    return element.is_floating_point() and bool(element.to(torch.float64).isnan().any())


def exclusion(element, source, target):
    """The name of the rule by which tensord differs from this PyTorch."""
    if target == "float8_e4m3fn" and source != target:
        if abs(np.float32(real_value(element))) > FLOAT8_E4M3FN_LIMIT:
            return "float8_e4m3fn_overflow_saturates"
    if target in ("float16", "bfloat16") and source != target and has_nan(element):
        return "narrow_nan_keeps_payload_or_loses_sign"
    return None


def torch_casts(element, target):
    """What PyTorch makes of an element alone, and within a longer tensor."""
    alone = bytes_of_tensor(element.to(torch_dtype(target)))
    longer = bytes_of_tensor(element.repeat(131).to(torch_dtype(target)))
    return alone, longer[: len(alone)]


def chosen_cast(element, source, target, counts):
    alone, longer = torch_casts(element, target)
    if alone == longer:
        return alone
    if target == "uint32":
        counts["position: alone"] += 1
        return alone
    if source == "float16" and has_nan(element):
        counts["position: longer"] += 1
        return longer
    raise SystemExit(f"{source} to {target}: {element} gives {alone.hex()} or {longer.hex()}")


def write_pair(source, target, elements, counts):
    mask = bytearray((len(elements) + 7) // 8)
    results = b""
    for i, element in enumerate(elements):
        rule = exclusion(element, source, target)
        if rule:
            counts[rule] += 1
            continue
        mask[i // 8] |= 1 << (i % 8)
        results += chosen_cast(element, source, target, counts)
    return bytes(mask) + results


def main():
    here = pathlib.Path(__file__).resolve().parent
    output = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here.parent / "data/cast_vectors.bin"
    rng = np.random.default_rng(20260101)
    counts = collections.Counter()
    body = b""
    sources = {}
    for name in DTYPES:
        data = inputs(name, rng)
        sources[name] = tensor_of_bytes(data, name).split(1)
        body += struct.pack("<H", len(sources[name])) + data
    for source in DTYPES:
        for target in DTYPES:
            body += write_pair(source, target, sources[source], counts)
    lines = ["Casts of PyTorch, made by tests/vectors/generate_cast_vectors.py",
             f"torch {torch.__version__} {torch.backends.cpu.get_cpu_capability()}"]
    lines += [f"{rule}: {count}" for rule, count in sorted(counts.items())]
    output.write_bytes("\n".join(lines + ["data\n"]).encode() + body)
    print(f"{output.name}: {output.stat().st_size} bytes; {dict(counts)}")


if __name__ == "__main__":
    main()
