/** The run that the page shows: starts, stops and repeats it. */

import type { QStarClient } from "qstar-client";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Failure } from "../model/failure";
import type { Endpoint, RequestBody, Run, RunRequest } from "../types";
import { createRunRequest } from "./runRequest";

/** What the page knows of its run, and what it can do. */
export interface RunControl {
  /** null before the first request. */
  readonly run: Run | null;
  /** Why the run ended with an error; else null. */
  readonly failure: Failure | null;
  readonly isRunning: boolean;
  readonly start: (endpoint: Endpoint, request: RequestBody) => void;
  readonly stop: () => void;
  /** Show a run that comes from a file; null shows none. */
  readonly show: (run: Run | null) => void;
  /** For other requests of the page, beside this run. */
  readonly runRequest: RunRequest;
}

/** @param onEnd - called with each run that has ended. */
export function useRun(client: QStarClient, onEnd: (run: Run) => void): RunControl {
  const [run, setRun] = useState<Run | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  const abort = useRef<AbortController | null>(null);
  const runRequest = useMemo(() => createRunRequest(client), [client]);
  useEffect(() => () => abort.current?.abort(), []);

  const stop = useCallback(() => abort.current?.abort(), []);
  const start = useCallback(
    (endpoint: Endpoint, request: RequestBody) => {
      abort.current?.abort();
      const own = new AbortController();
      abort.current = own;
      setFailure(null);
      const send = createRunRequest(client, (_, reason) => abort.current === own && setFailure(reason));
      const show = (next: Run): void => {
        if (abort.current === own) setRun(next);
      };
      void send(endpoint, request, show, own.signal).then((ended) => {
        show(ended);
        if (abort.current === own) onEnd(ended);
      });
    },
    [client, onEnd],
  );
  const show = useCallback((next: Run | null) => {
    abort.current?.abort();
    abort.current = null;
    setFailure(null);
    setRun(next);
  }, []);
  return { run, failure, isRunning: run?.state === "streaming", start, stop, show, runRequest };
}
