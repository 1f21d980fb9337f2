// The standard job for the JavaScript peers; `kv` is the host's.
const WORDS = /\b[\p{L}\d]+\b/gu;
export async function job(event, kv) {
  const saves = ((await kv.get("saves")) ?? 0) + 1;
  const text = event.content.body.replace(/<[^>]+>/g, "");
  await kv.set("saves", saves);
  return { id: event.id, saves, words: text.match(WORDS)?.length ?? 0, excerpt: text.slice(0, 60) };
}
