// A tenant as its users deploy one: the SDK's own step handler behind HTTP, requests verified by their signature.
//
//   node server.mjs PORT        environment: TENANT_SECRET (required), TENANT_LOG (a file of what really ran)
//
// Beside the step route it has three routes for tests: a manifest as the SDK builds it, faults on request,
// and counts of what it was asked.
import { createServer } from "node:http";
import { createHmacVerifier } from "@voyant-travel/workflows/auth";
import { buildManifest } from "@voyant-travel/workflows/events";
import { createStepHandler } from "@voyant-travel/workflows/handler";
import { eventFilters, workflows } from "./workflows.mjs";

const verify = await createHmacVerifier(process.env.TENANT_SECRET);
const byId = new Map(workflows.map((definition) => [definition.id, definition]));
const handle = createStepHandler({
  workflowResolver: { resolve: (id) => byId.get(id) },
  // The verifier reads the body; the handler needs it too.
  verifyRequest: (request) => verify(request.clone()),
  logger: () => {},
});

let requests = 0;
/** What the next answers are instead of the handler's: {mode, times, afterRunning, value}. */
let fault = { mode: "", times: 0 };

async function bodyOf(incoming) {
  const parts = [];
  for await (const part of incoming) parts.push(part);
  return Buffer.concat(parts);
}

function answer(outgoing, status, body, type = "application/json; charset=utf-8") {
  outgoing.writeHead(status, { "content-type": type });
  outgoing.end(typeof body === "string" ? body : JSON.stringify(body));
}

/** Answer as a broken tenant would; true when it did. */
function broken(outgoing, current) {
  switch (current.mode) {
    case "status":
      answer(outgoing, current.value, { error: "broken_on_purpose", message: `told to answer ${current.value}` });
      return true;
    case "html":
      answer(outgoing, 502, "<html>bad gateway</html>", "text/html");
      return true;
    case "text":
      answer(outgoing, 200, "not json");
      return true;
    case "body":
      answer(outgoing, 200, current.value);
      return true;
    case "cut":
      outgoing.socket.destroy();
      return true;
    case "hang":
      return true;
    default:
      return false;
  }
}

async function step(incoming, outgoing) {
  requests += 1;
  const body = await bodyOf(incoming);
  const current = fault.times > 0 ? fault : { mode: "" };
  if (fault.times > 0) fault = { ...fault, times: fault.times - 1 };
  if (!current.afterRunning && broken(outgoing, current)) return;
  const gone = new AbortController();
  outgoing.on("close", () => gone.abort());
  const request = new Request(`http://tenant${incoming.url}`, {
    method: incoming.method,
    headers: incoming.headers,
    body: ["GET", "HEAD"].includes(incoming.method) ? undefined : body,
    signal: gone.signal,
  });
  const response = await handle(request);
  if (current.afterRunning && broken(outgoing, current)) return;
  answer(outgoing, response.status, await response.text());
}

async function serve(incoming, outgoing) {
  const [, first, second] = new URL(incoming.url, "http://tenant").pathname.split("/");
  if (first === "__voyant" && second === "workflow-step") return step(incoming, outgoing);
  if (first === "manifest") {
    return answer(outgoing, 200, await buildManifest({ environment: second, builtAt: 0, workflows, eventFilters }));
  }
  if (first === "fault") {
    fault = JSON.parse(await bodyOf(incoming));
    return answer(outgoing, 200, fault);
  }
  if (first === "requests") return answer(outgoing, 200, { requests });
  return answer(outgoing, 404, { error: "not_found" });
}

const server = createServer((incoming, outgoing) => {
  serve(incoming, outgoing).catch((error) => {
    if (!outgoing.headersSent) answer(outgoing, 500, { error: "tenant_bug", message: String(error) });
  });
});
server.keepAliveTimeout = 30_000;
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => {
  console.log(`listening ${server.address().port}`);
});
