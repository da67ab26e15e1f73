"""LangChain's `ChatOpenAI` against a running Millrace."""

import asyncio

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from conftest import TIMEOUT_S


@pytest.fixture
def model(base_url, key):
    def make(name, **options):
        return ChatOpenAI(
            model=name, base_url=base_url, api_key=key, max_retries=0, timeout=TIMEOUT_S, **options
        )

    return make


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"21 degrees in {city}"


def test_invoke(model):
    answer = model("sim/fast").invoke("good morning")
    assert answer.content.endswith("good morning")
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata["input_tokens"] == 2
    assert answer.usage_metadata["output_tokens"] == len(answer.content.split())


def test_stream_says_what_invoke_says(model):
    whole = model("sim/fast").invoke("good morning")
    pieces = list(model("sim/fast").stream("good morning"))
    assert "".join(piece.content for piece in pieces) == whole.content
    assert sum(1 for piece in pieces if piece.content) > 1


def test_streamed_usage(model):
    whole = model("sim/fast").invoke("count me")
    total = None
    for piece in model("sim/fast", stream_usage=True).stream("count me"):
        total = piece if total is None else total + piece
    assert total.content == whole.content
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        assert total.usage_metadata[name] == whole.usage_metadata[name]


def test_answers_at_once(model):
    async def all_of_them():
        chat = model("sim/fast")
        return await asyncio.gather(*(chat.ainvoke(f"number {number}") for number in range(20)))

    answers = asyncio.run(all_of_them())
    assert [answer.content.rsplit(" ", 1)[1] for answer in answers] == [str(number) for number in range(20)]


@pytest.mark.parametrize("streaming", [False, True])
def test_bound_tools_are_called(model, streaming):
    chat = model("sim/tools", streaming=streaming).bind_tools([get_weather])
    question = HumanMessage("weather in Paris?")
    asked = chat.invoke([question])
    [call] = asked.tool_calls
    assert call["name"] == "get_weather"
    result = get_weather.invoke(call["args"])
    final = chat.invoke([question, asked, ToolMessage(result, tool_call_id=call["id"])])
    assert not final.tool_calls
    assert result in final.content
