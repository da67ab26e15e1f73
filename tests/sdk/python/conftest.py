"""What the Python suites share: the address under test, the clients, and the simulator's counters."""

import os
import time

import openai
import pytest

TIMEOUT_S = 10.0


@pytest.fixture(scope="session")
def base_url():
    return os.environ["MILLRACE_URL"] + "/v1"


@pytest.fixture(scope="session")
def key():
    return os.environ["MILLRACE_KEY"]


@pytest.fixture
def client(base_url, key):
    """Without retries of its own: what the client sees is what Millrace did."""
    with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=TIMEOUT_S) as client:
        yield client


class Simulator:
    """The counters of the built-in simulator, read through Millrace."""

    def __init__(self, client):
        self.client = client

    def stats(self):
        return self.client.get("/sim/stats", cast_to=object)

    def wait_for(self, within_s=1.0, **want):
        """Waits until the counters named in `want` have these values; fails with what they are instead."""
        end = time.monotonic() + within_s
        while True:
            stats = self.stats()
            if all(stats[name] == value for name, value in want.items()):
                return stats
            assert time.monotonic() < end, f"wanted {want} within {within_s} s, the simulator saw {stats}"
            time.sleep(0.02)


@pytest.fixture
def simulator(client):
    return Simulator(client)


def said(text):
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
