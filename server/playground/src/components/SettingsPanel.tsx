/** All settings of a request, within the limits of the served model. */

import type { Card } from "../model/card";
import type { Settings } from "../types";
import { NumberField } from "./NumberField";
import { RuleField } from "./RuleField";
import { StopField } from "./StopField";

interface Props {
  readonly card: Card;
  readonly settings: Settings;
  readonly onChange: (settings: Settings) => void;
}

const DEFAULT = "default";
const LARGEST_SEED = Number.MAX_SAFE_INTEGER;

export function SettingsPanel({ card, settings, onChange }: Props) {
  const change = (part: Partial<Settings>): void => onChange({ ...settings, ...part });
  return (
    <div role="group" aria-label="Settings" id="settings" class="settings">
      <fieldset>
        <legend>The thought</legend>
        {card.max_thought_tokens > 0 ? (
          <ThoughtFields card={card} settings={settings} change={change} />
        ) : (
          <p class="quiet">This model cannot think.</p>
        )}
      </fieldset>
      <fieldset>
        <legend>The answer</legend>
        <AnswerFields card={card} settings={settings} change={change} />
      </fieldset>
    </div>
  );
}

interface FieldsProps {
  readonly card: Card;
  readonly settings: Settings;
  readonly change: (part: Partial<Settings>) => void;
}

function ThoughtFields({ card, settings, change }: FieldsProps) {
  return (
    <>
      <NumberField
        label="Thought length"
        empty={`${card.num_thought_tokens}`}
        help={`tokens, 0 to ${card.max_thought_tokens}; 0: do not think`}
        min={0}
        max={card.max_thought_tokens}
        step={1}
        value={settings.num_thought_tokens}
        onChange={(num_thought_tokens) => change({ num_thought_tokens })}
      />
      <NumberField
        label="Thought temperature"
        empty={DEFAULT}
        min={0}
        max={2}
        step="any"
        value={settings.thought_temperature}
        onChange={(thought_temperature) => change({ thought_temperature })}
      />
      <NumberField
        label="Think threshold"
        empty="off"
        help="0 to 1; no thought where a token is at least so likely without"
        min={0}
        max={1}
        step="any"
        value={settings.think_threshold}
        onChange={(think_threshold) => change({ think_threshold })}
      />
      <RuleField
        card={card}
        rule={settings.thinking}
        onChange={(thinking) => change({ thinking })}
      />
    </>
  );
}

function AnswerFields({ card, settings, change }: FieldsProps) {
  return (
    <>
      <NumberField
        label="Max tokens"
        min={1}
        max={card.max_model_len}
        step={1}
        value={settings.max_tokens}
        onChange={(max_tokens) => {
          if (max_tokens !== null) change({ max_tokens }); // empty: the form is not sent
        }}
      />
      <NumberField
        label="Temperature"
        empty={DEFAULT}
        help="0 to 2; 0: always the most likely"
        min={0}
        max={2}
        step="any"
        value={settings.temperature}
        onChange={(temperature) => change({ temperature })}
      />
      <NumberField
        label="Top p"
        empty={DEFAULT}
        min={0}
        max={1}
        step="any"
        value={settings.top_p}
        onChange={(top_p) => change({ top_p })}
      />
      <NumberField
        label="Top k"
        empty={DEFAULT}
        help="−1: all tokens"
        min={-1}
        max={1_000_000}
        step={1}
        value={settings.top_k}
        onChange={(top_k) => change({ top_k })}
      />
      <NumberField
        label="Seed"
        empty="random"
        help="the same seed gives the same answer"
        min={-LARGEST_SEED}
        max={LARGEST_SEED}
        step={1}
        value={settings.seed}
        onChange={(seed) => change({ seed })}
      />
      <StopField stop={settings.stop} onChange={(stop) => change({ stop })} />
    </>
  );
}
