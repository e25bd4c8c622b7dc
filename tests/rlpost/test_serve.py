"""`rlpost serve` as a process: a real model, real requests, and the end of it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

PASSAGES = [
    "Return the smallest item of an iterable.",
    "Open a file and return a stream.",
    "Return the largest item of an iterable.",
    "Sort a list in place.",
    "Remove a file from the disk.",
]
QUERIES = ["largest item", "open a file", "delete a file", "sort a list", "smallest item"]


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "rlpost.cli.main", "serve", "--method", "listwise"]
    command += ["--model", "tiny-ranker", "--backend", "hf", "--port", "0"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"RLPOST_API_KEYS": "k", "OMP_NUM_THREADS": "1"},
    ) as running:
        yield running
        running.kill()


@pytest.fixture(scope="module")
def client(process: subprocess.Popen[str]) -> Iterator[httpx.Client]:
    assert process.stdout is not None
    found = re.search(r"http://[\d.:]+", process.stdout.readline())
    assert found
    bearer = {"Authorization": "Bearer k"}
    with httpx.Client(base_url=found[0], headers=bearer, timeout=60) as asking:
        yield asking


def ranked(client: httpx.Client, query: str) -> object:
    body = {"query": query, "documents": PASSAGES, "rlpost": {"explain": True}}
    answer = client.post("/v1/rerank", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    del found["id"], found["rlpost"]["trace"]["seconds"]
    return found


@pytest.mark.slow
def test_answers_are_the_same_alone_and_together(client: httpx.Client) -> None:
    alone = [ranked(client, query) for query in QUERIES]
    with ThreadPoolExecutor(15) as pool:
        together = list(pool.map(lambda query: ranked(client, query), QUERIES * 3))
    assert together == alone * 3
    assert len({json.dumps(answer) for answer in alone}) > 1


@pytest.mark.slow
def test_it_ends_with_0_on_sigterm(process: subprocess.Popen[str], client: httpx.Client) -> None:
    assert client.get("/ready").status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0


def test_a_port_in_use_is_told_before_a_model_is_loaded() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "rlpost.cli.main", "serve", "--method", "listwise"]
        done = subprocess.run(
            [*command, "--model", "tiny-ranker", "--port", port], capture_output=True, text=True
        )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: cannot listen on 127.0.0.1:{port} (address already")


@pytest.mark.slow
def test_a_model_that_can_never_answer_is_told_before_anybody_asks() -> None:
    command = [sys.executable, "-m", "rlpost.cli.main", "serve", "--method", "pointwise"]
    command += ["--template", "chat", "--model", "tiny-ranker", "--backend", "hf", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]
    assert said.startswith("error: tiny-ranker: label 'Yes'")
    assert said.endswith("is not one token of this model: use a method that generates its answers")
