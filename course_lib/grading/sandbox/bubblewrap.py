"""How the outer sandbox is launched: what it sees, and what to do where it does not start."""

import contextlib
import os
import platform
import shutil
import site
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.paths import data_dir

SCRATCH = "/scratch"  # where a session may write; /tmp leads there, unless the course lies in it
PACKAGE = Path(__file__).resolve().parents[2]
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives")


class SandboxError(CourseError):
    """No sandbox can be made on this machine as it is set up; says why, and what to do."""


# What the zygote's Python runs; the first argument lists folders of packages.
START = """
import json, sys
sys.path += [path for path in json.loads(sys.argv[1]) if path not in sys.path]
from course_lib.grading.sandbox import zygote
zygote.main(json.loads(sys.argv[2]))
"""


def list_variables(home: str) -> dict[str, str]:
    """All environment variables that the sandbox has; none of the grader's own."""
    variables = {
        "HOME": home,
        "TMPDIR": home,
        "USER": "student",
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), "/usr/bin", "/bin"]),
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": os.path.join(home, "matplotlib"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COURSE_DATA": str(data_dir()),
    }
    for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
        variables[f"{library}_NUM_THREADS"] = "1"
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # of machines that need them
        if name in os.environ:
            variables[name] = os.environ[name]
    return variables


def bubblewrap_command(hidden: Iterable[Path]) -> list[str]:
    """bwrap and its options: what the outer sandbox may see, and nothing else."""
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxError(
            "bubblewrap is not installed, which the sandbox needs. On Debian and Ubuntu: "
            "sudo apt install bubblewrap libseccomp2. On Fedora: sudo dnf install bubblewrap."
        )
    options = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    options += ["--unshare-cgroup-try", "--new-session", "--hostname", "sandbox"]
    if os.getuid() == 0:  # the zygote leaves root by itself
        options += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        options += ["--unshare-user"]
    seen: list[Path] = []
    for path in _visible():
        if path.is_symlink() and str(path) in _SYSTEM:  # /lib → usr/lib
            options += ["--symlink", os.readlink(path), str(path)]
        elif path.exists() and not any(path.is_relative_to(other) for other in seen):
            for parent in reversed(path.parents[:-1]):  # by itself, bwrap would make them for root
                options += ["--perms", "0755", "--dir", str(parent)]
            options += ["--ro-bind", str(path), str(path)]
            seen.append(path)
    for path in hidden:
        path = path.resolve()
        if path.exists() and any(path.is_relative_to(other) for other in seen):
            if path.is_dir():  # read-only, or one submission could leave something for the next
                options += ["--tmpfs", str(path), "--remount-ro", str(path)]
            else:
                options += ["--ro-bind", "/dev/null", str(path)]
    options += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", SCRATCH]
    if not any(path.is_relative_to("/tmp") for path in seen):
        options += ["--symlink", SCRATCH, "/tmp"]
    return [program, *options, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", SCRATCH]


def _visible() -> list[Path]:
    """Python, its packages, the system's libraries, the course's code and data."""
    prefixes = {sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix}
    python = [*map(Path, sorted(prefixes)), *site_packages()]
    course = [PACKAGE, data_dir().resolve()]
    return [*map(Path, _SYSTEM), *map(Path, _SYSTEM_FILES), *python, *course]


def site_packages() -> list[Path]:
    """Where packages are installed; not all of sys.path, in which the current folder may be."""
    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return [Path(folder) for folder in folders if os.path.isdir(folder)]


def check_platform(unsafe: bool) -> None:
    """Raise SandboxError on systems that have no sandbox, or no way to run code at all."""
    if not hasattr(os, "fork"):
        raise SandboxError(
            "Windows cannot run students' code for grading. Use the container: "
            "docs/instructors_guide.md says how."
        )
    if unsafe:
        return
    if sys.platform != "linux":
        raise SandboxError(
            f"The sandbox needs Linux; this is {platform.system()}. Use the container: "
            "docs/instructors_guide.md says how."
        )
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    if release < (5, 14):
        raise SandboxError(
            f"The sandbox needs Linux 5.14 or newer, which counts a sandbox's processes by "
            f"themselves; this is {platform.release()}. Use a newer kernel."
        )


def advice(said: str) -> str:
    """What to do about a sandbox that does not start, judged by what it said and by the system."""
    if "seccomp" in said.lower():
        return "Install libseccomp: sudo apt install libseccomp2."
    if any(denial in said for denial in _DENIALS):
        if _read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
            return _APPARMOR
        for switch, value in _SWITCHES.items():
            if _read(f"/proc/sys/{switch.replace('.', '/')}") == "0":
                return f"User namespaces are switched off: sudo sysctl -w {switch}={value}"
        if _is_container():
            return _CONTAINER
    return (
        "docs/instructors_guide.md says what the sandbox needs. --unsafe grades without it: only "
        "for code that you trust, since it can then forge its verdicts."
    )


_DENIALS = ("Operation not permitted", "Permission denied", "No permissions", "namespace")
_SWITCHES = {"user.max_user_namespaces": 15000, "kernel.unprivileged_userns_clone": 1}


def _is_container() -> bool:
    marks = ("/.dockerenv", "/run/.containerenv")
    return any(map(os.path.exists, marks)) or "KUBERNETES_SERVICE_HOST" in os.environ


def _read(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
        return file.read().strip()
    return ""


_APPARMOR = """\
This is a system, such as Ubuntu 24.04, whose AppArmor lets no program make namespaces that is not
allowed to. There are two ways to allow it:
  1. for bubblewrap alone, for good:
       printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\n\\nprofile bwrap /usr/bin/bwrap \
flags=(unconfined) {\\n  userns,\\n}\\n' | sudo tee /etc/apparmor.d/bwrap
       sudo apparmor_parser -r /etc/apparmor.d/bwrap
  2. for every program, until the next start, as on a machine of CI that lives for one run:
       sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"""
_CONTAINER = """\
This is a container that forbids namespaces, as containers do unless told otherwise. Start it with
these options, and run the grader in it as a user who is not root, or grade outside a container:
  docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined \\
      --security-opt systempaths=unconfined …
With GitLab it takes a runner of your own, in whose config.toml stands
  security_opt = ["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"]"""
