/** The top of the page: what is served here, its state, and the theme. */

import type { Connection } from "../model/connection";
import type { Theme } from "../model/theme";
import { withSigns } from "../text/signs";

interface Props {
  readonly connection: Connection;
  readonly theme: Theme;
  readonly onTheme: (theme: Theme) => void;
}

const STATES: Record<Connection["state"], string> = {
  connecting: "connecting",
  loading: "loading",
  ready: "ready",
  locked: "locked",
  failed: "not reachable",
};

export function Header({ connection, theme, onTheme }: Props) {
  return (
    <header class="top">
      <p class="brand">
        <Mark />
        <span>qstar</span>
      </p>
      <Model connection={connection} />
      <label class="theme">
        <span class="quiet">Theme</span>
        <select value={theme} onChange={(event) => onTheme(event.currentTarget.value as Theme)}>
          <option value="system">System</option>
          <option value="light">Light</option>
          <option value="dark">Dark</option>
        </select>
      </label>
    </header>
  );
}

/** A speech bubble's beginning: the thought comes before the word. */
function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
      <circle cx="19" cy="13" r="10" />
      <circle cx="9" cy="24" r="4" />
      <circle cx="4" cy="30" r="2" />
    </svg>
  );
}

function Model({ connection }: { readonly connection: Connection }) {
  const { state, card } = connection;
  return (
    <p class="model">
      <span class={`state ${state}`}>{STATES[state]}</span>
      {card !== null && (
        <>
          <strong>{withSigns(card.id)}</strong>
          <span class="quiet">{withSigns(description(card))}</span>
        </>
      )}
    </p>
  );
}

/** The description without the name before it, and without the brackets that then have no use. */
function description(card: { readonly id: string; readonly description: string }): string {
  const { id, description: whole } = card;
  if (!whole.startsWith(`${id} (`)) return whole;
  return whole.slice(id.length + 2).replace(")", "");
}
