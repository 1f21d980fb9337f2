// How late runs wake: trigger them all, wait, and ask each for what its tenant measured.
// Arguments: name of the row, base URL, bearer token or "-", runs, milliseconds, kind.
// kind "sleep": each sleeps so long from its own first step; "instant": all are delayed to one and the same moment.
import http from "node:http";
import { setTimeout as pause } from "node:timers/promises";
const [name, base, token, countText, msText, kind] = process.argv.slice(2);
const count = Number(countText), ms = Number(msText);
const agent = new http.Agent({ keepAlive: true, maxSockets: 32 });
function ask(method, path, body) {
  return new Promise((resolve, reject) => {
    const text = body ? JSON.stringify(body) : "";
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    if (token !== "-") headers.authorization = `Bearer ${token}`;
    const request = http.request(base + path, { method, agent, headers }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => {
        const answer = Buffer.concat(parts).toString();
        if (response.statusCode !== 200) return reject(new Error(`${response.statusCode} ${answer.slice(0, 200)}`));
        resolve(JSON.parse(answer));
      });
    });
    request.on("error", reject);
    request.end(text);
  });
}
async function inFlight(limit, items, work) {
  let next = 0;
  await Promise.all(Array.from({ length: limit }, async () => { while (next < items.length) await work(items[next++]); }));
}
const shared = { workflowVersion: "v1", environment: "development", tenantMeta: { tenantId: "default", projectId: "default", organizationId: "default" } };
const ids = [];
const at = Date.now() + Math.max(3 * ms, 4000);
const make = kind === "sleep"
  ? () => ({ ...shared, workflowId: "bench-sleep", input: { ms } })
  : () => ({ ...shared, workflowId: "bench-now", input: { at }, delay: { wakeAt: at } });
const began = Date.now();
await inFlight(32, Array.from({ length: count }), async () => void ids.push((await ask("POST", "/api/runs", make())).id));
const triggered = Date.now() - began;
await pause(Math.max(0, (kind === "sleep" ? Date.now() + ms : at) - Date.now()) + 1500);
const late = [], giveUp = Date.now() + 60000;
let open = ids;
while (open.length && Date.now() < giveUp) {
  const left = [];
  await inFlight(16, open, async (id) => {
    const record = await ask("GET", `/api/runs/${id}`);
    if (record.status === "completed") late.push(record.output.late); else left.push(id);
  });
  open = left;
  if (open.length) await pause(500);
}
late.sort((a, b) => a - b);
const share = (part) => late[Math.min(late.length - 1, Math.floor((late.length * part) / 100))];
console.log("ROW " + JSON.stringify({
  name, p50: share(50), p99: share(99), maximum: share(100), count: late.length,
  note: `triggered within ${triggered} ms` + (open.length ? `; ${open.length} never woke` : ""),
}));
agent.destroy();
