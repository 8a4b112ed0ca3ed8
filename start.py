#!/usr/bin/env python3
"""Set the course up in .venv, once, and run it.

    python start.py lab      open JupyterLab on the first notebook
    python start.py test     run every test, the notebooks included
    python start.py setup    only set up
    python start.py clean    remove .venv and the caches

Further arguments are passed on to JupyterLab and to pytest. Nothing is needed but Python 3.11 or
newer. COURSE_TORCH=cpu or COURSE_TORCH=default chooses the build of PyTorch.
"""
# No annotations and no syntax newer than Python 3.6: an old Python must answer with a sentence,
# not with a SyntaxError. Messages are ASCII, which every Windows console can print; paths in them
# are not.

import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 14)  # NEWEST: the last Python that has wheels of all packages
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "course-setup.json"  # written last: without it, a set-up did not finish
LOCK = VENV / "course-setup.lock"
LOG = VENV / "course-setup.log"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
GIGABYTES = {"cpu": 3, "cuda": 11}  # the peak: packages, their wheels, pip's cache


class SetupError(Exception):
    """The set-up cannot go on: what was found, what was expected, what to do."""


def main(arguments):
    """Run one command; returns the exit status. What nobody can read is no reason to stop."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        if hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="replace")
    try:
        status = obey(arguments)
        sys.stdout.flush()
        return status
    except OSError as error:  # the output is a pipe without a reader, or a full disk
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            complain(f"start.py: cannot write its output: {error.strerror}.")
        return 141 if isinstance(error, BrokenPipeError) else 1


def obey(arguments):
    if not arguments or arguments[0] not in COMMANDS:
        print(__doc__)
        return 0 if arguments[:1] in ([], ["help"], ["-h"], ["--help"]) else 2
    command, *extra = arguments
    status = 1
    try:
        return COMMANDS[command](extra)
    except SetupError as error:
        problem = str(error)
    except OSError as error:
        sys.stdout.flush()  # if it is this that fails, `main` knows what to do
        problem = f"{error}. Mend this, then run it again."
    except KeyboardInterrupt:
        problem, status = "stopped.", 130
    complain(f"\nstart.py {command}: {problem}")
    return status


def complain(text):
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def say(text):
    print(text, flush=True)


# -------------------------------------------------------------------------------- commands


def lab(extra):
    setup()
    command = ["-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}"]
    # Nothing that asks the network, nor the student whether it may (.jupyterlab/overrides.json): no
    # news, no search for updates, no catalogue of extensions.
    command += ["--LabApp.news_url=None", "--LabApp.extension_manager=readonly"]
    command += [f"--LabApp.app_settings_dir={ROOT / '.jupyterlab'}"]
    # Lectures open without the answers to their predictions, and are saved with stills of widgets.
    command += ["--ServerApp.contents_manager_class=course_lib.contents.LectureContents"]
    command += ["--Exporter.preprocessors=course_lib.contents.Stills"]
    page = ROOT / "course_lib" / "labextension"  # how a lecture looks
    command += [f"--LabApp.extra_labextensions_path={page}"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # the usual user of a container
    if not any(argument.endswith(".ipynb") for argument in extra):
        command.append(os.path.join("notebooks", "00_start_here.ipynb"))
    return run(command + extra)


def test(extra):
    if not (ROOT / "tests").is_dir():
        raise SetupError("this copy of the course is for students, and has no tests.")
    setup()
    command = ["-m", "pytest", "-n", "2", "--dist", "loadscope"]
    command += ["--nbval-lax", "--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]
    command += ["--nbval-cell-timeout", "120"]
    command += extra
    if not any((ROOT / argument.split("::")[0]).exists() for argument in extra):
        command += ["tests", "notebooks", "solutions"]
    return run(command)


def setup_only(extra):
    if setup():
        say("`make lab` or `python start.py lab` opens the course.")
    return 0


def clean(extra):
    if VENV.is_dir():
        with only_one():
            empty_venv()
    leftovers = (".venv", ".bench", ".lock", ".pytest_cache", ".ruff_cache", ".hypothesis")
    for leftover in (*leftovers, "*.egg-info"):
        for folder in ROOT.glob(leftover):
            shutil.rmtree(str(folder), ignore_errors=True)
    return 0


COMMANDS = {"lab": lab, "test": test, "setup": setup_only, "clean": clean}


def run(arguments):
    """Run .venv's Python in the top folder; on Linux and macOS it takes this process's place."""
    os.chdir(str(ROOT))
    command = [str(python_of(VENV)), *arguments]
    if os.name == "posix":
        os.execve(command[0], command, environment())
    process = subprocess.Popen(command, env=environment())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            pass  # the child has received it too, and ends when it is ready to


def python_of(venv):
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def environment():
    """The variables of this process, as if .venv were activated."""
    variables = dict(os.environ, VIRTUAL_ENV=str(VENV), JUPYTER_PREFER_ENV_PATH="1")
    variables["PATH"] = os.pathsep.join([str(python_of(VENV).parent), os.environ.get("PATH", "")])
    for name in ("PYTHONHOME", "PYTHONPATH"):  # they would mix other packages in
        variables.pop(name, None)
    return variables


# ---------------------------------------------------------------------------------- set-up


def setup():
    """Make .venv what pyproject.toml and constraints.txt ask for; returns whether it was not."""
    if recorded() == wanted():
        return False
    need_good_python()
    with only_one():
        before, now = recorded(), wanted()
        if before == now:
            return False  # thanks to the set-up that this one has waited for
        began = time.time()
        usable = before and all(before.get(key) == now[key] for key in ("folder", "python"))
        if usable:
            say("pyproject.toml or constraints.txt has changed: bringing .venv up to date.")
            STAMP.unlink()
        else:
            say(why_anew(before))
            empty_venv()
            need_disk()
            make_venv()
        try:
            install()
        except SetupError:
            if usable:
                write_stamp(dict(before, packages=None))  # not anew, but tried again
            raise
        write_stamp(wanted())
        say(f"Set-up done in {time.time() - began:.0f} s.")
        return True


def recorded():
    """What the last set-up that finished was for."""
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def wanted():
    """What a set-up that finishes now would record."""
    sources = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    ask = [str(python_of(VENV)), "-I", "-S", "-c", "import sys; print(sys.version)"]
    try:  # only running it shows that it runs
        python = subprocess.check_output(ask, stderr=subprocess.DEVNULL).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        python = None
    packages = hashlib.sha256(b"\0".join(sources)).hexdigest()
    return {"folder": str(ROOT), "python": python, "packages": packages}


def write_stamp(record):
    partial = STAMP.with_suffix(".part")
    partial.write_text(json.dumps(record, indent=1), encoding="utf-8")
    os.replace(str(partial), str(STAMP))


def why_anew(before):
    if before and before["folder"] != str(ROOT):
        return f"The course was moved here from {before['folder']}: making .venv anew."
    if before:
        return "The Python of .venv has changed or is gone: making .venv anew."
    if any(path != LOCK for path in VENV.iterdir()):
        return "An earlier set-up of .venv did not finish: making it anew."
    return "First set-up: Python packages into .venv. This takes a minute or more."


@contextlib.contextmanager
def only_one():
    """Hold .venv's lock, after a wait for any other set-up; the system frees it on any exit."""
    try:
        VENV.mkdir(exist_ok=True)
        handle = open(str(LOCK), "ab")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise SetupError(
            f"cannot write to {VENV}: {error.strerror}. Put the course into a folder of your own "
            "that you may write to."
        ) from None
    with handle:
        if not try_lock(handle):
            say("Another set-up is at work in this folder: waiting for it.")
            while not try_lock(handle):
                time.sleep(0.5)
        yield


def try_lock(handle):
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass  # a network disk without locks
    return True


def empty_venv():
    for path in VENV.iterdir():
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(str(path))
            elif path != LOCK:
                path.unlink()
        except OSError as error:
            raise SetupError(
                f"cannot remove {error.filename}: {error.strerror}. Close JupyterLab and whatever "
                "else runs from .venv, then run this again."
            ) from None


def need_good_python():
    """Return if this Python can make an environment; else start again in one that can."""
    found = f"this is Python {platform.python_version()} ({sys.executable})"
    if sys.version_info < OLDEST:
        problem = f"{found}; the course needs {version_text(OLDEST)} or newer."
        remedy = "Install one from https://www.python.org/downloads/, then run this again."
    elif not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        problem = f"{found}; its module venv or ensurepip, which makes environments, is missing."
        remedy = (
            f"On Debian or Ubuntu: sudo apt install python{version_text(sys.version_info)}-venv. "
            "Elsewhere: install Python from https://www.python.org/downloads/. Then run this again."
        )
    else:
        return
    for command in other_pythons():
        say(f"Note: {problem} Going on with {' '.join(command)}.")
        start_again(command)
    raise SetupError(f"{problem} {remedy}")


def other_pythons():
    """Commands that start a Python which can make the environment."""
    ask = f"import sys, venv, ensurepip; sys.exit(sys.version_info < {OLDEST})"
    for minor in range(OLDEST[1], NEWEST[1] + 1):
        name = f"python3.{minor}"
        for command in ([shutil.which(name) or name], ["py", f"-3.{minor}"]):
            with contextlib.suppress(OSError):
                probe = subprocess.Popen(
                    [*command, "-c", ask], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                if probe.wait() == 0:
                    yield command


def start_again(command):
    command = [*command, str(Path(__file__).resolve()), *sys.argv[1:]]
    if os.name == "posix":
        os.execvp(command[0], command)
    sys.exit(subprocess.call(command))


def version_text(version):
    return "{}.{}".format(*version)


def need_disk():
    build = "cuda" if has_nvidia_gpu() and os.environ.get("COURSE_TORCH") != "cpu" else "cpu"
    free = shutil.disk_usage(str(VENV)).free / 1e9
    if free < GIGABYTES[build]:
        remedy = "Free some space, or move the course to another disk"
        if build == "cuda":
            remedy += ", or set COURSE_TORCH=cpu to do without the GPU"
        raise SetupError(
            f"{free:.1f} GB are free on the disk of {ROOT}; the set-up needs "
            f"{GIGABYTES[build]} GB. {remedy}."
        )


def make_venv():
    process = subprocess.Popen(
        [sys.executable, "-m", "venv", str(VENV)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = process.communicate()[0].decode(errors="replace")
    if process.returncode:
        raise SetupError(
            f"{sys.executable} -m venv failed, with this output:\n{last_lines(output)}\n"
            f"Mend that, or install another Python {version_text(OLDEST)} or newer from "
            "https://www.python.org/downloads/, then run this again."
        )


def install():
    """Install the course and all it needs at the versions in constraints.txt."""
    if torch_from_cpu_index():
        constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
        torch = re.search(r"^torch==\S+", constraints, re.MULTILINE).group()
        run_pip("--no-deps", "--index-url", CPU_INDEX, torch)  # its needs: from the usual index
    say("Installing the packages at the versions in constraints.txt.")
    run_pip("--constraint", "constraints.txt", "--editable", ".[test]")


def torch_from_cpu_index():
    """Whether PyTorch comes from its CPU index: elsewhere, Linux gets gigabytes of CUDA."""
    choice = os.environ.get("COURSE_TORCH", "")
    if choice not in ("", "cpu", "default"):
        raise SetupError(f"COURSE_TORCH is {choice!r}. Set it to cpu or default, or unset it.")
    if choice:
        reason = f"as COURSE_TORCH={choice} says"
    elif not sys.platform.startswith("linux"):
        choice, reason = "default", "which is the right one on this system"
    elif has_nvidia_gpu():
        choice, reason = "default", "since there is an NVIDIA GPU"
    elif answers(CPU_INDEX + "/torch/"):
        choice, reason = "cpu", "since there is no NVIDIA GPU"
    else:
        choice, reason = "default", f"since {CPU_INDEX} does not answer"
    source = CPU_INDEX if choice == "cpu" else "the index that pip is set to"
    say(f"PyTorch: from {source}, {reason}.")
    return choice == "cpu"


def has_nvidia_gpu():
    return os.path.exists("/proc/driver/nvidia") or shutil.which("nvidia-smi") is not None


def answers(url, seconds=5):
    """Whether `url` answers in time; a thread, since looking a name up has no time-out."""
    import urllib.request  # slow to import, and rarely needed

    answered = threading.Event()

    def ask():
        with contextlib.suppress(Exception):
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=seconds):
                answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def run_pip(*arguments):
    """Run .venv's `pip install`; its whole output goes to LOG."""
    temporary = VENV / "tmp"  # the system's own is often small
    temporary.mkdir(exist_ok=True)
    variables = dict(environment(), PIP_USER="0", PIP_NO_INPUT="1", PYTHONUTF8="1")
    variables.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)))
    process = subprocess.Popen(
        [str(python_of(VENV)), "-m", "pip", "install", *arguments],
        cwd=str(ROOT),
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    output = []
    with process, open(str(LOG), "a", encoding="utf-8") as log:
        for line in process.stdout:
            output.append(line)
            log.write(line)
            show_progress(line.strip())
    show_progress("")
    shutil.rmtree(str(temporary), ignore_errors=True)
    if process.returncode:
        raise SetupError(why_pip_failed("".join(output)))


def show_progress(text):
    """Show `text` in place of the last one, where there is a terminal."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        text = text.encode("ascii", "replace").decode()[:width]
        print("\r" + text.ljust(width), end="\r", flush=True)


def why_pip_failed(output):
    explanation = next(text for pattern, text in PIP_FAILURES if re.search(pattern, output, re.I))
    return (
        f"pip could not install the packages. {explanation}\n\nThe end of its output, of which "
        f"the whole is in {LOG}:\n{last_lines(output)}"
    )


def last_lines(output):
    return "\n".join("  " + line for line in output.strip().splitlines()[-12:])


# The first pattern that pip's output contains tells the cause.
PIP_FAILURES = [
    (
        r"No space left on device|Errno 28|not enough space on the disk|Disk quota exceeded",
        "The disk is full: free some space (`pip cache purge` may help), then run this again.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "The network's certificate is not trusted; some companies and schools put their own in "
        "between. Ask them for it, `pip config set global.cert FILE`, then run this again.",
    ),
    (
        r"Permission denied|Read-only file system|Access is denied",
        "A file could not be written: close what else uses .venv, see that you may write to this "
        "folder, then run this again.",
    ),
    (
        r"Retrying \(|ConnectionError|Connection refused|timed out|ProxyError|name resolution"
        r"|Name or service not known|getaddrinfo failed|Network is unreachable|Connection reset",
        "There is no way to the package index: connect to the internet (behind a proxy: set "
        "HTTPS_PROXY; with a mirror: `pip config set global.index-url URL`), then run this again.",
    ),
    (
        r"ResolutionImpossible|conflicting dependencies",
        "pyproject.toml and constraints.txt contradict each other: undo your change in them, or "
        "write constraints.txt anew by `make lock`.",
    ),
    (
        r"No matching distribution found",
        f"A package does not exist for Python {platform.python_version()} on {platform.system()} "
        f"{platform.machine()}. All exist for 64-bit Python {version_text(OLDEST)} to "
        f"{version_text(NEWEST)} on Windows or Linux (x86-64) and on macOS 14 or newer (Apple "
        "silicon): run start.py with such a Python.",
    ),
    (r"", "What it says should tell why; then run this again."),
]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
