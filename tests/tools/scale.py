"""./dev scale with few connections: more than a table of descriptors has, and every figure there.

    scale.py TOP BIN
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT = 150  # descriptors of a table
MANY = 400
FIGURES = ("opening_s", "connections_per_s", "first_answers_s", "server_user_bytes",
           "client_user_bytes", "end_s")


def settings():
    """Of the kind that the tool changes for a moment."""
    return [(path.name, path.read_text(encoding="ascii"))
            for path in sorted(Path("/proc/sys/net/ipv4").glob("tcp_child_*"))]


def lower_limit():
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


def run(top, binaries, *options):
    return subprocess.run([top / "tools" / "scale", *map(str, options), binaries], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          preexec_fn=lower_limit)


def check(condition, done):
    if not condition:
        print(done.stdout)
        sys.exit(1)


def main():
    top, binaries = map(Path, sys.argv[1:])
    before = settings()
    for backend in ("epoll", "auto"):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "scale.json")
            done = run(top, binaries, "--connections", MANY, "--seconds", 1, "--active", 5,
                       "--backend", backend, "--json", out)
            check(done.returncode == 0 and out.exists(), done)
            told = json.loads(out.read_text(encoding="utf-8"))
        check(told["connections"] == MANY and told["workers"] > MANY // LIMIT, done)
        check(all(told[name] > 0 or name == "end_s" for name in FIGURES), done)
        results = told["berthload"]["results"]
        check(results["connections_most"] == MANY and results["first_answers"] == MANY, done)
        check(f"{MANY} connections served, at most {MANY} at once" in done.stdout, done)
    done = run(top, binaries, "--connections", 10**9)
    check(done.returncode == 1 and "the free memory is enough for" in done.stdout, done)
    check(settings() == before, done)
    print("./dev scale: right")


if __name__ == "__main__":
    main()
