/** A few choices side by side, of which one is taken: radio buttons. */

interface Props<Value extends string> {
  /** Names the group for a screen reader. */
  readonly label: string;
  readonly options: readonly (readonly [Value, string])[];
  readonly value: Value;
  readonly onChange: (value: Value) => void;
  readonly disabled?: boolean;
}

export function Segmented<Value extends string>(props: Props<Value>) {
  const name = props.label.toLowerCase().replace(/ /g, "-");
  return (
    <div class="segmented" role="radiogroup" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <label key={value}>
          <input
            type="radio"
            name={name}
            value={value}
            checked={value === props.value}
            disabled={props.disabled ?? false}
            onChange={() => props.onChange(value)}
          />
          <span>{text}</span>
        </label>
      ))}
    </div>
  );
}
