// A dispatch namespace and its dispatch Worker as one process: `node namespace.mjs PORT FOLDER`.
// Runs what the management API was given, each script by its own fetch handler, bindings as uploaded.
import { readFileSync, existsSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [port, folder] = process.argv.slice(2);

createServer(async (incoming, outgoing) => {
  const parts = [];
  for await (const part of incoming) parts.push(part);
  const [, script, ...rest] = incoming.url.split("/");
  const where = join(folder, "scripts", script);
  if (!/^[a-z0-9-]{1,63}$/.test(script) || !existsSync(where)) {
    outgoing.writeHead(404, { "content-type": "application/json" });
    return outgoing.end('{"error":"worker_not_found","message":"Worker not found."}');
  }
  if (existsSync(join(where, "over-limit"))) {
    outgoing.writeHead(429, { "content-type": "application/json" });
    return outgoing.end('{"error":"limit_exceeded","message":"Worker exceeded CPU time limit."}');
  }
  const metadata = JSON.parse(readFileSync(join(where, "metadata.json"), "utf8"));
  const env = Object.fromEntries(metadata.bindings.map((binding) => [binding.name, binding.text]));
  const module = await import(pathToFileURL(join(where, metadata.main_module)).href);
  const request = new Request(`http://dispatch/${rest.join("/")}`, {
    method: incoming.method,
    headers: Object.entries(incoming.headers),
    body: incoming.method === "POST" ? Buffer.concat(parts) : undefined,
  });
  const response = await module.default.fetch(request, env);
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(Buffer.from(await response.arrayBuffer()));
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
