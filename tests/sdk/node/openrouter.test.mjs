// The official `@openrouter/sdk` against a running Millrace: it checks every answer against its own schema, so a
// member that is missing or of another type fails here.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';

import { OpenRouter } from '@openrouter/sdk';
import * as errors from '@openrouter/sdk/models/errors';

const options = {
  serverURL: `${process.env.MILLRACE_URL}/api/v1`,
  // Without retries of its own: what the client sees is what Millrace did.
  retryConfig: { strategy: 'none' },
  timeoutMs: 10_000,
};
const client = new OpenRouter({ ...options, apiKey: process.env.MILLRACE_KEY });

const said = (content) => [{ role: 'user', content }];
const ask = (chatRequest, more = {}) => client.chat.send({ ...more, chatRequest });
const served = async (chatRequest) => (await ask({ messages: said('who are you'), ...chatRequest })).model;

const today = () => new Date().toISOString().slice(0, 10);

async function collect(iterable) {
  const all = [];
  for await (const one of iterable) all.push(one);
  return all;
}

async function allModels() {
  const pages = await collect(await client.models.list());
  return pages.flatMap((page) => page.result.data);
}

test('models: the list, their number, one of them', async () => {
  const models = await allModels();
  const ids = models.map((model) => model.id);
  for (const id of ['sim/fast', 'sim/routed']) assert.ok(ids.includes(id), `${id} is not among ${ids}`);
  assert.equal((await client.models.count()).data.count, models.length);
  const mine = await collect(await client.models.listForUser({ bearer: process.env.MILLRACE_KEY }));
  assert.deepEqual(mine.flatMap((page) => page.result.data).map((model) => model.id), ids);

  const one = (await client.models.get({ author: 'sim', slug: 'routed' })).data;
  assert.equal(one.id, 'sim/routed');
  assert.ok(Number(one.pricing.prompt) > 0);
  assert.deepEqual(one, models.find((model) => model.id === 'sim/routed'));
  await assert.rejects(client.models.get({ author: 'acme', slug: 'absent' }), errors.NotFoundResponseError);
});

test('endpoints of a model, and those with zero data retention', async () => {
  const { data } = await client.endpoints.list({ author: 'sim', slug: 'routed' });
  const tags = data.endpoints.map((endpoint) => endpoint.tag).sort();
  assert.deepEqual(tags, ['sim', 'sim/cheap', 'sim/eu', 'sim/flex', 'sim/priority']);
  const prices = Object.fromEntries(data.endpoints.map((one) => [one.tag, Number(one.pricing.prompt)]));
  assert.ok(prices['sim/flex'] < prices['sim/cheap'] && prices['sim/cheap'] < prices['sim']);

  const zdr = (await client.endpoints.listZdrEndpoints()).data;
  assert.deepEqual(zdr.filter((one) => one.modelId === 'sim/routed').map((one) => one.tag), ['sim/eu']);
});

test('providers', async () => {
  const { data } = await client.providers.list();
  assert.ok(data.some((provider) => provider.slug === 'sim'));
});

test('an answer is complete', async () => {
  const answer = await ask({ model: 'sim/fast', messages: said('good morning') });
  assert.equal(answer.choices[0].finishReason, 'stop');
  assert.ok(answer.choices[0].message.content.endsWith('good morning'));
  assert.equal(answer.usage.totalTokens, answer.usage.promptTokens + answer.usage.completionTokens);
});

test('provider preferences choose who serves', async () => {
  const by = (provider) => served({ model: 'sim/routed', provider });
  assert.equal(await by({ order: ['sim/cheap'] }), 'routed-cheap');
  assert.equal(await by({ order: ['sim/eu'], allowFallbacks: false }), 'routed-eu');
  assert.equal(await by({ only: ['sim/eu'] }), 'routed-eu');
  assert.equal(await by({ zdr: true }), 'routed-eu');
  assert.equal(await by({ dataCollection: 'deny' }), 'routed-eu');
  assert.equal(await by({ quantizations: ['fp8'] }), 'routed-cheap');
  assert.equal(await by({ sort: 'price' }), 'routed-cheap');
  assert.equal(await by({ sort: { by: 'price', partition: 'model' } }), 'routed-cheap');
  assert.equal(await by({ maxPrice: { prompt: '0.2' } }), 'routed-cheap');
  assert.notEqual(await by({ ignore: ['sim/cheap'] }), 'routed-cheap');
});

test('suffixes and service tiers', async () => {
  assert.equal(await served({ model: 'sim/routed:floor' }), 'routed-flex');
  assert.equal(await served({ model: 'sim/routed', serviceTier: 'flex' }), 'routed-flex');
  assert.equal(await served({ model: 'sim/routed', serviceTier: 'priority' }), 'routed-priority');
});

test('models behind the first one serve when it cannot', async () => {
  assert.equal(await served({ model: 'broken/refused', models: ['sim/fast'] }), 'fast');
  const flaky = await Promise.all(
    Array.from({ length: 20 }, (_, index) => ask({ model: 'sim/flaky', messages: said(`request ${index}`) })),
  );
  flaky.forEach((answer, index) =>
    assert.ok(answer.choices[0].message.content.endsWith(`request ${index}`)),
  );
});

test('a stream says what the whole answer says, and ends with its usage', async () => {
  const request = { model: 'sim/steady', messages: said('go') };
  const whole = await ask(request);
  const chunks = await collect(await ask({ ...request, stream: true }));
  const text = chunks.flatMap((chunk) => chunk.choices).map((choice) => choice.delta.content ?? '').join('');
  assert.equal(text, whole.choices[0].message.content);
  assert.deepEqual(chunks.filter((chunk) => chunk.usage).map((chunk) => chunk.usage.completionTokens), [50]);
  // The last event repeats how the answer ended, and says what it costs.
  const { choices, usage } = chunks.at(-1);
  assert.deepEqual(choices.map((choice) => [choice.finishReason, choice.delta.content]), [['stop', '']]);
  assert.equal(usage.cost, (usage.promptTokens * 500_000 + usage.completionTokens * 2_000_000) / 1e12);
  assert.equal(whole.usage.cost, usage.cost);
  const provider = { order: ['sim/eu'], allowFallbacks: false };
  const routed = await collect(await ask({ model: 'sim/routed', messages: said('go'), stream: true, provider }));
  assert.ok(routed.every((chunk) => chunk.model === 'routed-eu'));
});

test('a stream costs in the ledger what its last event says', async () => {
  const user = `ledger-${randomUUID()}`;
  const asked = { model: 'sim/steady', messages: said('where did it go'), stream: true, user };
  const { usage, id: upstreamId } = (await collect(await ask(asked))).at(-1);
  const ledger = new OpenRouter({ ...options, apiKey: process.env.MILLRACE_MANAGEMENT_KEY });
  // Amounts are the closest floats to the same digits, so equal digits are equal floats.
  const [day] = (await ledger.analytics.getUserActivity({ userId: user, date: today() })).data;
  assert.deepEqual([day.model, day.requests, day.usage], ['sim/steady', 1, usage.cost]);
  const { data } = await client.generations.getGeneration({ id: upstreamId });
  assert.deepEqual([data.totalCost, data.usage, data.streamed], [usage.cost, usage.cost, true]);
  assert.equal(data.tokensCompletion, usage.completionTokens);
});

test('embeddings', async () => {
  const { data } = await client.embeddings.generate({
    requestBody: { model: 'sim/embed', input: ['one', 'two'], encodingFormat: 'float' },
  });
  assert.equal(data.length, 2);
  assert.notDeepEqual(data[0].embedding, data[1].embedding);
});

test('errors have their classes', async () => {
  const wrong = new OpenRouter({ ...options, apiKey: `sk-mr-${'w'.repeat(43)}` });
  const request = { model: 'sim/fast', messages: said('hello') };
  const routed = (provider) => () => ask({ model: 'sim/routed', messages: said('hello'), provider });
  const cases = [
    [errors.UnauthorizedResponseError, 401, () => wrong.chat.send({ chatRequest: request })],
    [errors.BadRequestResponseError, 400, () => ask({ ...request, model: 'acme/absent' })],
    [errors.BadRequestResponseError, 400, routed({ quantizations: ['int3'] })],
    [errors.BadRequestResponseError, 400, routed({ maxPrice: { prompt: 'cheap' } })],
    [errors.NotFoundResponseError, 404, routed({ only: ['nobody'] })],
    [errors.NotFoundResponseError, 404, routed({ maxPrice: { prompt: '0.000001' } })],
    [errors.BadGatewayResponseError, 502, () => ask({ ...request, model: 'broken/refused' })],
  ];
  for (const [kind, status, call] of cases) {
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof kind, `${status}: ${error}`);
      assert.equal(error.statusCode, status);
      assert.equal(error.error.code, status);
      assert.ok(error.error.message.length > 0);
      return true;
    });
  }
});

test('millrace/auto chooses a model, under the name that the SDK knows too', async () => {
  for (const model of ['openrouter/auto', 'millrace/auto']) {
    const answer = await ask(
      { model, messages: said('Hello') },
      { xOpenRouterMetadata: 'enabled' },
    );
    assert.ok(answer.choices[0].message.content.length > 0);
    assert.equal(answer.openrouterMetadata.strategy, 'auto');
    assert.equal(answer.openrouterMetadata.requested, model);
  }
});

test('metadata tells how a request was routed, whole and streamed', async () => {
  const request = { models: ['broken/refused', 'sim/routed'], messages: said('who are you') };
  const provider = { order: ['sim/eu'] };
  const enabled = { xOpenRouterMetadata: 'enabled' };
  const whole = (await ask({ ...request, provider }, enabled)).openrouterMetadata;
  assert.equal(whole.strategy, 'fallback');
  // The broken one is tried first or, once it is known to be unwell, not at all.
  assert.equal(whole.attempt, whole.attempts.length);
  assert.equal(whole.attempts.at(-1).status, 200);
  const selected = whole.endpoints.available.filter((one) => one.selected);
  assert.deepEqual(selected.map((one) => one.model), ['sim/routed']);
  const chunks = await collect(await ask({ ...request, provider, stream: true }, enabled));
  const told = chunks.filter((chunk) => chunk.openrouterMetadata);
  assert.equal(told.length, 1);
  assert.equal(told[0].openrouterMetadata.strategy, 'fallback');
});

test('a conversation stays with the endpoint that has its prompt in a cache', async () => {
  const models = [];
  for (let turn = 0; turn < 6; turn += 1) {
    const request = { model: 'sim/cached', sessionId: 'conversation-1', messages: said(`turn ${turn}`) };
    models.push((await ask(request)).model);
  }
  assert.equal(new Set(models).size, 1, `${models}`);
});
