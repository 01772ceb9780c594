// Bundles the panels for anywidget: one ES module and one stylesheet each, nothing fetched at run time.
import { build } from "esbuild";

const out = "../mexclab/notebook/static";

await build({
  absWorkingDir: import.meta.dirname,
  entryPoints: [
    { in: "src/main.js", out: "panel" },
    { in: "src/style.css", out: "panel" },
    { in: "src/explorer/main.js", out: "explorer" },
    { in: "src/explorer/explorer.css", out: "explorer" },
  ],
  outdir: out,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "inline", // the licence notices travel with the code they cover
  logLevel: "info",
});
