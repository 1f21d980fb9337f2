// A tenant on the unmodified SDK: one step, five steps, a sleep, and slow steps. Argument: port (0: any).
// Requests must be signed with TENANT_SECRET.
// "slow" appends one line to SLOW_LOG for every step that really runs.
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { defineWorkflow } from "@voyant-travel/workflows";
import { createHmacVerifier } from "@voyant-travel/workflows/auth";
import { createStepHandler } from "@voyant-travel/workflows/handler";

const workflows = [
  defineWorkflow({ id: "bench-one", run: async (input, ctx) => ctx.step("one", async () => ({ ok: true })) }),
  defineWorkflow({
    id: "bench-five",
    async run(input, ctx) {
      let total = 0;
      for (let number = 0; number < 5; number++) total += await ctx.step(`step-${number}`, async () => number);
      return total;
    },
  }),
  defineWorkflow({
    id: "bench-now",
    run: async (input, ctx) => ({ late: (await ctx.step("now", async () => Date.now())) - input.at }),
  }),
  defineWorkflow({
    id: "bench-sleep",
    async run(input, ctx) {
      const before = await ctx.step("before", async () => Date.now());
      await ctx.sleep(input.ms);
      const after = await ctx.step("after", async () => Date.now());
      return { late: after - before - input.ms };
    },
  }),
  defineWorkflow({
    id: "bench-slow",
    async run(input, ctx) {
      for (let number = 0; number < 5; number++) {
        await ctx.step(`step-${number}`, async () => {
          appendFileSync(process.env.SLOW_LOG, JSON.stringify({ run: ctx.run.id, step: number, at: Date.now() }) + "\n");
          await pause(input.ms);
          return number;
        });
        await ctx.sleep(1);
      }
      return "done";
    },
  }),
];
const byId = new Map(workflows.map((definition) => [definition.id, definition]));
const verify = await createHmacVerifier(process.env.TENANT_SECRET);
const handle = createStepHandler({
  workflowResolver: { resolve: (id) => byId.get(id) },
  verifyRequest: (request) => verify(request.clone()),
  logger: () => {},
});

const server = createServer(async (incoming, outgoing) => {
  const parts = [];
  for await (const part of incoming) parts.push(part);
  const response = await handle(
    new Request(`http://tenant${incoming.url}`, { method: incoming.method, headers: incoming.headers, body: Buffer.concat(parts) }),
  );
  outgoing.writeHead(response.status, { "content-type": "application/json; charset=utf-8" });
  outgoing.end(await response.text());
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => console.log(`listening ${server.address().port}`));
