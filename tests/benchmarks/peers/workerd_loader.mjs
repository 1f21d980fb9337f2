// A workerd service that runs the plugin in a dynamic worker: fresh for "/", always the same for "/warm".
import { WorkerEntrypoint } from "cloudflare:workers";
import JOB from "plugin-source";
const values = new Map();
export class Host extends WorkerEntrypoint {
  async get(key) { return values.get(key) ?? null; }
  async set(key, value) { values.set(key, value); }
}
const MAIN = `
import { job } from 'plugin.js';
export default { async fetch(request, env) { return Response.json(await job(await request.json(), env.HOST)); } };`;
export default {
  async fetch(request, env, ctx) {
    const path = new URL(request.url).pathname, body = await request.text();
    if (path === "/nothing") return new Response("{}");
    const code = {
      compatibilityDate: "2025-09-01", mainModule: "main.js", modules: { "main.js": MAIN, "plugin.js": JOB },
      env: { HOST: ctx.exports.Host({ props: {} }) }, globalOutbound: null,
    };
    const worker = path === "/warm" ? env.LOADER.get("warm", async () => code) : env.LOADER.load(code);
    return worker.getEntrypoint().fetch(new Request("http://plugin/", { method: "POST", body }));
  },
};
