// What a plugin finds around itself. Evaluated once, before the plugin's top level, and saved with it.
// Gives { install, invoke, describe } to engine.c; everything else is a global of the plugin or hidden in here.
(function (native) {
  "use strict";
  const { parse, stringify } = JSON;
  const { host, begin, encode, decode } = native;
  const hidden = { writable: true, enumerable: false, configurable: true };
  const define = (name, value) => Object.defineProperty(globalThis, name, { ...hidden, value });

  // ---- Host calls ------------------------------------------------------------------------------------------------
  function call(family, op, args) {
    const request = stringify({ op, args });
    const answer = parse(host(family, family === "log" ? whole(request) : request));
    if (answer.error !== undefined) {
      const error = new Error(answer.error);
      error.code = answer.code;
      throw error;
    }
    return answer.value;
  }
  // Half of a surrogate pair, which stringify escapes, cannot cross: a text that was cut in a pair is logged all the same.
  const whole = (json) => json.includes("\\ud") ? json.replace(/\\(?:ud[89a-f][0-9a-f]{2}|[^])/g, (one) => (one.length > 2 ? "\ufffd" : one)) : json;
  const operation = (family, op) => async (...args) => call(family, op, args);
  const namespace = (family, operations) =>
    Object.freeze(Object.fromEntries(operations.map((op) => [op, operation(family, op)])));

  // Namespace of ctx: [capability family, operations]. A test compares this with the registered capabilities.
  const NAMESPACES = {
    kv: { kv: ["get", "set", "delete", "list", "increment", "compareAndSet"] },
    documents: { documents: ["put", "get", "delete", "query", "count"] },
    blobs: { blobs: ["put", "get", "delete", "list", "head"] },
    object: { object: ["get", "put", "delete"] },
    http: { http: ["fetch"] },
    content: { content_read: ["get", "list"], content_write: ["create", "update", "delete"] },
    users: { users_read: ["get", "list"] },
    email: { email_send: ["send"] },
    secrets: { secrets: ["list"] },
    schedule: { schedule: ["at", "cancel", "list"] },
    runs: { runs_trigger: ["trigger"], runs_signal: ["signal"] },
  };
  const base = {};
  for (const [name, families] of Object.entries(NAMESPACES)) {
    const members = Object.entries(families).map(([family, operations]) => namespace(family, operations));
    base[name] = Object.freeze(Object.assign({}, ...members));
  }

  // ---- Log and console -------------------------------------------------------------------------------------------
  function shown(value) {
    try {
      if (typeof value === "string") return value;
      if (typeof value === "bigint") return `${value}n`;
      if (value instanceof Error) return value.stack ? `${value.name}: ${value.message}\n${value.stack}` : String(value);
      if (typeof value !== "object" || value === null) return String(value);
      return stringify(value) ?? String(value);
    } catch {
      // Cyclic, a proxy, a getter that throws: a line of log is no reason for a call to end.
      try { return Object.prototype.toString.call(value); } catch { return "[cannot be shown]"; }
    }
  }
  // No host keeps a line as long as this; what a host call may carry is not much more.
  const LINE = 1 << 19;
  const write = (level) => (...values) => void call("log", level, [values.map(shown).join(" ").slice(0, LINE)]);
  const levels = ["debug", "info", "warn", "error"];
  base.log = Object.freeze(
    Object.fromEntries(levels.map((level) => [level, async (message, ...data) => call("log", level, [message, ...data])])),
  );
  define("console", Object.freeze({
    ...Object.fromEntries(levels.map((level) => [level, write(level)])),
    log: write("info"),
    trace: write("debug"),
    assert: (condition, ...values) => condition || write("error")("Assertion failed:", ...values),
  }));

  // ---- Bytes -----------------------------------------------------------------------------------------------------
  const bytesOf = (source) =>
    source instanceof Uint8Array ? source
    : ArrayBuffer.isView(source) ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
  function toBase64(source) {
    const bytes = bytesOf(source);
    let text = "";
    for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
    return btoa(text);
  }
  function fromBase64(text) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return bytes;
  }
  const isBytes = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value);
  const digested = (data) => (isBytes(data) ? [toBase64(data), "base64"] : [data]);
  base.crypto = Object.freeze({
    randomBytes: async (size) => fromBase64(call("crypto", "randomBytes", [size])),
    digest: async (algorithm, data) => call("crypto", "digest", [algorithm, ...digested(data)]),
    hmac: async (algorithm, key, data) => call("crypto", "hmac", [algorithm, key, ...digested(data)]),
  });
  base.bytes = Object.freeze({ toBase64, fromBase64 });
  // Bytes cross as base64; what is bytes here is turned on the way.
  base.blobs = Object.freeze({
    ...base.blobs,
    put: async (name, data, ...more) => call("blobs", "put", [name, isBytes(data) ? toBase64(data) : data, ...more]),
  });
  base.http = Object.freeze({
    fetch: async (url, options, ...more) => {
      const bytes = isBytes(options?.body);
      const { body, ...rest } = bytes ? options : {};
      return call("http", "fetch", [String(url), bytes ? { ...rest, bodyBase64: toBase64(body) } : options, ...more].slice(0, options === undefined ? 1 : undefined));
    },
  });
  Object.freeze(base);

  define("TextEncoder", class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(text = "") { return new Uint8Array(encode(String(text).toWellFormed())); }
    encodeInto(text, target) {
      let read = 0, written = 0;
      for (const character of String(text)) {
        const bytes = this.encode(character);
        if (written + bytes.length > target.length) break;
        target.set(bytes, written);
        written += bytes.length;
        read += character.length;
      }
      return { read, written };
    }
  });
  define("TextDecoder", class TextDecoder {
    #fatal; #ignoreBOM;
    constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
      if (!/^\s*(utf-?8|unicode-1-1-utf-8)\s*$/i.test(label)) throw new RangeError(`TextDecoder knows utf-8 only, not ${label}`);
      this.#fatal = fatal;
      this.#ignoreBOM = ignoreBOM;
    }
    get encoding() { return "utf-8"; }
    get fatal() { return this.#fatal; }
    get ignoreBOM() { return this.#ignoreBOM; }
    decode(source = new Uint8Array(0), { stream = false } = {}) {
      if (stream) throw new TypeError("TextDecoder cannot stream in a plugin: decode the whole input at once");
      const text = decode(bytesOf(source), this.#fatal);
      if (text === undefined) throw new TypeError("The input is not valid UTF-8");
      return !this.#ignoreBOM && text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
    }
  });

  // ---- structuredClone -------------------------------------------------------------------------------------------
  const uncloneable = (value) => new DOMException(`${shown(value)} could not be cloned.`, "DataCloneError");
  const errors = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
  function clone(value, seen) {
    if (typeof value === "function" || typeof value === "symbol") throw uncloneable(String(value));
    if (typeof value !== "object" || value === null) return value;
    if (seen.has(value)) return seen.get(value);
    const keep = (copy) => (seen.set(value, copy), copy);
    const tag = Object.prototype.toString.call(value).slice(8, -1);
    if (value instanceof Date) return keep(new Date(value.getTime()));
    if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
    if (value instanceof ArrayBuffer) return keep(value.slice(0));
    if (ArrayBuffer.isView(value)) {
      const buffer = clone(value.buffer, seen);
      return keep(new value.constructor(buffer, value.byteOffset, value instanceof DataView ? value.byteLength : value.length));
    }
    if (value instanceof Map) {
      const copy = keep(new Map());
      for (const [key, one] of value) copy.set(clone(key, seen), clone(one, seen));
      return copy;
    }
    if (value instanceof Set) {
      const copy = keep(new Set());
      for (const one of value) copy.add(clone(one, seen));
      return copy;
    }
    if (value instanceof Error) {
      const copy = keep(new (errors[value.name] ?? Error)(value.message));
      copy.stack = value.stack;
      if ("cause" in value) copy.cause = clone(value.cause, seen);
      return copy;
    }
    if (["Boolean", "Number", "String", "BigInt"].includes(tag)) return keep(Object(value.valueOf()));
    if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef) throw uncloneable(value);
    const copy = keep(Array.isArray(value) ? new Array(value.length) : {});
    for (const key of Object.keys(value)) copy[key] = clone(value[key], seen);
    return copy;
  }
  define("structuredClone", function structuredClone(value, options) {
    if (options?.transfer?.length) throw uncloneable("A transferred value");
    return clone(value, new Map());
  });

  // ---- URL, URLSearchParams --------------------------------------------------------------------------------------
  const PORTS = { "http:": "80", "https:": "443", "ws:": "80", "wss:": "443", "ftp:": "21", "file:": "" };
  const percent = (text, pattern) =>
    text.toWellFormed().replace(pattern, (match) => Array.from(new Uint8Array(encode(match)), (b) => "%" + b.toString(16).toUpperCase().padStart(2, "0")).join(""));
  const IN_PATH = /[^\x21\x24-\x3b\x3d\x40-\x5d\x5f\x61-\x7a\x7c\x7e%]/gu;
  const IN_QUERY = /[^\x21\x24-\x26\x28-\x3b\x3d\x3f-\x7e%]/gu;
  const IN_FRAGMENT = /[^\x21\x23-\x3b\x3d\x3f-\x5f\x61-\x7e%]/gu;
  const IN_USER = /[^\x21\x24-\x2e\x30-\x39\x41-\x5a\x5f\x61-\x7a\x7e%]/gu;
  const formEncode = (text) => percent(text, /[^ *\-.0-9A-Z_a-z]/gu).replaceAll(" ", "+");
  const formDecode = (text) => {
    const plus = text.replaceAll("+", " ");
    if (!plus.includes("%")) return plus;
    const source = new Uint8Array(encode(plus.toWellFormed())), out = [];
    for (let i = 0; i < source.length; i++) {
      const hex = source[i] === 37 ? String.fromCharCode(...source.subarray(i + 1, i + 3)) : "";
      if (/^[0-9a-f]{2}$/i.test(hex)) { out.push(parseInt(hex, 16)); i += 2; } else out.push(source[i]);
    }
    return decode(new Uint8Array(out), false);
  };
  class URLSearchParams {
    #pairs = []; #changed;
    constructor(init = "", changed) {
      this.#changed = changed;
      if (typeof init === "object" && init !== null) {
        const source = init instanceof URLSearchParams || typeof init[Symbol.iterator] === "function" ? init : Object.entries(init);
        for (const pair of source) {
          const [name, value, ...more] = pair;
          if (value === undefined || more.length) throw new TypeError("Each pair of URLSearchParams has a name and a value");
          this.#pairs.push([String(name), String(value)]);
        }
      } else this.#read(String(init).replace(/^\?/, ""));
    }
    #read(text) {
      this.#pairs = text.split("&").filter(Boolean).map((part) => {
        const at = part.indexOf("=");
        return at < 0 ? [formDecode(part), ""] : [formDecode(part.slice(0, at)), formDecode(part.slice(at + 1))];
      });
    }
    #update(pairs) { this.#pairs = pairs; this.#changed?.(this.toString()); }
    get size() { return this.#pairs.length; }
    append(name, value) { this.#update([...this.#pairs, [String(name), String(value)]]); }
    delete(name, value) { this.#update(this.#pairs.filter(([n, v]) => n !== String(name) || (value !== undefined && v !== String(value)))); }
    get(name) { return this.#pairs.find(([n]) => n === String(name))?.[1] ?? null; }
    getAll(name) { return this.#pairs.filter(([n]) => n === String(name)).map(([, v]) => v); }
    has(name, value) { return this.#pairs.some(([n, v]) => n === String(name) && (value === undefined || v === String(value))); }
    set(name, value) {
      const first = this.#pairs.findIndex(([n]) => n === String(name));
      if (first < 0) return this.append(name, value);
      this.#update(this.#pairs.filter(([n], i) => i <= first || n !== String(name)).map((pair, i) => (i === first ? [String(name), String(value)] : pair)));
    }
    sort() { this.#update([...this.#pairs].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))); }
    forEach(callback, self) { for (const [name, value] of this) callback.call(self, value, name, this); }
    *entries() { yield* this.#pairs.map((pair) => [...pair]); }
    *keys() { for (const [name] of this.#pairs) yield name; }
    *values() { for (const [, value] of this.#pairs) yield value; }
    [Symbol.iterator]() { return this.entries(); }
    toString() { return this.#pairs.map(([n, v]) => `${formEncode(n)}=${formEncode(v)}`).join("&"); }
    get [Symbol.toStringTag]() { return "URLSearchParams"; }
  }
  define("URLSearchParams", URLSearchParams);

  const invalid = (text) => Object.assign(new TypeError(`Invalid URL: ${text}`), { code: "ERR_INVALID_URL" });
  function hostOf(text, special, whole) {
    if (text.startsWith("[")) {
      if (!/^\[[0-9a-f:.]+\]$/i.test(text) || !text.includes(":")) throw invalid(whole);
      return text.toLowerCase();
    }
    if (!special) return percent(text, /[^\x21-\x7e]/gu);
    const host = formDecode(text.replaceAll("+", "%2B")).toLowerCase();
    if (!host || /[^\x21-\x7e]|[#/:<>?@[\\\]^|%]/.test(host)) {
      if (/[^\x00-\x7f]/.test(host)) throw invalid(`${whole} (write an international host name in its xn-- form)`);
      throw invalid(whole);
    }
    const parts = host.replace(/\.$/, "").split(".");
    if (!/^(0x[0-9a-f]*|\d+)$/.test(parts.at(-1))) return host;
    const numbers = parts.map((part) => (/^0x[0-9a-f]*$/.test(part) ? parseInt(part.slice(2) || "0", 16) : /^0[0-7]+$/.test(part) ? parseInt(part, 8) : /^\d+$/.test(part) ? Number(part) : NaN));
    const last = numbers.pop();
    if (numbers.length > 3 || numbers.some((n) => !(n <= 255)) || !(last < 256 ** (4 - numbers.length))) throw invalid(whole);
    const value = numbers.reduce((sum, n, i) => sum + n * 256 ** (3 - i), last);
    return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
  }
  function pathOf(text, special) {
    const out = [];
    const parts = (special ? text.replaceAll("\\", "/") : text).split("/").slice(1);
    parts.forEach((part, i) => {
      const plain = part.replace(/%2e/gi, "."), final = i === parts.length - 1;
      if (plain === "..") { out.pop(); if (final) out.push(""); }
      else if (plain === ".") { if (final) out.push(""); }
      else out.push(percent(part, IN_PATH));
    });
    return "/" + out.join("/");
  }
  class URL {
    #protocol; #username = ""; #password = ""; #hostname = ""; #port = ""; #pathname = ""; #search = ""; #hash = ""; #opaque = false; #authority = false; #params;
    constructor(input, base) {
      const text = String(input).replace(/^[\x00-\x20]+|[\x00-\x20]+$/g, "").replace(/[\t\n\r]/g, "");
      const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text);
      if (!scheme || (base !== undefined && this.#sameScheme(scheme[1], text, base))) {
        if (base === undefined) throw invalid(text);
        this.#resolve(scheme ? text.slice(scheme[0].length) : text, new URL(base));
      } else {
        this.#protocol = scheme[1].toLowerCase() + ":";
        this.#absolute(text.slice(scheme[0].length), text);
      }
    }
    #sameScheme(scheme, text, base) {
      const protocol = scheme.toLowerCase() + ":";
      return protocol in PORTS && new URL(base).protocol === protocol && !/^[/\\]/.test(text.slice(scheme.length + 1));
    }
    #absolute(rest, whole) {
      const special = this.#protocol in PORTS;
      const [, body, search, hash] = /^([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(rest);
      const slashed = special ? body.replaceAll("\\", "/") : body;
      if (special ? this.#protocol !== "file:" || slashed.startsWith("//") : slashed.startsWith("//")) {
        const [, authority, path] = /^([^/]*)(.*)$/s.exec(special && this.#protocol !== "file:" ? slashed.replace(/^\/*/, "") : slashed.slice(2));
        const at = authority.lastIndexOf("@");
        if (at >= 0) {
          const [user, ...secret] = authority.slice(0, at).split(":");
          this.#username = percent(user, IN_USER);
          this.#password = percent(secret.join(":"), IN_USER);
        }
        const [, host, port] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(authority.slice(at + 1)) ?? [];
        if (host === undefined || (port && !(/^\d+$/.test(port) && Number(port) < 65536))) throw invalid(whole);
        this.#authority = true;
        this.#hostname = host === "" && (!special || this.#protocol === "file:") ? "" : hostOf(host, special, whole);
        this.#port = port && String(Number(port)) !== PORTS[this.#protocol] ? String(Number(port)) : "";
        this.#pathname = path || special ? pathOf(path || "/", special) : "";
      } else if (slashed.startsWith("/") || special) this.#pathname = pathOf(slashed.startsWith("/") ? slashed : "/" + slashed, special);
      else { this.#opaque = true; this.#pathname = percent(body, /[^\x20-\x7e]/gu); }
      this.#tail(search, hash);
    }
    #resolve(text, base) {
      const special = base.protocol in PORTS;
      const slashed = special ? text.replace(/^[^?#]*/, (part) => part.replaceAll("\\", "/")) : text;
      this.#protocol = base.protocol;
      if (slashed.startsWith("//")) return this.#absolute(slashed, text);
      if (base.#opaque && !text.startsWith("#")) throw invalid(text);
      this.#username = base.#username; this.#password = base.#password; this.#hostname = base.#hostname;
      this.#port = base.#port; this.#opaque = base.#opaque; this.#authority = base.#authority;
      const [, path, search, hash] = /^([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(slashed);
      if (path === "") this.#pathname = base.#pathname;
      else this.#pathname = pathOf(path.startsWith("/") ? path : base.#pathname.replace(/[^/]*$/, "") + path, special);
      this.#tail(path === "" && search === undefined ? base.#search : search, hash);
    }
    #tail(search = "", hash = "") { this.search = search; this.hash = hash; }
    static canParse(input, base) { return URL.parse(input, base) !== null; }
    static parse(input, base) { try { return new URL(input, base); } catch { return null; } }
    get href() {
      const user = this.#username || this.#password ? this.#username + (this.#password && ":" + this.#password) + "@" : "";
      return this.#protocol + (this.#authority || this.#protocol === "file:" ? "//" + user + this.host : "") + this.#pathname + this.#search + this.#hash;
    }
    get origin() { return this.#protocol in PORTS && this.#protocol !== "file:" ? `${this.#protocol}//${this.host}` : "null"; }
    get protocol() { return this.#protocol; }
    get username() { return this.#username; }
    get password() { return this.#password; }
    get host() { return this.#hostname + (this.#port && ":" + this.#port); }
    get hostname() { return this.#hostname; }
    get port() { return this.#port; }
    get pathname() { return this.#pathname; }
    get search() { return this.#search; }
    get hash() { return this.#hash; }
    get searchParams() { return (this.#params ??= new URLSearchParams(this.#search, (text) => (this.#search = text && "?" + text))); }
    set pathname(value) { if (!this.#opaque) this.#pathname = pathOf("/" + String(value).replace(/^[/\\]/, "").replaceAll("?", "%3F").replaceAll("#", "%23"), this.#protocol in PORTS); }
    set search(value) {
      const text = String(value).replace(/^\?/, "").replaceAll("#", "%23");
      this.#search = text && "?" + percent(text, IN_QUERY);
      this.#params = undefined;
    }
    set hash(value) { const text = String(value).replace(/^#/, ""); this.#hash = text && "#" + percent(text, IN_FRAGMENT); }
    set href(value) { const other = new URL(value); this.#protocol = other.#protocol; this.#username = other.#username; this.#password = other.#password; this.#hostname = other.#hostname; this.#port = other.#port; this.#pathname = other.#pathname; this.#opaque = other.#opaque; this.#authority = other.#authority; this.#tail(other.#search, other.#hash); }
    toString() { return this.href; }
    toJSON() { return this.href; }
    get [Symbol.toStringTag]() { return "URL"; }
  }
  define("URL", URL);

  // ---- What a plugin does not have, said clearly -------------------------------------------------------------------
  const absent = (name, instead) => define(name, function () { throw new TypeError(`${name} is not available in a plugin: ${instead}`); });
  for (const name of ["setTimeout", "setInterval", "setImmediate"]) absent(name, "a call has no later; use ctx.schedule");
  absent("fetch", "declare the capability http and use ctx.http.fetch");
  for (const name of ["clearTimeout", "clearInterval", "clearImmediate"]) define(name, () => {});
  Object.defineProperty(Math, "random", { ...hidden, value: native.random });
  const HINTS = {
    "Intl is not defined": "a plugin has no Intl: format in the host application, or bundle what you need",
    "crypto is not defined": "use ctx.crypto.randomBytes, ctx.crypto.digest and ctx.crypto.hmac",
    "process is not defined": "a plugin does not run in Node",
    "require is not defined": "a plugin is one ES module, bundle what you need",
    "Buffer is not defined": "use Uint8Array, TextEncoder and ctx.bytes",
    "window is not defined": "a plugin does not run in a browser",
    "document is not defined": "a plugin does not run in a browser",
    "WebAssembly is not defined": "pack a .wasm entry instead",
  };

  // ---- The plugin ------------------------------------------------------------------------------------------------
  let hooks, routes, schedules, workflows;
  const handlers = (object, what) => {
    const found = new Map();
    for (const [name, value] of Object.entries(object ?? {})) {
      const handler = typeof value === "function" ? value : value?.handler;
      if (typeof handler !== "function") throw new TypeError(`${what} "${name}" is not a function`);
      found.set(name, typeof value === "function" ? value : handler.bind(value));
    }
    return found;
  };
  function install(module) {
    const plugin = module.default;
    if (typeof plugin !== "object" || plugin === null) throw new TypeError("a plugin has a default export: export default { hooks: { … } }");
    hooks = handlers(plugin.hooks, "hook");
    routes = handlers(plugin.routes, "route");
    schedules = handlers(plugin.schedules, "schedule");
    workflows = handlers(plugin.workflows, "workflow");
    return { hooks: [...hooks.keys()], routes: [...routes.keys()], schedules: [...schedules.keys()], workflows: [...workflows.keys()] };
  }
  function handler({ hook, event }) {
    if (hook === "route") return routes.get(`${event.method} ${event.route}`) ?? routes.get(event.route) ?? hooks.get(hook);
    if (hook === "cron") return schedules.get(event.schedule) ?? hooks.get(hook);
    if (hook === "workflow") return workflows.get(event.workflow) ?? hooks.get(hook);
    return hooks.get(hook);
  }
  const LIFECYCLE = new Set(["plugin:install", "plugin:activate", "plugin:deactivate", "plugin:uninstall"]);
  function invoke(message) {
    begin(message.now, message.seed);
    const found = handler(message);
    if (found === undefined) {
      if (LIFECYCLE.has(message.hook)) return null;
      throw Object.assign(new ReferenceError(`the plugin has no handler for ${message.hook}`), { code: "no_handler" });
    }
    const ctx = Object.create(base);
    ctx.settings = message.settings;
    ctx.plugin = message.plugin;
    ctx.call = { id: message.id, hook: message.hook };
    return found(message.event, ctx);
  }
  function describe(error, code) {
    const object = typeof error === "object" && error !== null;
    const text = (value) => (typeof value === "string" ? value : "");
    // Cut first: the cut may fall between the halves of a pair.
    const cut = (value, length) => value.slice(0, length).toWellFormed();
    let message = object ? text(error.message) : text(String(error));
    const name = (object && text(error.name)) || "Error";
    if (name === "ReferenceError" && HINTS[message]) message += `; ${HINTS[message]}`;
    let own = code || (object ? text(error.code) : "");
    if (name === "InternalError" && message === "out of memory") own = "memory_exhausted";
    if (name === "InternalError" && message.startsWith("the promise never settles")) own = "promise_never_settles";
    if (name === "RangeError" && message === "Maximum call stack size exceeded") own ||= "stack_overflow";
    return stringify({ error: { name: cut(name, 200), message: cut(message, 4000), stack: cut(object ? text(error.stack) : "", 8000), code: cut(own, 100) } });
  }
  return { install, invoke, describe };
})
