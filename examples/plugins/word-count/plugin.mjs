// Counts words. Everything at the top level runs once, when the plugin is deployed; each call starts from there.
const WORD = /[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*/gu;
const TAG = /<[^>]*>/g;

export function words(body) {
  return body.replace(TAG, " ").match(WORD)?.length ?? 0;
}

export default {
  hooks: {
    "content:afterSave": async ({ id, content, created }, ctx) => {
      const count = words(`${content.title ?? ""} ${content.body ?? ""}`);
      const saves = await ctx.kv.increment("saves");
      await ctx.kv.set(`page:${id}`, { title: content.title ?? "", words: count });
      if (created) ctx.log.info(`new page with ${count} words`);
      const minutes = Math.max(1, Math.round(count / (ctx.settings.wordsPerMinute ?? 200)));
      return { id, words: count, minutes, saves };
    },
  },
  routes: {
    "GET /stats": async (request, ctx) => {
      const saves = (await ctx.kv.get("saves")) ?? 0;
      const { items } = await ctx.kv.list({ prefix: "page:", limit: 100 });
      const pages = items.map(({ key, value }) => ({ id: key.slice("page:".length), ...value }));
      return { status: 200, json: { saves, pages } };
    },
  },
};
