/** A bar from 0 to 1. The number stands beside it, so a screen reader skips the bar. */

interface Props {
  readonly share: number;
  readonly kind: "with" | "without" | "weight";
}

export function Meter({ share, kind }: Props) {
  const width = `${(100 * Math.min(1, Math.max(0, share))).toFixed(1)}%`;
  return (
    <span class={`meter ${kind}`} aria-hidden="true">
      <span style={{ width }} />
    </span>
  );
}
