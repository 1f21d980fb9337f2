// A worker that does nothing: the same work for a signed and for an unsigned request but for the signature.
// node echo.mjs PORT KEY
import { createHmac } from "node:crypto";
import { createServer } from "node:http";

const [port, key] = process.argv.slice(2);

createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const id = JSON.parse(Buffer.concat(parts)).id;
    const activation = request.url.endsWith("/activate");
    const body = activation ? '{"status":"active"}' : JSON.stringify({ id, status: "ok", result: null, durationMs: 0 });
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const signed = request.headers["webhook-id"];
    if (signed) {
      const at = Math.floor(Date.now() / 1000);
      headers["webhook-id"] = signed;
      headers["webhook-timestamp"] = at;
      headers["webhook-signature"] = `v1,${createHmac("sha256", key).update(`${signed}.${at}.${body}`).digest("base64")}`;
    }
    response.writeHead(200, headers).end(body);
  });
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
