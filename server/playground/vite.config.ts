/** Builds the page into the server's package, where it is committed: `npm run build`. */

import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  resolve: { alias: { "qstar-client": path("../../clients/typescript/src/index.ts") } },
  server: { fs: { allow: [path("."), path("../../clients")] } },
  build: {
    outDir: path("../qstar_server/playground/bundle"),
    emptyOutDir: true,
    target: ["chrome123", "firefox125", "safari17.5"], // they know light-dark()
    assetsInlineLimit: 0, // the page's policy allows no data: fonts or scripts
    license: { fileName: "licenses.md" }, // of what is in the bundle
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  test: { include: ["src/**/*.test.{ts,tsx}"], css: true },
});
