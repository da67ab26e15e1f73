"""The official `openai` client against a running Millrace: answers, streams, tools, embeddings, models."""

import asyncio
import json
import math
import time

import openai
import pytest

from conftest import TIMEOUT_S, WEATHER_TOOL, said

STEADY_TEXT = " ".join(f"word-{number}" for number in range(1, 51))


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def finish_reasons(chunks):
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    return [reason for reason in reasons if reason]


def test_an_answer_is_complete(client):
    answer = client.chat.completions.create(model="sim/fast", messages=said("good morning"))
    assert answer.object == "chat.completion"
    assert answer.id
    assert len(answer.choices) == 1
    choice = answer.choices[0]
    assert choice.finish_reason == "stop"
    assert choice.message.role == "assistant"
    assert choice.message.content.endswith("good morning")
    assert answer.usage.prompt_tokens == 2
    assert answer.usage.completion_tokens == len(choice.message.content.split())
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_equal_requests_get_equal_answers(client):
    texts = set()
    for _ in range(5):
        answer = client.chat.completions.create(model="sim/fast", messages=said("again"))
        texts.add(answer.choices[0].message.content)
    assert len(texts) == 1


def test_text_of_any_script_passes_unchanged(client):
    text = 'Grüße, 世界 🌍 "quoted" \\ back\nline'
    answer = client.chat.completions.create(model="sim/fast", messages=said(text))
    assert answer.choices[0].message.content.endswith(" ".join(text.split()))


def test_max_tokens_and_stop_are_honoured(client):
    cut = client.chat.completions.create(model="sim/steady", messages=said("go"), max_tokens=3)
    assert cut.choices[0].finish_reason == "length"
    assert cut.choices[0].message.content.split() == ["word-1", "word-2", "word-3"]
    stopped = client.chat.completions.create(model="sim/steady", messages=said("go"), stop=["word-4"])
    assert stopped.choices[0].finish_reason == "stop"
    assert stopped.choices[0].message.content.split() == ["word-1", "word-2", "word-3"]


def test_a_stream_says_what_the_whole_answer_says(client):
    whole = client.chat.completions.create(model="sim/steady", messages=said("go"))
    assert whole.choices[0].message.content == STEADY_TEXT
    chunks = list(client.chat.completions.create(model="sim/steady", messages=said("go"), stream=True))
    assert text_of(chunks) == STEADY_TEXT
    assert finish_reasons(chunks) == ["stop"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1


def test_events_come_in_order_and_as_they_are_made(client):
    words, times = [], []
    for chunk in client.chat.completions.create(model="sim/steady", messages=said("go"), stream=True):
        if chunk.choices and chunk.choices[0].delta.content:
            words.append(chunk.choices[0].delta.content.strip())
            times.append(time.monotonic())
    assert words == STEADY_TEXT.split()
    # The simulator takes 49 × 20 ms; events held back and sent together would all arrive at the end.
    assert times[-1] - times[0] > 0.5


def test_usage_is_streamed_only_to_those_who_ask(client):
    plain = list(client.chat.completions.create(model="sim/fast", messages=said("count me"), stream=True))
    assert all(chunk.usage is None for chunk in plain)
    assert all(len(chunk.choices) == 1 for chunk in plain)

    asked = list(
        client.chat.completions.create(
            model="sim/fast", messages=said("count me"), stream=True, stream_options={"include_usage": True}
        )
    )
    assert text_of(asked) == text_of(plain)
    assert [index for index, chunk in enumerate(asked) if chunk.usage] == [len(asked) - 1]
    whole = client.chat.completions.create(model="sim/fast", messages=said("count me"))
    usage = asked[-1].usage
    assert usage.prompt_tokens == whole.usage.prompt_tokens
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert usage.total_tokens == whole.usage.total_tokens


def cost_of(usage, prompt_pico, completion_pico):
    """What the tokens cost in USD, by prices in pico-dollars. Both numbers are exact, so the quotient is the closest."""
    return (usage.prompt_tokens * prompt_pico + usage.completion_tokens * completion_pico) / 1e12


def test_usage_says_what_an_answer_costs(client):
    whole = client.chat.completions.create(model="sim/steady", messages=said("what is it"))
    assert whole.usage.cost == cost_of(whole.usage, 500_000, 2_000_000)
    assert whole.usage.is_byok is False
    details = whole.usage.cost_details
    assert details["upstream_inference_cost"] is None
    assert details["upstream_inference_prompt_cost"] == whole.usage.prompt_tokens * 500_000 / 1e12
    assert details["upstream_inference_completions_cost"] == whole.usage.completion_tokens * 2_000_000 / 1e12
    streamed = list(
        client.chat.completions.create(
            model="sim/steady", messages=said("what is it"), stream=True, stream_options={"include_usage": True}
        )
    )
    assert streamed[-1].usage.model_dump() == whole.usage.model_dump()
    embedded = client.embeddings.create(model="sim/embed", input=["one two", "three"])
    assert embedded.usage.cost == embedded.usage.prompt_tokens * 20_000 / 1e12
    # Long enough that it is not held as a whole: the cost is added on the way.
    long = client.embeddings.create(model="sim/embed", input=["one"] * 40, dimensions=512, encoding_format="float")
    assert long.usage.cost == 40 * 20_000 / 1e12


def test_the_stream_helper_accumulates(client):
    with client.chat.completions.stream(model="sim/fast", messages=said("helper")) as stream:
        for _ in stream:
            pass
        answer = stream.get_final_completion()
    whole = client.chat.completions.create(model="sim/fast", messages=said("helper"))
    assert answer.choices[0].message.content == whole.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"


def test_streams_at_once_do_not_mix(base_url, key):
    async def one(client, number):
        metadata = {"tokens": str(number + 10), "gap_ms": "2"}
        stream = await client.chat.completions.create(
            model="sim/steady", messages=said("go"), stream=True, metadata=metadata
        )
        chunks = [chunk async for chunk in stream]
        assert text_of(chunks).split() == [f"word-{index}" for index in range(1, number + 11)]
        assert finish_reasons(chunks) == ["stop"]

    async def all_of_them():
        async with openai.AsyncOpenAI(
            base_url=base_url, api_key=key, max_retries=0, timeout=TIMEOUT_S
        ) as client:
            await asyncio.gather(*(one(client, number) for number in range(40)))

    asyncio.run(all_of_them())


def test_a_tool_is_called(client):
    answer = client.chat.completions.create(
        model="sim/tools", messages=said("weather in Paris?"), tools=[WEATHER_TOOL]
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    assert call.type == "function"
    assert call.function.name == "get_weather"
    arguments = json.loads(call.function.arguments)
    assert set(arguments) == {"city", "unit"}

    # The tool's result goes back, and the conversation ends in words.
    messages = said("weather in Paris?") + [
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"},
    ]
    final = client.chat.completions.create(model="sim/tools", messages=messages, tools=[WEATHER_TOOL])
    assert final.choices[0].finish_reason == "stop"
    assert "21 degrees" in final.choices[0].message.content


def test_a_streamed_tool_call_comes_in_pieces_that_fit(client):
    whole = client.chat.completions.create(model="sim/tools", messages=said("go"), tools=[WEATHER_TOOL])
    chunks = list(
        client.chat.completions.create(
            model="sim/tools", messages=said("go"), tools=[WEATHER_TOOL], stream=True
        )
    )
    names, ids, pieces = [], [], []
    for chunk in chunks:
        for call in chunk.choices[0].delta.tool_calls or []:
            assert call.index == 0
            names += [call.function.name] if call.function.name else []
            ids += [call.id] if call.id else []
            pieces += [call.function.arguments] if call.function.arguments else []
    assert names == ["get_weather"]
    assert len(set(ids)) == 1
    assert len(pieces) > 1
    assert json.loads("".join(pieces)) == json.loads(whole.choices[0].message.tool_calls[0].function.arguments)
    assert finish_reasons(chunks) == ["tool_calls"]


def test_embeddings_are_the_same_in_both_formats(client):
    # The client asks for base64 unless told otherwise, and decodes it.
    packed = client.embeddings.create(model="sim/embed", input="a sentence")
    plain = client.embeddings.create(model="sim/embed", input="a sentence", encoding_format="float")
    vector = packed.data[0].embedding
    assert vector == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert math.isclose(sum(x * x for x in vector), 1.0, abs_tol=1e-4)
    assert packed.usage.prompt_tokens == 2
    assert packed.usage.total_tokens == 2


def test_embeddings_keep_the_order_of_inputs(client):
    texts = ["one", "two", "three", "one"]
    answer = client.embeddings.create(model="sim/embed", input=texts, dimensions=16)
    assert [row.index for row in answer.data] == [0, 1, 2, 3]
    assert all(len(row.embedding) == 16 for row in answer.data)
    vectors = [tuple(row.embedding) for row in answer.data]
    assert vectors[0] == vectors[3]
    assert len(set(vectors)) == 3


def test_models_are_listed_and_retrieved(client):
    listed = {model.id: model for model in client.models.list()}
    expected = {"sim/fast", "sim/steady", "sim/slow-start", "sim/tools", "sim/embed", "sim/flaky"}
    assert expected <= set(listed)
    assert all(model.object == "model" for model in listed.values())
    # The client writes the slash of the id as %2F.
    assert client.models.retrieve("sim/fast").id == "sim/fast"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("acme/absent")


def test_legacy_completions(client):
    whole = client.completions.create(model="sim/fast", prompt="once upon a time")
    assert whole.object == "text_completion"
    assert whole.choices[0].text.endswith("once upon a time")
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.prompt_tokens == 4
    chunks = list(client.completions.create(model="sim/fast", prompt="once upon a time", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text
    assert finish_reasons(chunks) == ["stop"]


def test_every_answer_names_its_generation(client):
    create = client.chat.completions.with_raw_response.create
    ids = []
    for stream in (False, True, False):
        raw = create(model="sim/fast", messages=said("id"), stream=stream)
        ids.append(raw.headers.get("x-generation-id"))
        if stream:
            assert finish_reasons(list(raw.parse())) == ["stop"]
        else:
            assert raw.parse().choices[0].finish_reason == "stop"
    assert all(ids), ids
    assert len(set(ids)) == len(ids)
