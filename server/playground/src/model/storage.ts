/** The browser's storage, which may be forbidden; then nothing is kept, and nothing breaks. */

export type Area = "localStorage" | "sessionStorage";

/** What was kept under a name; null if nothing was. */
export function recall(area: Area, name: string): string | null {
  try {
    return window[area].getItem(name);
  } catch {
    return null;
  }
}

/** Keep a text under a name; "" removes it. */
export function keep(area: Area, name: string, text: string): void {
  try {
    if (text === "") window[area].removeItem(name);
    else window[area].setItem(name, text);
  } catch {
    // Forbidden: it lasts as long as the page.
  }
}
