// Stands before a plugin in a Workers-for-Platforms script: answers the plugin worker's protocol, calls the plugin.
// Uses nothing but the web platform's own objects, so that it runs wherever Request, Response and crypto.subtle do.
import plugin from "./plugin.mjs";

const PREFIX = "/__zelavis/plugin/";
const TOLERANCE_SECONDS = 300;
const MAX_BODY = 8 * 1024 * 1024;
const MAX_RESULT = 64 * 1024;
const ACTIONS = ["register", "install", "uninstall", "update"];
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });
// Answers of this isolate by call id: a request sent twice is answered twice and run once, while the isolate lives.
const answered = new Map();

export default {
  async fetch(request, env) {
    const path = new URL(request.url).pathname;
    const end = path.lastIndexOf(PREFIX);
    const verb = end < 0 ? "" : path.slice(end + PREFIX.length);
    if (verb !== "activate" && verb !== "call") return json(404, { message: "Not Found" });
    if (request.method !== "POST") return json(405, { message: "Method Not Allowed" }, { allow: "POST" });
    const bytes = await read(request);
    if (bytes === null) return json(413, { message: "The request is too large." });
    const id = await signer(bytes, request.headers, env.ZELAVIS_KEY);
    if (id === null) return json(401, { message: "The request is not signed with this worker's key." });
    let body;
    try {
      body = JSON.parse(decoder.decode(bytes));
    } catch {
      body = null;
    }
    const about = JSON.parse(env.ZELAVIS_PLUGIN);
    const [status, answer] = verb === "activate" ? await activate(body, about, id) : await call(body, about);
    return signed(status, answer, env.ZELAVIS_KEY, id);
  },
};

async function activate(body, about, id) {
  const valid =
    isObject(body) && typeof body.pluginName === "string" && ACTIONS.includes(body.action) && Array.isArray(body.registry);
  if (!valid) return [400, { status: "pending", message: "Invalid Zelavis plugin activation request." }];
  if (body.pluginName !== about.name) return [404, { status: "pending", message: "This is another plugin's worker." }];
  const event = { version: about.version, previousVersion: null };
  const handlers = {
    register: [],
    install: ["plugin:install", "plugin:activate"],
    update: ["plugin:activate"],
    uninstall: ["plugin:deactivate", "plugin:uninstall"],
  }[body.action];
  for (const hook of handlers) {
    const outcome = await run({ id: `${id}-${hook}`, hook, event, settings: {}, deadlineMs: 5000 }, about);
    // A plugin that fails to say goodbye goes all the same.
    if (outcome.status !== "ok" && body.action !== "uninstall")
      return [422, { status: "pending", message: `${hook} ended with ${outcome.status}: ${outcome.error?.message ?? ""}` }];
  }
  return [200, { status: "active", message: `${body.pluginName} ${body.action} accepted.` }];
}

async function call(body, about) {
  const valid =
    isObject(body) && typeof body.id === "string" && typeof body.hook === "string" && isObject(body.event) &&
    isObject(body.plugin) && Number.isFinite(body.deadlineMs);
  if (!valid) return [400, { message: "Invalid Zelavis plugin call." }];
  if (body.plugin.name !== about.name || body.plugin.digest !== about.digest)
    return [409, { message: "This script holds another version." }];
  if (!answered.has(body.id)) {
    answered.set(body.id, run(body, about));
    if (answered.size > 256) answered.delete(answered.keys().next().value);
  }
  return [200, await answered.get(body.id)];
}

async function run(body, about) {
  const started = Date.now();
  const end = (status, more) => ({ id: body.id, status, durationMs: Date.now() - started, hostCalls: 0, ...more });
  const handler = find(body);
  if (!handler) {
    if (body.hook.startsWith("plugin:")) return end("ok", { result: null });
    return end("trap", { error: { name: "Error", message: `There is no handler for ${body.hook}.`, code: "no_handler" } });
  }
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, body.deadlineMs, LATE);
  });
  try {
    const result = await Promise.race([handler(body.event, context(body, about)), late]);
    if (result === LATE) return end("deadline", { error: { name: "Error", message: "The time ran out.", code: "deadline" } });
    const text = JSON.stringify(result ?? null);
    if (encoder.encode(text).length > MAX_RESULT) return end("output_too_large", {});
    return end(isObject(result) && isObject(result.reject) ? "rejected" : "ok", { result: JSON.parse(text) });
  } catch (error) {
    const told = { name: String(error?.name ?? "Error"), message: String(error?.message ?? error), code: String(error?.code ?? "") };
    return end(told.code === "rejected" ? "rejected" : "trap", { error: told });
  } finally {
    clearTimeout(timer);
  }
}

const LATE = Symbol("late");

function find(body) {
  const { hooks = {}, routes = {} } = plugin ?? {};
  if (body.hook !== "route") return own(hooks, body.hook);
  return own(routes, `${body.event.method} ${body.event.route}`);
}

function own(handlers, name) {
  const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
  return typeof handler === "function" ? handler : undefined;
}

function context(body, about) {
  const line = (level) => (...parts) => console[level](`[${body.id}]`, ...parts);
  return {
    plugin: { name: about.name, version: about.version },
    call: { id: body.id, hook: body.hook },
    settings: body.settings ?? {},
    log: { info: line("info"), warn: line("warn"), error: line("error") },
    crypto: {
      randomBytes: async (count) => crypto.getRandomValues(new Uint8Array(count)),
      digest: async (algorithm, data) => new Uint8Array(await crypto.subtle.digest(algorithm, data)),
    },
  };
}

async function read(request) {
  const parts = [];
  let size = 0;
  for await (const part of request.body ?? []) {
    size += part.length;
    if (size > MAX_BODY) return null;
    parts.push(part);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

async function hmac(key, id, timestamp, bytes) {
  const imported = await crypto.subtle.importKey(
    "raw", encoder.encode(key), { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
  const head = encoder.encode(`${id}.${timestamp}.`);
  const message = new Uint8Array(head.length + bytes.length);
  message.set(head);
  message.set(bytes, head.length);
  return { imported, message };
}

async function signer(bytes, headers, key) {
  const id = headers.get("webhook-id") ?? "";
  const timestamp = headers.get("webhook-timestamp") ?? "";
  if (!key || !id || !/^\d{1,12}$/.test(timestamp)) return null;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) return null;
  const { imported, message } = await hmac(key, id, timestamp, bytes);
  for (const part of (headers.get("webhook-signature") ?? "").split(" ")) {
    if (!/^v1,[A-Za-z0-9+/]{43}=$/.test(part)) continue;
    const signature = Uint8Array.from(atob(part.slice(3)), (c) => c.charCodeAt(0));
    if (await crypto.subtle.verify("HMAC", imported, signature, message)) return id;
  }
  return null;
}

async function signed(status, answer, key, id) {
  const bytes = encoder.encode(JSON.stringify(answer));
  const timestamp = String(Math.floor(Date.now() / 1000));
  const { imported, message } = await hmac(key, id, timestamp, bytes);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", imported, message));
  return new Response(bytes, {
    status,
    headers: {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": timestamp,
      "webhook-signature": `v1,${btoa(String.fromCharCode(...mac))}`,
    },
  });
}

function json(status, body, headers = {}) {
  return new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
