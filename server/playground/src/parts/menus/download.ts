/** Gives the person a file. */

/** Long enough for a browser to begin reading the file. */
const KEEP_MS = 60_000;

export function download(name: string, type: string, content: string): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), KEEP_MS);
}

/** Such as `lab-2026-11-30-17-20-05.json`: the model and the time of the run, in UTC. */
export function fileName(model: string, created: number, ending: string): string {
  const time = new Date(created * 1000).toISOString().slice(0, 19).replace(/[T:]/g, "-");
  const name = model.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[-.]+|[-.]+$/g, "");
  return `${name.slice(0, 60) || "run"}-${time}.${ending}`;
}
