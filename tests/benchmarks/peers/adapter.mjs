// The seed's adapter hosted in Node: one object per run in memory, its requests one after the other, its alarm a timer.
// Arguments: port (0: any), URL of the tenant. Nothing of it survives the process; a real Durable Object would store.
import { createServer } from "node:http";
import { createHmacSigner } from "@voyant-travel/workflows/auth";
import {
  createHttpDispatcher, handleDurableObjectAlarm, handleDurableObjectRequest, handleWorkerRequest,
} from "@voyantjs/workflows-orchestrator-cloudflare";

const sign = await createHmacSigner(process.env.TENANT_SECRET);
const dispatcher = createHttpDispatcher({ url: `${process.argv[3]}/__voyant/workflow-step`, sign });
const objects = new Map();

function object(name) {
  let found = objects.get(name);
  if (found) return found;
  const values = new Map();
  let alarm = null, timer = null, last = Promise.resolve();
  const inTurn = (work) => (last = last.then(work, work));
  const storage = {
    get: async (key) => values.get(key),
    put: async (key, value) => void values.set(key, structuredClone(value)),
    delete: async (key) => values.delete(key),
    list: async () => new Map(values),
    getAlarm: async () => alarm,
    setAlarm: async (at) => {
      clearTimeout(timer);
      alarm = at;
      timer = setTimeout(() => { alarm = null; inTurn(() => handleDurableObjectAlarm(deps)); }, Math.max(0, at - Date.now()));
    },
    deleteAlarm: async () => { clearTimeout(timer); alarm = null; },
  };
  const deps = { storage, dispatcher };
  found = { fetch: (request) => inTurn(() => handleDurableObjectRequest(request, deps)) };
  objects.set(name, found);
  return found;
}
const runDO = { idFromName: (name) => name, get: object };

const server = createServer(async (incoming, outgoing) => {
  const parts = [];
  for await (const part of incoming) parts.push(part);
  const plain = incoming.method === "GET" || incoming.method === "HEAD";
  const request = new Request(`http://adapter${incoming.url}`, {
    method: incoming.method, headers: incoming.headers, body: plain ? undefined : Buffer.concat(parts),
  });
  const response = await handleWorkerRequest(request, { runDO });
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(await response.text());
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => console.log(`listening ${server.address().port}`));
