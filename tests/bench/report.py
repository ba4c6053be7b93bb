"""What the scripts that compare have in common: the machine, and README.md."""

import pathlib
import platform
import statistics

README = pathlib.Path(__file__).with_name("README.md")
END = "<!-- to here. -->"


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def interleave(found, rounds, once=()):
    """Name -> its samples: each is taken once per round, one after the other.

    Those whose names are in `once` are taken in the first round alone.
    """
    samples = {name: [] for name in found}
    for round_number in range(rounds):
        for name, sample in found.items():
            if round_number == 0 or name not in once:
                samples[name].append(sample())
    return samples


def compare(found, rounds, once=()):
    """Name -> the median of its samples."""
    return {name: statistics.median(samples) for name, samples
            in interleave(found, rounds, once).items()}


def write_block(script, lines):
    """Replaces what `script` wrote into README.md before."""
    begin = f"<!-- Written by {script} from here -->"
    before, rest = README.read_text().split(begin)
    after = rest.split(END, 1)[1]
    README.write_text(before + begin + "\n\n" + "\n".join(lines) + "\n" + END
                      + after)
