"""How fast PyTorch casts on a CUDA device: the casts of gpu_bench, in its words.

Prints rows of a table in Markdown: bytes read and written in a second, and what
part that is of a copy within the device, measured in turn.

Usage: torch_casts.py, with a Python that has torch. Exit status 77: it has not,
or finds no device.
"""

import statistics
import sys
import time

SKIPPED = 77
ROUNDS = 9
ELEMENTS = 256 << 20
COPY_BYTES = 1 << 30
CASTS = [
    ("float32", "float16"),
    ("float32", "bfloat16"),
    ("bfloat16", "float32"),
    ("float32", "float8_e4m3fn"),
    ("float8_e5m2", "float16"),
    ("float64", "float32"),
    ("uint8", "float32"),
    ("int64", "int32"),
]

try:
    import torch
except ImportError:
    print("there is no torch")
    sys.exit(SKIPPED)
if not torch.cuda.is_available():
    print("torch finds no CUDA device")
    sys.exit(SKIPPED)


def rate(work, moved_bytes):
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return moved_bytes / (time.perf_counter() - start)


def measure(source, result, copied):
    """Medians of the cast's rate, and of its ratio to the copy's."""
    moved = source.nbytes + result.nbytes
    rates, ratios = [], []
    for turn in range(ROUNDS + 1):
        cast = rate(lambda: result.copy_(source), moved)
        copy = rate(lambda: copied[1].copy_(copied[0]), 2 * COPY_BYTES)
        # The first warms.
        if turn > 0:
            rates.append(cast)
            ratios.append(cast / copy)
    return statistics.median(rates), statistics.median(ratios)


copied = [torch.zeros(COPY_BYTES, dtype=torch.uint8, device="cuda")
          for _ in range(2)]
print(f"\ntorch {torch.__version__}\n")
print("| | GB/s | of a copy |\n|---|---:|---:|")
for source_name, result_name in CASTS:
    source = torch.zeros(
        ELEMENTS, dtype=torch.uint8, device="cuda"
    ).to(getattr(torch, source_name))
    result = torch.empty(
        ELEMENTS, dtype=getattr(torch, result_name), device="cuda")
    gigabytes, ratio = measure(source, result, copied)
    print(f"| {source_name} to {result_name} | {gigabytes / 1e9:.1f} | "
          f"{ratio:.2f} |")
