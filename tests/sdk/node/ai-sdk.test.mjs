// Vercel's AI SDK through `@openrouter/ai-sdk-provider` against a running Millrace.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createOpenRouter } from '@openrouter/ai-sdk-provider';
import { APICallError, embed, generateText, streamText, tool } from 'ai';
import { z } from 'zod';

const baseURL = `${process.env.MILLRACE_URL}/api/v1`;
const openrouter = createOpenRouter({ apiKey: process.env.MILLRACE_KEY, baseURL });
// Without retries of its own: what the client sees is what Millrace did.
const once = { maxRetries: 0 };

const steadyText = Array.from({ length: 50 }, (_, index) => `word-${index + 1}`).join(' ');
const tools = {
  get_weather: tool({
    description: 'The weather in a city',
    inputSchema: z.object({ city: z.string(), unit: z.enum(['celsius', 'fahrenheit']) }),
  }),
};

test('text', async () => {
  const { text, usage, finishReason } = await generateText({
    ...once,
    model: openrouter('sim/fast'),
    prompt: 'good morning',
  });
  assert.ok(text.endsWith('good morning'));
  assert.equal(finishReason, 'stop');
  assert.equal(usage.inputTokens, 2);
  assert.equal(usage.totalTokens, usage.inputTokens + usage.outputTokens);
});

test('streamed text, with its usage at the end', async () => {
  const result = streamText({ ...once, model: openrouter('sim/steady'), prompt: 'go' });
  let text = '';
  for await (const piece of result.textStream) text += piece;
  assert.equal(text, steadyText);
  assert.equal(await result.finishReason, 'stop');
  assert.equal((await result.usage).outputTokens, 50);
});

test('tools, whole and in pieces', async () => {
  const request = { ...once, model: openrouter('sim/tools'), prompt: 'weather in Paris?', tools };
  const whole = await generateText(request);
  assert.deepEqual(whole.toolCalls.map((call) => [call.toolName, call.input.unit]), [['get_weather', 'celsius']]);
  const streamed = streamText(request);
  for await (const part of streamed.fullStream) assert.notEqual(part.type, 'error');
  const [call] = await streamed.toolCalls;
  assert.deepEqual(call.input, whole.toolCalls[0].input);
});

test('provider preferences, suffixes and fallback models', async () => {
  const served = async (...model) => {
    const { response } = await generateText({ ...once, model: openrouter(...model), prompt: 'who are you' });
    return response.modelId;
  };
  assert.equal(await served('sim/routed', { provider: { order: ['sim/eu'], allow_fallbacks: false } }), 'routed-eu');
  assert.equal(await served('sim/routed', { provider: { zdr: true } }), 'routed-eu');
  assert.equal(await served('sim/routed', { provider: { max_price: { prompt: 0.2 } } }), 'routed-cheap');
  assert.equal(await served('sim/routed:floor'), 'routed-flex');
  assert.equal(await served('broken/refused', { models: ['sim/fast'] }), 'fast');
});

test('failing providers are never seen', async () => {
  const texts = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const result = streamText({ ...once, model: openrouter('sim/flaky'), prompt: `request ${index}` });
      return await result.text;
    }),
  );
  texts.forEach((text, index) => assert.ok(text.endsWith(`request ${index}`), text));
});

test('embeddings', async () => {
  const { embedding } = await embed({ ...once, model: openrouter.textEmbeddingModel('sim/embed'), value: 'one' });
  assert.equal(embedding.length, 256);
});

test('errors carry their status', async () => {
  const wrong = createOpenRouter({ apiKey: `sk-mr-${'w'.repeat(43)}`, baseURL });
  const cases = [
    [401, wrong('sim/fast')],
    [400, openrouter('acme/absent')],
    [404, openrouter('sim/routed', { provider: { only: ['nobody'] } })],
    [502, openrouter('broken/refused')],
  ];
  for (const [status, model] of cases) {
    await assert.rejects(generateText({ ...once, model, prompt: 'hello' }), (error) => {
      assert.ok(APICallError.isInstance(error), `${error}`);
      assert.equal(error.statusCode, status);
      return true;
    });
  }
});
