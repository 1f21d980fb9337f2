// A plugin worker for Zelavis: `WORKER_SECRET=… node worker.mjs [--port 8787] [--plugins DIR] [--data DIR]`.
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { Worker } from "./protocol.mjs";
import { sign, verify } from "./signatures.mjs";
import { State } from "./state.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const { values: options } = parseArgs({
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "8787" },
    plugins: { type: "string", default: join(here, "plugins") },
    data: { type: "string", default: join(here, "data") },
  },
});
const key = process.env.WORKER_SECRET ?? "";
const PREFIX = "/__zelavis/plugin/";
const VERBS = new Set(["activate", "call", "stop"]);
const MAX_BODY = 1024 * 1024;

if (!key) {
  console.error("WORKER_SECRET is not set: without it anybody could activate and call plugins.");
  process.exit(1);
}

const plugins = new Map();
for (const folder of readdirSync(options.plugins)) {
  const manifest = JSON.parse(readFileSync(join(options.plugins, folder, "zelavis.plugin.json"), "utf8"));
  const module = await import(pathToFileURL(join(options.plugins, folder, manifest.entry)).href);
  plugins.set(manifest.name, { manifest, code: module.default });
}
const worker = new Worker(plugins, new State(options.data));

async function read(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MAX_BODY) return null;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function parse(bytes) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

async function answer(request) {
  const verb = request.url.startsWith(PREFIX) ? request.url.slice(PREFIX.length) : "";
  if (!VERBS.has(verb)) return { status: 404, body: "Not Found" };
  if (request.method !== "POST") return { status: 405, body: "Method Not Allowed", headers: { allow: "POST" } };
  const bytes = await read(request);
  if (bytes === null) return { status: 413, json: { message: "The request is too large." } };
  const id = verify(bytes, request.headers, key);
  if (id === null) return { status: 401, json: { message: "The request is not signed with this worker's key." } };
  const body = parse(bytes);
  const [status, json] = await worker[verb](body, id);
  return { status, json, id };
}

const server = createServer(async (request, response) => {
  let made;
  try {
    made = await answer(request);
  } catch (error) {
    console.error(error);
    made = { status: 500, json: { message: "The worker failed; its log says why." } };
  }
  const body = Buffer.from(made.json === undefined ? made.body : JSON.stringify(made.json));
  response.writeHead(made.status, {
    "content-type": made.json === undefined ? "text/plain" : "application/json",
    "content-length": body.length,
    ...(made.id ? sign(body, key, made.id) : {}),
    ...made.headers,
  });
  response.end(body);
});

server.listen(Number(options.port), options.host, () => {
  console.log(`ready on http://${options.host}:${server.address().port} with ${[...plugins.keys()].join(", ")}`);
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => server.close(() => process.exit(0)));
