/** The API key. Kept in the storage of this tab's session alone, and sent to this server alone. */

import { useId, useState } from "preact/hooks";

interface Props {
  readonly apiKey: string;
  /** Whether the server has asked for a key: then this is the first thing to do. */
  readonly isAsked: boolean;
  /** Why the server asks, in its words. */
  readonly reason: string;
  readonly onChange: (key: string) => void;
}

export function KeyField({ apiKey, isAsked, reason, onChange }: Props) {
  const id = useId();
  const [text, setText] = useState(apiKey);
  return (
    <form
      class={isAsked ? "key card" : "key"}
      onSubmit={(event) => {
        event.preventDefault();
        onChange(text.trim());
      }}
    >
      {isAsked && <p role="alert">{reason}</p>}
      <label for={id}>API key</label>
      <div class="row">
        <input
          id={id}
          type="text"
          class="secret"
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          pattern="[!-~ ]*"
          title="printable ASCII"
          placeholder={isAsked ? "" : "none needed"}
          aria-describedby={`${id}-help`}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button type="submit">{text.trim() === "" && apiKey !== "" ? "Forget key" : "Use key"}</button>
      </div>
      <small id={`${id}-help`}>kept until this tab is closed, and sent to this server alone</small>
    </form>
  );
}
