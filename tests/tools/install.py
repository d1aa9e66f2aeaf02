"""An installed Berth, as a stranger meets it: it is installed into an empty folder, and the server
of the README is built from there with what pkg-config says, in each way of linking, and with the
CMake package; each one runs and answers. The example of berth(7) must compile.

    install.py SOURCE BUILD SCRATCH COMPILER [FLAG]...    BUILD is built; SCRATCH is emptied
"""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

PATIENCE = 20  # seconds for anything; CTest's limit is the one that counts
FRAME = b"\x05\x00\x00\x00hello"

CONSUMER = """
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C)
find_package(berth 0.1 REQUIRED)
foreach(form IN ITEMS berth static)
  add_executable(cmake_${form} ECHO)
  target_link_libraries(cmake_${form} PRIVATE berth::${form})
endforeach()
"""


def run(*command, **environment):
    """The standard output of a command that must succeed."""
    done = subprocess.run([str(word) for word in command], env={**os.environ, **environment},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"install: status {done.returncode} from: {shlex.join(map(str, command))}\n"
                 f"{done.stdout}")
    return done.stdout


def check(condition, what):
    if not condition:
        sys.exit(f"install: {what}")


def declared(include):
    """The functions that the public headers declare."""
    names = set()
    for header in include.glob("berth/*.h"):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.DOTALL)
        text = re.sub(r'"[^"\n]*"', '""', text)
        names |= set(re.findall(r"\b(berth_\w+)\(", text))
    return names


def exported(library, *which):
    """The names that a library defines for others, without versions."""
    lines = run("nm", "--defined-only", "--extern-only", *which, library).splitlines()
    fields = [line.split() for line in lines]
    return {words[2].split("@")[0] for words in fields if len(words) == 3 and words[1] != "A"}


def answers(program, **environment):
    """Starts the example server and exchanges one message with it."""
    command = [str(program), "127.0.0.1:0"]
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE,
                          text=True) as server:
        try:
            line = server.stdout.readline()
            port = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
            check(port, f"{program} says {line!r}")
            with socket.create_connection(("127.0.0.1", int(port[1])), PATIENCE) as client:
                client.sendall(FRAME)
                reply = client.makefile("rb").read(len(FRAME))
            check(reply == FRAME, f"{program} answers {reply!r}")
        finally:
            server.kill()


def example_of(page):
    """The C program that stands in a manual page."""
    code = re.search(r"^\.Bd -literal\n(#include .*?)^\.Ed$", page.read_text(encoding="utf-8"),
                     re.MULTILINE | re.DOTALL)
    check(code, f"{page} has no example")
    return code[1].replace("\\e", "\\")


def check_files(prefix, library):
    for name in ("berthd", "berthload"):
        check(run(prefix / "bin" / name, "--version").startswith(name), f"{name} --version")
    for page in ("man1/berthload.1", "man7/berth.7", "man8/berthd.8"):
        check((prefix / "share/man" / page).is_file(), f"{page} is not installed")
    names = declared(prefix / "include")
    check(len(names) > 30, f"the headers declare only {sorted(names)}")
    for found in (exported(library / "libberth.so", "-D"), exported(library / "libberth.a")):
        found = {name for name in found if not name.startswith("__odr_asan")}
        check(found == names, f"declared and not defined: {sorted(names - found)}; "
                              f"shown and not declared: {sorted(found - names)}")


def main():
    source, build, scratch = (Path(word).resolve() for word in sys.argv[1:4])
    compiler, flags = sys.argv[4], sys.argv[5:]
    sanitized = any(flag.startswith("-fsanitize") for flag in flags)
    prefix = scratch / "prefix"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    run("cmake", "--install", build, "--prefix", prefix)
    packages = list(prefix.glob("**/berth.pc"))
    check(len(packages) == 1, f"{packages} instead of one berth.pc")
    library = packages[0].parent.parent
    check_files(prefix, library)

    def pkg_config(*options):
        return run("pkg-config", *options, "berth", PKG_CONFIG_PATH=str(packages[0].parent)).split()

    example = source / "examples/echo.c"
    static = pkg_config("--cflags", "--libs", "--static")
    ways = {
        "shared": pkg_config("--cflags", "--libs"),
        "archive": [word.replace("-lberth", "-l:libberth.a") for word in static],
    }
    if not sanitized:  # sanitizers have no static runtime to go with -static
        ways["static"] = static + ["-static"]
    for way, words in ways.items():
        run(compiler, *flags, "-o", scratch / way, example, *words)
        answers(scratch / way, LD_LIBRARY_PATH=str(library) if way == "shared" else "")

    (scratch / "page.c").write_text(example_of(prefix / "share/man/man7/berth.7"))
    run(compiler, *flags, "-Wall", "-Wextra", "-Werror", "-o", scratch / "page", scratch / "page.c",
        *ways["shared"])

    consumer = scratch / "consumer"
    consumer.mkdir()
    (consumer / "CMakeLists.txt").write_text(CONSUMER.replace("ECHO", str(example)))
    run("cmake", "-S", consumer, "-B", consumer / "build", "-G", "Ninja",
        f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_C_COMPILER={compiler}",
        f"-DCMAKE_C_FLAGS={shlex.join(flags)}")
    run("cmake", "--build", consumer / "build")
    for form in ("berth", "static"):
        answers(consumer / "build" / f"cmake_{form}")
    print(f"install: {', '.join(ways)} and both CMake targets answer; "
          f"{len(declared(prefix / 'include'))} functions are shown")


if __name__ == "__main__":
    main()
