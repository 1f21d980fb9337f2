// A plugin as it would be for the sandbox: hooks and routes, and a context that the worker fills.
export default {
  hooks: {
    "plugin:install": async (event, ctx) => {
      await ctx.kv.set("installs", ((await ctx.kv.get("installs")) ?? 0) + 1);
    },
    "content:beforeSave": async (event) => {
      const title = event.content?.title ?? "";
      if (title && title === title.toUpperCase() && /[A-Z]{4}/.test(title)) {
        return { reject: { message: "A title does not shout.", field: "title" } };
      }
      return title === title.trim() ? {} : { change: { title: title.trim() } };
    },
    "content:afterSave": async (event, ctx) => {
      const saves = ((await ctx.kv.get("saves")) ?? 0) + 1;
      await ctx.kv.set("saves", saves);
      return { saves };
    },
  },
  routes: {
    "GET /hello": async (request, ctx) => ({
      status: 200,
      json: { message: `${ctx.settings.greeting ?? "Hello"}, ${request.query.name?.[0] ?? "world"}!`, saves: (await ctx.kv.get("saves")) ?? 0 },
    }),
    "POST /echo": async (request) => ({ status: 200, headers: { "x-route": request.route }, ...request.body }),
  },
};
