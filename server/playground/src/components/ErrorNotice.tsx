/** What went wrong, and a button that tries again. */

import { useEffect, useState } from "preact/hooks";
import type { Failure } from "../model/failure";

interface Props {
  readonly failure: Failure;
  /** Whether some tokens came before the error. */
  readonly isPartial: boolean;
  readonly onRetry: () => void;
}

export function ErrorNotice({ failure, isPartial, onRetry }: Props) {
  const wait = useSecondsLeft(failure);
  return (
    <div class="notice card" role="alert">
      <p>
        {failure.message}
        {isPartial && " What came before is kept."}
      </p>
      <div class="row">
        <button type="button" onClick={onRetry}>
          Try again
        </button>
        {/* Not announced every second: the alert has said how long. */}
        {wait > 0 && (
          <span class="quiet" aria-live="off">
            The server asks to wait {wait} s.
          </span>
        )}
      </div>
    </div>
  );
}

function useSecondsLeft(failure: Failure): number {
  const [left, setLeft] = useState(0);
  useEffect(() => {
    setLeft(Math.ceil(failure.retryAfterS ?? 0));
    const timer = setInterval(() => setLeft((old) => Math.max(0, old - 1)), 1_000);
    return () => clearInterval(timer);
  }, [failure]);
  return left;
}
