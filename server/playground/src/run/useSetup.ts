/** What the person has written and chosen; at first an example that fits the model. */

import { useCallback, useEffect, useState } from "preact/hooks";
import { type Card, NO_SETTINGS } from "../model/card";
import { type Example, welcome } from "../model/examples";
import type { Mode, Run, Settings, Setup } from "../types";

const EMPTY: Setup = { mode: "completion", prompt: "", messages: [], settings: NO_SETTINGS };

export interface SetupControl {
  readonly setup: Setup;
  readonly change: (update: (old: Setup) => Setup) => void;
  readonly changeSettings: (settings: Settings) => void;
}

export function useSetup(card: Card | null): SetupControl {
  const [setup, setSetup] = useState(EMPTY);
  useEffect(() => {
    if (card !== null) setSetup((old) => (old === EMPTY ? firstSetup(card) : old));
  }, [card?.id]);
  const change = useCallback((update: (old: Setup) => Setup) => setSetup(update), []);
  const changeSettings = useCallback(
    (settings: Settings) => setSetup((old) => ({ ...old, settings })),
    [],
  );
  return { setup, change, changeSettings };
}

function firstSetup(card: Card): Setup {
  return withExample(EMPTY, welcome(card, false).examples[0]);
}

/** The example instead of the prompt, with settings that let everybody see the same. */
export function withExample(setup: Setup, { prompt, maxTokens, sampling }: Example): Setup {
  const { temperature, seed } = sampling ?? { temperature: 0, seed: null };
  const settings = { ...setup.settings, max_tokens: maxTokens, temperature, seed };
  return { ...setup, prompt, settings };
}

/** A turn of a conversation becomes part of what is sent next. What was written meanwhile stays. */
export function afterAnswer(setup: Setup, run: Run): Setup {
  const text = run.choices[0]?.text ?? "";
  if (run.endpoint !== "chat" || run.state === "error" || text === "") return setup;
  const sent = run.request.messages ?? [];
  const messages = [...sent, { role: "assistant", content: text } as const];
  const isSent = setup.prompt === sent[sent.length - 1]?.content;
  return { ...setup, prompt: isSent ? "" : setup.prompt, messages };
}

/** The same in the other mode. An example that nobody has changed gives way to one of that mode. */
export function inMode(setup: Setup, mode: Mode, card: Card): Setup {
  const { examples } = welcome(card, setup.mode === "chat");
  const isExample = setup.prompt === "" || examples.some(({ prompt }) => prompt === setup.prompt);
  if (!isExample || mode === setup.mode) return { ...setup, mode };
  return withExample({ ...setup, mode }, welcome(card, mode === "chat").examples[0]);
}
