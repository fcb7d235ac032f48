// The page of otad serve in a real Chromium: make test-page.
//
// The daemon, its origin and the browser are real. Screenshots of each state go
// to the folder in SCREENSHOTS, if that is set.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as listenTCP } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const otad = resolve(import.meta.dirname, "../../bin/otad");
const bytes = randomBytes(12 << 20);
const md5 = createHash("md5").update(bytes).digest("hex");
const dir = mkdtempSync(join(tmpdir(), "otad-page-"));
let status = 200; // of the origin
let origin, browser, page, board, daemon;
const foreign = [], problems = [];

const listening = server => new Promise(ready => server.listen(0, "127.0.0.1", () => ready(server.address().port)));

async function freePort() {
  const server = listenTCP();
  const port = await listening(server);
  await new Promise(closed => server.close(closed));
  return port;
}

function answer(request, response) {
  if (status !== 200) return response.writeHead(status).end();
  const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  response.writeHead(206, {
    "Content-Range": `bytes ${from}-${bytes.length - 1}/${bytes.length}`, "Content-Length": bytes.length - from, "ETag": '"1"',
  });
  response.end(bytes.subarray(from));
}

async function start(...flags) {
  daemon = spawn(otad, ["serve", "-state-dir", dir, "-listen", board, "-try-again", "10m..10m", ...flags], { stdio: "ignore" });
  for (;;) {
    try {
      return await fetch(`http://${board}/healthz`);
    } catch {
      await new Promise(wait => setTimeout(wait, 50));
    }
  }
}

async function end(signal) {
  if (!daemon) return;
  const ended = new Promise(closed => daemon.once("exit", closed));
  daemon.kill(signal);
  await ended;
  daemon = null;
}

async function post(version, name = "u.zip") {
  const answer = await fetch(`http://${board}/api/v1.0/download`, {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ version, package_name: name, package_url: origin, package_size: bytes.length, package_md5: md5 }),
  });
  assert.equal((await answer.json()).code, 200);
}

// shown waits until the page is in a state, and returns its text.
async function shown(state) {
  await page.waitForFunction(name => document.querySelector("li[aria-current=step]")?.dataset.state === name, state, { timeout: 20000 });
  return page.innerText("main");
}

async function picture(name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, name + ".png") });
}

before(async () => {
  const server = createServer(answer);
  origin = `http://127.0.0.1:${await listening(server)}/u.zip`;
  server.unref();
  board = `127.0.0.1:${await freePort()}`;
  await start("-rate-limit", "2MiB");
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  page = await browser.newPage({ viewport: { width: 320, height: 640 } });
  page.on("request", r => { if (new URL(r.url()).host !== board) foreign.push(r.url()); });
  page.on("pageerror", e => problems.push(String(e)));
  page.on("console", m => {
    // Chromium logs each request of its own that a dead daemon does not answer.
    if (["error", "warning"].includes(m.type()) && !m.text().includes("ERR_CONNECTION_REFUSED")) problems.push(m.text());
  });
  await page.goto(`http://${board}/`);
});

after(async () => {
  await browser?.close();
  await end("SIGKILL");
  rmSync(dir, { recursive: true });
});

test("without a package it is idle", async () => {
  assert.match(await shown("Idle"), /No package/);
  await picture("idle");
});

test("a download shows bytes, rate and time left, and fits 320 pixels", async () => {
  await post("1.2.3");
  await shown("Downloading");
  await page.waitForFunction(() => /Rate/.test(document.querySelector("dl").innerText));
  const text = await page.innerText("main");
  assert.match(text, /u\.zip 1\.2\.3/);
  assert.match(text, /Stored\s+[\d.]+ (MB|kB|bytes) of 13 MB, \d+ %/);
  assert.match(text, /Time left/);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 320), "the page is wider than the screen");
  await picture("downloading");
});

test("a daemon that is gone is said, and its return too", async () => {
  await page.waitForFunction(() => Number(document.querySelector("[role=progressbar]").getAttribute("aria-valuenow")) >= 30, null, { timeout: 20000 });
  await end("SIGKILL");
  await page.waitForSelector("[role=alert]:not([hidden])");
  assert.match(await page.innerText("[role=alert]"), /otad has not answered for \d+ s/);
  await picture("gone");
  await start("-rate-limit", "2MiB");
  await page.waitForSelector("[role=alert]", { state: "hidden" });
});

test("after kill -9 it is resumed, with a mark in the bar", async () => {
  await shown("Downloading");
  await page.waitForFunction(() => /Resumed from\s+[\d.]+ MB/.test(document.querySelector("dl").innerText));
  assert.equal(await page.isVisible("#from"), true);
  await picture("resumed");
});

test("a package is ready at 100 %", async () => {
  await shown("Ready");
  assert.equal(await page.getAttribute("[role=progressbar]", "aria-valuenow"), "100");
  assert.match(await page.title(), /^100 % u\.zip/);
  await picture("ready");
});

test("a retry says what it waits for", async () => {
  status = 503;
  await end("SIGTERM");
  await start("-retry-status", "503");
  await post("1.2.4", "v.zip");
  await page.waitForFunction(() => /retry \d of 3 in .*503/.test(document.querySelector("#message").innerText), null, { timeout: 20000 });
  await picture("retry");
});

test("a failure is in words, with the next try", async () => {
  const text = await shown("Failed");
  assert.match(text, /DOWNLOAD_FAILED: HTTP 503/);
  assert.match(text, /Next try\s+in \d+ (min|s)/);
  await picture("failed");
});

test("it asks nobody else, logs no error, and rests while it is hidden", async () => {
  assert.deepEqual(foreign, []);
  assert.deepEqual(problems, []);
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { value: true, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await new Promise(wait => setTimeout(wait, 200)); // a request that was under way
  let asked = 0;
  page.on("request", () => asked++);
  await new Promise(wait => setTimeout(wait, 2500));
  assert.equal(asked, 0);
});

test("without a script the page says where to look", async () => {
  const plain = await browser.newPage({ javaScriptEnabled: false });
  await plain.goto(`http://${board}/`);
  assert.match(await plain.innerText("body"), /otad status/);
});
