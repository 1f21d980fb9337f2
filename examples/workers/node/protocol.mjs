// The plugin worker's protocol, apart from HTTP: a verb and a parsed body in, a status and an answer out.
const ACTIONS = new Set(["register", "install", "uninstall", "update"]);
const LIFECYCLE = {
  register: [],
  install: ["plugin:install", "plugin:activate"],
  update: ["plugin:activate"],
  uninstall: ["plugin:deactivate", "plugin:uninstall"],
};
const LIFECYCLE_MS = 5_000;
const MAX_RESULT = 64 * 1024;
const REMEMBERED = 10_000;

export class Worker {
  /** `plugins`: name → { manifest, code }. */
  constructor(plugins, state) {
    this.plugins = plugins;
    this.state = state;
    // Answers by id: a request that comes twice is answered twice and acted on once.
    this.answers = new Map();
    // The calls that run, each with what ends it.
    this.running = new Map();
  }

  /** The answer to `POST /__zelavis/plugin/activate`. */
  async activate(body, id) {
    if (!isRequest(body)) return [400, { status: "pending", message: "Invalid Zelavis plugin activation request." }];
    return this.#once(`activate ${id}`, () => this.#activate(body, id));
  }

  async #activate({ pluginName, action, specifier }, id) {
    const plugin = this.plugins.get(pluginName);
    if (action === "uninstall" && !plugin) return [200, { status: "active", message: `${pluginName} is not here.` }];
    if (!plugin) return [404, { status: "pending", message: `${pluginName} is not here.` }];
    const wanted = /^marketplace:[a-z0-9-]+@(.+)$/.exec(specifier ?? "")?.[1];
    if (wanted && wanted !== plugin.manifest.version && action !== "uninstall") {
      return [200, { status: "pending", message: `Version ${plugin.manifest.version} is here, ${wanted} is not yet.` }];
    }
    const event = { version: plugin.manifest.version, previousVersion: null };
    for (const hook of LIFECYCLE[action]) {
      const outcome = await run(plugin, this.state, { id: `${id}-${hook}`, hook, event, deadlineMs: LIFECYCLE_MS });
      if (outcome.status !== "ok" && action !== "uninstall") {
        return [422, { status: "pending", message: `${hook}: ${outcome.error?.message ?? outcome.status}` }];
      }
    }
    if (action !== "register") this.state.set(pluginName, action !== "uninstall");
    return [200, { status: "active", message: `${pluginName} ${action} accepted.` }];
  }

  /** The answer to `POST /__zelavis/plugin/call`. */
  async call(body) {
    if (!isCall(body)) return [400, { message: "Invalid Zelavis plugin call." }];
    const plugin = this.plugins.get(body.plugin.name);
    if (!plugin) return [404, { message: `${body.plugin.name} is not here.` }];
    if (!this.state.active(body.plugin.name)) return [409, { message: `${body.plugin.name} is not active here.` }];
    if (body.plugin.version && body.plugin.version !== plugin.manifest.version) {
      return [409, { message: `Version ${plugin.manifest.version} is here.` }];
    }
    return this.#once(`call ${body.id}`, async () => {
      const stopping = new AbortController();
      this.running.set(stopping, plugin);
      try {
        return [200, await run(plugin, this.state, body, stopping.signal)];
      } finally {
        this.running.delete(stopping);
      }
    });
  }

  /**
   * The answer to `POST /__zelavis/plugin/stop`: calls that wait for something end now, as `cancelled`, and write
   * nothing more. Code that never waits cannot be ended from within its own process: it runs on.
   */
  stop(body) {
    if (!isObject(body) || typeof body.name !== "string") return [400, { message: "Invalid Zelavis stop request." }];
    const plugin = this.plugins.get(body.name);
    if (!plugin) return [404, { message: `${body.name} is not here.` }];
    if (body.withdrawn === true) this.state.set(body.name, false);
    const ending = [...this.running].filter(([, one]) => one === plugin);
    for (const [stopping] of ending) stopping.abort();
    return [200, { status: "stopped", ended: ending.length }];
  }

  #once(id, work) {
    if (!this.answers.has(id)) {
      const answer = work();
      this.answers.set(id, answer);
      // What is not the last word may be asked again.
      answer.then(([status, said]) => (status !== 200 || said.status === "pending") && this.answers.delete(id));
      if (this.answers.size > REMEMBERED) this.answers.delete(this.answers.keys().next().value);
    }
    return this.answers.get(id);
  }
}

async function run(plugin, state, call, signal = new AbortController().signal) {
  const started = performance.now();
  const end = (status, more = {}) => ({ id: call.id, status, durationMs: performance.now() - started, hostCalls: 0, ...more });
  const handler = find(plugin.code, call);
  if (!handler && call.hook.startsWith("plugin:")) return end("ok", { result: null });
  if (!handler) return end("trap", { error: { name: "Error", message: `No handler for ${call.hook}.`, code: "no_handler" } });
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, call.deadlineMs, late_)));
  const stopped = new Promise((resolve) => signal.addEventListener("abort", () => resolve(stopped_), { once: true }));
  try {
    const result = await Promise.race([handler(call.event, context(plugin, state, call, signal)), late, stopped]);
    if (result === stopped_) return end("cancelled", { error: { name: "Error", message: "The call was ended.", code: "cancelled" } });
    if (result === late_) return end("deadline", { error: { name: "Error", message: "The time ran out.", code: "deadline" } });
    const text = JSON.stringify(result ?? null);
    if (Buffer.byteLength(text) > MAX_RESULT) return end("output_too_large");
    return end(isObject(result?.reject) ? "rejected" : "ok", { result: JSON.parse(text) });
  } catch (error) {
    const told = { name: `${error?.name ?? "Error"}`, message: `${error?.message ?? error}`, code: `${error?.code ?? ""}` };
    return end(told.code === "rejected" ? "rejected" : "trap", { error: told });
  } finally {
    clearTimeout(timer);
  }
}

const late_ = Symbol("late");
const stopped_ = Symbol("stopped");

function find(code, call) {
  const [table, name] =
    call.hook === "route" ? [code.routes, `${call.event.method} ${call.event.route}`] : [code.hooks, call.hook];
  return table && Object.hasOwn(table, name) ? table[name] : undefined;
}

function context(plugin, state, call, signal) {
  const { name, version } = plugin.manifest;
  const line = (level) => (...parts) => console[level](name, call.id, ...parts);
  return {
    plugin: { name, version },
    call: { id: call.id, hook: call.hook },
    settings: call.settings ?? {},
    kv: unlessStopped(state.kv(name), signal),
    log: { info: line("info"), warn: line("warn"), error: line("error") },
  };
}

/** The same functions; after the call was ended they throw. */
function unlessStopped(functions, signal) {
  const guarded = (work) => async (...args) => {
    signal.throwIfAborted();
    return work(...args);
  };
  return Object.fromEntries(Object.entries(functions).map(([name, work]) => [name, guarded(work)]));
}

function isRequest(body) {
  return (
    isObject(body) &&
    typeof body.pluginName === "string" &&
    ACTIONS.has(body.action) &&
    Array.isArray(body.registry) &&
    (body.specifier === undefined || typeof body.specifier === "string")
  );
}

function isCall(body) {
  return (
    isObject(body) &&
    typeof body.id === "string" &&
    typeof body.hook === "string" &&
    isObject(body.event) &&
    isObject(body.plugin) &&
    typeof body.plugin.name === "string" &&
    Number.isFinite(body.deadlineMs)
  );
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
