"""start.py and what stands around it: constraints.txt, environment.yml, Makefile, .ci/run.

Clones of a tiny course stand in for the real one: its environment has no pip, and `installed`
records what pip would have been asked for. Only the test at the end runs pip.
"""

import ast
import base64
import functools
import hashlib
import http.server
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import tomllib
import venv
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parent.parent


def load_start(folder):
    """The start.py of a clone, as a module."""
    spec = importlib.util.spec_from_file_location("start", folder / "start.py")
    start = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(start)
    return start


@pytest.fixture
def clone(tmp_path):
    """A folder, its name with a space and a letter that is not ASCII, with a course in it."""
    folder = tmp_path / "my côurse"
    folder.mkdir()
    shutil.copy(REPOSITORY / "start.py", folder)
    (folder / "pyproject.toml").write_text('[project]\nname = "course"\n')
    (folder / "constraints.txt").write_text("numpy==2.4.6\ntorch==1.0\n")
    return folder


@pytest.fixture
def start(clone, monkeypatch):
    """The clone's start.py; `start.installed` lists what it has asked of pip."""
    return without_pip(load_start(clone), monkeypatch)


def without_pip(start, monkeypatch):
    start.installed = []
    start.run_pip = lambda *arguments: start.installed.append(arguments)
    start.make_venv = lambda: venv.create(start.VENV, symlinks=os.name == "posix")
    start.other_pythons = lambda: []
    monkeypatch.setenv("COURSE_TORCH", "default")
    return start


def failing(*arguments):
    raise AssertionError("must not be called")


# ------------------------------------------------------------------- the files agree


@functools.cache
def pyproject():
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@functools.cache
def pins():
    """Name → version, as constraints.txt says."""
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [re.split("==| ", line)[:2] for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def direct_requirements():
    lines = pyproject()["dependencies"] + pyproject()["optional-dependencies"]["test"]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("requirement", direct_requirements(), ids=lambda r: r.name)
def test_each_dependency_is_pinned_to_a_version_that_fits_and_is_installed(requirement):
    pin = pins()[canonicalize_name(requirement.name)]
    assert pin in requirement.specifier
    installed = importlib.metadata.version(requirement.name)
    assert installed.split("+")[0] == pin, "run `make setup`, or `make lock`"


def test_what_dependencies_depend_on_is_pinned_too():
    waiting = [(r.name, extra) for r in direct_requirements() for extra in ("", *r.extras)]
    seen = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen or re.match(r"nvidia-|cuda-|triton$", name):
            continue  # PyTorch pins those itself
        seen.add((name, extra))
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed.name, e) for e in ("", *needed.extras)]
    assert len(seen) > 100
    assert {canonicalize_name(name) for name, _ in seen} - set(pins()) == set()


def test_pins_are_exact_sorted_and_the_same_on_every_platform():
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if not line.startswith("#")]
    names = [requirement.name for requirement in pinned]
    assert names == sorted(set(names))  # each once: a marker says where it is needed at all
    assert {"appnope", "colorama", "pyseccomp"} < set(names)  # macOS, Windows, Linux
    for requirement in pinned:
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(requirement.specifier))  # no 2.13.0+cpu
        assert requirement.url is None
    oldest = "{}.{}".format(*load_start(REPOSITORY).OLDEST)
    make = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert f"--python-version {oldest} " in make  # what it can install, newer ones can too


def test_nbval_comes_with_both_commands():
    assert not any(line.startswith("nbval") for line in pyproject()["dependencies"])
    assert "nbval" in pyproject()["optional-dependencies"]["test"]  # which start.py installs


def test_conda_and_binder_get_the_same_environment():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
    python, pip, from_pip = environment["dependencies"]
    oldest = "{}.{}".format(*load_start(REPOSITORY).OLDEST)
    assert (python, pip) == (f"python={oldest}", "pip")
    assert pyproject()["requires-python"] == f">={oldest}"
    *options, editable = from_pip["pip"]
    assert options == [
        f"--extra-index-url {load_start(REPOSITORY).CPU_INDEX}",
        "-c constraints.txt",
    ]
    extras = Requirement(editable.replace("-e .", "course")).extras
    assert extras == {"test"} <= set(pyproject()["optional-dependencies"])


@pytest.fixture
def make(program):
    """``make(*arguments)``: what make prints; none of what started the tests reaches it."""
    path = program("make", install="apt install make")
    environment = {name: value for name, value in os.environ.items() if name[:4] != "MAKE"}

    def run(*arguments):
        command = [path, "-C", REPOSITORY, "--no-print-directory", *arguments]
        return subprocess.check_output(command, text=True, env=environment)

    return run


def test_make_runs_start_py_in_the_chosen_python_with_the_arguments(make):
    for target in ("lab", "test"):
        assert make("-n", target, "ARGS=-k x") == f"python3 start.py {target} -k x\n"
    for target in load_start(REPOSITORY).COMMANDS:
        chosen = make("-n", target, "PYTHON=python3.12")
        assert chosen.strip() == f"python3.12 start.py {target}"
    quick = make("-n", "quick", "ARGS=-k x")
    assert quick == 'python3 start.py test tests -m "not slow and not browser" -k x\n'


@pytest.mark.parametrize(
    "target, command",
    [
        ("notebooks", "course notebooks"),
        ("golden", "python tests/golden_files.py"),
        ("bench", "python tests/benchmark.py"),
        ("bench-grading", "python tests/benchmark_grading.py"),
    ],
)
def test_make_sets_up_before_the_developers_commands(make, target, command):
    setup, run = make("-n", target, "ARGS=-k x").splitlines()
    assert setup == "python3 start.py setup"
    assert run == f". .venv/bin/activate && {command} -k x"
    for word in command.split():
        assert "/" not in word or (REPOSITORY / word).is_file()


def test_make_alone_lists_every_target(make):
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: help (.*)$", text, re.MULTILINE)[1].split()
    assert re.findall(r"^  make ([a-z-]+) +[a-z]", make(), re.MULTILINE) == targets
    for target in targets:
        assert make("-n", target)


def test_old_pythons_can_parse_and_import_start_py():
    tree = ast.parse((REPOSITORY / "start.py").read_text(encoding="utf-8"), feature_version=(3, 6))
    for node in ast.walk(tree):
        assert not getattr(node, "annotation", None) and not getattr(node, "returns", None)
    imported = [n.name for node in tree.body if isinstance(node, ast.Import) for n in node.names]
    assert imported and set(imported) <= {
        *("contextlib", "hashlib", "importlib.util", "json", "os", "platform", "re", "shutil"),
        *("subprocess", "sys", "threading", "time"),
    }


def test_messages_are_ascii():
    (REPOSITORY / "start.py").read_text(encoding="ascii")


# ------------------------------------------------------------------- one set-up after another


def test_the_first_setup_installs_and_the_second_does_nothing(start, capsys):
    start.setup()
    assert start.installed == [("--constraint", "constraints.txt", "--editable", ".[test]")]
    assert "First set-up" in capsys.readouterr().out
    start.run_pip = start.make_venv = start.only_one = failing
    start.setup()
    assert start.main(["setup"]) == 0
    assert capsys.readouterr().out == ""  # so that `make bench` prints JSON alone


def test_the_second_setup_takes_far_less_than_five_seconds(start):
    start.setup()
    began = time.monotonic()
    subprocess.run([sys.executable, start.ROOT / "start.py", "setup"], check=True)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed_into_the_same_environment(start, capsys, name):
    start.setup()
    (start.VENV / "mine").touch()
    with open(start.ROOT / name, "a") as file:
        file.write("# changed\n")
    start.setup()
    assert len(start.installed) == 2 and (start.VENV / "mine").exists()
    assert "has changed" in capsys.readouterr().out
    start.run_pip = failing
    start.setup()


def test_a_failed_update_is_tried_again_in_the_same_environment(start):
    start.setup()
    (start.VENV / "mine").touch()
    old = (start.ROOT / "constraints.txt").read_text()
    (start.ROOT / "constraints.txt").write_text("torch==99\n")

    def fail(*arguments):
        raise start.SetupError("no network")

    start.run_pip, install = fail, start.run_pip
    for _ in range(2):
        with pytest.raises(start.SetupError, match="no network"):
            start.setup()
    start.run_pip = install
    (start.ROOT / "constraints.txt").write_text(old)  # but half of torch 99 may be there
    start.setup()
    assert len(start.installed) == 2 and (start.VENV / "mine").exists()


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_an_interrupted_setup_is_made_anew(start, capsys):
    start.run_pip, install = interrupt, start.run_pip
    assert start.main(["setup"]) == 130
    assert "stopped" in capsys.readouterr().err
    (start.VENV / "half-written").touch()
    start.run_pip = install
    assert start.main(["setup"]) == 0
    assert "did not finish" in capsys.readouterr().out
    assert not (start.VENV / "half-written").exists()


def test_an_interrupted_update_is_made_anew(start, capsys):
    start.setup()
    (start.ROOT / "constraints.txt").write_text("torch==99\n")
    start.run_pip, install = interrupt, start.run_pip
    assert start.main(["setup"]) == 130
    start.run_pip = install
    start.setup()
    assert "did not finish" in capsys.readouterr().out


@pytest.mark.parametrize("broken", ["an empty folder", "no interpreter", "stamp cut short"])
def test_a_broken_environment_is_made_anew(start, broken):
    if broken == "an empty folder":
        start.VENV.mkdir()
    else:
        start.setup()
    if broken == "no interpreter":
        start.python_of(start.VENV).unlink()
    if broken == "stamp cut short":
        start.STAMP.write_text(start.STAMP.read_text()[:20])
    start.installed.clear()
    start.setup()
    assert len(start.installed) == 1
    assert start.recorded() == start.wanted()
    subprocess.run([start.python_of(start.VENV), "-c", ""], check=True)


def test_a_moved_clone_gets_a_new_environment(start, clone, capsys, monkeypatch):
    start.setup()
    moved = without_pip(load_start(clone.rename(clone.with_name("moved"))), monkeypatch)
    moved.setup()
    assert f"moved here from {clone}" in capsys.readouterr().out
    assert len(moved.installed) == 1
    prefix = [moved.python_of(moved.VENV), "-c", "import sys; print(sys.prefix)"]
    assert subprocess.check_output(prefix, text=True).strip() == str(moved.VENV)
    assert str(clone) not in (moved.VENV / "pyvenv.cfg").read_text()


def test_of_two_setups_at_once_one_waits_and_finds_the_work_done(start, capsys):
    installing, asked = threading.Event(), threading.Event()

    def install(*arguments):
        installing.set()
        assert asked.wait(30)
        start.installed.append(arguments)

    def say(text):
        if "waiting" in text:
            asked.set()

    start.run_pip, start.say = install, say
    first = threading.Thread(target=start.setup)
    first.start()
    assert installing.wait(30)
    start.setup()
    first.join()
    assert len(start.installed) == 1


def test_clean_removes_the_environment_and_nothing_of_the_course(start):
    start.setup()
    (start.ROOT / ".pytest_cache").mkdir()
    kept = {"start.py", "pyproject.toml", "constraints.txt"}
    assert start.main(["clean"]) == 0
    assert {path.name for path in start.ROOT.iterdir()} == kept


# ------------------------------------------------------------------- what is run


@pytest.fixture
def commands(start):
    """What `start` would run in the environment, as a list of argument lists."""
    ran = []
    start.setup = lambda: None
    start.run = lambda arguments: ran.append(arguments) or 0
    return ran


def test_lab_opens_the_first_notebook_without_asking_the_network(start, commands):
    assert start.main(["lab", "--no-browser", "--port", "8899"]) == 0
    (command,) = commands
    assert command[:2] == ["-m", "jupyterlab"] and command[-3:] == [
        "--no-browser",
        "--port",
        "8899",
    ]
    assert os.path.join("notebooks", "00_start_here.ipynb") in command
    assert f"--ServerApp.root_dir={start.ROOT}" in command
    app = pytest.importorskip("jupyterlab.labapp").LabApp()
    app.parse_command_line([a for a in command if a.startswith("--LabApp.")])
    assert app.news_url is None and app.extension_manager == "readonly"
    assert app.check_for_updates_class.__name__ == "NeverCheckForUpdate"


@pytest.mark.parametrize("user", [0, 1000])
def test_lab_runs_as_root_too(start, commands, monkeypatch, user):
    monkeypatch.setattr(start.os, "geteuid", lambda: user, raising=False)
    start.main(["lab"])
    assert ("--allow-root" in commands[0]) == (user == 0)


def test_lab_opens_another_notebook_when_asked(start, commands):
    start.main(["lab", "notebooks/05_gdn.ipynb"])
    assert [a for a in commands[0] if a.endswith(".ipynb")] == ["notebooks/05_gdn.ipynb"]


def test_pytest_runs_on_all_paths_unless_some_are_named(start, commands):
    paths = ["tests", "notebooks", "solutions"]
    (start.ROOT / "tests").mkdir()
    start.main(["test", "-k", "metrics"])
    assert commands[0][-5:] == ["-k", "metrics", *paths]
    start.main(["test", "tests::test_psnr"])
    assert commands[1][-1] == "tests::test_psnr" and not set(paths) & set(commands[1])


def test_a_students_copy_says_that_it_has_no_tests(start, commands, capsys):
    assert start.main(["test"]) == 1
    assert "for students, and has no tests" in capsys.readouterr().err
    assert not commands


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot replace a process")
def test_the_course_takes_the_place_of_start_py_with_its_environment(start):
    start.setup()
    (start.ROOT / "jupyterlab.py").write_text(
        "import json, os, sys\n"
        "names = 'COURSE_IMAGES', 'PYTHONPATH', 'PATH'\n"
        "print(json.dumps([os.getpid(), sys.prefix, os.getcwd(), sys.argv[-1],\n"
        "                  *map(os.environ.get, names)]))\n"
    )
    process = subprocess.Popen(
        [sys.executable, start.ROOT / "start.py", "lab", "--last"],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ, COURSE_IMAGES="/pictures", PYTHONPATH="/elsewhere"),
    )
    pid, prefix, folder, last, images, pythonpath, path = json.loads(process.communicate()[0])
    assert pid == process.pid  # so that a signal to it stops JupyterLab
    assert (prefix, folder, last) == (str(start.VENV), str(start.ROOT), "--last")
    assert (images, pythonpath) == ("/pictures", None)
    assert path.split(os.pathsep)[0] == str(start.python_of(start.VENV).parent)


def test_an_unknown_command_shows_the_known_ones(start, capsys):
    assert start.main(["lap"]) == 2
    shown = capsys.readouterr().out
    assert all(f"start.py {command} " in shown for command in start.COMMANDS)
    assert start.main(["--help"]) == 0


# ------------------------------------------------------------------- what can go wrong


def sentence(start, capsys):
    """What `setup` says when it fails; it has failed, without a traceback."""
    assert start.main(["setup"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("\nstart.py setup: ") and "Traceback" not in shown
    return shown


def test_an_old_python_is_named_with_what_is_needed(start, capsys):
    start.OLDEST = (3, 99)
    shown = sentence(start, capsys)
    assert sys.executable in shown and "needs 3.99 or newer" in shown and "python.org" in shown


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_that_makes_no_environments_is_named_with_the_remedy(
    start, capsys, monkeypatch, module
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        start.importlib.util, "find_spec", lambda name: None if name == module else find(name)
    )
    shown = sentence(start, capsys)
    version = "{}.{}".format(*sys.version_info)
    assert "is missing" in shown and f"sudo apt install python{version}-venv" in shown


@pytest.mark.skipif(os.name != "posix", reason="the stand-ins are shell scripts")
def test_another_python_that_can_is_used_instead(clone, capsys, monkeypatch, tmp_path):
    start = load_start(clone)
    start.OLDEST, start.NEWEST = (3, 97), (3, 99)
    for name, status in (("python3.97", 127), ("python3.98", 0), ("py", 1)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {status}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    start.start_again = lambda command: sys.exit(f"started {command[0]}")
    with pytest.raises(SystemExit, match=r"started .*python3\.98"):
        start.main(["lab"])
    assert f"Going on with {tmp_path / 'python3.98'}." in capsys.readouterr().out


def test_starting_again_keeps_the_arguments(start, monkeypatch):
    called = []
    monkeypatch.setattr(sys, "argv", ["start.py", "lab", "--port", "1"])
    monkeypatch.setattr(start.os, "execvp", lambda file, arguments: called.append(arguments))
    monkeypatch.setattr(start.subprocess, "call", lambda arguments: called.append(arguments))
    with pytest.raises(SystemExit):
        start.start_again(["python3.99", "-x"])
    assert called[0] == ["python3.99", "-x", str(start.ROOT / "start.py"), "lab", "--port", "1"]


def test_any_python_will_do_once_the_course_is_set_up(start):
    start.setup()
    start.OLDEST = (3, 99)
    start.setup()


@pytest.mark.parametrize("gpu, free, needed", [(False, 1e9, "3 GB"), (True, 6e9, "11 GB")])
def test_too_little_disk_is_said_before_anything_is_downloaded(
    start, capsys, monkeypatch, gpu, free, needed
):
    monkeypatch.setattr(start.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    start.has_nvidia_gpu = lambda: gpu
    start.run_pip = start.make_venv = failing
    shown = sentence(start, capsys)
    assert f"{free / 1e9:.1f} GB are free" in shown and needed in shown
    assert ("COURSE_TORCH=cpu" in shown) == gpu
    monkeypatch.setattr(start.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free * 9))
    start.run_pip, start.make_venv = lambda *a: None, lambda: venv.create(start.VENV)
    assert start.main(["setup"]) == 0


def test_a_folder_that_cannot_be_written_to_is_named(start, capsys, monkeypatch):
    def refuse(path, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(type(start.VENV), "mkdir", refuse)
    shown = sentence(start, capsys)
    assert str(start.VENV) in shown and "Read-only" in shown and "folder of your own" in shown


def test_an_incomplete_clone_is_named(start, capsys):
    (start.ROOT / "constraints.txt").unlink()
    assert "constraints.txt" in sentence(start, capsys)


def test_a_failing_venv_module_shows_its_output(clone, capsys):
    start = load_start(clone)
    start.VENV.mkdir()
    start.python_of(start.VENV).parent.write_text("a file where venv needs a folder")
    start.empty_venv = lambda: None
    shown = sentence(start, capsys)
    assert "-m venv failed" in shown and "python.org" in shown


PIP_SAYS = {
    "OSError: [Errno 28] No space left on device": "disk is full",
    'ReadTimeoutError("Read timed out.")\nNo matching distribution found for x': "internet",
    "Retrying (Retry(total=4)) after connection broken\nERROR: ResolutionImpossible": "internet",
    "Retrying (...) [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed": "global.cert",
    "ERROR: No matching distribution found for torch==2.13.0": "for 64-bit Python 3.11 to 3.14",
    "ERROR: ResolutionImpossible: see the docs": "make lock",
    "PermissionError: [WinError 5] Access is denied: 'x.pyd'": "close what else uses .venv",
    "error: subprocess-exited-with-error": "What it says should tell why",
}


@pytest.mark.parametrize("output, explanation", PIP_SAYS.items(), ids=PIP_SAYS.values())
def test_a_failure_of_pip_is_explained_and_shown(clone, output, explanation, capfd):
    start = load_start(clone)
    venv.create(start.VENV)
    (clone / "pip.py").write_text(f"print('early line\\n' * 30 + {output!r}); raise SystemExit(1)")
    with pytest.raises(start.SetupError) as error:
        start.run_pip("anything")  # finds the module pip in the clone
    message = str(error.value)
    assert explanation in message and message.endswith(output.splitlines()[-1])
    assert message.count("early line") < 12
    assert start.LOG.read_text().count("early line") == 30 and str(start.LOG) in message


# ------------------------------------------------------------------- which PyTorch


@pytest.mark.parametrize(
    "system, gpu, reachable, choice, cpu",
    [
        ("linux", False, True, "", True),
        ("linux", False, False, "", False),
        ("linux", True, True, "", False),
        ("linux", True, True, "cpu", True),
        ("linux", False, True, "default", False),
        ("darwin", False, True, "", False),
        ("win32", False, True, "", False),
    ],
)
def test_pytorch_comes_from_its_cpu_index_on_linux_without_a_gpu(
    start, capsys, monkeypatch, system, gpu, reachable, choice, cpu
):
    monkeypatch.setenv("COURSE_TORCH", choice)
    start.sys = SimpleNamespace(platform=system)
    start.has_nvidia_gpu, start.answers = lambda: gpu, lambda url: reachable
    start.install()
    wanted = [("--no-deps", "--index-url", start.CPU_INDEX, "torch==1.0")] if cpu else []
    assert start.installed[:-1] == wanted
    assert (start.CPU_INDEX + ", " in capsys.readouterr().out) == cpu


def test_an_unknown_build_of_pytorch_is_refused(start, capsys, monkeypatch):
    monkeypatch.setenv("COURSE_TORCH", "cuda")
    shown = sentence(start, capsys)
    assert "COURSE_TORCH is 'cuda'" in shown and "cpu or default" in shown


def test_an_index_answers_or_is_given_up_soon(start, index):
    assert start.answers(index)
    began = time.monotonic()
    assert not start.answers(index + "/nothing")
    assert not start.answers("http://127.0.0.1:9")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not start.answers(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.3)
    assert time.monotonic() - began < 3


# ------------------------------------------------------------------- CI


@pytest.fixture
def ci(tmp_path, program):
    """``ci(*missing, uid=0)``: run .ci/run with stand-ins; returns what they were called with."""
    bash = program("bash", install="apt install bash")

    def run(*missing, uid=0):
        tools = tmp_path / "bin"
        tools.mkdir()
        for name in ("bash", "dirname", "env"):
            (tools / name).symlink_to(shutil.which(name))
        script = '#!{}\necho "{} $* CI=${{CI:-}} COURSE_IMAGES=${{COURSE_IMAGES:-}}"\n'
        stubs = {name: script.format(bash, name) for name in ("make", "apt-get", "dpkg")}
        stubs.update({name: f"#!{bash}\n" for name in ("python3", "chromium", "bwrap")})
        stubs["id"] = f"#!{bash}\necho {uid}\n"
        stubs["sudo"] = f'#!{bash}\necho -n "sudo "; "$@"\n'
        for name, text in stubs.items():
            if name not in missing:
                (tools / name).write_text(text)
                (tools / name).chmod(0o755)
        (tmp_path / "clone" / ".ci").mkdir(parents=True)
        shutil.copy(REPOSITORY / ".ci" / "run", tmp_path / "clone" / ".ci")
        command = [tmp_path / "clone" / ".ci" / "run"]
        result = subprocess.run(command, env={"PATH": str(tools)}, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()

    return run


@pytest.mark.skipif(os.name != "posix", reason="CI runs on Linux")
class TestCi:
    def test_runs_the_tests_where_nothing_is_missing(self, ci):
        assert ci() == ["make test CI=true COURSE_IMAGES="]

    def test_installs_what_is_missing(self, ci):
        update, install, make = ci("chromium", "bwrap")
        assert update.startswith("apt-get update")
        assert "chromium bubblewrap CI=" in install and make.startswith("make test")

    def test_asks_for_root_only_where_needed(self, ci):
        update, install, make = ci("chromium", uid=1000)
        assert update.startswith("sudo apt-get") and install.startswith("sudo apt-get")
        assert make.startswith("make test")

    def test_finds_pictures_beside_the_clone(self, ci, tmp_path):
        (tmp_path / "shared" / "images").mkdir(parents=True)
        assert ci() == [f"make test CI=true COURSE_IMAGES={tmp_path / 'shared' / 'images'}"]


# ------------------------------------------------------------------- with the real pip


@pytest.fixture
def index(tmp_path):
    """The address of a server of the files under tmp_path/index, which exists."""
    folder = tmp_path / "index"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Handler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def write_wheel(folder, name, version, *metadata):
    """A wheel with nothing in it but its metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    files = {
        f"{about}/METADATA": "\n".join(
            ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata, ""]
        ),
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
        record += f"{path},sha256={digest.rstrip('=')},{len(text)}\n"
    files[f"{about}/RECORD"] = record + f"{about}/RECORD,,\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


@pytest.mark.slow
def test_from_clone_to_working_environment_with_a_repair_after_no_network(
    clone, tmp_path, index, monkeypatch, capsys
):
    write_wheel(tmp_path / "index/cpu/torch", "torch", "1.0+cpu", "Requires-Dist: needed")
    write_wheel(tmp_path / "index/usual/torch", "torch", "1.0", "Requires-Dist: gigabytes")
    write_wheel(tmp_path / "index/usual/needed", "needed", "2.0")
    write_wheel(tmp_path / "index/usual/needed", "needed", "3.0")
    write_wheel(clone, "course", "0", "Provides-Extra: test", 'Requires-Dist: torch; extra=="test"')
    (clone / "constraints.txt").write_text("needed==2.0\ntorch==1.0\n")
    (clone / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (clone / "backend.py").write_text(
        "import shutil\n"
        "def build_editable(folder, *_):\n"
        "    return shutil.copy('course-0-py3-none-any.whl', folder).split('/')[-1]\n"
    )
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("COURSE_TORCH", "cpu")
    start = load_start(clone)
    start.CPU_INDEX = index + "/cpu"

    shown = sentence(start, capsys)
    assert "no way to the package index" in shown and "connect to the internet" in shown
    assert str(start.LOG) in shown and "ERROR: " in shown

    monkeypatch.setenv("PIP_INDEX_URL", index + "/usual")
    assert start.main(["setup"]) == 0
    assert f"PyTorch: from {index}/cpu" in capsys.readouterr().out
    command = [start.python_of(start.VENV), "-m", "pip", "freeze"]
    frozen = subprocess.check_output(command, text=True).splitlines()
    assert {"needed==2.0", "torch==1.0+cpu"} <= set(frozen)
    assert not (start.VENV / "tmp").exists()
