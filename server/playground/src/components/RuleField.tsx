/** At which tokens the model thinks. */

import { useEffect, useId, useState } from "preact/hooks";
import type { Card } from "../model/card";
import { onOneLine } from "../text/signs";
import type { ThinkingRule } from "../types";

interface Props {
  readonly card: Card;
  readonly rule: ThinkingRule | null;
  readonly onChange: (rule: ThinkingRule | null) => void;
}

type Choice = "default" | ThinkingRule["where"];

export function RuleField({ card, rule, onChange }: Props) {
  const id = useId();
  return (
    <>
      <div class="field">
        <label for={id}>Where it thinks</label>
        <select
          id={id}
          value={rule?.where ?? "default"}
          onChange={(event) => onChange(ruleOf(event.currentTarget.value as Choice, card))}
        >
          <option value="default">default ({ruleName(card.thinking)})</option>
          <option value="everywhere">everywhere</option>
          <option value="behind">after some tokens</option>
          {(card.has_gate || rule?.where === "gate") && <option value="gate">where its gate says</option>}
        </select>
      </div>
      {rule?.where === "behind" && <TokensField rule={rule} onChange={onChange} />}
    </>
  );
}

function TokensField({ rule, onChange }: Pick<Props, "onChange"> & { readonly rule: ThinkingRule }) {
  const id = useId();
  const tokens = (rule.tokens ?? []).join(" ");
  const [text, setText] = useState(tokens);
  // The text is kept while it means the same tokens: a space may be the beginning of the next one.
  useEffect(() => setText((old) => (tokensIn(old).join(" ") === tokens ? old : tokens)), [tokens]);
  return (
    <div class="field">
      <label for={id}>Tokens it thinks after</label>
      <input
        id={id}
        type="text"
        required
        autocomplete="off"
        spellcheck={false}
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          onChange({ where: "behind", tokens: tokensIn(event.currentTarget.value) });
        }}
      />
      <small>with spaces between, as the vocabulary writes them</small>
    </div>
  );
}

function ruleOf(choice: Choice, card: Card): ThinkingRule | null {
  if (choice === "default") return null;
  if (choice === "behind") return { where: "behind", tokens: card.thinking.tokens ?? [] };
  return { where: choice };
}

function tokensIn(text: string): string[] {
  return text.split(" ").filter((token) => token !== "");
}

function ruleName(rule: ThinkingRule): string {
  if (rule.where === "behind") return `after ${onOneLine((rule.tokens ?? []).join(" "))}`;
  return rule.where === "gate" ? "its gate" : "everywhere";
}
