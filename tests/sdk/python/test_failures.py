"""The official `openai` client when things go wrong: error classes, failing providers, leaving clients."""

from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from conftest import TIMEOUT_S, said


def check_body(error, status):
    """The envelope `{"error": {"code", "message"}}`, of which the client keeps the inside."""
    assert error.status_code == status
    assert error.body["code"] == status
    assert isinstance(error.body["message"], str) and error.body["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_wrong_key_is_an_authentication_error(base_url, stream):
    wrong = "sk-mr-" + "wrong" * 8 + "key"
    with openai.OpenAI(base_url=base_url, api_key=wrong, max_retries=0, timeout=TIMEOUT_S) as client:
        with pytest.raises(openai.AuthenticationError) as raised:
            client.chat.completions.create(model="sim/fast", messages=said("hello"), stream=stream)
    check_body(raised.value, 401)
    assert wrong not in raised.value.response.text


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_a_bad_request(client, stream):
    """400 and not 404, as OpenRouter does: the path exists, what the body asks for does not."""
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="acme/absent", messages=said("hello"), stream=stream)
    check_body(raised.value, 400)
    assert "acme/absent" in raised.value.body["message"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"model": "sim/fast", "messages": [',
        b"model=sim%2Ffast",
        b'{"messages": [{"role": "user", "content": "no model"}]}',
        b'{"model": 7, "messages": []}',
        b'{"model": "sim/fast", "model": "sim/steady", "messages": []}',
    ],
)
def test_a_malformed_body_is_a_bad_request(client, content):
    with pytest.raises(openai.BadRequestError) as raised:
        client.post(
            "/chat/completions",
            content=content,
            cast_to=object,
            options={"headers": {"content-type": "application/json"}},
        )
    check_body(raised.value, 400)


def test_a_refusal_of_the_provider_is_passed_on(client):
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="sim/fast", messages=[])
    assert raised.value.body["message"]


def test_the_connection_is_good_after_an_error(client):
    for _ in range(5):
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="acme/absent", messages=said("hello"))
        answer = client.chat.completions.create(model="sim/fast", messages=said("hello"))
        assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_failing_providers_are_never_seen(client, stream):
    """One endpoint refuses connections, one fails in a different way each time, one is sound."""

    def one(number):
        answer = client.chat.completions.create(
            model="sim/flaky", messages=said(f"request {number}"), stream=stream
        )
        if not stream:
            assert answer.choices[0].finish_reason == "stop"
            return answer.choices[0].message.content
        chunks = list(answer)
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
        return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)

    with ThreadPoolExecutor(max_workers=5) as pool:
        texts = list(pool.map(one, range(50)))
    assert len(texts) == 50
    for number, text in enumerate(texts):
        assert text.endswith(f"request {number}")


def test_a_client_that_leaves_a_stream_ends_the_work(client, simulator):
    before = simulator.stats()
    stream = client.chat.completions.create(
        model="sim/steady",
        messages=said("go"),
        stream=True,
        metadata={"tokens": "5000", "gap_ms": "10"},
    )
    for _, chunk in zip(range(3), stream):
        assert chunk.choices
    simulator.wait_for(active=before["active"] + 1)
    stream.close()
    after = simulator.wait_for(disconnects=before["disconnects"] + 1, active=before["active"])
    assert after["completed"] == before["completed"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_gives_up_waiting_ends_the_work(client, simulator, stream):
    before = simulator.stats()
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(
            model="sim/slow-start", messages=said("go"), stream=stream
        )
    simulator.wait_for(disconnects=before["disconnects"] + 1, active=before["active"])
