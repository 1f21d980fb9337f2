// What a careless or hostile author might send. The sandbox stops it; nothing else notices.
export default {
  hooks: {
    "content:afterSave": async () => {
      for (;;);
    },
  },
};
