/** Steps through the passes: play, back, forward, and a slider. */

import { useEffect, useState } from "preact/hooks";

interface Props {
  readonly pass: number;
  readonly numPasses: number;
  /** What happens in this pass. */
  readonly sentence: string;
  readonly onPass: (pass: number) => void;
}

const STEP_MS = 350;

export function PassControls({ pass, numPasses, sentence, onPass }: Props) {
  const [isPlaying, setPlaying] = useState(false);
  const last = numPasses - 1;

  useEffect(() => {
    if (!isPlaying) return undefined;
    if (pass >= last) {
      setPlaying(false);
      return undefined;
    }
    const timer = setTimeout(() => onPass(pass + 1), STEP_MS);
    return () => clearTimeout(timer);
  }, [isPlaying, pass, last, onPass]);

  const step = (next: number): void => {
    setPlaying(false);
    onPass(next);
  };
  const play = (): void => {
    if (!isPlaying && pass >= last) onPass(0);
    setPlaying(!isPlaying);
  };
  return (
    <div class="timeline-controls">
      <div class="row">
        <button type="button" class="small" onClick={play}>
          {isPlaying ? "Pause" : "Play"}
        </button>
        <button
          type="button"
          class="small"
          aria-label="Previous pass"
          disabled={pass === 0}
          onClick={() => step(pass - 1)}
        >
          ‹
        </button>
        <button
          type="button"
          class="small"
          aria-label="Next pass"
          disabled={pass >= last}
          onClick={() => step(pass + 1)}
        >
          ›
        </button>
        <input
          type="range"
          aria-label="Pass"
          aria-valuetext={sentence}
          min={0}
          max={last}
          value={pass}
          onInput={(event) => step(event.currentTarget.valueAsNumber)}
        />
      </div>
      <p class="quiet timeline-sentence">{sentence}</p>
    </div>
  );
}
