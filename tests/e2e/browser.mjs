// What only a browser can tell of serve's pages. Arguments: the one-time address, a job's id.
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.BROWSER_DIR}/x.js`)("playwright-core");
const [address, job] = process.argv.slice(2);
const origin = new URL(address).origin;

function must(holds, what) {
  if (!holds) throw new Error(what);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_BIN,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
try {
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) problems.push(message.text()); });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("dialog", (dialog) => { problems.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });

  // The session: only through the one-time address, and only once.
  must((await page.goto(origin)).status() === 401, "no session is needed");
  problems.length = 0; // the browser notes the 401
  await page.goto(address);
  await page.waitForURL(`${origin}/`);
  must((await context.cookies()).every((c) => c.httpOnly && c.sameSite === "Strict"), "the cookie is not strict");
  must(await page.evaluate(() => document.cookie) === "", "scripts see the cookie");
  must((await (await browser.newContext()).request.get(address)).status() === 401, "the address works twice");

  // Live: a job that another process adds appears without a reload.
  await page.locator("#live.on").waitFor();
  console.log("ready for a new job");
  await page.getByText("A job that came later").waitFor({ timeout: 15000 });

  // Keys: rows, search, open, up.
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  must(await page.evaluate(() => document.activeElement.textContent.includes("came later")), "j and k do not move");
  await page.keyboard.press("/");
  await page.keyboard.type("look at");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=look/);
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL(`${origin}/jobs/${job}`);
  must(await page.locator("h1").innerText() === "Look at <b>me</b>", "the task is not text");
  await page.keyboard.press("u");
  await page.waitForURL(`${origin}/`);

  // A form of ours passes the check of the Origin.
  await page.goto(`${origin}/jobs/${job}`);
  await page.getByRole("button", { name: "Try to apply" }).click();
  await page.waitForLoadState();
  must(!(await page.content()).includes("Origin header"), "our own form is refused");
  problems.length = 0; // applying a made-up job is an error, which the browser notes

  // A script that came in by whatever way does not run, and nothing is fetched from elsewhere.
  await page.goto(`${origin}/jobs/${job}`);
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.injected = true";
    document.body.append(script);
  });
  must(!(await page.evaluate(() => window.injected)), "an inline script runs");
  problems.length = 0; // the refusal is noted

  // Every page, light and dark, wide and narrow: contrast, nothing wider than the window.
  const paths = ["/", "/?state=failed", `/jobs/${job}`, `/jobs/${job}/diff`, `/jobs/${job}/attempts`, `/jobs/${job}/receipt`,
    `/jobs/${job}/log?name=checks/unit_tests.log`, "/policies", "/cost"];
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 390]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 844 });
      for (const path of paths) {
        await page.goto(origin + path);
        const found = await page.evaluate(judge);
        must(found.length === 0, `${path} ${colorScheme} ${width}: ${found.slice(0, 5).join("; ")}`);
      }
    }
  }
  must(problems.length === 0, problems.join("\n"));
  console.log("all is well");
} finally {
  await browser.close();
}

// WCAG 2.2, 1.4.3: 4.5 to 1. Runs in the page.
function judge() {
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parse = (text) => (text.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !element.getClientRects().length) continue;
    if (element.closest("script, svg, .hidden")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)} of "${node.textContent.trim().slice(0, 30)}"`);
  }
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) found.push(`${wide} px wider than the window`);
  for (const control of document.querySelectorAll("a, button, input:not([type=hidden])")) {
    const name = control.textContent.trim() || control.getAttribute("aria-label") || (control.labels && control.labels.length);
    if (!name) found.push(`a control without a name: ${control.outerHTML.slice(0, 60)}`);
  }
  if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
  return found;
}
