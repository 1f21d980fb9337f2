// A checkbox with data-live="id" keeps the list in that element up to date, every two seconds while the page is seen.
// Without JavaScript the list is as new as the page.
const box = document.querySelector("[data-live]");
const follow = async () => {
  if (!box.checked || document.hidden) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(box.dataset.live);
  const shown = document.getElementById(box.dataset.live);
  if (fresh && shown && box.checked && !shown.contains(document.activeElement)) shown.replaceWith(fresh);
};
if (box) {
  box.closest("[hidden]")?.removeAttribute("hidden");
  setInterval(follow, 2000);
}
