"""What every test gets: fixed seeds, no network, one thread per worker; and shared fixtures."""

import ipaddress
import os
import random
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import notebook_plugin
import pytest

CHROMIUM = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--force-color-profile=srgb",
]
# Two workers on two cores: more threads would only wait for each other. Kernels inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Kernels and other programs that tests start find a proxy that nobody answers.
for _scheme in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
    os.environ[_scheme] = "http://127.0.0.1:9"
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "localhost,127.0.0.1,::1"


class NetworkInTest(RuntimeError):
    """A test tried to leave this machine. No OSError, so that no code takes it for "offline"."""


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(notebook_plugin)
    connect, connect_ex, getaddrinfo = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )
    socket.socket.connect = lambda self, to: connect(self, _local(to, self.family))
    socket.socket.connect_ex = lambda self, to: connect_ex(self, _local(to, self.family))
    socket.getaddrinfo = lambda host, *rest, **named: getaddrinfo(_local(host), *rest, **named)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that are known to fail at this commit are run and told, and do not stop the others."""
    lines = (Path(__file__).parent / "known_failures.txt").read_text(encoding="utf-8").splitlines()
    known = tuple(line for line in lines if line and not line.startswith("#"))
    for item in items:
        if item.nodeid.startswith(known):
            item.add_marker(pytest.mark.xfail(reason="listed in tests/known_failures.txt"))


def _local(address, family: int = socket.AF_INET):
    """The address itself, if it is on this machine."""
    if family not in (socket.AF_INET, socket.AF_INET6):
        return address
    host = address[0] if isinstance(address, tuple) else address
    name = host.decode() if isinstance(host, bytes) else host
    try:
        is_local = name in (None, "", "localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise NetworkInTest(
            f"Tests never touch the network, but this one asked for {name}. Serve what it needs "
            "from 127.0.0.1, or use the photographs that scikit-image brings."
        )
    return address


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Every test starts from the same random state, whatever ran before it."""
    random.seed(0)
    if "torch" in sys.modules:
        from course_lib.device import seed_everything

        seed_everything(0)


@pytest.fixture
def pictures() -> Callable[[str], list[Path]]:
    """``pictures("kodak")``: the files of an image set, or a skip where it is not at hand."""
    from course_lib.images import download_table, image_set
    from course_lib.paths import data_dir

    def find(name: str) -> list[Path]:
        folder = data_dir() / "images" / name
        files = download_table()[name]["files"]
        if not os.environ.get("COURSE_IMAGES") and not all((folder / f).is_file() for f in files):
            pytest.skip(
                f"The {name} pictures are neither in {folder} nor in COURSE_IMAGES. Get them with "
                f"python -c \"from course_lib.images import image_set; image_set('{name}')\""
            )
        return image_set(name)

    return find


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """``program("bwrap", install="apt install bubblewrap")``: its path, or a skip without it.

    Under ``CI=true`` a missing program is a failure, so that no test is lost unnoticed there.
    """

    def find(*names: str, install: str) -> str:
        for name in names:
            if path := shutil.which(name):
                return path
        reason = f"{' or '.join(names)} is not installed; `{install}` does it."
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(f"{reason} CI must not skip this test.")
        pytest.skip(reason)

    return find


@pytest.fixture(scope="module")
def chromium(program):
    """A headless Chromium that asks nobody for anything. (A loop that runs longer than a module
    would be in the way of others.)"""
    from playwright.sync_api import sync_playwright

    path = program(
        "chromium", "chromium-browser", "google-chrome", install="sudo apt install chromium"
    )
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=CHROMIUM + ["--no-sandbox"] * is_root
        )
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    """A test that counts open figures finds none of another's."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
