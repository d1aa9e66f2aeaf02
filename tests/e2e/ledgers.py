"""What the tests of ledgers share: loads with a ledger, and what tools/ledger says of them."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import sys
import time
from pathlib import Path

from conftest import run
from peer import PATIENCE

TOOLS = Path(__file__).parents[2] / "tools"


def load_checker():
    """tools/ledger as a module: a process for each check would be most of a test's time."""
    sys.path.insert(0, str(TOOLS))
    loader = importlib.machinery.SourceFileLoader("ledger", str(TOOLS / "ledger"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("ledger", loader))
    loader.exec_module(module)
    return module


CHECKER = load_checker()


def check(*files, options=()):
    """tools/ledger's exit status, and the account as JSON."""
    said, arguments = io.StringIO(), sys.argv
    sys.argv = ["ledger", "--json", *options, *map(str, files)]
    try:
        with contextlib.redirect_stdout(said):
            status = CHECKER.main()
    finally:
        sys.argv = arguments
    account = json.loads(said.getvalue())
    print({key: account[key] for key in account if key != "problems"})
    for problem in account["problems"][:20]:
        print(problem)
    return status, account


def closes(*files, options=()):
    status, account = check(*files, options=options)
    assert status == 0 and account["closes"]
    return account["sums"]


def load(address, backend, ledger, *options, seconds=PATIENCE):
    """berthload's exit status, its JSON, and what people read."""
    if isinstance(address, tuple):
        address = "%s:%d" % address
    status, out, err = run("berthload", "--connect", address, "--backend", backend, "--ledger",
                           ledger, "--json", "-", *options, seconds=seconds)
    print(err)
    return status, json.loads(out) if out else None, err


def wait_until(holds, what):
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, f"never came: {what}"
        time.sleep(0.005)  # between two looks at a file; nothing is ordered by it
