/** The API key. Kept in the storage of this tab's session alone, and sent to this server alone. */

import { useId, useState } from "preact/hooks";

interface Props {
  readonly apiKey: string;
  /** Whether a key is needed now. */
  readonly isAsked: boolean;
  readonly onChange: (key: string) => void;
}

/** Not a form of its own, because it can stand in the form of the prompt. */
export function KeyField({ apiKey, isAsked, onChange }: Props) {
  const id = useId();
  const [text, setText] = useState(apiKey);
  const use = (): void => onChange(text.trim());
  return (
    <div class="field key">
      <label for={id}>API key</label>
      <div class="row">
        <input
          id={id}
          type="text"
          class="secret"
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          placeholder={isAsked ? "" : "none needed"}
          aria-describedby={`${id}-help`}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter") return;
            event.preventDefault();
            use();
          }}
        />
        <button type="button" onClick={use}>
          {text.trim() === "" && apiKey !== "" ? "Forget key" : "Use key"}
        </button>
      </div>
      <small id={`${id}-help`}>kept until this tab is closed, and sent to this server alone</small>
    </div>
  );
}
