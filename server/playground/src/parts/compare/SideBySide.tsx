/** The same request once more with one thing changed, and both answers beside each other. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Run, RunRequest, Shading } from "../../types";
import { Columns } from "./Columns";
import { Totals } from "./Totals";
import { VariantPicker } from "./VariantPicker";
import { differsByChance, variantName, variantRequest, type Variant } from "./variants";

interface Props {
  readonly run: Run;
  /** Longest thought that the server allows, in tokens. */
  readonly maxThoughtTokens: number;
  readonly shading: Shading;
  readonly runRequest: RunRequest;
}

/** The other run, with what it is compared with. */
interface Other {
  readonly of: Run["id"];
  readonly variant: Variant;
  readonly run: Run;
}

export function SideBySide({ run, maxThoughtTokens, shading, runRequest }: Props) {
  const [other, setOther] = useState<Other | null>(null);
  const abort = useRef<AbortController | null>(null);
  // A new answer makes the comparison pointless, and the server need not go on with it.
  useEffect(() => () => abort.current?.abort(), [run.id]);

  const start = (variant: Variant): void => {
    abort.current?.abort();
    const own = new AbortController();
    abort.current = own;
    const show = (next: Run): void => {
      if (abort.current === own) setOther({ of: run.id, variant, run: next });
    };
    void runRequest(run.endpoint, variantRequest(run.request, variant), show, own.signal).then(show);
  };
  const shown = other !== null && other.of === run.id ? other : null;
  const isRunning = shown?.run.state === "streaming";
  return (
    <section class="versus card" aria-label="Side by side">
      <h2>Side by side</h2>
      <p class="quiet">Run the same request again with one thing changed.</p>
      <VariantPicker
        key={run.id}
        run={run}
        maxThoughtTokens={maxThoughtTokens}
        isRunning={isRunning}
        onRun={start}
        onStop={() => abort.current?.abort()}
      />
      {shown !== null && (
        <>
          {shown.run.error !== null && (
            <p class="versus-error" role="alert">
              {shown.run.error}
            </p>
          )}
          {differsByChance(run.request, shown.variant) && (
            <p class="quiet">
              The request names no seed, so the two answers may differ by chance alone.
            </p>
          )}
          <Totals left={run} right={shown.run} name={variantName(shown.variant)} />
          <Columns
            left={run}
            right={shown.run}
            name={variantName(shown.variant)}
            shading={shading}
          />
        </>
      )}
    </section>
  );
}
