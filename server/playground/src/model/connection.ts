/** Asks the server for its model, again and again until it is loaded. */

import type { QStarClient } from "qstar-client";
import { useCallback, useEffect, useState } from "preact/hooks";
import { type Card, cardOf } from "./card";
import { type Failure, failureOf } from "./failure";

/** Whether requests can be sent. `card` is null until the server has told. */
export interface Connection {
  readonly state: "connecting" | "loading" | "ready" | "locked" | "failed";
  readonly card: Card | null;
  /** Why not, if the state is `locked` or `failed`; null while it is `locked` and a key is tried. */
  readonly failure: Failure | null;
}

const FIRST: Connection = { state: "connecting", card: null, failure: null };
const POLL_MS = 1_000;

/** The connection, and a function that asks again, for example after a change of the key. */
export function useConnection(client: QStarClient): [Connection, () => void] {
  const [connection, setConnection] = useState(FIRST);
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    setConnection((old) => (old.state === "locked" ? { ...old, failure: null } : old));
    const ask = async (): Promise<void> => {
      const next = await askOnce(client, abort.signal);
      if (abort.signal.aborted) return;
      setConnection((old) => ({ ...next, card: next.card ?? old.card }));
      if (next.state === "loading" || next.state === "failed") timer = setTimeout(ask, POLL_MS) as unknown as number;
    };
    void ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [client, attempt]);
  return [connection, useCallback(() => setAttempt((count) => count + 1), [])];
}

async function askOnce(client: QStarClient, signal: AbortSignal): Promise<Connection> {
  try {
    const { data } = await client.models.list({ signal });
    return { state: "ready", card: cardOf(data[0]), failure: null };
  } catch (error) {
    const failure = failureOf(error);
    const state = failure.kind === "loading" || failure.kind === "locked" ? failure.kind : "failed";
    return { state, card: null, failure };
  }
}
