/** Asks for the API key where the server wants one. */

import { useEffect } from "preact/hooks";
import { KeyField } from "./KeyField";

interface Props {
  readonly apiKey: string;
  /** Whether the server has not answered yet. */
  readonly isAsking: boolean;
  readonly onChange: (key: string) => void;
}

export function KeyRequest({ apiKey, isAsking, onChange }: Props) {
  useEffect(() => focusPrompt, []);
  return (
    <section class="card notice asks" aria-label="Key needed">
      <p role="alert">{isAsking ? "Asking the server." : refusal(apiKey)}</p>
      <KeyField apiKey={apiKey} isAsked onChange={onChange} />
    </section>
  );
}

function refusal(apiKey: string): string {
  return apiKey === "" ? "This server needs an API key." : "This API key is not valid.";
}

/** When the key was right: the field that had the focus is gone. */
function focusPrompt(): void {
  document.querySelector<HTMLElement>("form.prompt textarea")?.focus();
}
