"""Times every cast beside memcpy, PyTorch, NumPy and ml_dtypes, in turn.

All work on the same memory: 64-byte aligned, touched before, in huge pages
where the system gives them. Every round times each once, one after the other;
ratios are of the medians of the rounds, so that a slow moment of the machine hits all.
GB/s are bytes read plus written. One thread, but for the line that says two.
"""

import argparse
import ctypes
import datetime
import math
import mmap
import statistics
import threading
import time

import ml_dtypes
import numpy as np

from report import compare, processor, write_block

try:
    import torch
    torch.set_num_threads(1)
except ImportError:
    torch = None

# In the order of core/dtype.h: short name, NumPy's type, PyTorch's name.
DTYPES = [
    ("bool", np.bool_, "bool"),
    ("u8", np.uint8, "uint8"),
    ("u16", np.uint16, "uint16"),
    ("u32", np.uint32, "uint32"),
    ("u64", np.uint64, "uint64"),
    ("i8", np.int8, "int8"),
    ("i16", np.int16, "int16"),
    ("i32", np.int32, "int32"),
    ("i64", np.int64, "int64"),
    ("f16", np.float16, "float16"),
    ("bf16", ml_dtypes.bfloat16, "bfloat16"),
    ("f32", np.float32, "float32"),
    ("f64", np.float64, "float64"),
    ("c64", np.complex64, "complex64"),
    ("c128", np.complex128, "complex128"),
    ("e4m3", ml_dtypes.float8_e4m3fn, "float8_e4m3fn"),
    ("e5m2", ml_dtypes.float8_e5m2, "float8_e5m2"),
]
NAMES = [name for name, _, _ in DTYPES]
SIZES = [np.dtype(dtype).itemsize for _, dtype, _ in DTYPES]

# Elements that slow libraries convert per sample, when there are many.
FEW = 1 << 20


class Memory:
    """Bytes that every library sees."""

    def __init__(self, size):
        size = -(-size // (2 << 20)) * (2 << 20) + (2 << 20)
        self.map = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            self.map.madvise(mmap.MADV_HUGEPAGE)
        self.bytes = np.frombuffer(self.map, np.uint8)
        self.bytes[:] = 1
        self.address = self.bytes.ctypes.data

    def array(self, index, count):
        dtype = np.dtype(DTYPES[index][1])
        return self.bytes[:count * dtype.itemsize].view(dtype)

    def tensor(self, index, count):
        dtype = getattr(torch, DTYPES[index][2])
        return torch.frombuffer(self.map, dtype=dtype, count=count)


class Library:
    """cast_library.cc."""

    def __init__(self, path):
        self.dll = ctypes.CDLL(str(path))
        pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        signatures = {
            "cast": [number, number, pointer, pointer, size, number, number],
            "cast_big_endian": [number, number, pointer, pointer, size, number],
            "cast_strided": [number, number, pointer, number, pointer, pointer,
                             ctypes.c_int64, pointer, number],
            "memcpy": [pointer, pointer, size, number],
            "read": [pointer, size, number],
            "write": [pointer, size, number],
        }
        for name, arguments in signatures.items():
            function = getattr(self.dll, "tensord_" + name)
            function.argtypes = arguments
            function.restype = ctypes.c_double
            setattr(self, name, function)
        self.dll.tensord_target.restype = ctypes.c_char_p
        self.target = self.dll.tensord_target().decode()


def seconds(work, repeats):
    begin = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - begin) / repeats


def fill(memory, index, count):
    """Numbers that every dtype can hold."""
    values = np.random.default_rng(1).uniform(0, 100, 1 << 16)
    block = values.astype(np.float32).astype(DTYPES[index][1])
    array = memory.array(index, count)
    for begin in range(0, count, block.size):
        size = min(block.size, count - begin)
        array[begin:begin + size] = block[:size]


def competitors(library, source, target, pair, count, repeats, everything):
    """Name -> a function that returns the seconds of one cast of `count`."""
    a, b = pair
    total = count * (SIZES[a] + SIZES[b])
    found = {
        "tensord": lambda: library.cast(a, b, source.address, target.address,
                                        count, 0, repeats),
        "memcpy": lambda: library.memcpy(source.address, target.address,
                                         total // 2, repeats),
    }
    if count > FEW:
        found["read"] = lambda: library.read(
            source.address, count * SIZES[a], repeats)
        found["write"] = lambda: library.write(
            target.address, count * SIZES[b], repeats)
    if torch is not None:
        try:
            tensor, copy = source.tensor(a, count), target.tensor(b, count)
            copy[:1].copy_(tensor[:1])
            found["torch"] = lambda: seconds(lambda: copy.copy_(tensor),
                                             repeats)
        except (RuntimeError, TypeError, NotImplementedError):
            pass
    if everything:
        few = min(count, FEW)
        x, y = source.array(a, few), target.array(b, few)

        def numpy_cast():
            with np.errstate(all="ignore"):
                return seconds(lambda: np.copyto(y, x, casting="unsafe"),
                               max(1, repeats // 8)) * (count / few)
        found["numpy"] = numpy_cast
    return found


def measure(library, source, target, count, arguments):
    """(from, to) -> name -> seconds."""
    repeats = max(1, arguments.repeat_elements // count)
    table = {}
    for a, _ in enumerate(DTYPES):
        wanted = [b for b, _ in enumerate(DTYPES)
                  if not arguments.pairs
                  or f"{NAMES[a]}:{NAMES[b]}" in arguments.pairs]
        if wanted:
            fill(source, a, count)
        for b in wanted:
            found = competitors(library, source, target, (a, b), count,
                                repeats, arguments.everything)
            for sample in found.values():
                if arguments.warm:
                    sample()
            table[a, b] = compare(found, arguments.rounds, once={"numpy"})
    return table


def rate(pair, count, time_taken):
    return count * (SIZES[pair[0]] + SIZES[pair[1]]) / time_taken / 1e9


def geometric_mean(values):
    values = list(values)
    if not values:
        return math.nan
    return math.exp(sum(math.log(v) for v in values) / len(values))


def ratios(table, name):
    return {pair: times[name] / times["tensord"]
            for pair, times in table.items() if name in times}


def cell(pair, count, times):
    parts = [f"{rate(pair, count, times['tensord']):.0f}"]
    for name in ("memcpy", "torch", "numpy"):
        if name in times:
            parts.append(f"{times[name] / times['tensord']:.2f}"
                         if name != "numpy"
                         else f"{times[name] / times['tensord']:.0f}")
        else:
            parts.append("-")
    return " ".join(parts)


def markdown(table, count):
    lines = ["| from \\ to | " + " | ".join(NAMES) + " |",
             "|---" * (len(NAMES) + 1) + "|"]
    for a, name in enumerate(NAMES):
        cells = [cell((a, b), count, table[a, b]) if (a, b) in table else ""
                 for b in range(len(NAMES))]
        lines.append(f"| **{name}** | " + " | ".join(cells) + " |")
    return lines


def below(values, line):
    names = [f"{NAMES[a]}→{NAMES[b]} {v:.2f}"
             for (a, b), v in sorted(values.items(), key=lambda i: i[1])
             if v < line]
    return f"{len(names)} of {len(values)} below {line:.2f}" + (
        ": " + ", ".join(names) if names else "")


def involves(values, *names):
    return {pair: v for pair, v in values.items()
            if pair[0] != pair[1] and any(NAMES[i] in names for i in pair)}


def bounds(table):
    """The rate of memory as a share of a cast's: it reads, writes or does both
    at most that fast."""
    return {pair: max(times["memcpy"], times["read"], times["write"])
            / times["tensord"] for pair, times in table.items()}


def summary(table, count):
    lines = []
    if count > FEW:
        lines.append(f"- memcpy: {below(ratios(table, 'memcpy'), 0.90)}")
        lines.append("- memcpy, or reading or writing as many bytes alone, "
                     f"whichever takes longest: {below(bounds(table), 0.90)}")
    torch_ratios = ratios(table, "torch")
    if torch_ratios:
        lines.append(f"- PyTorch: {below(torch_ratios, 1.0)}; geometric mean "
                     f"{geometric_mean(torch_ratios.values()):.2f} of "
                     f"{len(torch_ratios)} pairs that both have")
    numpy = ratios(table, "numpy")
    for names, line, text in ((("f16",), 10, "NumPy's float16"),
                              (("e4m3", "e5m2"), 30, "ml_dtypes' float8")):
        some = involves(numpy, *names)
        if some:
            lines.append(f"- {text}: {below(some, line)}; geometric mean "
                         f"{geometric_mean(some.values()):.0f}")
    return lines


def layouts(library, source, target, count, rounds, repeats):
    """Lines of strided and swapped sources against contiguous ones."""
    lines = ["| source | " + " | ".join(
        f"{NAMES[a]}→{NAMES[b]}" for a, b in LAYOUT_PAIRS) + " |",
        "|---" * (len(LAYOUT_PAIRS) + 1) + "|"]
    side = 1 << (count.bit_length() - 1) // 2
    other = count // side
    shapes = {
        "big-endian": None,
        "reversed": ((count,), (-1,), count - 1),
        "transposed": ((side, other), (1, side), 0),
        "rows with gaps": ((side, other - 64), (other, 1), 0),
        "planes to pixels": ((count // 4, 4), (1, count // 4), 0),
        "pixels to planes": ((3, count // 3), (1, 3), 0),
    }
    for name, layout in shapes.items():
        cells = []
        for a, b in LAYOUT_PAIRS:
            size = count if layout is None else math.prod(layout[0])
            found = {
                "tensord": lambda a=a, b=b: library.cast(
                    a, b, source.address, target.address, size, 0, repeats)}
            if layout is None:
                found["other"] = lambda a=a, b=b: library.cast_big_endian(
                    a, b, source.address, target.address, size, repeats)
            else:
                rank = len(layout[0])
                shape = (ctypes.c_int64 * rank)(*layout[0])
                strides = (ctypes.c_int64 * rank)(*layout[1])
                found["other"] = (
                    lambda a=a, b=b, shape=shape, strides=strides, rank=rank,
                    offset=layout[2]: library.cast_strided(
                        a, b, source.address, rank, shape, strides, offset,
                        target.address, repeats))
            times = compare(found, rounds)
            cells.append(f"{rate((a, b), size, times['other']):.0f} "
                         f"{times['tensord'] / times['other']:.2f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def index(name):
    return NAMES.index(name)


LAYOUT_PAIRS = [(index(a), index(b)) for a, b in (
    ("u8", "u8"), ("u8", "f32"), ("f16", "f32"), ("f32", "f32"),
    ("f32", "f16"), ("f32", "bf16"), ("f32", "e4m3"), ("f64", "f32"))]


def two_threads(library, count, rounds):
    """How much faster two threads do two in-cache casts than one does one."""
    pair = index("f32"), index("f16")
    buffers = [(Memory(count * 4), Memory(count * 2)) for _ in range(2)]
    for source, _ in buffers:
        fill(source, pair[0], count)
    repeats = 20_000

    def work(i):
        source, target = buffers[i]
        library.cast(*pair, source.address, target.address, count, 0, repeats)

    found = []
    for _ in range(rounds):
        one = seconds(lambda: work(0), 1)
        threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found.append(2 * one / (time.perf_counter() - begin))
    return statistics.median(found)


def machine():
    versions = [f"NumPy {np.__version__}", f"ml_dtypes {ml_dtypes.__version__}"]
    if torch is not None:
        versions.insert(0, f"PyTorch {torch.__version__}")
    return f"{processor()}, {', '.join(versions)}"


def report(library, arguments):
    today = datetime.date.today().isoformat()
    lines = [f"{machine()}; instruction set {library.target}; {today}; "
             f"{arguments.rounds} rounds.", ""]
    largest = max(arguments.elements)
    widest = max(SIZES) if not arguments.pairs else 16
    source, target = Memory(largest * widest), Memory(largest * widest)
    half = largest * widest // 2
    probes = {
        "reading": lambda: library.read(source.address, half, 1),
        "writing": lambda: library.write(target.address, half, 1),
        "memcpy": lambda: library.memcpy(source.address, target.address, half,
                                         1),
    }
    times = compare(probes, 5)
    lines += [f"Of {half >> 20} MiB: reading and writing nothing "
              f"{half / times['reading'] / 1e9:.1f} GB/s, writing and reading "
              f"nothing {half / times['writing'] / 1e9:.1f}; memcpy "
              f"{2 * half / times['memcpy'] / 1e9:.1f} GB/s read plus written.",
              ""]
    for count in arguments.elements:
        where = "out of cache" if count > FEW else "in cache"
        lines += [f"### {count} elements, {where}", "",
                  "GB/s, then how many times as fast as memcpy of the same "
                  "bytes, PyTorch, NumPy or ml_dtypes.", ""]
        table = measure(library, source, target, count, arguments)
        lines += markdown(table, count)
        lines += [""] + summary(table, count) + [""]
        repeats = max(1, arguments.repeat_elements // count)
        if arguments.layouts:
            lines += ["Strided and swapped sources: GB/s, and the share of the "
                      "contiguous cast's.", ""]
            lines += layouts(library, source, target, count, arguments.rounds,
                             repeats) + [""]
    if arguments.layouts:
        gain = two_threads(library, 32 << 10, arguments.rounds)
        lines += [f"Two threads, float32→float16 in cache: {gain:.2f} times "
                  "one.", ""]
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", required=True)
    parser.add_argument("--elements", type=int, nargs="+",
                        default=[64 << 20, 32 << 10])
    parser.add_argument("--pairs", nargs="*", help="f32:f16 ...; all if none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat-elements", type=int, default=8 << 20,
                        help="elements per sample, at least")
    parser.add_argument("--write", action="store_true",
                        help="replace the tables in README.md")
    parser.add_argument("--no-layouts", dest="layouts", action="store_false")
    parser.add_argument("--no-numpy", dest="everything", action="store_false")
    parser.add_argument("--warm", action="store_true",
                        help="an untimed sample of each first")
    arguments = parser.parse_args()
    lines = report(Library(arguments.library), arguments)
    print("\n".join(lines))
    if arguments.write:
        write_block("run.sh", lines)


if __name__ == "__main__":
    main()
