"""Counts the test cases that a run of the whole suite left reports of.

Usage: summarize.py FOLDER

FOLDER holds `ctest.xml`, one `NAME.xml` for each GoogleTest binary that ctest
ran, and `pytest.xml`. Prints what was skipped and what failed, then
`N passed, N failed`. Exits with 1 if anything failed or nothing passed.
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def outcomes(report: pathlib.Path) -> dict[str, str]:
    """Maps the names of a JUnit report's cases to how each ended."""
    ended = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        if any(case.find(tag) is not None for tag in ("failure", "error")):
            ended[name] = "failed"
        elif case.find("skipped") is not None or case.get("status") == "notrun":
            ended[name] = "skipped"
        else:
            ended[name] = "passed"
    return ended


def all_outcomes(folder: pathlib.Path) -> dict[str, str]:
    """The cases of every report.

    A binary that ctest calls failed although its own report shows no failure,
    because it crashed or leaked, counts as a failed case of its own.
    """
    ended: dict[str, str] = {}
    for name in ("ctest", "pytest"):
        if not (folder / f"{name}.xml").exists():
            ended[f"{name} left no report"] = "failed"
    for report in sorted(folder.glob("*.xml")):
        if report.stem != "ctest":
            ended |= outcomes(report)
    if not (folder / "ctest.xml").exists():
        return ended
    for case, how in outcomes(folder / "ctest.xml").items():
        report = folder / f"{case.rpartition('.')[2]}.xml"
        own = outcomes(report) if report.exists() else {}
        if not own or (how == "failed" and "failed" not in own.values()):
            ended[case] = how
    return ended


def main(folder: str) -> int:
    """Prints the summary; returns the exit code."""
    ended = all_outcomes(pathlib.Path(folder))
    for kind in ("skipped", "failed"):
        for name in sorted(name for name, how in ended.items() if how == kind):
            print(f"{kind}: {name}")
    count = list(ended.values()).count
    print(f"{count('passed')} passed, {count('failed')} failed")
    return 0 if count("passed") and not count("failed") else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
