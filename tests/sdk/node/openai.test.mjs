// The official `openai` client for Node against a running Millrace.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import OpenAI from 'openai';

const baseURL = `${process.env.MILLRACE_URL}/v1`;
const options = { baseURL, maxRetries: 0, timeout: 10_000 };
// Without retries of its own: what the client sees is what Millrace did.
const client = new OpenAI({ ...options, apiKey: process.env.MILLRACE_KEY });

const steadyText = Array.from({ length: 50 }, (_, index) => `word-${index + 1}`).join(' ');

const weatherTool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather in a city',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' }, unit: { type: 'string', enum: ['celsius', 'fahrenheit'] } },
      required: ['city', 'unit'],
      additionalProperties: false,
    },
  },
};

const said = (text) => [{ role: 'user', content: text }];

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const choicesOf = (chunks) => chunks.flatMap((chunk) => chunk.choices);
const textOf = (chunks) => choicesOf(chunks).map((choice) => choice.delta.content ?? '').join('');
const finishReasons = (chunks) => choicesOf(chunks).map((choice) => choice.finish_reason).filter(Boolean);

test('an answer is complete', async () => {
  const answer = await client.chat.completions.create({ model: 'sim/fast', messages: said('good morning') });
  assert.equal(answer.object, 'chat.completion');
  const [choice] = answer.choices;
  assert.equal(choice.finish_reason, 'stop');
  assert.ok(choice.message.content.endsWith('good morning'));
  assert.equal(answer.usage.prompt_tokens, 2);
  assert.equal(answer.usage.total_tokens, 2 + answer.usage.completion_tokens);
});

test('a stream says what the whole answer says, event by event', async () => {
  const whole = await client.chat.completions.create({ model: 'sim/steady', messages: said('go') });
  assert.equal(whole.choices[0].message.content, steadyText);
  const chunks = await collect(
    await client.chat.completions.create({ model: 'sim/steady', messages: said('go'), stream: true }),
  );
  const words = choicesOf(chunks).map((choice) => choice.delta.content).filter(Boolean);
  assert.deepEqual(words.map((word) => word.trim()), steadyText.split(' '));
  assert.equal(textOf(chunks), steadyText);
  assert.deepEqual(finishReasons(chunks), ['stop']);
});

test('usage is streamed only to those who ask', async () => {
  const request = { model: 'sim/fast', messages: said('count me'), stream: true };
  const plain = await collect(await client.chat.completions.create(request));
  assert.ok(plain.every((chunk) => !chunk.usage && chunk.choices.length === 1));
  const asked = await collect(
    await client.chat.completions.create({ ...request, stream_options: { include_usage: true } }),
  );
  assert.equal(textOf(asked), textOf(plain));
  const withUsage = asked.filter((chunk) => chunk.usage);
  assert.equal(withUsage.length, 1);
  assert.equal(withUsage[0], asked.at(-1));
  assert.equal(withUsage[0].usage.completion_tokens, textOf(plain).split(' ').length);
});

test('usage says what an answer costs', async () => {
  const request = { model: 'sim/steady', messages: said('what is it') };
  const { usage } = await client.chat.completions.create(request);
  // Exact on both sides of the division, so the quotient is the closest number there is.
  assert.equal(usage.cost, (usage.prompt_tokens * 500_000 + usage.completion_tokens * 2_000_000) / 1e12);
  assert.equal(usage.cost_details.upstream_inference_cost, null);
  const chunks = await collect(
    await client.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } }),
  );
  assert.deepEqual(chunks.at(-1).usage, usage);
});

test('tools are called, whole and in pieces', async () => {
  const request = { model: 'sim/tools', messages: said('weather in Paris?'), tools: [weatherTool] };
  const whole = await client.chat.completions.create(request);
  assert.equal(whole.choices[0].finish_reason, 'tool_calls');
  const [call] = whole.choices[0].message.tool_calls;
  assert.equal(call.function.name, 'get_weather');
  const wanted = JSON.parse(call.function.arguments);
  assert.deepEqual(Object.keys(wanted).sort(), ['city', 'unit']);

  const chunks = await collect(await client.chat.completions.create({ ...request, stream: true }));
  const pieces = choicesOf(chunks).flatMap((choice) => choice.delta.tool_calls ?? []);
  assert.deepEqual(pieces.map((piece) => piece.function.name).filter(Boolean), ['get_weather']);
  assert.deepEqual(JSON.parse(pieces.map((piece) => piece.function.arguments ?? '').join('')), wanted);
  assert.deepEqual(finishReasons(chunks), ['tool_calls']);
});

test('the stream helper accumulates', async () => {
  const stream = client.chat.completions.stream({ model: 'sim/fast', messages: said('helper') });
  const text = await stream.finalContent();
  const whole = await client.chat.completions.create({ model: 'sim/fast', messages: said('helper') });
  assert.equal(text, whole.choices[0].message.content);
});

test('embeddings are the same in both formats', async () => {
  // The client asks for base64 unless told otherwise, and decodes it.
  const packed = await client.embeddings.create({ model: 'sim/embed', input: ['one', 'two'] });
  const plain = await client.embeddings.create({
    model: 'sim/embed',
    input: ['one', 'two'],
    encoding_format: 'float',
  });
  for (const row of [0, 1]) {
    assert.equal(packed.data[row].index, row);
    const [a, b] = [packed.data[row].embedding, plain.data[row].embedding];
    assert.equal(a.length, b.length);
    assert.ok(a.every((x, index) => Math.abs(x - b[index]) < 1e-6));
  }
  assert.notDeepEqual(packed.data[0].embedding, packed.data[1].embedding);
});

test('models are listed and retrieved', async () => {
  const ids = (await collect(await client.models.list())).map((model) => model.id);
  for (const id of ['sim/fast', 'sim/steady', 'sim/tools', 'sim/embed', 'sim/flaky']) {
    assert.ok(ids.includes(id), `${id} is not among ${ids}`);
  }
  // The client writes the slash of the id as %2F.
  assert.equal((await client.models.retrieve('sim/fast')).id, 'sim/fast');
  await assert.rejects(client.models.retrieve('acme/absent'), OpenAI.NotFoundError);
});

test('legacy completions', async () => {
  const request = { model: 'sim/fast', prompt: 'once upon a time' };
  const whole = await client.completions.create(request);
  assert.ok(whole.choices[0].text.endsWith('once upon a time'));
  const chunks = await collect(await client.completions.create({ ...request, stream: true }));
  assert.equal(choicesOf(chunks).map((choice) => choice.text).join(''), whole.choices[0].text);
});

test('errors have their classes and bodies', async () => {
  const messages = said('hello');
  const wrong = new OpenAI({ ...options, apiKey: `sk-mr-${'w'.repeat(43)}` });
  const cases = [
    [OpenAI.AuthenticationError, 401, () => wrong.chat.completions.create({ model: 'sim/fast', messages })],
    // An unknown model is 400 and not 404, as OpenRouter does.
    [OpenAI.BadRequestError, 400, () => client.chat.completions.create({ model: 'acme/absent', messages })],
    [OpenAI.BadRequestError, 400, () => client.post('/chat/completions', { body: { messages } })],
  ];
  for (const [kind, status, call] of cases) {
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof kind, `${error}`);
      assert.equal(error.status, status);
      assert.equal(error.error.code, status);
      assert.ok(error.error.message.length > 0);
      return true;
    });
  }
});

test('failing providers are never seen', async () => {
  const one = async (number) => {
    const request = { model: 'sim/flaky', messages: said(`request ${number}`) };
    if (number % 2 === 0) {
      const chunks = await collect(await client.chat.completions.create({ ...request, stream: true }));
      assert.equal(finishReasons(chunks).at(-1), 'stop');
      return textOf(chunks);
    }
    const answer = await client.chat.completions.create(request);
    assert.equal(answer.choices[0].finish_reason, 'stop');
    return answer.choices[0].message.content;
  };
  for (let first = 0; first < 50; first += 5) {
    const numbers = [0, 1, 2, 3, 4].map((offset) => first + offset);
    const texts = await Promise.all(numbers.map(one));
    texts.forEach((text, index) => assert.ok(text.endsWith(`request ${numbers[index]}`), text));
  }
});

test('every answer names its generation', async () => {
  const ask = () => client.chat.completions.create({ model: 'sim/fast', messages: said('id') }).withResponse();
  const ids = [];
  for (let turn = 0; turn < 3; turn += 1) {
    const { data, response } = await ask();
    assert.equal(data.choices[0].finish_reason, 'stop');
    ids.push(response.headers.get('x-generation-id'));
  }
  assert.ok(ids.every(Boolean), `${ids}`);
  assert.equal(new Set(ids).size, ids.length);
});

test('a client that leaves a stream ends the work', async () => {
  const stats = () => client.get('/sim/stats');
  const before = await stats();
  const stream = await client.chat.completions.create({
    model: 'sim/steady',
    messages: said('go'),
    stream: true,
    metadata: { tokens: '5000', gap_ms: '10' },
  });
  let seen = 0;
  for await (const chunk of stream) {
    assert.equal(chunk.choices.length, 1);
    seen += 1;
    if (seen === 3) break; // leaving the loop closes the stream
  }
  assert.equal(seen, 3);
  const end = Date.now() + 1_000;
  for (;;) {
    const after = await stats();
    if (after.disconnects === before.disconnects + 1 && after.active === before.active) break;
    assert.ok(Date.now() < end, `after a second: ${JSON.stringify({ before, after })}`);
    await pause(20);
  }
});
