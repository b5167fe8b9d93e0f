// Leaves a request before its end, in one of four ways, then stays alive until its input ends.
// "create" waits for the first input, because it cannot see that the answer has begun.
// Job: { options, call, params, how: "break" | "abort" | "signal" | "create" }
import { QStarClient } from "qstar-client";

const { options, call, params, how } = JSON.parse(process.argv[2]);
const target = call.split(".").reduce((value, name) => value[name], new QStarClient(options));
const controller = new AbortController();
const { signal } = controller;

async function leave() {
  if (how === "create") {
    process.stdin.once("data", () => controller.abort());
    return target.create(params, { signal });
  }
  const stream = target.stream(params, { signal });
  for await (const _ of stream.chunks()) {
    if (how === "break") break;
    if (how === "abort") stream.abort();
    else controller.abort();
  }
}

const outcome = await leave().then(
  () => "done",
  (error) => error.name,
);
console.log(outcome);
process.stdin.resume();
