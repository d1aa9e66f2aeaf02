"""F43: configurations that make no sense are refused before anything starts, with the name of what is
wrong: those that the e2e tests have by hand, and nonsense for every setting there is, on the command
line and in a file."""

import re

import test_config
import test_options

from conftest import run, scale

NONSENSE = scale(["nonsense"], ["", "-1", "nonsense", "99999999999999999999999", "1 2", "3.5"])

# Any text at all is the name of a file; this one is in a folder that is not there.
NOWHERE = "/none/there/x"
ANY_TEXT = ["log", "ledger"]

# These mean something on purpose: no mode is watched.
MEANT = {("watch", "")}


def settings():
    _, text, _ = run("berthd", "--write-config", "-")
    return [key for key in re.findall(r"^([a-z-]+) = ", text, re.MULTILINE) if key not in ANY_TEXT]


def nonsense():
    return [(key, value) for key in settings() for value in NONSENSE if (key, value) not in MEANT]


def refused(options, name):
    status, out, err = run("berthd", *options)
    assert status == 2, f"{options}: status {status}: {out}{err}"
    assert re.search(name, err), f"{options}: {name} is not in {err!r}"
    assert "listening" not in out + err
    return 1


def listen_unless(named):
    return [] if named else ["--listen", "127.0.0.1:0"]


def test_f43_nonsense(tmp_path, result):
    count = 0
    for options, name in test_options.REFUSED:
        count += refused([*listen_unless("--listen" in options), *options], name)
    for key, value in nonsense():
        count += refused([*listen_unless(key == "listen"), f"--{key}={value}"], f"--{key}")
    path = tmp_path / "berthd.ini"
    for text, line, name in test_config.REFUSED:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        count += refused([*listen_unless("listen" in str(text)), "--config", path],
                         re.escape(f"{path}:{line}: {name}"))
    for key, value in nonsense():
        path.write_text(f"[berthd]\n{key} = {value}\n")
        count += refused([*listen_unless(key == "listen"), "--config", path],
                         re.escape(f"{path}:2: {key}: "))
    for key in ANY_TEXT:
        count += refused(["--listen", "127.0.0.1:0", f"--{key}={NOWHERE}"], NOWHERE)
    assert count > 60
    result("F43", f"{count} configurations that make no sense: {count} refused, each by name")
