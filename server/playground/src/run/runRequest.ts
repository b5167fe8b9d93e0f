/** Sends a request and streams its answer. */

import type { ChatCompletionParams, CompletionParams, QStarClient, StreamEvent } from "qstar-client";
import { type Failure, failureOf } from "../model/failure";
import type { Endpoint, RequestBody, Run, RunRequest } from "../types";
import { Collector } from "./collector";

/**
 * A function that runs requests; see `RunRequest`.
 *
 * @param onFailure - learns what made a run end with the state `error`, before the run is given.
 */
export function createRunRequest(
  client: QStarClient,
  onFailure: (run: Run, failure: Failure) => void = () => {},
): RunRequest {
  return async (endpoint, request, onProgress, signal) => {
    const collector = new Collector(endpoint, request, onProgress);
    try {
      for await (const event of open(client, endpoint, request, signal)) collector.add(event);
      return collector.end("done", null);
    } catch (error) {
      if (signal.aborted) return collector.end("stopped", null);
      const failure = failureOf(error);
      const run = collector.end("error", failure.message);
      onFailure(run, failure);
      return run;
    }
  };
}

function open(
  client: QStarClient,
  endpoint: Endpoint,
  request: RequestBody,
  signal: AbortSignal,
): AsyncIterable<StreamEvent> {
  // A file may hold any field; the server checks them.
  return endpoint === "chat"
    ? client.chat.completions.stream(request as unknown as ChatCompletionParams, { signal })
    : client.completions.stream(request as unknown as CompletionParams, { signal });
}
