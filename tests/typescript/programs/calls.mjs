// Makes calls to a server one after the other and prints what each gives: its answer, events or error.
// Job: { options: options of the client, calls: [{ call: "chat.completions", method: "create", params }] }
import { QStarClient, QStarClientError } from "qstar-client";

const job = JSON.parse(process.argv[2]);
const client = new QStarClient(job.options);

function targetOf(path) {
  return path.split(".").filter(Boolean).reduce((target, name) => target[name], client);
}

async function outcomeOf({ call, method, params }) {
  const target = targetOf(call);
  if (method !== "stream") return { answer: await target[method](params) };
  const stream = target.stream(params);
  const events = [];
  try {
    for await (const event of stream) events.push(event);
    return { events, answer: await stream.final() };
  } catch (error) {
    return { events, ...report(error) };
  }
}

function report(error) {
  if (!(error instanceof QStarClientError)) return { error: { name: `${error}` } };
  const { name, message, status, param, code, requestId, retryAfterS } = error;
  return { error: { name, message, status, param, code, requestId, retryAfterS } };
}

const outcomes = [];
for (const call of job.calls) outcomes.push(await outcomeOf(call).catch(report));
console.log(JSON.stringify(outcomes));
