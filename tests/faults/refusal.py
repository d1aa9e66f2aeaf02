"""Puts berthd and berthload where something of the system is refused: a script stands in the place
of each, and becomes the real program behind a command that takes the thing away."""

import os
import shlex

import e2e_conftest

REAL = e2e_conftest.BIN.resolve()
PROGRAMS = ("berthd", "berthload")


def refuse(*rules):
    """System calls are (tests/variants/refuse.c)."""
    return [REAL / "variants" / "refuse", *rules, "--"]


def little_memory(kib):
    """So much may be locked, and counts. Root could lock more, but for this."""
    drop = ["setpriv", "--bounding-set", "-ipc_lock"] if os.geteuid() == 0 else []
    return ["prlimit", f"--memlock={kib * 1024}:{kib * 1024}", *drop]


def put_behind(folder, monkeypatch, command_for, lacking=""):
    """From now on the tests' programs stand behind the command for them; on a kernel that lacks
    these features (src/io/feature.h), if any."""
    folder.mkdir(exist_ok=True)
    programs = REAL / "variants" if lacking else REAL
    monkeypatch.setenv("BERTH_TEST_FEATURES_OFF", lacking)
    for program in PROGRAMS:
        words = [*command_for(program), programs / program]
        script = folder / program
        script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
        script.chmod(0o755)
    monkeypatch.setattr(e2e_conftest, "BIN", folder)
