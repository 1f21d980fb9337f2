// Standard Webhooks 1.0: webhook-id, webhook-timestamp and webhook-signature over the exact bytes.
import { createHmac, timingSafeEqual } from "node:crypto";

export const TOLERANCE_SECONDS = 300;

function mac(key, id, timestamp, body) {
  const raw = key.startsWith("whsec_") ? Buffer.from(key.slice(6), "base64") : Buffer.from(key, "utf8");
  return createHmac("sha256", raw).update(`${id}.${timestamp}.`).update(body).digest();
}

/** The message's id, or null when no key signed exactly these bytes within five minutes. */
export function verify(body, headers, key, now = Date.now()) {
  const id = headers["webhook-id"] ?? "";
  const timestamp = headers["webhook-timestamp"] ?? "";
  if (!id || !/^[0-9]{1,12}$/.test(timestamp)) return null;
  if (Math.abs(now / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) return null;
  const expected = mac(key, id, timestamp, body);
  for (const part of (headers["webhook-signature"] ?? "").split(" ")) {
    if (!part.startsWith("v1,")) continue;
    const given = Buffer.from(part.slice(3), "base64");
    if (given.length === expected.length && timingSafeEqual(given, expected)) return id;
  }
  return null;
}

/** Headers for an answer; it carries the id of the request that it answers. */
export function sign(body, key, id, now = Date.now()) {
  const timestamp = String(Math.floor(now / 1000));
  return {
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": `v1,${mac(key, id, timestamp, body).toString("base64")}`,
  };
}
