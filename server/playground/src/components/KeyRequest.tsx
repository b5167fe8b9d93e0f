/** Asks for the API key where the server wants one. */

import { KeyField } from "./KeyField";

interface Props {
  readonly apiKey: string;
  /** Why the server asks, in its words. */
  readonly reason: string;
  readonly onChange: (key: string) => void;
}

export function KeyRequest({ apiKey, reason, onChange }: Props) {
  return (
    <section class="card notice asks" aria-label="Key needed">
      <p role="alert">{reason}</p>
      <KeyField apiKey={apiKey} isAsked onChange={onChange} />
    </section>
  );
}
