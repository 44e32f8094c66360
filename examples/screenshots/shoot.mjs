// Takes a picture of every page in light, dark and phone width.
//   node shoot.mjs ONE-TIME-ADDRESS OUTPUT-DIRECTORY      (playwright-core: BROWSER_DIR/node_modules)
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";

const { chromium } = createRequire(`${process.env.BROWSER_DIR}/x.js`)("playwright-core");
const [address, out] = process.argv.slice(2);
mkdirSync(out, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_BIN || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const first = await browser.newContext();
const opened = await first.newPage();
await opened.goto(address);
await opened.waitForURL((url) => url.pathname === "/");
const state = await first.storageState();
const origin = new URL(address).origin;
const hrefs = await opened.locator("tr", { hasText: "Reject orders whose currency" }).filter({ hasText: "completed" })
  .locator("a[data-open]").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
const demo = await opened.goto(`${origin}/?q=slug`).then(() => opened.locator("a[data-open]").first().getAttribute("href"));
const running = await opened.goto(`${origin}/?state=active`).then(() => opened.locator("a[data-open]").nth(1).getAttribute("href"));
let job = hrefs[0];
for (const href of hrefs) {
  await opened.goto(origin + href);
  if (await opened.locator(".findings").count()) { job = href; break; }
}
const pages = {
  jobs: "/", search: "/?q=invoice&state=completed", job, running, diff: `${job}/diff`, attempts: `${job}/attempts`,
  log: `${job}/log?name=checks/unit_tests.log`, receipt: `${demo}/receipt`, policies: "/policies", cost: "/cost",
  missing: "/jobs/none",
};
for (const [look, options] of Object.entries({
  light: { colorScheme: "light", viewport: { width: 1280, height: 860 } },
  dark: { colorScheme: "dark", viewport: { width: 1280, height: 860 } },
  phone: { colorScheme: "light", viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 },
})) {
  const context = await browser.newContext({ ...options, storageState: state });
  const page = await context.newPage();
  for (const [name, path] of Object.entries(pages)) {
    await page.goto(origin + path);
    await page.screenshot({ path: `${out}/${name}-${look}.png`, fullPage: look === "phone" ? false : name !== "jobs" });
  }
}
// The one of the documentation: small, the head of a job's page.
const docs = await browser.newContext({ colorScheme: "light", viewport: { width: 1100, height: 860 }, storageState: state });
const page = await docs.newPage();
await page.goto(origin + job);
await page.screenshot({ path: `${out}/job-docs.png` });
await browser.close();
