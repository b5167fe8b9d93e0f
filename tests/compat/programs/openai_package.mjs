// The npm package openai: node openai_package.mjs URL MODEL
import assert from "node:assert/strict";
import OpenAI from "openai";

const [url, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: "none" });
const messages = [{ role: "user", content: "Say hello." }];

const completion = await client.completions.create({ model, prompt: "Once", max_tokens: 4, logprobs: 1 });
assert.equal(completion.choices[0].logprobs.tokens.length, 4);

const whole = await client.chat.completions.create({ model, messages, temperature: 0, max_completion_tokens: 64 });
assert.ok(whole.choices[0].message.content);
const stream = client.chat.completions.stream({ model, messages, temperature: 0, max_completion_tokens: 64 });
assert.equal(await stream.finalContent(), whole.choices[0].message.content);

const schema = {
  type: "object",
  properties: { is_good: { type: "boolean" }, digit: { type: "integer" } },
  required: ["is_good", "digit"],
  additionalProperties: false,
};
const parsed = await client.chat.completions.parse({
  model,
  messages,
  max_tokens: 64,
  response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema } },
});
assert.equal(typeof parsed.choices[0].message.parsed.is_good, "boolean");

const response = await client.responses.create({ model, input: "Say hello.", temperature: 0, max_output_tokens: 64 });
assert.ok(response.output_text);
let text = "";
for await (const event of await client.responses.create({
  model, input: "Say hello.", temperature: 0, max_output_tokens: 64, stream: true,
})) {
  if (event.type === "response.output_text.delta") text += event.delta;
}
assert.equal(text, response.output_text);

await assert.rejects(client.chat.completions.create({ model: "nobody", messages }), OpenAI.NotFoundError);
const [first] = (await client.models.list()).data;
assert.equal(first.id, model);
