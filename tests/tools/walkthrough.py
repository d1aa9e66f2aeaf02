"""docs/guide/walkthrough.md, word for word: runs each of its command blocks in an empty folder with the
programs that were built, and checks what it says will be seen.

    walkthrough.py SOURCE BIN SCRATCH

A block behind <!-- run --> is run by sh, with PORT a free port and LIMIT short. A block behind
<!-- expect FILE --> has lines that must be in FILE of the last run, in this order, anywhere in a line
of it; ... stands for anything, a space for any space. "output" is what the run printed. With "then"
the search goes on behind the last line that was found; with "N times" each line is there exactly so
often.
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

SOURCE, BIN, SCRATCH = (Path(word).resolve() for word in sys.argv[1:4])
PAGE = SOURCE / "docs/guide/walkthrough.md"
LIMIT = "3"  # seconds, of test 8
PATIENCE = 120  # seconds, of one block; CTest's limit is the one that counts
SHOWN = 12_000  # characters of a file that did not have what it must
BLOCK = re.compile(r"^<!-- (run|expect)(?: ([^\n]*?))? -->\n```\w*\n(.*?)^```$",
                   re.MULTILINE | re.DOTALL)
WHERE = re.compile(r"([\w.-]+)(, then|, (\d+) times)?")


def free_port():
    """Below the ports that the system gives out of itself, so that it stays free."""
    while True:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Page:
    """The page, block by block."""

    def __init__(self, text):
        self.text = text
        self.folder = None
        self.place = {}  # for "then": where the last line was found, by file
        self.runs = self.lines = 0

    def fail(self, match, why):
        number = self.text.count("\n", 0, match.start()) + 1
        sys.exit(f"{PAGE.relative_to(SOURCE)}:{number}: {why}")

    def run(self, match):
        self.runs += 1
        self.folder, self.place = SCRATCH / f"run-{self.runs}", {}
        self.folder.mkdir(parents=True)
        environment = {**os.environ, "PORT": str(free_port()), "LIMIT": LIMIT,
                       "PATH": f"{BIN}:{SOURCE / 'tools'}:{os.environ['PATH']}"}
        with open(self.folder / "output", "w", encoding="utf-8") as output:
            shell = subprocess.Popen(["sh", "-eu", "-c", match[3]], cwd=self.folder,
                                     env=environment, stdin=subprocess.DEVNULL, stdout=output,
                                     stderr=subprocess.STDOUT, start_new_session=True)
            try:
                status = shell.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                status = f"none after {PATIENCE} s"
            finally:
                try:  # its own group: a server that a failed command left behind
                    os.killpg(shell.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if status != 0:
            self.fail(match, f"status {status} from\n{match[3]}{self.read(match, 'output')}")

    def read(self, match, name):
        try:
            return (self.folder / name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return self.fail(match, f"the last run left no {name}")

    def expect(self, match):
        where = WHERE.fullmatch(match[2])
        if not where or self.folder is None:
            self.fail(match, f"not understood: {match[2]}")
        name, times = where[1], where[3]
        text = self.read(match, name)
        lines = text.splitlines()
        at = self.place.get(name, 0) if where[2] == ", then" else 0
        for wanted in match[3].splitlines():
            pattern = pattern_of(wanted)
            self.lines += 1
            if times is None:
                found = next((n for n in range(at, len(lines)) if pattern.search(lines[n])), None)
                if found is None:
                    self.fail(match, f"not in {name}: {wanted}\nfrom line {at + 1} on it has\n"
                              + "\n".join(lines[at:])[:SHOWN])
                at = self.place[name] = found + 1
            elif (count := sum(map(bool, map(pattern.search, lines)))) != int(times):
                self.fail(match, f"{count} times in {name}: {wanted}\n{text[:SHOWN]}")


def pattern_of(wanted):
    words = [re.escape(part) for part in wanted.strip().split("...")]
    return re.compile(".*".join(re.sub(r"(\\?\s)+", r"\\s+", word) for word in words))


def main():
    shutil.rmtree(SCRATCH, ignore_errors=True)
    page = Page(PAGE.read_text(encoding="utf-8"))
    marks = len(re.findall(r"^<!-- (?:run|expect)", page.text, re.MULTILINE))
    for match in BLOCK.finditer(page.text):
        marks -= 1
        (page.run if match[1] == "run" else page.expect)(match)
    if marks != 0 or page.runs < 8:
        sys.exit(f"walkthrough: {marks} marked blocks could not be read, {page.runs} were run")
    print(f"walkthrough: {page.runs} blocks run, {page.lines} lines found where they should be")


if __name__ == "__main__":
    main()
