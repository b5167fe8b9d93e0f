/** Asks for the API key where the server wants one. */

import { KeyField } from "./KeyField";

interface Props {
  readonly apiKey: string;
  readonly onChange: (key: string) => void;
}

export function KeyRequest({ apiKey, onChange }: Props) {
  return (
    <section class="card notice asks" aria-label="Key needed">
      <p role="alert">
        {apiKey === "" ? "This server needs an API key." : "This API key is not valid."}
      </p>
      <KeyField apiKey={apiKey} isAsked onChange={onChange} />
    </section>
  );
}
