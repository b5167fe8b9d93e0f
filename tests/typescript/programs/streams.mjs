/** What the client makes of the streams in a file: events and the whole, or the name of the error. */

import { readFileSync } from "node:fs";

import { QStarClient } from "qstar-client";

const job = JSON.parse(process.argv[2]);

async function outcomeOf(pieces) {
  const body = new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(new Uint8Array(Buffer.from(piece, "hex")));
      controller.close();
    },
  });
  const fetch = async () => new Response(body, { headers: { "content-type": "text/event-stream" } });
  const client = new QStarClient({ baseURL: "http://host.test", apiKey: "", maxRetries: 0, fetch });
  const stream = client.completions.stream({ prompt: "x", model: "m" });
  const outcome = { events: [], whole: null, error: null };
  try {
    for await (const event of stream) outcome.events.push(event);
    outcome.whole = await stream.final();
  } catch (error) {
    outcome.error = error.name;
  }
  return outcome;
}

const outcomes = [];
for (const pieces of JSON.parse(readFileSync(job.file, "utf8"))) outcomes.push(await outcomeOf(pieces));
console.log(JSON.stringify(outcomes));
