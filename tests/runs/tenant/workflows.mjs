// One workflow for each thing a body can do. What really ran is written to TENANT_LOG, so that tests can count it
// without trusting any journal.
import { appendFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { defineWorkflow, trigger } from "@voyant-travel/workflows";
import { FatalError, RetryableError } from "@voyant-travel/workflows/errors";

export const workflows = [];
export const eventFilters = [];

/** Write one line: something ran for real. */
function ran(ctx, what, detail = null) {
  const file = process.env.TENANT_LOG;
  if (file) appendFileSync(file, `${JSON.stringify({ run: ctx.run.id, what, detail, at: Date.now() })}\n`);
}

/** A step that leaves a line in the log. */
function work(ctx, id, output, options) {
  const body = async () => {
    ran(ctx, id);
    return typeof output === "function" ? output() : output;
  };
  return options ? ctx.step(id, options, body) : ctx.step(id, body);
}

function add(config) {
  const definition = defineWorkflow(config);
  workflows.push(definition);
  return definition;
}

// --- steps -------------------------------------------------------------------------------------------------------

add({
  id: "plain",
  async run(input, ctx) {
    ctx.metadata.set("phase", "start");
    const a = await work(ctx, "a", input.x * 2);
    const b = await work(ctx, "b", a * 2);
    ctx.metadata.increment("count");
    ctx.metadata.append("trace", "after-b");
    const c = await work(ctx, "c", { total: b + 100, note: "héllo ✓" });
    ctx.metadata.set("phase", "end");
    return c;
  },
});

add({ id: "echo", run: async (input) => input });

add({
  id: "ordered",
  async run(input, ctx) {
    for (const id of ["validate", "10", "2", "b"]) await work(ctx, id, id);
    await work(ctx, "last", () => {
      if (input?.fail) throw new Error("last failed");
      return "done";
    });
    return "done";
  },
});

add({
  id: "twelve",
  async run(input, ctx) {
    for (let n = 1; n <= 12; n += 1) {
      await work(ctx, `step-${n}`, n);
      await ctx.sleep(input?.ms ?? 1);
    }
    return 12;
  },
});

add({
  id: "retries",
  async run(input, ctx) {
    return ctx.step("flaky", { retry: { max: input.max, initial: 1 } }, async (step) => {
      ran(ctx, "flaky", step.attempt);
      if (input.fatal) throw new FatalError("never again");
      if (step.attempt < input.succeedAt) throw new RetryableError(`attempt ${step.attempt} fails`);
      return step.attempt;
    });
  },
});

add({
  id: "step-timeout",
  run: async (_input, ctx) => ctx.step("slow", { timeout: 20 }, async () => pause(2000)),
});

add({
  id: "slow",
  async run(input, ctx) {
    return ctx.step("work", async (step) => {
      ran(ctx, "work");
      await pause(input.ms, undefined, { signal: step.signal }).catch(() => ran(ctx, "aborted"));
      ran(ctx, "worked");
      return "slept";
    });
  },
});

add({
  id: "fails",
  async run(input) {
    const error = new Error(input?.message ?? "told to fail");
    if (input?.code) error.code = input.code;
    throw error;
  },
});

add({
  id: "catches",
  async run(_input, ctx) {
    try {
      await ctx.step("bad", async () => {
        ran(ctx, "bad");
        throw Object.assign(new Error("first"), { code: "E_FIRST" });
      });
    } catch (error) {
      await ctx.sleep(20);
      return { message: error.message, code: error.code };
    }
    return null;
  },
});

add({
  id: "parallel",
  run: async (input, ctx) => ctx.parallel(input.items, (item) => work(ctx, `item-${item}`, item * item), { concurrency: 2 }),
});

// --- waits -------------------------------------------------------------------------------------------------------

add({
  id: "sleepy",
  async run(input, ctx) {
    const a = await work(ctx, "a", "alpha");
    await ctx.sleep(input.ms);
    return { a, b: await work(ctx, "b", "beta") };
  },
});

add({
  id: "wait-event",
  async run(input, ctx) {
    await work(ctx, "before", true);
    const got = await ctx.waitForEvent(input?.type ?? "greet");
    await work(ctx, "after", true);
    return { got };
  },
});

add({
  id: "wait-event-timeout",
  async run(input, ctx) {
    const got = await ctx.waitForEvent("maybe", { timeout: input.timeout, onTimeout: input.onTimeout });
    return { got };
  },
});

add({
  id: "wait-signal",
  async run(input, ctx) {
    return { got: await ctx.waitForSignal("approve", input?.timeout ? { timeout: input.timeout } : undefined) };
  },
});

add({
  id: "wait-token",
  async run(input, ctx) {
    const token = await ctx.waitForToken({ tokenId: input?.tokenId, timeout: input?.timeout, onTimeout: input?.onTimeout });
    return { tokenId: token.tokenId, url: token.url, got: await token.wait() };
  },
});

add({
  id: "chat",
  async run(_input, ctx) {
    const said = [];
    for await (const message of ctx.waitForEvent("chat")) {
      said.push(message);
      await work(ctx, `heard-${said.length}`, message);
    }
    return said;
  },
});

add({
  id: "two-of-one",
  run: async (_input, ctx) => Promise.all([ctx.waitForEvent("ping"), ctx.waitForEvent("ping")]),
});

add({
  id: "sleep-and-event",
  async run(input, ctx) {
    const started = ctx.now();
    const [, got] = await Promise.all([ctx.sleep(input.ms), ctx.waitForEvent("poke")]);
    return { got, waited: ctx.now() - started };
  },
});

add({
  id: "all-kinds",
  async run(_input, ctx) {
    const token = await ctx.waitForToken({ tokenId: "t" });
    const [event, signal, manual] = await Promise.all([ctx.waitForEvent("e"), ctx.waitForSignal("s"), token.wait()]);
    return { event, signal, manual };
  },
});

add({
  id: "many-waits",
  async run(input, ctx) {
    const got = [];
    for (let n = 0; n < input.count; n += 1) got.push(await ctx.waitForSignal("next"));
    return got;
  },
});

// --- metadata, streams, determinism ------------------------------------------------------------------------------

add({
  id: "metadata",
  async run(_input, ctx) {
    ctx.metadata.set("kept", { deep: [1, null] });
    ctx.metadata.set("gone", 1);
    ctx.metadata.increment("count", 2);
    ctx.metadata.append("list", "first");
    await ctx.sleep(10);
    ctx.metadata.remove("gone");
    ctx.metadata.increment("count", 3);
    ctx.metadata.append("list", "second");
    await ctx.waitForSignal("go");
    ctx.metadata.increment("count");
    return "done";
  },
});

add({
  id: "streams",
  async run(input, ctx) {
    await ctx.stream.text("log", (async function* () {
      ran(ctx, "stream");
      yield* ["Hello", ", ", "world"];
    })());
    await ctx.stream.json("progress", (async function* () { yield { pct: 0 }; yield { pct: 100 }; })());
    await ctx.stream.bytes("audio", (async function* () { yield new TextEncoder().encode("Hi"); })());
    if (input?.sleep) await ctx.sleep(input.sleep);
    return "streamed";
  },
});

add({
  id: "deterministic",
  async run(_input, ctx) {
    const first = { now: ctx.now(), random: ctx.random(), uuid: ctx.randomUUID() };
    ran(ctx, "drawn", first);
    await ctx.sleep(30);
    return { first, second: { now: ctx.now(), random: ctx.random() }, startedAt: ctx.run.startedAt };
  },
});

add({
  id: "context",
  run: async (_input, ctx) => ({
    run: ctx.run,
    workflow: ctx.workflow,
    environment: ctx.environment.name,
    project: ctx.project,
    organization: ctx.organization,
    invocation: ctx.invocationCount,
  }),
});

// --- undoing -----------------------------------------------------------------------------------------------------

function undoable(ctx, id, broken = false) {
  return work(ctx, id, `${id}-done`, {
    compensate: async (output) => {
      ran(ctx, `undo-${id}`, output);
      if (broken) throw new Error(`undoing ${id} exploded`);
    },
  });
}

add({
  id: "saga",
  async run(input, ctx) {
    await undoable(ctx, "reserve", input?.broken);
    if (input?.sleep) await ctx.sleep(input.sleep);
    if (input?.event) await ctx.waitForEvent("decide");
    await undoable(ctx, "charge");
    if (input?.ask) await ctx.compensate();
    await work(ctx, "ship", () => {
      throw new Error("no stock");
    });
  },
});

add({
  id: "grouped",
  async run(_input, ctx) {
    await undoable(ctx, "outer");
    try {
      await ctx.group("inner", async (scope) => {
        await scope.step("inner-step", { compensate: async () => ran(ctx, "undo-inner-step") }, async () => 1);
        throw new Error("inner fails");
      });
    } catch {
      // The group undid its own steps; the rest of the run goes on.
    }
    return "went on";
  },
});

// --- children ----------------------------------------------------------------------------------------------------

const childAdd = add({ id: "child-add", run: async (input, ctx) => work(ctx, "sum", input.a + input.b) });
const childWaits = add({
  id: "child-waits",
  async run(input, ctx) {
    await work(ctx, "child-started", true);
    if (input?.ms) await ctx.sleep(input.ms);
    else return { child: await ctx.waitForSignal("child-go") };
    return "child slept";
  },
});
const childFails = add({
  id: "child-fails",
  run: async () => {
    throw Object.assign(new Error("the child failed"), { code: "E_CHILD" });
  },
});

add({
  id: "parent",
  async run(_input, ctx) {
    return { sum: await ctx.invoke(childAdd, { a: 3, b: 4 }, { tags: ["kid"] }) };
  },
});

add({
  id: "parent-waits",
  async run(input, ctx) {
    const child = await ctx.invoke(childWaits, input ?? {});
    await work(ctx, "after-child", child);
    return { child };
  },
});

add({
  id: "parent-after-sleep",
  async run(_input, ctx) {
    await ctx.sleep(20);
    return { sum: await ctx.invoke(childAdd, { a: 1, b: 1 }) };
  },
});

add({
  id: "parent-of-two",
  async run(_input, ctx) {
    return Promise.all([ctx.invoke(childWaits, {}), ctx.waitForSignal("parent-go"), ctx.invoke(childAdd, { a: 5, b: 5 })]);
  },
});

add({
  id: "parent-catches",
  async run(_input, ctx) {
    try {
      await ctx.invoke(childFails, {});
    } catch (error) {
      return { code: error.code, message: error.message };
    }
    return null;
  },
});

add({
  id: "parent-detached",
  async run(_input, ctx) {
    const answer = await ctx.invoke(childWaits, { ms: 50 }, { detach: true });
    return { answer: answer === undefined ? "nothing" : answer };
  },
});

// --- started by events and by the clock --------------------------------------------------------------------------

const fulfil = add({ id: "fulfil", run: async (input, ctx) => work(ctx, "fulfilled", input) });
add({ id: "ticking", schedule: { every: "1s", name: "tick", input: { from: "the clock" } }, run: async (input) => input });
add({
  id: "nightly",
  schedule: [
    { cron: "30 3 * * *", timezone: "Europe/Berlin" },
    { cron: "0 0 1 1 *", enabled: false, name: "never" },
    { at: "2000-01-01T00:00:00Z", environments: ["production"] },
  ],
  run: async () => "ran",
});

eventFilters.push(
  trigger.on("order.paid", {
    target: fulfil,
    where: { and: [{ gt: [{ path: "data.total" }, { lit: 100 }] }, { in: [{ path: "data.country" }, [{ lit: "RO" }, { lit: "DE" }]] }] },
    input: { object: { order: { path: "data.items[0].id" }, at: { path: "emittedAt" }, kind: { lit: "large" } } },
  }),
  trigger.on("order.paid", { target: childAdd, where: { exists: { path: "data.sum" } }, input: { path: "data.sum" } }),
);

// --- corners -----------------------------------------------------------------------------------------------------

add({
  id: "slow-twice",
  async run(input, ctx) {
    await ctx.step("one", async () => pause(input.ms));
    await ctx.sleep(5);
    await ctx.step("two", async () => pause(input.ms));
    return "never in time";
  },
});

add({
  id: "swallows",
  async run(_input, ctx) {
    try {
      await ctx.waitForEvent("swallowed");
    } catch {
      // The wait stays registered although its signal was caught.
    }
    return "returned";
  },
});
