"""Connecting makes the process keep freed memory, unless it is told not to."""

import os
import subprocess
import sys

# Prints the pages that are touched for the first time by the second of two
# blocks, each of which is allocated, filled and freed.
PROGRAM = """
import ctypes, resource, sys, tensord
tensord.connect(sys.argv[1])
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
SIZE = 33_000_000
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(SIZE)
    libc.memset(block, 1, SIZE)
    libc.free(block)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


def faults(address, **environment):
    return int(subprocess.run(
        [sys.executable, "-c", PROGRAM, address], check=True, text=True,
        stdout=subprocess.PIPE, env={**os.environ, **environment}).stdout)


def test_freed_memory_is_used_again(server):
    assert faults(server.target) < 1000


def test_the_environment_leaves_the_allocator_alone(server):
    assert faults(server.target, TENSORD_KEEP_FREED_MEMORY="0") > 5000
