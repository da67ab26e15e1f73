"""Where the money went: what a client of `openai` reads in its stream, and what the ledger says about it afterwards."""

import csv
import io
import json
import os
import subprocess
import urllib.error
import urllib.request
import uuid
from decimal import Decimal

import openai
import pytest

from conftest import TIMEOUT_S, said


@pytest.fixture
def read(key):
    """Answers of the ledger's API, with every amount as the digits that stand there."""

    def read(path, with_key=key):
        request = urllib.request.Request(
            os.environ["MILLRACE_URL"] + path, headers={"authorization": f"Bearer {with_key}"}
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer, parse_float=Decimal, parse_int=Decimal)["data"]

    return read


@pytest.fixture
def management_key():
    return os.environ["MILLRACE_MANAGEMENT_KEY"]


def exported():
    """The rows of `millrace ledger export --format csv`, while the server runs."""
    command = [os.environ["MILLRACE_BINARY"], "ledger", "export", "--format", "csv"]
    command += ["--data-dir", os.environ["MILLRACE_DATA_DIR"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    return list(csv.DictReader(io.StringIO(done.stdout)))


@pytest.mark.parametrize(
    ("prefix", "options"), [("/v1", {"stream_options": {"include_usage": True}}), ("/api/v1", {})]
)
def test_a_stream_costs_the_same_everywhere(key, management_key, read, prefix, options):
    user = f"ledger-{uuid.uuid4()}"
    url = os.environ["MILLRACE_URL"] + prefix
    with openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=TIMEOUT_S) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="sim/steady", messages=said("where did it go"), stream=True, user=user, **options
        )
        usage = [chunk.usage for chunk in raw.parse() if chunk.usage]
    generation_id = raw.headers["x-generation-id"]
    assert len(usage) == 1
    # The shortest text of a float that has few digits has just these: nothing is lost in the client.
    cost = Decimal(repr(usage[0].cost))
    assert cost == (usage[0].prompt_tokens * 500_000 + usage[0].completion_tokens * 2_000_000) / Decimal(10**12)

    generation = read(f"{prefix}/generation?id={generation_id}")
    assert generation["usage"] == generation["total_cost"] == cost
    assert generation["streamed"] is True
    assert generation["tokens_completion"] == usage[0].completion_tokens

    # The user asked once, so the day of this user is this request.
    day = generation["created_at"][:10]
    activity = read(f"{prefix}/activity?date={day}&user_id={user}", management_key)
    assert [(row["date"], row["model"], row["requests"], row["usage"]) for row in activity] == [
        (day, "sim/steady", 1, cost)
    ]

    rows = exported()
    assert [Decimal(row["cost"]) for row in rows if row["id"] == generation_id] == [cost]
    # And the day of the endpoint is the sum of its rows. The directory is as old as this run, so that is all of them.
    whole = [row for row in read(f"{prefix}/activity?date={day}", management_key) if row["model"] == "sim/steady"]
    of_the_day = [row for row in rows if row["model"] == "sim/steady" and row["created_at"].startswith(day)]
    assert [(row["requests"], row["usage"]) for row in whole] == [
        (len(of_the_day), sum(Decimal(row["cost"]) for row in of_the_day))
    ]


def test_a_key_sees_its_own_and_only_management_sees_all(client, key, management_key, read):
    before = read("/v1/key")["usage"]
    answer = client.chat.completions.create(model="sim/fast", messages=said("what have I spent"))
    assert read("/v1/key")["usage"] - before == Decimal(repr(answer.usage.cost))
    for path in ["/v1/activity", "/v1/credits"]:
        with pytest.raises(urllib.error.HTTPError) as raised:
            read(path)
        assert raised.value.code == 403
    rows = [row for row in exported() if row["cost"]]
    assert read("/v1/credits", management_key)["total_usage"] == sum(Decimal(row["cost"]) for row in rows)
