/** Draws components in tests. */

import { type ComponentChild, render } from "preact";
import { act } from "preact/test-utils";

/** A component in a document. Everything that it wants to do is done when a call returns. */
export interface Mounted {
  readonly root: HTMLElement;
  readonly draw: (next: ComponentChild) => Promise<void>;
  /** Clicks the button of this name. */
  readonly click: (name: string) => Promise<void>;
  readonly act: (work: () => void | Promise<void>) => Promise<void>;
  readonly text: () => string;
}

export async function mount(content: ComponentChild): Promise<Mounted> {
  const root = document.createElement("div");
  document.body.replaceChildren(root);
  const run = async (work: () => void | Promise<void>): Promise<void> => {
    await act(async () => work());
  };
  const draw = (next: ComponentChild): Promise<void> => run(() => render(next, root));
  await draw(content);
  return {
    root,
    draw,
    act: run,
    click: (name) => run(() => button(root, name).click()),
    text: () => root.textContent ?? "",
  };
}

/** The button with this accessible name. */
export function button(root: HTMLElement, name: string): HTMLButtonElement {
  const all = [...root.querySelectorAll("button")];
  const found = all.find((each) => (each.getAttribute("aria-label") ?? each.textContent) === name);
  if (found === undefined) throw new Error(`there is no button "${name}"`);
  return found;
}
