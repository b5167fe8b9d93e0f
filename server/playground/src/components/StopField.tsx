/** Texts that end the answer, one in a line. */

import { useEffect, useId, useState } from "preact/hooks";

interface Props {
  readonly stop: readonly string[];
  readonly onChange: (stop: readonly string[]) => void;
}

export function StopField({ stop, onChange }: Props) {
  const id = useId();
  const [text, setText] = useState(stop.map(asLine).join("\n"));
  useEffect(() => {
    setText((old) => (sameTexts(textsIn(old), stop) ? old : stop.map(asLine).join("\n")));
  }, [stop]);
  return (
    <div class="field">
      <label for={id}>Stop</label>
      <textarea
        id={id}
        rows={2}
        spellcheck={false}
        aria-describedby={`${id}-help`}
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          onChange(textsIn(event.currentTarget.value));
        }}
      />
      <small id={`${id}-help`}>one text in a line; \n is a line break</small>
    </div>
  );
}

function textsIn(lines: string): string[] {
  return lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replace(/\\(n|\\)/g, (_, kind: string) => (kind === "n" ? "\n" : "\\")));
}

function asLine(text: string): string {
  return text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n");
}

function sameTexts(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((text, index) => text === right[index]);
}
