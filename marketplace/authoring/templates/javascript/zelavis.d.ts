// Types of a Zelavis plugin, for editors. Nothing here runs.
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface Plugin {
  hooks?: { [hook: string]: (event: any, ctx: Context) => unknown };
  /** By method and path: "GET /stats". */
  routes?: { [route: string]: (request: RouteRequest, ctx: Context) => RouteAnswer | Promise<RouteAnswer> };
}

export interface RouteRequest {
  method: string;
  path: string;
  query: { [name: string]: string[] };
  headers: { [name: string]: string };
  body: { json: Json } | { text: string } | { base64: string } | null;
  route: string;
  public: boolean;
  caller: { actor: string } | null;
}
export interface RouteAnswer {
  status?: number;
  headers?: { [name: string]: string };
  json?: unknown;
  text?: string;
  base64?: string;
}

/** What a host call throws: `code` is stable, see the capability reference. */
export interface HostError extends Error {
  code: string;
}
export interface Page<T> {
  items: T[];
  /** Give it to the next call; null ends it. */
  cursor: string | null;
}
export interface Lifetime {
  ttlSeconds?: number;
}
export type Scalar = null | boolean | number | string;
export type Where = {
  [field: string]: Scalar | { gt?: Scalar; gte?: Scalar; lt?: Scalar; lte?: Scalar; in?: Scalar[]; startsWith?: string };
};
export interface BlobInfo {
  name: string;
  size: number;
  contentType: string;
  sha256: string;
}

export interface Context {
  /** "kv" */
  kv: {
    get(key: string): Promise<any>;
    set(key: string, value: Json, options?: Lifetime): Promise<null>;
    delete(key: string): Promise<boolean>;
    list(options?: string | { prefix?: string; cursor?: string | null; limit?: number }): Promise<Page<{ key: string; value: any }>>;
    increment(key: string, by?: number, options?: Lifetime): Promise<number>;
    compareAndSet(key: string, expected: Json, value: Json, options?: Lifetime): Promise<boolean>;
  };
  /** "documents" */
  documents: {
    put(collection: string, id: string, document: { [name: string]: Json }): Promise<null>;
    get(collection: string, id: string): Promise<any>;
    delete(collection: string, id: string): Promise<boolean>;
    query(
      collection: string,
      query?: { where?: Where; orderBy?: string; direction?: "asc" | "desc"; limit?: number; cursor?: string | null },
    ): Promise<Page<{ id: string; data: any }>>;
    count(collection: string, where?: Where): Promise<number>;
  };
  /** "blobs" */
  blobs: {
    put(name: string, base64: string, options?: { contentType?: string }): Promise<BlobInfo>;
    get(name: string): Promise<(BlobInfo & { base64: string }) | null>;
    delete(name: string): Promise<boolean>;
    list(options?: { prefix?: string; cursor?: string | null; limit?: number }): Promise<Page<BlobInfo>>;
    head(name: string): Promise<BlobInfo | null>;
  };
  /** "object": the first touch of a key takes its lock until the end of the call. */
  object: {
    get(key: string): Promise<any>;
    put(key: string, value: Json): Promise<null>;
    delete(key: string): Promise<boolean>;
  };
  /** "http" */
  http: {
    fetch(
      url: string,
      init?: {
        method?: string;
        headers?: { [name: string]: string };
        body?: string;
        bodyBase64?: string;
        /** A declared secret, which the host puts into its header. */
        secret?: string;
        timeoutMs?: number;
      },
    ): Promise<{ status: number; ok: boolean; headers: { [name: string]: string }; text?: string; base64?: string }>;
  };
  /** "content:read" and "content:write" */
  content: {
    get(collection: string, id: string | number): Promise<any>;
    list(collection: string, options?: { where?: { [field: string]: Scalar }; cursor?: string | null; limit?: number }): Promise<Page<any>>;
    create(collection: string, values: { [field: string]: Json }): Promise<null>;
    update(collection: string, id: string | number, values: { [field: string]: Json }): Promise<null>;
    delete(collection: string, id: string | number): Promise<boolean>;
  };
  /** "users:read" */
  users: {
    get(id: string | number): Promise<any>;
    list(options?: { where?: { username?: string; isActive?: boolean }; cursor?: string | null; limit?: number }): Promise<Page<any>>;
  };
  /** "email:send" */
  email: { send(message: { to: string | string[]; subject: string; text: string; html?: string }): Promise<null> };
  /** "secrets" */
  secrets: { list(): Promise<{ name: string; set: boolean }[]> };
  /** "schedule" */
  schedule: {
    at(name: string, when: number | { afterSeconds: number }, data?: Json): Promise<number>;
    cancel(name: string): Promise<boolean>;
    list(): Promise<{ name: string; at: number; data: any }[]>;
  };
  /** "runs:trigger" and "runs:signal": done when the call ends. */
  runs: {
    trigger(workflow: string, input?: Json, options?: { key?: string; tags?: string[]; delaySeconds?: number }): Promise<string>;
    signal(runId: string, name: string, payload?: Json): Promise<null>;
  };
  log: { [level in "debug" | "info" | "warn" | "error"]: (message: unknown, ...data: unknown[]) => Promise<null> };
  crypto: {
    randomBytes(size: number): Promise<Uint8Array>;
    digest(algorithm: "SHA-1" | "SHA-256" | "SHA-384" | "SHA-512", data: string | ArrayBuffer | ArrayBufferView): Promise<string>;
    hmac(algorithm: "SHA-1" | "SHA-256" | "SHA-384" | "SHA-512", key: string, data: string | ArrayBuffer | ArrayBufferView): Promise<string>;
  };
  bytes: { toBase64(bytes: ArrayBuffer | ArrayBufferView): string; fromBase64(text: string): Uint8Array };
  settings: { [name: string]: any };
  plugin: { name: string; version: string };
  call: { id: string; hook: string };
}
