// What a terminal showed, with its colours, as a picture.   node terminal.mjs TEXT PNG
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { chromium } = createRequire(`${process.env.BROWSER_DIR}/x.js`)("playwright-core");
const [from, to] = process.argv.slice(2);
const colours = { 31: "#ff8a95", 32: "#7fd699", 33: "#ecc069", 36: "#8fbcf7", 90: "#98a2b1" };
const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
let html = "";
let style = {};
for (const piece of readFileSync(from, "utf8").trimEnd().split(/(\x1b\[[\d;]*m)/)) {
  const code = piece.match(/^\x1b\[([\d;]*)m$/);
  if (code) {
    for (const n of (code[1] || "0").split(";")) {
      if (n === "0" || n === "") style = {};
      else if (n === "1") style["font-weight"] = "bold";
      else if (n === "7") Object.assign(style, { background: "#dfe4ec", color: "#14171c" });
      else if (n === "39") delete style.color;
      else if (n === "27") { delete style.background; delete style.color; }
      else if (n === "22") delete style["font-weight"];
      else if (colours[n]) style.color = colours[n];
    }
  } else if (piece) {
    html += `<span style="${Object.entries(style).map(([k, v]) => `${k}:${v}`).join(";")}">${escape(piece)}</span>`;
  }
}
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM_BIN || "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
const page = await browser.newPage({ viewport: { width: 800, height: 450 } });
await page.setContent(`<body style="margin:0;background:#14171c"><pre style="margin:0;padding:14px 16px;display:inline-block;color:#dfe4ec;font:12px/1.25 'DejaVu Sans Mono',monospace">${html}</pre>`);
await page.locator("pre").screenshot({ path: to });
await browser.close();
