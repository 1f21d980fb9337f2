// What the worker remembers: which plugins are active, and each plugin's key-value pairs. One JSON file, replaced whole.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export class State {
  constructor(folder) {
    mkdirSync(folder, { recursive: true });
    this.path = join(folder, "state.json");
    this.held = existsSync(this.path) ? JSON.parse(readFileSync(this.path, "utf8")) : { active: {}, values: {} };
  }

  active(name) {
    return Object.hasOwn(this.held.active, name);
  }

  set(name, active) {
    if (active) this.held.active[name] = new Date().toISOString();
    else delete this.held.active[name];
    this.#save();
  }

  /** `ctx.kv` of one plugin; another plugin's pairs cannot be named through it. */
  kv(name) {
    const values = () => (this.held.values[name] ??= {});
    return {
      get: async (key) => structuredClone(Object.hasOwn(values(), key) ? values()[key] : null),
      set: async (key, value) => {
        values()[String(key)] = JSON.parse(JSON.stringify(value));
        this.#save();
      },
      delete: async (key) => {
        const there = delete values()[String(key)];
        this.#save();
        return there;
      },
    };
  }

  #save() {
    writeFileSync(`${this.path}.new`, JSON.stringify(this.held));
    renameSync(`${this.path}.new`, this.path);
  }
}
