/** Where a person writes, and starts or stops the answer. */

import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import type { Example, Welcome } from "../model/examples";
import type { Mode } from "../types";
import { Segmented } from "./Segmented";

interface Props {
  readonly mode: Mode;
  readonly hasChat: boolean;
  readonly prompt: string;
  readonly welcome: Welcome | null;
  readonly isRunning: boolean;
  readonly canRun: boolean;
  /** The settings, which are part of the form, so that the browser checks them with it. */
  readonly children: ComponentChildren;
  readonly onMode: (mode: Mode) => void;
  readonly onPrompt: (prompt: string) => void;
  readonly onExample: (example: Example) => void;
  readonly onRun: () => void;
  readonly onStop: () => void;
  /** Forgets the turns so far; null if there are none. */
  readonly onNew: (() => void) | null;
}

const MODES = [
  ["completion", "Completion"],
  ["chat", "Chat"],
] as const;

export function PromptForm(props: Props) {
  const id = useId();
  const [isOpen, setOpen] = useState(false);
  return (
    <form
      class="prompt card"
      onSubmit={(event) => {
        event.preventDefault();
        if (props.canRun && !props.isRunning) props.onRun();
      }}
      onInvalidCapture={() => setOpen(true)} // a number in closed settings would be refused unseen
    >
      <div class="row spread">
        <label for={id}>Prompt</label>
        {props.hasChat && (
          <Segmented label="Mode" options={MODES} value={props.mode} onChange={props.onMode} />
        )}
      </div>
      <textarea
        id={id}
        class="text"
        rows={3}
        required
        spellcheck={false}
        value={props.prompt}
        onInput={(event) => props.onPrompt(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
          event.preventDefault();
          event.currentTarget.form?.requestSubmit();
        }}
      />
      <Examples welcome={props.welcome} onExample={props.onExample} />
      <div class="row">
        <RunButton {...props} />
        <button
          type="button"
          class="plain"
          aria-expanded={isOpen}
          aria-controls="settings-fold"
          onClick={() => setOpen(!isOpen)}
        >
          Settings
        </button>
        {props.onNew !== null && (
          <button type="button" class="plain" onClick={props.onNew}>
            New conversation
          </button>
        )}
        <span class="quiet keys">{props.isRunning ? "Esc stops" : "Ctrl+Enter generates"}</span>
      </div>
      <div id="settings-fold" hidden={!isOpen}>
        {props.children}
      </div>
    </form>
  );
}

/** Two elements, told apart by keys: one that became "submit" during a click would send the form. */
function RunButton({ isRunning, canRun, onStop }: Props) {
  if (isRunning) {
    return (
      <button key="stop" type="button" class="main" onClick={onStop}>
        Stop
      </button>
    );
  }
  return (
    <button key="generate" type="submit" class="main" disabled={!canRun}>
      Generate
    </button>
  );
}

function Examples({ welcome, onExample }: Pick<Props, "welcome" | "onExample">) {
  if (welcome === null) return null;
  return (
    <div class="examples" role="group" aria-label="Examples">
      <span class="quiet">Try</span>
      {welcome.examples.map((example) => (
        <button
          key={example.name}
          type="button"
          class="chip"
          title={example.prompt}
          onClick={() => onExample(example)}
        >
          {example.name}
        </button>
      ))}
    </div>
  );
}
