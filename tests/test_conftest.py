"""The tests' own guard rails."""

import os
import random
import socket
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
import torch
from conftest import NetworkInTest


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("example.org", 80), ("2001:db8::1", 80)])
def test_tests_cannot_leave_the_machine(address):
    with pytest.raises(NetworkInTest, match=address[0]):
        socket.create_connection(address, timeout=1)
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as connection, pytest.raises(NetworkInTest):
        connection.connect_ex(address)


def test_programs_that_tests_start_cannot_download():
    code = "import urllib.request as u; u.urlopen('http://example.org', timeout=5)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Connection refused" in result.stderr


def test_local_servers_can_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()
    assert urllib.request.proxy_bypass("127.0.0.1")


drawn = []


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_test_starts_from_the_same_seeds(attempt):
    drawn.append((random.random(), np.random.rand(), torch.rand(()).item()))
    assert len(set(drawn)) == 1


def test_workers_share_the_cores():
    assert torch.get_num_threads() == int(os.environ["OMP_NUM_THREADS"])


@pytest.mark.parametrize(
    "ci, outcome", [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_a_missing_program_skips_here_and_fails_in_ci(program, monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="apt install nonesuch"):
        program("nonesuch", install="apt install nonesuch")
    assert program("nonesuch", "python3", install="").endswith("python3")


def test_pictures_that_are_not_at_hand_are_skipped_not_downloaded(pictures, monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_IMAGES", raising=False)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    (tmp_path / "downloads.json").write_text('{"kodak": {"files": {"kodim01.png": {}}}}')
    with pytest.raises(pytest.skip.Exception, match="COURSE_IMAGES"):
        pictures("kodak")
