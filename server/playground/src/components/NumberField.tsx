/** A number that may be left empty, which means the server's default. */

import { useEffect, useId, useState } from "preact/hooks";

interface Props {
  readonly label: string;
  /** What an empty field means; absent if it must be filled. */
  readonly empty?: string;
  readonly help?: string;
  readonly min: number;
  readonly max: number;
  /** 1 for integers. */
  readonly step: number | "any";
  readonly value: number | null;
  readonly onChange: (value: number | null) => void;
}

/** The browser says what is wrong with a number outside of its range, and the form is not sent. */
export function NumberField(props: Props) {
  const id = useId();
  const { value, onChange } = props;
  // The text is kept, because "0." and "0" are the same number, and the person is still typing.
  const [text, setText] = useState(asText(value));
  useEffect(() => setText((old) => (asNumber(old) === value ? old : asText(value))), [value]);
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <input
        id={id}
        type="number"
        inputMode={props.step === 1 ? "numeric" : "decimal"}
        min={props.min}
        max={props.max}
        step={props.step}
        required={props.empty === undefined}
        placeholder={props.empty ?? ""}
        aria-describedby={`${id}-help`}
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          onChange(asNumber(event.currentTarget.value));
        }}
      />
      <small id={`${id}-help`}>{props.help ?? `${props.min} to ${props.max.toLocaleString("en")}`}</small>
    </div>
  );
}

function asText(value: number | null): string {
  return value === null ? "" : String(value);
}

function asNumber(text: string): number | null {
  const value = Number(text);
  return text.trim() === "" || Number.isNaN(value) ? null : value;
}
