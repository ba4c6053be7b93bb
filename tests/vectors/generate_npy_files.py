"""Writes tests/data/npy_saved.tsv and npy_verdicts.tsv with real NumPy.

npy_saved.tsv: whole files, and what is in them. One file a line: dtype, byte
order, order, version, shape, file.

npy_verdicts.tsv: spellings of headers, and what NumPy reads in them. One header
a line: version, rules, dtype, order, shape, text. `rules` names where the
spelling uses something that tensord refuses on purpose; dtype is "refused"
where NumPy refuses the header.

Texts are escaped as C strings are. Run it with NumPy 2:
    python tests/vectors/generate_npy_files.py
"""

import io
import pathlib
import random
import tokenize
import warnings

import numpy as np

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
DTYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16",
          "int32", "int64", "float16", "float32", "float64", "complex64",
          "complex128"]


def escaped(data):
    return "".join(
        chr(byte) if 0x20 <= byte < 0x7f and byte != 0x5c else f"\\{byte:03o}"
        for byte in data)


def saved(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def sample(shape, dtype, order="C"):
    count = int(np.prod(shape))
    return np.arange(count).reshape(shape).astype(dtype).copy(order=order)


def saved_rows():
    arrays = [sample((2, 3), np.dtype(name).newbyteorder(byte_order))
              for name in DTYPES for byte_order in "<>"
              if byte_order == "<" or np.dtype(name).itemsize > 1]
    arrays += [sample(shape, "<i4", order)
               for shape in [(), (0,), (5,), (1, 5), (3, 0, 2), (2, 3, 4),
                             (2,) + (1,) * 31]
               for order in "CF"]
    files = [(array, version) for array in arrays for version in [(1, 0)]]
    files += [(sample((2, 3), "<f4", order), version)
              for order in "CF" for version in [(2, 0), (3, 0)]]
    for array, version in files:
        fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        big = array.dtype.byteorder == ">"
        yield [array.dtype.name, "big" if big else "little",
               "F" if fortran else "C", str(version[0]),
               ",".join(map(str, array.shape)),
               escaped(saved(array, version))]


def plain(*texts):
    return [("", text) for text in texts]


def rule(name, *texts):
    return [(name, text) for text in texts]


DESCRS = (
    plain("'<f4'", '"<f4"', "'>i2'", "'|u1'", "'f8'", "'=c16'", "'|b1'", "'?'",
          "'|f4'", "'>c8'", "'<u8'", "'|V2'", "'<V1'", "'<z9'", "''", "'<f3'",
          "'!f4'", "'<i0'", "'<f99999999999'", "'<f4 '", "5", "None", "<f4",
          "b'<f4'", "f'<f4'", "'<f'+'4'", "'<f4", "__import__('os')", "'<f4''",
          "{'a'}", "'float33'")
    + rule("dict", "{}")
    + rule("unsupported", "'<U3'", "'|S3'", "'<M8[s]'", "'<m8'", "'<f16'",
           "'<c32'", "'|V3'", "'|O'", "'O8'", "[('a', '<f4')]", "('<f4', (2,))",
           "[('a', [('b', '<f4')])]", "[]", "['<f4']", "[('a', '<f4', (2,)),]")
    + rule("spelled", "'d'", "'l'", "'float32'", "'f04'", "'f 4'", "'f+4'",
           "'2f4'", "'f4,f4'", "'(2,)f4'", "'int'", "'B'")
    + rule("string", "u'<f4'", "r'<f4'", "'<' 'f4'", "'''<f4'''",
           r"'\x3cf4'", r"'\074f4'", "('<f4')", "''  '<f4'"))
ORDERS = (plain("True", "False", "False", "0", "1", "'False'", "None", "true",
                "-True", "not True")
          + rule("parenthesised", "(True)"))
SHAPES = (
    plain("()", "(0,)", "(5,)", "(3, 0, 2)", "(2, 3)", "( 2 ,3 , )", "(2,\n3)",
          "(3L,)", "(3L, 2L)", "(0L,)", "(3.0,)", "[3]", "3", "(3)", "None",
          "'3'", "('3',)", "(007,)", "(1e3,)", "(3 3)", "(,)", "(3,,)", "(3",
          "3,)", "(1+1,)", "(3LL,)", "(3l,)", "(L,)", "{3}", "(3]", "((3,),)",
          "(--3,)", "(3j,)", "(None,)", "(1__0,)", "(3,)(3,)", "range(3)")
    + rule("integer", "(True,)", "(0x10,)", "(1_0,)", "(-0,)", "(+3,)", "(00,)",
           "(-1,)", "(0o7,)", "(0b1,)", "(- 3,)", "((3),)", "(3 L,)", "((2,3))")
    + rule("big", f"({2**63},)", f"({2**64},)", f"({2**32}, {2**32})",
           f"(0, {2**62}, {2**62})", f"({'9' * 30},)", f"({2**61},)",
           "(" + "1," * 65 + ")"))
LEADS = plain("", "", "", " ", "\t", "x", "-") + rule("comment", "#\n")
TAILS = (plain("\n", " \n", "     \n", "\n\n", "\r\n", "\n \n", " x\n", ",\n",
               "}\n", "{}\n", "\0\n", ";\n")
         + rule("comment", " # x\n") + rule("unended", "", " ", "\t")
         + rule("control", "\f\n"))
GAPS = plain("", "", " ", "  ", "\t", "\n", "\r\n", " \n ", "\0") \
    + rule("comment", "#x\n") + rule("control", "\f") \
    + rule("continuation", "\\\n")
EXTRAS = (plain("", "", "", ",", ", ", ",,", ", 'x': 1", ", 1", ", **{}")
          + rule("duplicate", ", 'descr': '<f4'", ", 'shape': (5,),"))
KEYS = ["descr", "fortran_order", "shape"]


def compose(parts, keys=tuple(KEYS), quote="'"):
    """The text of a header made of the parts, and the rules they break."""
    gap = parts["gap"][1]
    entries = [f"{quote}{key}{quote}{gap}:{gap}{parts[key][1]}" for key in keys]
    text = (parts["lead"][1] + "{" + gap + ("," + gap).join(entries)
            + parts["extra"][1] + gap + "}" + parts["tail"][1])
    return sorted({label for label, _ in parts.values() if label}), text


CHOICES = {"descr": DESCRS, "fortran_order": ORDERS, "shape": SHAPES,
           "lead": LEADS, "tail": TAILS, "gap": GAPS, "extra": EXTRAS}
COMMON = {"descr": ("", "'<f4'"), "fortran_order": ("", "False"),
          "shape": ("", "(2, 3)"), "lead": ("", ""), "tail": ("", "\n"),
          "gap": ("", " "), "extra": ("", "")}


def spellings():
    """Each choice alone, then some at random together."""
    for part, choices in CHOICES.items():
        for choice in choices:
            for version in (1, 3):
                yield version, *compose(COMMON | {part: choice})
    for missing in KEYS:
        yield 1, *compose(COMMON, [key for key in KEYS if key != missing])
    rng = random.Random(1)
    for _ in range(400):
        changed = rng.sample(sorted(CHOICES), rng.randint(1, 3))
        parts = COMMON | {part: rng.choice(CHOICES[part]) for part in changed}
        keys = rng.sample(KEYS, len(KEYS))
        yield rng.choice([1, 2, 3]), *compose(parts, keys, rng.choice("'\""))


def verdict(version, text):
    data = text.encode("utf-8")
    size = len(data).to_bytes(2 if version == 1 else 4, "little")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, fortran, dtype = np.lib._format_impl._read_array_header(
                io.BytesIO(size + data), (version, 0))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError,
            tokenize.TokenError):
        return ["refused", "", ""]
    name = "struct" if dtype.names is not None or dtype.shape else dtype.str
    return [name, "F" if fortran else "C", ",".join(map(str, shape))]


def verdict_rows():
    seen = set()
    for version, rules, text in spellings():
        if (version, text) in seen:
            continue
        seen.add((version, text))
        yield [str(version), ",".join(rules), *verdict(version, text),
               escaped(text.encode("utf-8"))]


def write(name, rows):
    lines = ["\t".join(row) for row in rows]
    (DATA / name).write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    write("npy_saved.tsv", saved_rows())
    write("npy_verdicts.tsv", verdict_rows())
