"""Plants a bug: mutate.py canaries.json SOURCE_ROOT NAME OUT writes the file of that canary with its
text replaced. Fails unless the text stands in the file exactly once, so that a canary cannot rot.
mutate.py canaries.json SOURCE_ROOT --list prints "name=file" for each, as CMake reads lists.
mutate.py canaries.json SOURCE_ROOT --check says which of them cannot be planted.
"""

import json
import sys
from pathlib import Path


def count_of(canary, root):
    """How often its text stands in its file; says so if that is not once."""
    count = (root / canary["file"]).read_text().count(canary["find"])
    if count != 1:
        print(f"canary {canary['name']}: its text stands {count} times in {canary['file']}")
    return count


def main():
    canaries = json.loads(Path(sys.argv[1]).read_text())
    root = Path(sys.argv[2])
    if sys.argv[3] == "--list":
        print(";".join(f"{canary['name']}={canary['file']}" for canary in canaries), end="")
        return 0
    if sys.argv[3] == "--check":
        return 1 if [1 for canary in canaries if count_of(canary, root) != 1] else 0
    canary = next(canary for canary in canaries if canary["name"] == sys.argv[3])
    if count_of(canary, root) != 1:
        return 1
    text = (root / canary["file"]).read_text()
    Path(sys.argv[4]).write_text(text.replace(canary["find"], canary["replace"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
