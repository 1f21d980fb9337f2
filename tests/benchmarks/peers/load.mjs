// The client of the HTTP rows, the same for every server: POST /api/runs with c requests in flight on kept connections.
// Arguments: name of the row, comma-separated base URLs, bearer token or "-", workflow, runs, in flight.
import http from "node:http";
const [name, bases, token, workflowId, countText, inFlightText] = process.argv.slice(2);
const urls = bases.split(","), count = Number(countText), inFlight = Number(inFlightText);
const agent = new http.Agent({ keepAlive: true, maxSockets: inFlight });
const body = JSON.stringify({
  workflowId, workflowVersion: "v1", input: { n: 1 }, environment: "development",
  tenantMeta: { tenantId: "default", projectId: "default", organizationId: "default" },
});
function trigger(number) {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    if (token !== "-") headers.authorization = `Bearer ${token}`;
    const request = http.request(urls[number % urls.length] + "/api/runs", { method: "POST", agent, headers }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => {
        const text = Buffer.concat(parts).toString();
        if (response.statusCode !== 200) return reject(new Error(`${response.statusCode} ${text.slice(0, 200)}`));
        resolve(JSON.parse(text));
      });
    });
    request.on("error", reject);
    request.end(body);
  });
}
async function round(total) {
  const durations = [];
  let next = 0, unfinished = 0;
  const begin = process.hrtime.bigint();
  await Promise.all(Array.from({ length: inFlight }, async () => {
    while (next < total) {
      const number = next++, start = process.hrtime.bigint();
      const record = await trigger(number);
      durations.push(Number(process.hrtime.bigint() - start) / 1e6);
      if (record.status !== "completed") unfinished++;
    }
  }));
  return { durations: durations.sort((a, b) => a - b), unfinished, seconds: Number(process.hrtime.bigint() - begin) / 1e9 };
}
await round(Math.min(300, count));
const { durations, unfinished, seconds } = await round(count);
const at = (share) => durations[Math.min(durations.length - 1, Math.floor((durations.length * share) / 100))];
console.log("ROW " + JSON.stringify({
  name, p50: at(50), p99: at(99), maximum: at(100), count, per_second: count / seconds, fresh: String(inFlight),
  note: unfinished ? `${unfinished} not completed in the request` : "",
}));
agent.destroy();
