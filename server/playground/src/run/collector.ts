/** Collects what streams in, and shows it at most once a frame. */

import type { StreamEvent } from "qstar-client";
import { entry } from "../parts/saved/entries";
import type { Choice, Endpoint, RequestBody, Run, RunState, Thought, Usage } from "../types";

let numRuns = 0;

/** One run while it grows. Snapshots are new objects; entries that have come never change. */
export class Collector {
  readonly #base: Pick<Run, "id" | "created" | "model" | "endpoint" | "request">;
  readonly #onProgress: (run: Run) => void;
  readonly #startedMs = performance.now();
  readonly #entries: Thought[] = [];
  #text = "";
  #finishReason: string | null = null;
  #usage: Usage | null = null;
  #frame = 0;

  constructor(endpoint: Endpoint, request: RequestBody, onProgress: (run: Run) => void) {
    this.#base = {
      id: ++numRuns,
      created: Math.floor(Date.now() / 1000),
      model: request.model ?? "",
      endpoint,
      request,
    };
    this.#onProgress = onProgress;
    onProgress(this.#snapshot("streaming", null));
  }

  /** @throws InvalidDataError: the server sent an entry that is none. */
  add(event: StreamEvent): void {
    if (event.type === "thought") {
      this.#entries.push(entry(event.thought, `thoughts[${this.#entries.length}]`));
    }
    if (event.type === "text") this.#text += event.text;
    else if (event.type === "finish") this.#finishReason = event.finish_reason;
    else if (event.type === "usage") this.#usage = event.usage as Usage;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#onProgress(this.#snapshot("streaming", null));
    });
  }

  /** The whole run. Nothing is shown after this. */
  end(state: Exclude<RunState, "streaming">, error: string | null): Run {
    cancelAnimationFrame(this.#frame);
    return this.#snapshot(state, error);
  }

  #snapshot(state: RunState, error: string | null): Run {
    const choice: Choice = {
      index: 0,
      text: this.#text,
      finish_reason: this.#finishReason,
      thoughts: this.#entries.slice(),
    };
    const seconds = (performance.now() - this.#startedMs) / 1000;
    return { ...this.#base, state, error, choices: [choice], usage: this.#usage, seconds };
  }
}
