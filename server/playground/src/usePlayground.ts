/** The state of the page, and what can be done with it. */

import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { focusToken } from "./components/Tokens";
import { type Selection, useSelection } from "./components/selection";
import { useApiKey } from "./model/apiKey";
import { createClient } from "./model/client";
import { type Connection, useConnection } from "./model/connection";
import { useEscape } from "./model/keyboard";
import { buildRequest, endpointOf } from "./run/request";
import { type RunControl, useRun } from "./run/useRun";
import { afterAnswer, inMode, type SetupControl, useSetup } from "./run/useSetup";
import type { Mode, Run, Shading } from "./types";

export interface Playground {
  readonly apiKey: string;
  readonly setApiKey: (key: string) => void;
  readonly connection: Connection;
  readonly setup: SetupControl;
  readonly control: RunControl;
  readonly selection: Selection;
  readonly shading: Shading;
  readonly setShading: (shading: Shading) => void;
  /** Send what is written. */
  readonly start: () => void;
  readonly changeMode: (mode: Mode) => void;
  /** Forget the conversation. */
  readonly startAnew: () => void;
  /** Close the open token; the focus goes back to it. */
  readonly close: () => void;
}

export function usePlayground(): Playground {
  const [apiKey, setApiKey] = useApiKey();
  const client = useMemo(() => createClient(apiKey), [apiKey]);
  const [connection, reconnect] = useConnection(client);
  const { card } = connection;
  const setup = useSetup(card);
  const { change } = setup;
  const [shading, setShading] = useState<Shading>("weight");

  const onEnd = useCallback((ended: Run) => change((old) => afterAnswer(old, ended)), [change]);
  const control = useRun(client, onEnd);
  const selection = useSelection(control.run);
  const { selected, select } = selection;

  const { failure } = control;
  useEffect(() => {
    // The key may be needed, or the server may have gone, or have come back with another model.
    if (failure !== null) reconnect();
  }, [failure, reconnect]);

  const close = useCallback(() => {
    focusToken(selected);
    select(null);
  }, [selected, select]);
  useEscape(control.isRunning ? control.stop : selected === null ? null : close);

  const start = (): void => {
    if (card !== null) control.start(endpointOf(setup.setup), buildRequest(setup.setup, card));
  };
  const changeMode = (mode: Mode): void => {
    if (card !== null) change((old) => inMode(old, mode, card));
  };
  const startAnew = (): void => {
    control.show(null);
    change((old) => ({ ...old, messages: [] }));
  };
  return {
    ...{ apiKey, setApiKey, connection, setup, control, selection, shading, setShading },
    ...{ start, changeMode, startAnew, close },
  };
}
