"""docs/guide/faq.md against the programs and the headers: every call, field and option that an answer
ends with exists, and every theme of the seed's discussion has its question.

    faq.py SOURCE BIN
"""

import re
import subprocess
import sys
from pathlib import Path

SOURCE, BIN = (Path(word).resolve() for word in sys.argv[1:3])

# What readers asked under the article, in words of ours, and what a question on it must contain.
THEMES = {
    "errors with many messages on one socket": "many messages on the same socket",
    "Buffer.BlockCopy is out of bounds": "BlockCopy",
    "is the copying thread-safe": "copying thread-safe",
    "how to handle a time-out": "time-outs",
    "how to stop listening": "stop listening",
    "a handle to manage clients": "handle, to manage",
    "keep sessions open": "keep sessions open",
    "an end token in place of the prefix": r"token at the end \(EOT\)",
    "a Windows service, and where is the loop": "Windows service",
    "IPv6": "IPv6",
    "bad accepts": "HandleBadAccept",
    "a socket is never accepted": "never gets accepted",
    "a problem on the server's side": "wrong on the server's side",
    "peer to peer": "peer to peer",
    "10 million clients": "10 million clients",
    "future versions of the system": "future versions",
    "reuse of sockets on the client": "reuse sockets on the client",
    "AcceptSocket on the client": "AcceptSocket",
    "avoid FreeBuffer": "FreeBuffer",
    "one buffer for both": "One buffer for sending and receiving",
}


def questions(text):
    """(question, what its answer ends with) of each."""
    for part in re.split(r"\n\n+", text):
        if part.startswith("**"):
            question = re.match(r"\*\*(.*?)\*\*", part, re.DOTALL)[1].replace("\n", " ")
            _, _, uses = part.partition("\nUse: ")
            yield question, re.findall(r"`([^`]+)`", uses)


def options():
    """All that the programs take."""
    said = set()
    for program in ("berthd", "berthload"):
        done = subprocess.run([BIN / program, "--help"], capture_output=True, text=True, check=True,
                              timeout=10)
        said |= set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", done.stdout))
    return said


def main():
    text = (SOURCE / "docs/guide/faq.md").read_text(encoding="utf-8")
    headers = "".join(path.read_text(encoding="utf-8")
                      for path in (SOURCE / "include/berth").glob("*.h"))
    code = re.sub(r"/\*.*?\*/", "", headers, flags=re.DOTALL)  # a name in a comment is no name
    names, known = set(re.findall(r"\w+", code)), options()
    asked = list(questions(text))
    wrong = [f"the theme '{theme}' has no question" for theme, pattern in THEMES.items()
             if not any(re.search(pattern, question) for question, _ in asked)]
    for question, uses in asked:
        if not uses:
            wrong.append(f"'{question}' ends with no call, field or option")
        for use in uses:
            exists = use in known if use.startswith("--") else set(use.split()) <= names
            if not exists:
                wrong.append(f"'{question}' names {use}, which does not exist")
    for line in wrong:
        print(f"faq: {line}")
    count = sum(len(uses) for _, uses in asked)
    print(f"faq: {len(asked)} questions, {count} calls, fields and options, {len(wrong)} wrong")
    return 1 if wrong or not asked else 0


if __name__ == "__main__":
    sys.exit(main())
