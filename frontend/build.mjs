// Bundles the panel for anywidget: one ES module and one stylesheet, nothing fetched at run time.
import { build } from "esbuild";

const out = "../mexclab/notebook/static";

await build({
  absWorkingDir: import.meta.dirname,
  entryPoints: [
    { in: "src/main.js", out: "panel" },
    { in: "src/style.css", out: "panel" },
  ],
  outdir: out,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "inline", // the licence notices travel with the code they cover
  logLevel: "info",
});
