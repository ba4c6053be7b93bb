#!/usr/bin/env python3
"""Writes core/device/golden_casts.cc out of tests/data/cast_vectors.bin.

    python3 generate_golden_casts.py [OUTPUT]

Needs nothing but Python. generate_cast_vectors.py describes the file that is
read, and core/device/golden_casts.h what is written.
"""

import pathlib
import struct
import sys

# As in core/device/golden_casts.h.
MAX_INPUTS = 32
COUNT = 259

ITEM_SIZES = dict(
    bool=1, uint8=1, uint16=2, uint32=4, uint64=8, int8=1, int16=2, int32=4,
    int64=8, float16=2, bfloat16=2, float32=4, float64=8, complex64=8,
    complex128=16, float8_e4m3fn=1, float8_e5m2=1)
DTYPES = list(ITEM_SIZES)
# Bits of exponent and mantissa, and the real dtype whose bits come first.
FLOATS = dict(float16=(5, 10), bfloat16=(8, 7), float32=(8, 23),
              float64=(11, 52), float8_e4m3fn=(4, 3), float8_e5m2=(5, 2),
              complex64=(8, 23), complex128=(11, 52))


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Vectors:
    """Inputs of each dtype, and what PyTorch makes of them: by pair, a list
    with None for what it leaves open."""

    def __init__(self, path):
        self._data = path.read_bytes()
        self._at = self._data.index(b"\ndata\n") + 6
        self.inputs = {}
        for name in DTYPES:
            count, = struct.unpack("<H", self._take(2))
            size = ITEM_SIZES[name]
            self.inputs[name] = [self._take(size) for _ in range(count)]
        self.outputs = {}
        for source in DTYPES:
            count = len(self.inputs[source])
            for target in DTYPES:
                bits = int.from_bytes(self._take((count + 7) // 8), "little")
                self.outputs[source, target] = [
                    self._take(ITEM_SIZES[target]) if bits >> i & 1 else None
                    for i in range(count)]
        assert self._at == len(self._data)

    def _take(self, count):
        self._at += count
        return self._data[self._at - count:self._at]


def kind(name, element):
    """What makes a value awkward, of which each should be there."""
    if name not in FLOATS:
        value = int.from_bytes(element, "little",
                               signed=name.startswith("int"))
        return (value > 0) - (value < 0), min(abs(value).bit_length() // 8, 4)
    exponent_bits, mantissa_bits = FLOATS[name]
    width = (1 + exponent_bits + mantissa_bits) // 8
    bits = int.from_bytes(element[:width], "little")
    exponent = bits >> mantissa_bits & (1 << exponent_bits) - 1
    mantissa = bits & (1 << mantissa_bits) - 1
    top = exponent == (1 << exponent_bits) - 1
    return (bits >> width * 8 - 1, top, exponent == 0, mantissa == 0,
            exponent * 6 >> exponent_bits)


def choose(name, inputs):
    """Indices of at most MAX_INPUTS, of every kind, the ends included."""
    kinds = {}
    for index, element in enumerate(inputs):
        kinds.setdefault(kind(name, element), []).append(index)
    chosen = []
    queues = [sorted(indices) for indices in kinds.values()]
    while queues and len(chosen) < MAX_INPUTS:
        for queue in queues:
            # From both ends in turn.
            if len(chosen) < MAX_INPUTS:
                chosen.append(queue.pop(-(len(chosen) % 2)))
        queues = [queue for queue in queues if queue]
    return sorted(chosen)


def lines(values, per_line):
    for begin in range(0, len(values), per_line):
        yield "    " + ", ".join(values[begin:begin + per_line]) + ","


def main():
    tests = pathlib.Path(__file__).resolve().parents[1]
    output = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                          tests.parent / "core/device/golden_casts.cc")
    vectors = Vectors(tests / "data/cast_vectors.bin")
    text = ["// Written by tests/vectors/generate_golden_casts.py out of what "
            "PyTorch gave.",
            '#include "core/device/golden_casts.h"', "",
            "// clang-format off",
            "namespace tensord {", "namespace {", ""]
    chosen = {}
    for name in DTYPES:
        chosen[name] = choose(name, vectors.inputs[name])
        data = b"".join(vectors.inputs[name][i] for i in chosen[name])
        text += [f"constexpr std::uint8_t k_{name}[] = {{",
                 *lines([f"0x{byte:02x}" for byte in data], 12), "};"]
    text += ["", "}  // namespace", "",
             "const std::array<GoldenInputs, kDTypeCount> kGoldenInputs = {{"]
    text += [f"    {{k_{name}, {len(chosen[name])}}}," for name in DTYPES]
    text += ["}};", "",
             "const GoldenCasts kGoldenCasts = {{"]
    for source in DTYPES:
        cells = []
        for target in DTYPES:
            made = [vectors.outputs[source, target][i] for i in chosen[source]]
            mask = sum(1 << i for i, element in enumerate(made)
                       if element is not None)
            tiled = (made[i % len(made)] for i in range(COUNT))
            crc = crc32c(b"".join(element for element in tiled
                                  if element is not None))
            cells.append(f"{{0x{mask:08x}, 0x{crc:08x}}}")
        text += [f"    // From {source}.", "    {{",
                 *("    " + line for line in lines(cells, 3)), "    }},"]
    text += ["}};", "", "}  // namespace tensord", ""]
    output.write_text("\n".join(text))


if __name__ == "__main__":
    main()
