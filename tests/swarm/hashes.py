"""Whether one seed is one run: hashes.py BUILD plays the same seeds with every simulation that is
built below the folder BUILD (other compilers, without optimisation, with sanitizers) and compares
what they came to. One that is older than the sources is left out: it is of another library. Needs two
that differ in how they were built; exits with 77 where there is one.
"""

import re
import subprocess
import sys
from pathlib import Path

SEEDS = 100
OPTIONS = ["--seeds", str(SEEDS), "--without", "a-tight-pool", "--hash"]
NOT_HERE = 77
TOP = Path(__file__).parents[2]


def newest_source():
    folders = [TOP / name for name in ("include", "src", "tests/swarm")]
    return max(path.stat().st_mtime for folder in folders for path in folder.rglob("*.[ch]"))


def main():
    build = Path(sys.argv[1])
    since = newest_source()
    programs = [path for path in sorted([build / "bin/sim", *build.glob("*/bin/sim")])
                if path.exists() and path.stat().st_mtime >= since]
    if len(programs) < 2:
        print(f"{[str(path) for path in programs]}: nothing to compare")
        return NOT_HERE
    running = [(path, subprocess.Popen([path, *OPTIONS], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, text=True)) for path in programs]
    hashes = {}
    for path, process in running:
        said = process.communicate()[0]
        match = re.search(r"hash (\w+)", said)
        where = path.relative_to(build).parent.parent
        hashes[str(where)] = match[1] if match and process.returncode == 0 else said[-2000:]
        print(f"{where}: {hashes[str(where)]}")
    if len(set(hashes.values())) != 1:
        print(f"the {len(hashes)} builds do not agree on {SEEDS} seeds")
        return 1
    print(f"{len(hashes)} builds agree on {SEEDS} seeds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
