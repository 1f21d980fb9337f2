// Follows a run: new lines are added to the log as server-sent events bring them. Without JavaScript the page holds what
// had happened when it was made, and a link to make it again.
const list = document.getElementById("log-lines");
const state = document.getElementById("log-state");
const button = document.getElementById("log-pause");
const LONGEST = 500;
let source, last = list.dataset.after, paused = false, held = [];

function line(kind, text, at) {
  const item = document.createElement("li"), time = document.createElement("time");
  const moment = new Date(at ?? Date.now());
  time.dateTime = moment.toISOString();
  time.textContent = time.dateTime.slice(11, 23);
  item.dataset.kind = kind;
  item.append(time, " ", text);
  return item;
}
function show(item) {
  if (paused) { held.push(item); button.textContent = `Go on (${held.length} new)`; return; }
  list.append(item);
  while (list.children.length > LONGEST) list.firstElementChild.remove();
}
function heard(event) { if (event.lastEventId) last = event.lastEventId; return JSON.parse(event.data); }

function follow() {
  source = new EventSource(`${list.dataset.stream}?after=${last}`);
  source.onopen = () => { state.textContent = "Connected: new lines come by themselves."; };
  source.onerror = () => { state.textContent = "The line is broken; trying again."; };
  source.addEventListener("journal", (event) => {
    const entry = heard(event), data = entry.data ?? {};
    const words = [entry.kind, entry.key, data.status ?? data.source ?? ""].filter(Boolean).join(" ");
    show(line(entry.kind === "step" ? "step" : "other", data.error ? `${words}: ${data.error.message}` : words, entry.at));
  });
  source.addEventListener("stream.chunk", (event) => {
    const chunk = heard(event).chunk, body = chunk.chunk ?? chunk;
    show(line("chunk", `${chunk.streamId ?? "stream"}: ${typeof body === "string" ? body : JSON.stringify(body)}`));
  });
  source.addEventListener("status", (event) => show(line("status", `is ${heard(event).status}`)));
  source.addEventListener("end", () => { source.close(); state.textContent = "The run has ended; nothing more comes."; });
}

button.hidden = false;
button.addEventListener("click", () => {
  paused = !paused;
  button.textContent = paused ? "Go on" : "Pause";
  button.setAttribute("aria-pressed", String(paused));
  if (!paused) { held.forEach((item) => show(item)); held = []; }
});
for (const box of document.querySelectorAll("#log-kinds input")) {
  box.addEventListener("change", () => list.classList.toggle(`without-${box.value}`, !box.checked));
}
document.getElementById("log-kinds").hidden = false;
follow();
