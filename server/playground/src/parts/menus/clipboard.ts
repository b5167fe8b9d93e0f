/** Puts a text on the clipboard. */

/**
 * Whether it worked. Browsers refuse it where the page did not come over HTTPS or from this
 * machine; the caller then shows the text, for the person to copy.
 */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
